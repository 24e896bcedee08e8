"""A bare manager (bare_manager.py) as a side of a comparison."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pairs.campaign import start_worker, waited
from pairs.measured import Measured
from pairs.servers import free_port
from pairs.workloads import Workload

_MANAGER = Path(__file__).with_name("bare_manager.py")


class Bare:
    """Measures bare managers with the jobs of one workload."""

    def __init__(self, workload: Workload, folder: Path, slots: int = 2) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._runs = 0

    def measure(self, engine: str) -> Measured:
        """Run all jobs with a bare manager of this engine."""
        self._runs += 1
        folder = self._folder / f"bare{self._runs}"
        (folder / "shared").mkdir(parents=True)
        (folder / "outputs").mkdir()
        workload = self._workload
        for name, content in workload.shared.items():
            (folder / "shared" / name).write_text(content)
        asked = {
            "argv": workload.argv,
            "file": workload.file,
            "pattern": workload.pattern,
            "shared": {name: str(folder / "shared" / name) for name in workload.shared},
            "jobs": [(one["_id"], workload.content(one)) for one in workload.documents],
        }
        port = free_port()
        words = [sys.executable, _MANAGER, engine, str(port), folder / "outputs"]
        manager = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "CATALOG_HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        )
        workers = [
            start_worker(engine, port, folder / f"worker{number}") for number in range(self._slots)
        ]
        cpu_of_workers = 0.0
        try:
            said, _ = manager.communicate(json.dumps(asked))
        finally:
            manager.kill()
            for worker in workers:
                worker.kill()
                cpu_of_workers += waited(worker)
        # Work Queue prints warnings before.
        rate, makespan, cpu, values = json.loads(said.splitlines()[-1])
        jobs = len(workload.documents)
        return Measured(
            rate, 1000 * cpu / jobs, dict(values), makespan, 1000 * cpu_of_workers / jobs
        )
