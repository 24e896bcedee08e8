"""What is asked of a batch system; this machine, which runs workers as processes, counts as one.

One small class a system has all that wqmaster knows of it, as in HyperQueue's `QueueHandler`. It
holds no state: a supervisor, the master and the doctor ask the same object.
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
        """The workers whose state has changed since the last call; each ended one once."""


class BatchSystem(Protocol[W]):
    """A batch system, for workers whose section of the campaign file is a `W`."""

    @property
    def name(self) -> str:
        """The type of workers in a campaign file, and what the factory calls it."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that must be installed to send workers, count and remove them."""

    @property
    def how_to_get_commands(self) -> str:
        """What to do where they are not."""

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words that start worker.sh on a worker's host, before its own options."""

    @property
    def copies_environment(self) -> bool:
        """Whether workers get a copy of the factory's environment, for others to see."""

    @property
    def events_report_waiting_jobs(self) -> bool:
        """Whether events report jobs that wait; else the factory's own count is to be asked."""

    @property
    def number_follows_demand(self) -> bool:
        """Whether there are more or fewer workers by what is left to do."""

    @property
    def factory_ends_workers(self) -> bool:
        """Whether a factory that is told to end takes its workers with it, and at once."""

    @property
    def why_jobs_wait(self) -> str:
        """What reports why workers do not begin."""

    def refusal(self, program: str) -> str | None:
        """Why a job cannot name `program` among those that its host must have; None if it can."""

    def settings(self, workers: W, size: WorkerSize, local_count: int) -> Settings:
        """What of the factory's configuration (`-C`) depends on the batch system.

        `local_count`: workers of this machine, where the campaign leaves their number open.
        """

    def batch_options(self, workers: W, factory_id: str, campaign: str) -> str:
        """The text for `-B`, which goes into each job: among it what its factory is known by."""

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` for the factory in `folder`, with what its processes are known by."""

    def events(self, scratch: Path) -> WorkerEvents:
        """What watches the workers of the factory whose scratch folder this is."""

    def jobs(self, factory_id: str) -> list[str]:
        """The jobs of a factory that wait or run.

        Raises:
            EngineError: the batch system does not answer.
        """

    def remove_jobs(self, factory_id: str) -> None:
        """End all jobs of a factory, and take them from the queue.

        Raises:
            EngineError: the batch system does not answer.
        """
