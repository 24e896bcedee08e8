"""How often a manager begins a task, and when one that takes long is left its time."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.engines.base import TaskResult
from wqmaster.jobs.job import Task

# A task whose worker went away is run again this many times.
MAX_RETRIES = 10
# With `fast_abort`, a task is begun elsewhere this many times: a molecule that is larger than the
# others takes as long everywhere, and would be given up for its size.
MAX_HURRIES = 3
# Seconds for which the library blocks a host of which it thus began two tasks elsewhere, one after
# the other: two large molecules do that as well. Its own 900 would stop a campaign of one host.
SLOW_HOST = 60.0
# Seconds between two looks at what has begun.
LOOK = 5.0


@dataclass
class Held:
    """A task that a manager has."""

    task: Task
    folder: Path
    found: Any  # what it is to the library
    hurried: bool  # whether it is begun elsewhere when it takes too long
    evictions: int = 0  # how often its runner was ended by a signal from outside
    # Of `Restarts`: how often it was begun again, when it began last, and for how long it ran on
    # workers that went away (microseconds).
    restarts: int = 0
    began: int = 0
    wasted: int = 0

    @property
    def retries(self) -> int:
        """How often it may be run again."""
        return MAX_HURRIES if self.hurried else MAX_RETRIES


# What a shell says of a program that SIGKILL or SIGTERM ended; runner.sh itself exits like this.
_SIGNALLED = (128 + 9, 128 + 15)


def was_evicted(result: TaskResult, exit_code: int, *, signalled: bool) -> bool:
    """Whether a task came back because its runner was ended from outside, as by `scancel`.

    A worker that is told to end may still report its task before it does. `signalled`: the library
    says that a signal ended the runner.
    """
    return signalled or (
        result in (TaskResult.NO_OUTPUT, TaskResult.ERROR) and exit_code in _SIGNALLED
    )


def category(task: Task, fast_abort: float | None, *, hurried: bool) -> str:
    """The category of `task` in the manager: those that are left their time have one of their own,
    since their times are not to be the measure of the others."""
    return task.category if hurried or fast_abort is None else f"{task.category}.unhurried"


class Restarts:
    """Which tasks were begun again too often.

    TaskVine (7.14.5) keeps to its `retries` only where a task comes back: one that takes its worker
    with it (memory, a full disk) would go from worker to worker for ever. Nor does it count what it
    begins elsewhere for its slowness.
    """

    def __init__(self) -> None:
        self._looked = time.monotonic()

    def too_many(self, tasks: Iterable[Held]) -> list[Held]:
        """Those of `tasks` that are begun once more than they may be.

        What happens to a task between two looks counts once.
        """
        now = time.monotonic()
        if now < self._looked + LOOK:
            return []
        self._looked = now
        found = []
        for held in tasks:
            began = held.found.get_metric("time_when_commit_start")
            wasted = held.found.get_metric("time_workers_execute_failure")
            lost = wasted != held.wasted
            again = began and held.began and began != held.began
            if lost or again:
                held.restarts += 1
                if held.restarts > held.retries:
                    found.append(held)
            if lost or began:  # 0 while it waits; a loss was counted, not its next beginning too
                held.began = began
            held.wasted = wasted
        return found
