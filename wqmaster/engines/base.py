"""The contract that every engine fulfills: it takes tasks and returns archives."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from wqmaster.jobs.job import Task

RUNNER = Path(__file__).with_name("runner.sh")


class TaskResult(StrEnum):
    """The outcome of a task; the values are stored in the spool."""

    OK = "ok"  # the runner finished, and its archive is in the task's folder
    LOST = "lost"  # too many workers disappeared while they had the task
    TIME_LIMIT = "time_limit"  # the task exceeded its time limit
    DISK_LIMIT = "disk_limit"  # the task exceeded its `disk`
    MEMORY_LIMIT = "memory_limit"  # the task exceeded its `memory`
    NO_OUTPUT = "no_output"  # the runner left no archive
    ERROR = "error"  # anything else


@dataclass(frozen=True)
class Returned:
    """A task that an engine returned."""

    task_id: str
    result: TaskResult
    exit_code: int  # the runner's exit code
    host: str
    started: float  # seconds since 1970
    finished: float  # seconds since 1970
    message: str = ""  # the last lines of the runner's output
    receiving: float = 0.0  # seconds in which its outputs were received; 0: unknown
    # The checksum of the inputs that were sent, which the spool adds; "" in older spools.
    inputs: str = field(default="", compare=False)


@dataclass(frozen=True)
class EngineStats:
    """The current state of an engine."""

    workers: int = 0  # connected workers
    cores: int = 0  # cores on all connected workers
    waiting: int = 0  # tasks that no worker has received
    running: int = 0  # tasks on workers
    bytes_sent: int = 0  # bytes sent to workers since the engine started
    workers_lost: int = 0  # workers that disappeared while they had tasks


@dataclass(frozen=True)
class RunningTask:
    """A task that a worker has received."""

    task_id: str
    host: str  # the worker's host, as it names itself
    started: float  # when the worker had received the task's inputs, in seconds since 1970


class Engine(Protocol):
    """The interface through which the master uses an engine, from a single thread."""

    name: str

    @property
    def port(self) -> int | None:
        """The port that workers connect to; None if no workers connect."""

    def submit(self, task: Task, folder: Path) -> None:
        """Accept `task`, whose inputs.tar is in `folder`, and write its outputs.tar there."""

    def wait(self, seconds: float) -> Returned | None:
        """The next task that ends; None if none ends within `seconds` (plus about one second)."""

    def hungry(self, priority: int | None = None) -> int:
        """How many more tasks should be submitted now to keep the workers busy.

        With `priority`, these are tasks of this priority: waiting tasks of a lower one, which they
        overtake, do not count.
        """

    def waiting(self) -> list[str]:
        """The ids of the tasks that no worker has received."""

    def cancel(self, task_id: str) -> None:
        """End the task, even if it is running, and never return it. Ignore unknown ids."""

    def cancel_waiting(self) -> list[str]:
        """Cancel the tasks that no worker has received, and return their ids."""

    def running(self) -> list[RunningTask]:
        """The tasks on workers, with their hosts."""

    def block_host(self, host: str, seconds: float) -> None:
        """Send no tasks to `host` for `seconds`, then one, and no more until `unblock_host`.

        If that task returns and the caller does not decide, the host gets another one. A manager
        that fills several cores at once can send as many before the engine sees the first.
        """

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` as to any other."""

    def stats(self) -> EngineStats:
        """The current counts of workers and tasks."""

    def trouble(self) -> str | None:
        """A description of what keeps workers or tasks from running; None if nothing does."""

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker for this engine; None if no workers connect."""

    def close(self) -> None:
        """End everything that runs, and free the port."""
