"""What batch systems with a queue have in common."""

from collections.abc import Mapping
from pathlib import Path

from wqmaster.campaign.workers import BatchWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.sizes import WorkerSize

# A worker leaves before its job is ended, so that it can say good-bye: this part of its wall time
# before, and so many seconds at most.
_GOODBYE_PART = 10
_GOODBYE_SECONDS = 120


class QueueSystem:
    """Base of the batch systems with a queue."""

    # Jobs get a copy of the factory's environment.
    copies_environment = True
    number_follows_demand = True
    # It would remove its jobs one by one.
    factory_ends_workers = False

    def refusal(self, program: str) -> str | None:
        """Any program can be named."""
        return None

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Jobs are known by what the queue has of them."""
        return dict(environ)

    def _settings(self, workers: BatchWorkers, size: WorkerSize) -> Settings:
        options = ["--debug-rotate-max=1MB"]
        if workers.walltime:
            early = min(_GOODBYE_SECONDS, workers.walltime // _GOODBYE_PART)
            options.append(f"--wall-time={workers.walltime - early}")
        return {
            "max-workers": workers.max,
            "min-workers": workers.min,
            # 0 would mean no limit.
            "workers-per-cycle": workers.per_cycle,
            "timeout": workers.timeout,
            "memory": size.memory,
            "disk": size.disk,
            "worker-extra-options": " ".join(options),
        }
