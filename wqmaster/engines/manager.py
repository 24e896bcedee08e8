"""The interface by which an engine uses a manager of Work Queue or TaskVine, whichever it is."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wqmaster.engines.base import TaskResult
from wqmaster.engines.manager_logs import GrowingLog
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.tries import Held
from wqmaster.jobs.job import Task


class ManagerStats(Protocol):
    """The counts that both libraries keep under the same names; sizes are in MB."""

    workers_connected: int
    workers_lost: int
    total_cores: int
    total_memory: int
    total_disk: int
    max_cores: int  # of the largest worker
    max_memory: int
    max_disk: int
    tasks_waiting: int
    tasks_on_workers: int
    bytes_sent: int


@dataclass(frozen=True)
class Order:
    """A task as a manager is asked to run it."""

    task: Task
    folder: Path  # holds inputs.tar, and is to hold outputs.tar
    category: str
    memory: int | None  # MB; None: whatever the manager finds right
    disk: int | None  # likewise
    retries: int  # how often it may be run again when its worker is lost
    running_time: int  # its time limit, see Setting.running_time

    @property
    def command(self) -> str:
        """The command line that a worker runs."""
        return f"exec sh runner.sh {self.task.compression} {self.task.time_limit_per_job}"


@dataclass(frozen=True)
class Report:
    """A task that a manager returned, as the library describes it."""

    task_id: str
    result: TaskResult
    signalled: bool  # whether the library says that a signal ended the runner
    exit_code: int  # of the runner
    host: str
    started: float  # seconds since 1970
    finished: float
    output: str  # of the runner
    failure: str  # what the library calls the result; "" for success


class Manager(ABC):
    """A manager, with the calls that the two bindings name or do differently.

    A *handle* is the library's own object for a task; nothing else but the manager uses it.
    """

    port: int  # where it listens
    version: str  # of the library
    debug_log: Path  # which also records the workers that are refused
    growing_logs: Sequence[GrowingLog]  # those that the library does not bound

    @abstractmethod
    def __init__(self, setting: Setting, logs: Path) -> None:
        """Start to listen, and log to the folder `logs`.

        Raises:
            EngineError: the port is in use, or the manager cannot be started.
        """

    @property
    @abstractmethod
    def stats(self) -> ManagerStats:
        """Returns the counts as they are now."""

    @abstractmethod
    def set_fast_abort(self, category: str, factor: float) -> None:
        """Begin a task of `category` elsewhere after `factor` times their average; 0: never."""

    @abstractmethod
    def set_allocation(self, category: str, mode: str, guess: Mapping[str, int]) -> None:
        """Learn the resources of `category` by the allocation `mode` of a Setting.

        `guess` has the cores, memory and disk of its first tasks, as far as they are stated.
        """

    @abstractmethod
    def submit(self, order: Order) -> Any:
        """Take a task; returns its handle."""

    @abstractmethod
    def wait(self, seconds: float) -> Report | None:
        """Returns a task that came back, or None if none did within about `seconds`.

        The libraries count in whole seconds, and keep Python's lock meanwhile. Some cancelled
        tasks come back as well.
        """

    @abstractmethod
    def end_restarted(self, tasks: Iterable[Held]) -> None:
        """End those of `tasks` that were begun too often, so that `wait` returns them as LOST."""

    @abstractmethod
    def is_waiting(self, handle: Any) -> bool:
        """Returns whether no worker has the task yet."""

    @abstractmethod
    def cancel(self, handle: Any) -> None:
        """End a task, wherever it is. It may still be returned by `wait`."""

    @abstractmethod
    def block_host(self, host: str) -> None:
        """Send no more tasks to `host`."""

    @abstractmethod
    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again."""

    @abstractmethod
    def close(self) -> None:
        """Drop the tasks that are left, and free the port. Nothing is called after this."""


def exceeded(limits: Any) -> TaskResult:
    """Which limit a task broke that the library calls exhausted.

    `limits` is the library's record of what was exceeded. It exists only with a resource monitor;
    without one, a worker watches nothing but the disk.
    """
    if limits is not None:
        for name, result in (
            ("memory", TaskResult.MEMORY_LIMIT),
            ("wall_time", TaskResult.TIME_LIMIT),
        ):
            if getattr(limits, name, -1) > 0:
                return result
    return TaskResult.DISK_LIMIT
