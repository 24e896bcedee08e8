"""The contract for batch systems; this machine counts as one, with processes as workers.

One small class per system holds everything that wqmaster knows about the system, like HyperQueue's
`QueueHandler`. The class has no state, so supervisor, master and doctor share one object.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from wqmaster.campaign.workers import BatchWorkers, LocalWorkers
from wqmaster.factory.sizes import WorkerSize
from wqmaster.factory.workers import Worker

Settings = dict[str, int | str]
W = TypeVar("W", bound=LocalWorkers | BatchWorkers, contravariant=True)


class WorkerEvents(Protocol):
    """Watches the workers of one factory."""

    def news(self) -> Iterable[Worker]:
        """The workers whose state has changed since the last call; each end is reported once."""


class BatchSystem(Protocol[W]):
    """A batch system; `W` is the model of its `workers:` section in the campaign file."""

    @property
    def name(self) -> str:
        """The type of workers in a campaign file; also the factory's name for the batch system."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that must be installed to submit, count and remove workers."""

    @property
    def how_to_get_commands(self) -> str:
        """Advice for the user on how to get these commands."""

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The command that starts worker.sh on a worker's host, without the options that follow."""

    @property
    def copies_environment(self) -> bool:
        """Whether jobs get a copy of the factory's environment, which other users can then see."""

    @property
    def events_report_waiting_jobs(self) -> bool:
        """Whether events report waiting jobs; if not, the factory's own count is used."""

    @property
    def number_follows_demand(self) -> bool:
        """Whether the number of workers follows the work that is left."""

    @property
    def factory_ends_workers(self) -> bool:
        """Whether a factory that receives SIGTERM ends its workers too, immediately."""

    @property
    def why_jobs_wait(self) -> str:
        """Advice for the user on how to find out why workers do not start."""

    def refusal(self, program: str) -> str | None:
        """Why a worker's job cannot pass the name `program` to worker.sh; None if it can."""

    def settings(self, workers: W, size: WorkerSize, local_count: int) -> Settings:
        """The part of the factory's configuration (`-C`) that depends on the batch system.

        `local_count` is the number of workers if they run on this machine.
        """

    def batch_options(self, workers: W, factory_id: str, campaign: str) -> str:
        """The batch options (`-B`) for each job, which also identify the job's factory."""

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` for the factory in `folder`, with a mark that identifies its processes."""

    def events(self, scratch: Path) -> WorkerEvents:
        """The watcher of the workers whose factory has this scratch folder."""

    def jobs(self, factory_id: str) -> list[str]:
        """The ids of a factory's jobs that wait or run.

        Raises:
            EngineError: the batch system does not respond.
        """

    def remove_jobs(self, factory_id: str) -> None:
        """End all of a factory's jobs, and remove them from the queue.

        Raises:
            EngineError: the batch system does not respond.
        """
