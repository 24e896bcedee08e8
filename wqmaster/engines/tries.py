"""How often a manager begins a task, and when a task that takes long is left its time."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.engines.base import TaskResult
from wqmaster.jobs.job import Task

# How often a task whose worker went away is run again.
MAX_RETRIES = 10
# How often `fast_abort` begins a task elsewhere: a molecule that is larger than the others takes
# as long everywhere, and would be given up for its size.
MAX_FAST_ABORTS = 3
# How long the library blocks a host where it has thus aborted two tasks, one after the other: two
# large molecules do that as well. Its own 900 would stop a campaign on a single host.
SLOW_HOST_TIMEOUT_SECONDS = 60.0
# How often it is checked which tasks were begun again.
RESTART_CHECK_INTERVAL_SECONDS = 5.0
# Exit codes by which a shell says that SIGKILL or SIGTERM ended a program; runner.sh itself exits
# like this.
_SIGNAL_EXIT_CODES = (128 + 9, 128 + 15)


@dataclass
class Held:
    """A task that a manager has."""

    task: Task
    folder: Path
    handle: Any  # the library's own object for it
    hurried: bool  # whether it is begun elsewhere when it takes too long
    evictions: int = 0  # how often its runner was ended by a signal from outside
    # For `Restarts`: how often it was begun again, when it was begun last, and for how long it ran
    # on workers that went away (microseconds).
    restarts: int = 0
    began: int = 0
    wasted: int = 0


def max_retries(*, hurried: bool) -> int:
    """How often a task may be run again."""
    return MAX_FAST_ABORTS if hurried else MAX_RETRIES


def was_evicted(result: TaskResult, exit_code: int, *, signalled: bool) -> bool:
    """Whether a task came back because its runner was ended from outside, as by `scancel`.

    A worker that is told to end may still report its task before it does. `signalled`: the library
    says that a signal ended the runner.
    """
    return signalled or (
        result in (TaskResult.NO_OUTPUT, TaskResult.ERROR) and exit_code in _SIGNAL_EXIT_CODES
    )


def category(task: Task, fast_abort: float | None, *, hurried: bool) -> str:
    """The category of `task` in the manager.

    Tasks that are left their time have a category of their own, since their times must not be the
    measure of the others.
    """
    return task.category if hurried or fast_abort is None else f"{task.category}.unhurried"


class Restarts:
    """Which tasks were begun again too often.

    TaskVine (7.14.5) respects its `retries` only where a task comes back: one that takes its worker
    with it (memory, a full disk) would go from worker to worker for ever. Nor does it count the
    tasks that it begins elsewhere because they are slow.
    """

    def __init__(self) -> None:
        self._checked = time.monotonic()

    def too_many(self, tasks: Iterable[Held]) -> list[Held]:
        """Those of `tasks` that were begun again more often than they may be.

        What happens to a task between two checks counts once.
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
            if lost or began:  # 0 while it waits; a loss was counted, not its next beginning too
                held.began = began
            held.wasted = wasted
        return found
