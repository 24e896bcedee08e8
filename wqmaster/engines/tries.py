"""How often a task can restart, and which slow tasks are left alone."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wqmaster.engines.base import TaskResult
from wqmaster.jobs.job import Task

# How many times a task runs again after losing its worker.
MAX_RETRIES = 10
# How many times `fast_abort` restarts a task elsewhere. A molecule that is larger than the others
# takes equally long on every worker, and must not fail merely because of its size.
MAX_FAST_ABORTS = 3
# How long the library blocks a host after it has aborted two tasks there in a row. Two large
# molecules can also cause that, and the default of 900 s would stop a campaign on a single host.
SLOW_HOST_TIMEOUT_SECONDS = 60.0
# Time between two checks for restarted tasks.
RESTART_CHECK_INTERVAL_SECONDS = 5.0
# The exit codes with which a shell, or runner.sh, reports that SIGKILL or SIGTERM ended a program.
_SIGNAL_EXIT_CODES = (128 + 9, 128 + 15)


@dataclass
class Held:
    """A task in a manager, with its restarts so far."""

    task: Task
    folder: Path
    handle: Any  # the library's own object for the task
    hurried: bool  # whether the task is restarted elsewhere if it takes too long
    evictions: int = 0  # how many times a signal from outside ended its runner
    submitted: float = field(default_factory=time.monotonic)
    # The record that `Restarts` keeps: the number of restarts, the time of the last start
    # (microseconds since 1970), and how long the task ran on workers that were then lost
    # (microseconds).
    restarts: int = 0
    began: int = 0
    wasted: int = 0


def max_retries(*, hurried: bool) -> int:
    """How many times a task can run again."""
    return MAX_FAST_ABORTS if hurried else MAX_RETRIES


def was_evicted(result: TaskResult, exit_code: int, *, signaled: bool) -> bool:
    """Whether a task came back because something outside, such as `scancel`, ended its runner.

    A worker that is told to exit can still report its task before it does, also with an archive
    that the runner had not written to its end. `signaled` is whether a signal ended the runner,
    according to the library.
    """
    has_exit_code = result in (TaskResult.OK, TaskResult.NO_OUTPUT, TaskResult.ERROR)
    return signaled or (has_exit_code and exit_code in _SIGNAL_EXIT_CODES)


def is_premature(result: TaskResult, held: Held) -> bool:
    """Whether a worker reports a time limit that cannot have passed since the task was submitted.

    Workers measure by the time of day. If that is set forward, or if the machine slept, all
    running tasks reach their limits at once.
    """
    since = time.monotonic() - held.submitted
    return result is TaskResult.TIME_LIMIT and since < held.task.time_limit


def category(task: Task, fast_abort: float | None, *, hurried: bool) -> str:
    """The category of `task` in the manager.

    Tasks that are not hurried have a separate category, so that their times do not raise the
    average of the others.
    """
    return task.category if hurried or fast_abort is None else f"{task.category}.unhurried"


class Restarts:
    """Finds tasks that were restarted too often.

    TaskVine (7.14.5) applies `retries` only to tasks that come back, so a task that kills its
    worker (out of memory, full disk) would go from worker to worker forever. Nor does TaskVine
    count the restarts of slow tasks.
    """

    def __init__(self) -> None:
        self._checked = time.monotonic()

    def too_many(self, tasks: Iterable[Held]) -> list[Held]:
        """The tasks that were restarted more often than allowed.

        All restarts of a task between two checks count as one.
        """
        now = time.monotonic()
        if now < self._checked + RESTART_CHECK_INTERVAL_SECONDS:
            return []
        self._checked = now
        found = []
        for held in tasks:
            began = held.handle.get_metric("time_when_commit_start")
            wasted = held.handle.get_metric("time_workers_execute_failure")
            lost = wasted != held.wasted
            again = began and held.began and began != held.began
            if lost or again:
                held.restarts += 1
                if held.restarts > max_retries(hurried=held.hurried):
                    found.append(held)
            # `began` is 0 while the task waits. After a loss, the next start must not count too.
            if lost or began:
                held.began = began
            held.wasted = wasted
        return found
