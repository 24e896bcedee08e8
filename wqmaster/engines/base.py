"""Engines take tasks and return archives. One contract for all of them."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from wqmaster.jobs.job import Task

RUNNER = Path(__file__).with_name("runner.sh")


class TaskResult(StrEnum):
    """How a task came back; the values stand in the spool."""

    OK = "ok"  # the runner ended, and its archive is in the task's folder
    LOST = "lost"  # workers went away too often
    TIME_LIMIT = "time_limit"  # past the task's own limit
    DISK_LIMIT = "disk_limit"  # past its `disk`
    MEMORY_LIMIT = "memory_limit"  # past its `memory`
    NO_OUTPUT = "no_output"  # there is no archive
    ERROR = "error"  # all else


@dataclass(frozen=True)
class Returned:
    """A task that came back from an engine."""

    task_id: str
    result: TaskResult
    exit_code: int  # of the runner
    host: str
    started: float  # seconds since 1970
    finished: float
    message: str = ""  # last lines of what the runner said


@dataclass(frozen=True)
class EngineStats:
    """An engine, as it stands now."""

    workers: int = 0  # connected
    cores: int = 0  # of these workers together
    waiting: int = 0  # tasks that no worker has yet
    running: int = 0  # tasks on workers
    bytes_sent: int = 0  # to workers, since the engine was started
    workers_lost: int = 0  # that went away while they had tasks


class Engine(Protocol):
    """What the master asks of an engine. A single thread calls it."""

    name: str

    @property
    def port(self) -> int | None:
        """Where workers connect; None if the engine has no workers that do."""

    def submit(self, task: Task, folder: Path) -> None:
        """Take `task`; its inputs.tar is in `folder`, and its outputs.tar is to come there."""

    def wait(self, seconds: float) -> Returned | None:
        """A task that came back, or None after at most `seconds` (and about one second)."""

    def hungry(self) -> int:
        """How many more tasks the engine can soon place."""

    def cancel(self, task_id: str) -> None:
        """End the task, wherever it is; it is never returned. Unknown ones are passed over."""

    def cancel_waiting(self) -> list[str]:
        """Cancel the tasks that no worker has yet; which those were."""

    def block_host(self, host: str, seconds: float) -> None:
        """Send no task to `host` for a while."""

    def stats(self) -> EngineStats:
        """Counts of workers and tasks."""

    def trouble(self) -> str | None:
        """What keeps workers or tasks from working, in words; None if nothing does."""

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker for this engine; None if it needs none."""

    def close(self) -> None:
        """End all that runs, and free the port."""
