"""Parsl as a side of a comparison, from wqmaster's environment."""

import json
import os
import subprocess
from pathlib import Path

from pairs.campaign import start_worker, waited
from pairs.measured import Measured
from pairs.rq_peer import PEERS, peer_jobs
from pairs.servers import free_port
from pairs.workloads import Workload

_SIDE = Path(__file__).with_name("parsl_side.py")


class Parsl:
    """Measures Parsl's executors for TaskVine and Work Queue."""

    def __init__(self, workload: Workload, folder: Path, slots: int = 2) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._runs = 0

    def measure(self, engine: str) -> Measured:
        """Run all jobs with the executor for this engine."""
        self._runs += 1
        folder = self._folder / f"parsl{self._runs}"
        folder.mkdir()
        asked = peer_jobs(self._workload, folder / "work")
        port = free_port()
        # Workers find the function's module, and the Python that has Parsl.
        path = f"{PEERS / 'bin'}:{os.environ['PATH']}"
        environ = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parent)}
        environ |= {"CATALOG_HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"}
        words = [PEERS / "bin" / "python", _SIDE, engine, str(port), folder / "runs"]
        side = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environ,
            cwd=folder,
        )
        workers = [
            start_worker(engine, port, folder / f"worker{number}", environ=environ)
            for number in range(self._slots)
        ]
        cpu_of_workers = 0.0
        try:
            said, _ = side.communicate(json.dumps(asked))
        finally:
            side.kill()
            for worker in workers:
                worker.kill()
                cpu_of_workers += waited(worker)
        rate, makespan, cpu, values = json.loads(said.splitlines()[-1])
        jobs = len(asked)
        return Measured(
            rate, 1000 * cpu / jobs, dict(values), makespan, 1000 * cpu_of_workers / jobs
        )
