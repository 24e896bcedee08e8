"""The interface of a batch system; this machine, which runs workers as processes, counts as one.

One small class per system holds everything that wqmaster knows about it, as in HyperQueue's
`QueueHandler`. It has no state: supervisor, master and doctor use the same object.
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
    """A batch system, for workers whose section of the campaign file is a `W`."""

    @property
    def name(self) -> str:
        """The type of workers in a campaign file, which is also the factory's name for it."""

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that must be installed to submit, count and remove workers."""

    @property
    def how_to_get_commands(self) -> str:
        """How to get these commands."""

    @property
    def wrapper(self) -> tuple[str, ...]:
        """The words that start worker.sh on a worker's host, before its own options."""

    @property
    def copies_environment(self) -> bool:
        """Whether workers get a copy of the factory's environment, for others to see."""

    @property
    def events_report_waiting_jobs(self) -> bool:
        """Whether events report waiting jobs; if not, the factory's own count is used."""

    @property
    def number_follows_demand(self) -> bool:
        """Whether the number of workers follows the work that is left."""

    @property
    def factory_ends_workers(self) -> bool:
        """Whether a factory that is told to end also ends its workers, and immediately."""

    @property
    def why_jobs_wait(self) -> str:
        """How to find out why workers do not start."""

    def refusal(self, program: str) -> str | None:
        """Why a job cannot name `program` among those that its host must have; None if it can."""

    def settings(self, workers: W, size: WorkerSize, local_count: int) -> Settings:
        """The part of the factory's configuration (`-C`) that depends on the batch system.

        `local_count`: the number of workers on this machine, if the campaign does not state it.
        """

    def batch_options(self, workers: W, factory_id: str, campaign: str) -> str:
        """The text for `-B`, which goes into each job and identifies its factory."""

    def marked_environment(self, environ: Mapping[str, str], folder: Path) -> dict[str, str]:
        """`environ` for the factory in `folder`, with a mark that identifies its processes."""

    def events(self, scratch: Path) -> WorkerEvents:
        """The watcher of the workers of the factory with this scratch folder."""

    def jobs(self, factory_id: str) -> list[str]:
        """The jobs of a factory that wait or run.

        Raises:
            EngineError: the batch system does not respond.
        """

    def remove_jobs(self, factory_id: str) -> None:
        """End all jobs of a factory, and remove them from the queue.

        Raises:
            EngineError: the batch system does not respond.
        """
