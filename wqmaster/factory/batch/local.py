"""Workers as processes on this machine."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from wqmaster.campaign.workers import LocalWorkers
from wqmaster.factory import processes
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.folders import WorkerFolders
from wqmaster.factory.sizes import WorkerSize
from wqmaster.system.processes import is_running

# How long a worker on this machine is idle before it exits.
IDLE_TIMEOUT_SECONDS = 3600


class LocalEvents(WorkerFolders):
    """Watches the workers through their files in the scratch folder."""

    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended, and the exit code with which worker.sh refused the host."""
        with contextlib.suppress(OSError, ValueError):
            return True, int((folder / "code").read_text())
        if worker.isdecimal():
            if is_running(int(worker)):
                return False, None
            # A batch system ends a job with all its processes, but here nothing else would (F9).
            processes.end_helpers(folder / "err")
        return True, None


class Local:
    """This machine, as a batch system without a queue."""

    name = "local"
    commands: tuple[str, ...] = ()
    how_to_get_commands = "none are needed"
    # `exec` makes the worker itself receive the signal when the factory has died.
    wrapper = ("exec", "sh", "./worker.sh", "-o")
    copies_environment = False
    events_report_waiting_jobs = False
    number_follows_demand = False
    factory_ends_workers = True
    why_jobs_wait = "see the factory's log"

    def refusal(self, program: str) -> str | None:
        """None, since worker.sh can be given any name."""
        return None

    def settings(self, workers: LocalWorkers, size: WorkerSize, local_count: int) -> Settings:
        """The settings that keep `local_count` workers at all times."""
        return {
            "max-workers": local_count,
            "min-workers": local_count,
            "workers-per-cycle": local_count,
            "timeout": IDLE_TIMEOUT_SECONDS,
        }

    def batch_options(self, workers: LocalWorkers, factory_id: str, campaign: str) -> str:
        """An empty text, since processes have no batch options."""
        return ""

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` with a variable by which the workers of a killed factory can be found."""
        return processes.marked(environ, folder)

    def events(self, scratch: Path) -> LocalEvents:
        """The watcher of the workers whose factory has this scratch folder."""
        return LocalEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """No ids, since `processes.left` finds these workers instead."""
        return []

    def remove_jobs(self, factory_id: str) -> None:
        """Do nothing, since there is no queue."""
