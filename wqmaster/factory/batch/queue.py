"""The base class for batch systems with a queue."""

from collections.abc import Mapping
from pathlib import Path

from wqmaster.campaign.workers import BatchWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.sizes import WorkerSize

# A worker exits before the batch system ends its job, so that it can sign off from the master. The
# margin is 1/_GOODBYE_PART of the wall time, but at most _GOODBYE_SECONDS.
_GOODBYE_PART = 10
_GOODBYE_SECONDS = 120


def working_seconds(walltime: int) -> int:
    """After how many seconds a worker leaves whose batch job ends after `walltime` seconds."""
    return walltime - min(_GOODBYE_SECONDS, walltime // _GOODBYE_PART)


class QueueSystem:
    """What batch systems with a queue have in common."""

    copies_environment = True
    number_follows_demand = True
    # A factory would remove its jobs one by one, so the supervisor removes them.
    factory_ends_workers = False

    def refusal(self, program: str) -> str | None:
        """None, since a job can pass on any name."""
        return None

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` without a mark, since the queue identifies the jobs."""
        return dict(environ)

    def _settings(self, workers: BatchWorkers, size: WorkerSize) -> Settings:
        options = ["--debug-rotate-max=1MB"]
        if workers.walltime:
            options.append(f"--wall-time={working_seconds(workers.walltime)}")
        return {
            "max-workers": workers.max,
            "min-workers": workers.min,
            # In the factory, 0 would mean no limit.
            "workers-per-cycle": workers.per_cycle,
            "timeout": workers.timeout,
            "memory": size.memory,
            "disk": size.disk,
            "worker-extra-options": " ".join(options),
        }
