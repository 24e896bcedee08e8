"""The contract that every engine fulfills: it takes tasks and returns archives."""

from dataclasses import dataclass
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


@dataclass(frozen=True)
class EngineStats:
    """The current state of an engine."""

    workers: int = 0  # connected workers
    cores: int = 0  # cores on all connected workers
    waiting: int = 0  # tasks that no worker has received
    running: int = 0  # tasks on workers
    bytes_sent: int = 0  # bytes sent to workers since the engine started
    workers_lost: int = 0  # workers that disappeared while they had tasks


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

    def hungry(self) -> int:
        """How many more tasks should be submitted now to keep the workers busy."""

    def cancel(self, task_id: str) -> None:
        """End the task, whether it waits or runs, and never return it. Ignore unknown ids."""

    def cancel_waiting(self) -> list[str]:
        """Cancel the tasks that no worker has received, and return their ids."""

    def block_host(self, host: str, seconds: float) -> None:
        """Send no tasks to `host` for `seconds`. An earlier block that ends later stays."""

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again, whatever has blocked it."""

    def stats(self) -> EngineStats:
        """The current counts of workers and tasks."""

    def trouble(self) -> str | None:
        """A description of what keeps workers or tasks from running; None if nothing does."""

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker for this engine; None if no workers connect."""

    def close(self) -> None:
        """End everything that runs, and free the port."""
