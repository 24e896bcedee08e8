"""Compare the master's cost per task with TaskVine and Work Queue, alternating in one run.

    ./shell python benchmarks/engines.py [ROUNDS] [TASKS]

Each engine gets two local workers, and tasks of one job that does nothing. Only the CPU time of
this process counts (submitting, waiting, fetching), without parsing and storing.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from wqmaster.engines.base import Engine
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.taskvine import TaskVineEngine
from wqmaster.engines.work_queue import WorkQueueEngine
from wqmaster.jobs import wire
from wqmaster.jobs.job import Execution, Job, Task

ENGINES = {
    "taskvine": (TaskVineEngine, "vine_worker"),
    "work_queue": (WorkQueueEngine, "work_queue_worker"),
}


def measure(engine: Engine, folder: Path, tasks: int) -> tuple[float, float]:
    """The master's CPU time per task in milliseconds, and the number of tasks per second."""
    inputs = wire.pack([Job((Execution("work", ("true",)),), {})])
    cpu, wall = time.process_time(), time.monotonic()
    submitted = returned = 0
    while returned < tasks:
        for _ in range(min(engine.hungry(), tasks - submitted)):
            place = folder / str(submitted)
            place.mkdir()
            (place / "inputs.tar").write_bytes(inputs)
            engine.submit(Task(str(submitted), 1, 60), place)
            submitted += 1
        found = engine.wait(1)
        while found is not None:
            assert found.result == "ok", found  # noqa: S101
            returned += 1
            found = engine.wait(0)
    return (time.process_time() - cpu) / tasks * 1000, tasks / (time.monotonic() - wall)


def main(rounds: int = 3, tasks: int = 300) -> None:
    """Print the cost of each engine in each round, and the ratio of the medians."""
    os.environ["CATALOG_HOST"] = "127.0.0.1"
    warnings.simplefilter("ignore")
    costs: dict[str, list[float]] = {name: [] for name in ENGINES}
    for _ in range(rounds):
        for name, (kind, worker) in ENGINES.items():
            with tempfile.TemporaryDirectory() as made:
                folder = Path(made)
                engine = kind(Setting(folder / "logs"))
                command = [worker, "--cores", "1", "127.0.0.1", str(engine.port)]
                workers = []
                for count in (1, 2):
                    workers.append(
                        subprocess.Popen(
                            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                        )
                    )
                    while engine.stats().workers < count:
                        engine.wait(1)
                cost, rate = measure(engine, folder, tasks)
                engine.close()
                for process in workers:
                    process.terminate()
                    process.wait()
            costs[name].append(cost)
            print(f"{name:<10} {cost:6.2f} ms of CPU per task, {rate:5.1f} tasks/s", flush=True)
    ratio = statistics.median(costs["work_queue"]) / statistics.median(costs["taskvine"])
    print(f"Work Queue costs the master {ratio:.2f} times as much CPU as TaskVine (medians)")


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
