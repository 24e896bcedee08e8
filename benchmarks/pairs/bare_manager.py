"""A bare manager of TaskVine or Work Queue, as a user writes it; runs as a separate program.

    python bare_manager.py taskvine|work_queue PORT FOLDER < jobs

`jobs` is a JSON object with `argv`, `file`, `shared` (paths of files that all jobs read, by name),
`pattern` and `jobs` (pairs of a document's id and the content of its file). Each task sends the
same files and the same command as wqmaster, and returns the standard output as a file; the number
in it is kept in memory. Prints as JSON: the rate from the first returned task to the last, the
seconds from the first submission to the last task, this process's CPU time, and the values.
"""

import json
import re
import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")  # SWIG's, and about modules for Dask


def taskvine(port: int, folder: Path, asked: dict[str, Any]) -> Any:
    """Submit all tasks to TaskVine, and return the function that waits for one."""
    import ndcctools.taskvine as vine

    manager = vine.Manager(port=port, run_info_path=str(folder))
    manager.disable_peer_transfers()
    shared = {name: manager.declare_file(path) for name, path in asked["shared"].items()}
    for key, content in asked["jobs"]:
        task = vine.Task(command(asked))
        task.set_tag(str(key))
        task.set_cores(1)
        for name, file in shared.items():
            task.add_input(file, f"shared/{name}")
        task.add_input(manager.declare_buffer(content), f"work/{asked['file']}")
        task.add_output(manager.declare_file(str(folder / f"{key}.out")), "stdout")
        manager.submit(task)
    return manager.wait


def work_queue(port: int, folder: Path, asked: dict[str, Any]) -> Any:
    """Submit all tasks to Work Queue, and return the function that waits for one."""
    import ndcctools.work_queue as wq

    queue = wq.WorkQueue(port=port)
    for key, content in asked["jobs"]:
        task = wq.Task(command(asked))
        task.specify_tag(str(key))
        task.specify_cores(1)
        for name, path in asked["shared"].items():
            task.specify_input_file(path, f"shared/{name}", cache=True)
        task.specify_buffer(content, f"work/{asked['file']}", cache=False)
        task.specify_output_file(str(folder / f"{key}.out"), "stdout", cache=False)
        queue.submit(task)
    return queue.wait


def command(asked: dict[str, Any]) -> str:
    """The shell command of a task."""
    return f"cd work && {shlex.join(asked['argv'])} > ../stdout"


def main() -> None:
    """Run what the command line says."""
    kind, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    asked = json.load(sys.stdin)
    pattern = re.compile(asked["pattern"])
    cpu, begun = time.process_time(), time.monotonic()
    start = {"taskvine": taskvine, "work_queue": work_queue}[kind]
    wait = start(port, folder, asked)
    values: list[tuple[int, float]] = []
    first = 0.0
    while len(values) < len(asked["jobs"]):
        task = wait(5)
        if task is None:
            continue
        output = folder / f"{task.tag}.out"
        values.append((int(task.tag), float(pattern.findall(output.read_text())[-1])))
        output.unlink()
        first = first or time.monotonic()
    ended = time.monotonic()
    rate = (len(values) - 1) / (ended - first)
    # Flushed, because Work Queue can end the interpreter at its exit.
    print(json.dumps([rate, ended - begun, time.process_time() - cpu, values]), flush=True)


if __name__ == "__main__":
    main()
