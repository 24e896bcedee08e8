"""HyperQueue as a side of a comparison, from wqmaster's environment."""

import json
import subprocess
from pathlib import Path

from pairs.loop import make_folders, read_values
from pairs.measured import Measured
from pairs.rq_peer import PEERS
from pairs.workloads import Workload

_SIDE = Path(__file__).with_name("hyperqueue_side.py")


class HyperQueue:
    """Measures a LocalCluster with one-core workers."""

    def __init__(self, workload: Workload, folder: Path, slots: int = 2) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._runs = 0

    def measure(self) -> Measured:
        """Run all jobs. The CPU time is that of server and workers, which share a process."""
        self._runs += 1
        folder = self._folder / f"hyperqueue{self._runs}"
        places = make_folders(self._workload, folder / "work")
        asked = {"argv": self._workload.argv, "folders": [str(place) for place in places]}
        said = subprocess.run(
            [PEERS / "bin" / "python", _SIDE, folder / "server", str(self._slots)],
            input=json.dumps(asked),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a bar of progress
            text=True,
            check=True,
        )
        makespan, cpu, cpu_of_tasks = json.loads(said.stdout.splitlines()[-1])
        jobs = len(places)
        values = read_values(self._workload, [place / "stdout" for place in places])
        return Measured(
            jobs / makespan, 1000 * cpu / jobs, values, makespan, 1000 * cpu_of_tasks / jobs
        )
