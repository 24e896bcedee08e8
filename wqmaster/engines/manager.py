"""The common interface of the managers of Work Queue and TaskVine."""

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
    """A task, with everything that a manager needs to run it."""

    task: Task
    folder: Path  # holds inputs.tar, and later outputs.tar
    category: str
    memory: int | None  # MB; None: the manager decides
    disk: int | None  # likewise
    retries: int  # how many times it may run again after it lost its worker
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
    signaled: bool  # whether a signal ended the runner, according to the library
    exit_code: int  # the runner's
    host: str
    started: float  # seconds since 1970
    finished: float
    output: str  # the runner's
    failure: str  # the library's name for the result; "" for success


class Manager(ABC):
    """A manager, with the calls in which the two bindings differ.

    A *handle* is the library's own object for a task; only the manager uses it.
    """

    port: int  # where it listens
    version: str  # of the library
    debug_log: Path  # also records refused workers
    growing_logs: Sequence[GrowingLog]  # logs that the library does not bound

    @abstractmethod
    def __init__(self, setting: Setting, logs: Path) -> None:
        """Start listening, and log to the folder `logs`.

        Raises:
            EngineError: the port is in use, or the manager cannot be started.
        """

    @property
    @abstractmethod
    def stats(self) -> ManagerStats:
        """The current counts."""

    @abstractmethod
    def set_fast_abort(self, category: str, factor: float) -> None:
        """Restart a task of `category` elsewhere after `factor` times the average; 0: never."""

    @abstractmethod
    def set_allocation(self, category: str, mode: str, guess: Mapping[str, int]) -> None:
        """Learn the resources of `category` by the allocation `mode` of a Setting.

        `guess` holds the cores, memory and disk of its first tasks, as far as they are known.
        """

    @abstractmethod
    def submit(self, order: Order) -> Any:
        """Accept a task and return its handle."""

    @abstractmethod
    def wait(self, seconds: float) -> Report | None:
        """A returned task, or None if there is none within about `seconds`.

        The libraries count in whole seconds and hold Python's lock meanwhile. Some canceled tasks
        are returned too.
        """

    @abstractmethod
    def end_restarted(self, tasks: Iterable[Held]) -> None:
        """End the tasks that were restarted too often, so that `wait` returns them as LOST."""

    @abstractmethod
    def is_waiting(self, handle: Any) -> bool:
        """Whether no worker has the task yet."""

    @abstractmethod
    def cancel(self, handle: Any) -> None:
        """End a task, wherever it is. `wait` may still return it."""

    @abstractmethod
    def block_host(self, host: str) -> None:
        """Send no more tasks to `host`."""

    @abstractmethod
    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again."""

    @abstractmethod
    def close(self) -> None:
        """Drop the remaining tasks and free the port. This is the last call."""


def exceeded(limits: Any) -> TaskResult:
    """The limit that a task exceeded, when the library reports exhausted resources.

    `limits` is the library's record of the exceeded limits. It exists only with a resource monitor;
    without one, a worker watches only the disk.
    """
    if limits is not None:
        for name, result in (
            ("memory", TaskResult.MEMORY_LIMIT),
            ("wall_time", TaskResult.TIME_LIMIT),
        ):
            if getattr(limits, name, -1) > 0:
                return result
    return TaskResult.DISK_LIMIT
