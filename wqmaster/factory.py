"""Workers of this machine, by work_queue_factory or vine_factory -T local."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from wqmaster.errors import EngineError

# Seconds after which a worker without work ends.
IDLE = 3600
# Engine -> its factory, its worker.
PROGRAMS = {
    "work_queue": ("work_queue_factory", "work_queue_worker"),
    "taskvine": ("vine_factory", "vine_worker"),
}


def command(
    engine: str, count: int, cores: int, port: int, scratch: Path, password: Path | None, ssl: bool
) -> list[str]:
    """The command line that keeps `count` workers of `cores` cores each on this machine."""
    return [
        PROGRAMS[engine][0],
        *("--batch-type", "local"),
        *("--min-workers", str(count)),
        *("--max-workers", str(count)),
        *("--workers-per-cycle", str(count)),
        *("--cores", str(cores)),
        *("--timeout", str(IDLE)),
        *("--scratch-dir", str(scratch)),
        *(("--password", str(password)) if password else ()),
        *(("--ssl",) if ssl else ()),
        "127.0.0.1",
        str(port),
    ]


class Factory:
    """A running factory with its workers; all of them end with `close`, or with this process.

    Raises:
        EngineError: the engine's factory or worker is not installed here.
    """

    def __init__(
        self,
        engine: str,
        count: int,
        cores: int,
        port: int,
        folder: Path,
        environ: Mapping[str, str],
        password: Path | None = None,
        ssl: bool = False,
    ) -> None:
        self._program = PROGRAMS[engine][0]
        for program in PROGRAMS[engine]:
            if shutil.which(program, path=environ.get("PATH")) is None:
                raise EngineError(
                    f"'{program}' is not on the PATH: install coop-computing-tools (Debian 13) or "
                    "ndcctools (conda-forge), or run with --engine local"
                )
        for left in folder.glob("workers-*"):
            shutil.rmtree(left, ignore_errors=True)
        scratch = Path(tempfile.mkdtemp(prefix="workers-", dir=folder))
        self.log = folder / "logs" / "workers.log"
        self._scratch = scratch
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, "-m", "wqmaster.keeper", str(self.log)),
                *command(engine, count, cores, port, scratch, password, ssl),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**environ, "CATALOG_HOST": environ.get("CATALOG_HOST", "127.0.0.1")},
            start_new_session=True,
        )

    def check(self) -> None:
        """See that the factory still runs.

        Raises:
            EngineError: it does not; with the last lines of its log.
        """
        if self._keeper.poll() is not None:
            last = self.log.read_text(errors="replace").splitlines()[-3:]
            raise EngineError(f"{self._program} has ended: {' | '.join(last)} (log: {self.log})")

    def close(self) -> None:
        """End factory and workers, and wait until they are gone."""
        if self._keeper.stdin:
            self._keeper.stdin.close()
        self._keeper.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)
