"""A manager's counts of workers and tasks, which take the time of a pass over all workers."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from wqmaster.engines.manager import Manager

# For how many times the time that counting took its result is used again, so that counting takes
# at most a twentieth of the master's time.
_USED_FACTOR = 20
# With many workers, a manager compares only so many waiting tasks with them before it looks at what
# has returned: no more than make this many comparisons, which take about 10 ms.
_MAX_COMPARISONS = 20_000
_MIN_DEPTH, _MAX_DEPTH = 2, 100  # 100 is the libraries' default
# With more workers than this, a task goes to the first one that can take it: choosing among 10,000
# takes several ms.
_MAX_CHOICE_WORKERS = 500


@dataclass
class Counts:
    """The counts of `ManagerStats`; memory and disk are in MB."""

    workers_connected: int
    workers_lost: int
    total_cores: int
    total_memory: int
    total_disk: int
    max_cores: int
    max_memory: int
    max_disk: int
    tasks_waiting: int
    tasks_on_workers: int
    bytes_sent: int


_NAMES = tuple(Counts.__dataclass_fields__)


def schedule_depth(workers: int) -> int:
    """How many waiting tasks a manager compares with all of its workers at a time."""
    return max(_MIN_DEPTH, min(_MAX_DEPTH, _MAX_COMPARISONS // max(1, workers)))


class ManagerCounts:
    """Counts again if the last count is old, compared with the time that counting takes.

    `tasks` returns how many tasks the manager has now.
    """

    def __init__(self, manager: Manager, tasks: Callable[[], int]) -> None:
        self._manager = manager
        self._tasks = tasks
        self._until = 0.0
        self._counts: Counts | None = None
        self._tasks_then = 0
        self._schedule = _MAX_DEPTH, False  # the libraries' default

    def now(self) -> Counts:
        """The counts; what was submitted or has returned since they were taken counts, too."""
        begun = time.monotonic()
        if self._counts is None or begun >= self._until:
            stats = self._manager.stats
            self._counts = Counts(*(getattr(stats, name) for name in _NAMES))
            self._tasks_then = self._tasks()
            ended = time.monotonic()
            self._until = ended + _USED_FACTOR * (ended - begun)
            self._adapt(self._counts.workers_connected)
        waiting = self._counts.tasks_waiting + self._tasks() - self._tasks_then
        return replace(self._counts, tasks_waiting=waiting)

    def _adapt(self, workers: int) -> None:
        schedule = schedule_depth(workers), workers > _MAX_CHOICE_WORKERS
        if schedule != self._schedule:
            self._schedule = schedule
            self._manager.set_schedule(schedule[0], first=schedule[1])
