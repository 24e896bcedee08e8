"""Workers as processes of this machine."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from wqmaster.campaign.workers import LocalWorkers
from wqmaster.factory import processes
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.folders import WorkerFolders
from wqmaster.factory.sizes import WorkerSize
from wqmaster.system.processes import is_running

# An idle worker on this machine exits after this time.
IDLE_TIMEOUT_SECONDS = 3600


class LocalEvents(WorkerFolders):
    """Reads the workers' files in the scratch folder."""

    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended, and its exit code if worker.sh refused the host."""
        with contextlib.suppress(OSError, ValueError):
            return True, int((folder / "code").read_text())
        return not (worker.isdecimal() and is_running(int(worker))), None


class Local:
    """This machine."""

    name = "local"
    commands: tuple[str, ...] = ()
    how_to_get_commands = "none are needed"
    # `exec`, so that the worker itself is told to exit when the factory has died.
    wrapper = ("exec", "sh", "./worker.sh", "-o")
    copies_environment = False
    events_report_waiting_jobs = False
    number_follows_demand = False
    factory_ends_workers = True
    why_jobs_wait = "see the factory's log"

    def refusal(self, program: str) -> str | None:
        """None: any program can be named."""
        return None

    def settings(self, workers: LocalWorkers, size: WorkerSize, local_count: int) -> Settings:
        """As many workers as requested, at all times."""
        return {
            "max-workers": local_count,
            "min-workers": local_count,
            "workers-per-cycle": local_count,
            "timeout": IDLE_TIMEOUT_SECONDS,
        }

    def batch_options(self, workers: LocalWorkers, factory_id: str, campaign: str) -> str:
        """No options: processes have none."""
        return ""

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` with a variable that workers inherit, to find those of a killed factory."""
        return processes.marked(environ, folder)

    def events(self, scratch: Path) -> LocalEvents:
        """The watcher of the workers."""
        return LocalEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """No jobs: workers are found as processes of the factory's folder (`processes.left`)."""
        return []

    def remove_jobs(self, factory_id: str) -> None:
        """Do nothing: there is no queue."""
