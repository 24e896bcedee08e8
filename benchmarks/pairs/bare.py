"""A bare manager (bare_manager.py) as a side of a comparison."""

import os
import sys
from pathlib import Path

from pairs.measured import Measured
from pairs.own_manager import measured_with_workers
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
        return measured_with_workers(
            [sys.executable, _MANAGER, engine, str(port), folder / "outputs"],
            asked,
            jobs=len(workload.documents),
            engine=engine,
            port=port,
            folder=folder,
            slots=self._slots,
            environ={**os.environ, "CATALOG_HOST": "127.0.0.1", "OMP_NUM_THREADS": "1"},
        )
