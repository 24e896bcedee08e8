"""Parsl as a side of a comparison, from wqmaster's environment."""

import os
from pathlib import Path

from pairs.measured import Measured
from pairs.own_manager import measured_with_workers
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
        return measured_with_workers(
            [PEERS / "bin" / "python", _SIDE, engine, str(port), folder / "runs"],
            asked,
            jobs=len(asked),
            engine=engine,
            port=port,
            folder=folder,
            slots=self._slots,
            environ=environ,
        )
