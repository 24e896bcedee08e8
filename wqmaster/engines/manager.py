"""The interface that the managers for Work Queue and TaskVine share."""

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
    """The counts that both libraries keep under the same names; memory and disk are in MB."""

    workers_connected: int
    workers_lost: int
    total_cores: int
    total_memory: int
    total_disk: int
    max_cores: int  # the largest number of cores on one worker; also for memory and disk
    max_memory: int
    max_disk: int
    tasks_waiting: int
    tasks_on_workers: int
    bytes_sent: int


@dataclass(frozen=True)
class Order:
    """A task, with everything that a manager needs to run it."""

    task: Task
    folder: Path  # the folder that holds inputs.tar and, later, outputs.tar
    category: str
    memory: int | None  # MB; None: the manager decides
    disk: int | None  # MB; None: the manager decides
    retries: int  # how many times the task can run again after losing its worker
    running_time: int  # the time limit, in the unit of Setting.running_time

    @property
    def command(self) -> str:
        """The command line that a worker runs."""
        return f"exec sh runner.sh {' '.join(self.task.runner_arguments)}"


@dataclass(frozen=True)
class Report:
    """A task that a manager returned, as the library describes it."""

    task_id: str
    result: TaskResult
    signaled: bool  # whether a signal ended the runner, according to the library
    exit_code: int  # the runner's exit code
    host: str
    started: float  # seconds since 1970
    finished: float  # seconds since 1970
    output: str  # the runner's output
    failure: str  # the library's name for the result; "" for success
    receiving: float  # seconds in which the outputs were received; 0: unknown


@dataclass(frozen=True)
class Place:
    """Where a task runs, and since when."""

    host: str
    started: float  # when the worker had received the inputs, in seconds since 1970


class Manager(ABC):
    """A manager, whose methods hide the differences between the two bindings.

    A *handle* is the library's own object for a task; only the manager uses it.
    """

    port: int  # the port on which the manager listens
    version: str  # the library's version
    debug_log: Path  # the debug log, which also records refused workers
    growing_logs: Sequence[GrowingLog]  # logs whose size the library does not limit

    @abstractmethod
    def __init__(self, setting: Setting, logs: Path) -> None:
        """Start listening, and log to the folder `logs`.

        Raises:
            EngineError: the port is in use, or the manager cannot be started.
        """

    @property
    @abstractmethod
    def stats(self) -> ManagerStats:
        """The manager's current counts of workers, cores and tasks."""

    @abstractmethod
    def set_schedule(self, depth: int, *, first: bool) -> None:
        """Compare at most `depth` waiting tasks with the workers before looking at what returned.

        With `first`, a task goes to the first worker that can take it, not to the best one.
        """

    @abstractmethod
    def set_password(self, file: Path) -> None:
        """Admit only workers with the password in `file` from now on; connected ones stay."""

    @abstractmethod
    def set_fast_abort(self, category: str, factor: float) -> None:
        """Restart tasks of `category` that take `factor` times the average time; 0: never."""

    @abstractmethod
    def set_allocation(self, category: str, mode: str, guess: Mapping[str, int]) -> None:
        """Learn the resources that tasks of `category` use; `mode` is an `allocation` of `Setting`.

        `guess` holds the cores, memory and disk (MB) of the first tasks, unless unknown.
        """

    @abstractmethod
    def submit(self, order: Order) -> Any:
        """Accept a task and return its handle."""

    @abstractmethod
    def wait(self, seconds: float) -> Report | None:
        """The next task that the manager returns; None if there is none within about `seconds`.

        The libraries wait for whole seconds, and hold Python's global lock while they wait. They
        also return some canceled tasks.
        """

    @abstractmethod
    def end_restarted(self, tasks: Iterable[Held]) -> None:
        """End the tasks that were restarted too often, so that `wait` returns them as LOST."""

    @abstractmethod
    def is_waiting(self, handle: Any) -> bool:
        """Whether the task still waits for a worker."""

    @abstractmethod
    def place(self, handle: Any) -> Place | None:
        """Where the task runs; None if no worker has it."""

    @abstractmethod
    def cancel(self, handle: Any) -> None:
        """End a task, whether it waits or runs. `wait` can still return it."""

    @abstractmethod
    def block_host(self, host: str) -> None:
        """Send no more tasks to `host`."""

    @abstractmethod
    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again."""

    @abstractmethod
    def close(self) -> None:
        """Drop the remaining tasks and free the port. No other call may follow."""


def exceeded(limits: Any) -> TaskResult:
    """Which limit a task exceeded, if the library reports exhausted resources.

    `limits` is the library's record of the exceeded limits. It is None without a resource monitor,
    since a worker then watches only the disk.
    """
    if limits is not None:
        for name, result in (
            ("memory", TaskResult.MEMORY_LIMIT),
            ("wall_time", TaskResult.TIME_LIMIT),
        ):
            if getattr(limits, name, -1) > 0:
                return result
    return TaskResult.DISK_LIMIT
