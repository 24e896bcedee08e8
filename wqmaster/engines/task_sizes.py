"""The sizes of a manager's tasks: how many more workers can take, and which fit no worker."""

import math
import time
from collections import Counter
from collections.abc import Sequence

from wqmaster.engines.manager import ManagerStats
from wqmaster.engines.ndcctools import Setting
from wqmaster.jobs.job import Task

# How many tasks wait for a worker at most.
MAX_WAITING_TASKS = 1000
# The reserve that waits although all workers are busy, within limits: so many tasks end within this
# time, in which the master can submit others.
_RESERVE_SECONDS = 2.0
_MIN_RESERVE_TASKS, _MAX_RESERVE_TASKS = 10, 100
# How long workers can be idle while tasks wait before the engine reports the problem. If hosts are
# blocked, the reason is known.
IDLE_WORKERS_TIMEOUT_SECONDS = 30.0
_BLOCKED_HOSTS_TIMEOUT_SECONDS = 3.0
# How many blocked hosts a report names.
_MAX_NAMED_HOSTS = 3


class TaskSizes:
    """The cores, memory and disk (MB) that a manager's tasks request."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._sizes: Counter[tuple[int, int, int]] = Counter()
        self._last = (1, 0, 0)
        self._seconds = 0.0  # how long all tasks are expected to take; unknown times are left out
        self._idle_since = time.monotonic()

    def _of(self, task: Task) -> tuple[int, int, int]:
        if self._setting.learns and task.plain:
            return task.cores, 0, 0  # the manager requests what earlier tasks used
        return task.cores, task.memory or 0, task.disk or 0

    def add(self, task: Task) -> None:
        """Count a submitted task."""
        self._last = self._of(task)
        self._sizes[self._last] += 1
        self._seconds += task.seconds

    def remove(self, task: Task) -> None:
        """Forget a task that was returned or canceled."""
        size = self._of(task)
        self._sizes[size] -= 1
        self._seconds -= task.seconds
        if self._sizes[size] <= 0:
            del self._sizes[size]
        if not self._sizes:
            self._seconds = 0.0  # without the rounding errors of all tasks

    @property
    def least(self) -> tuple[int, int, int]:
        """The smallest requests of all tasks for cores, memory and disk; 0 if a task states none.

        If there are no tasks, this is the request of the last one.
        """
        cores, memory, disk = zip(*(self._sizes or [self._last]), strict=True)
        return min(cores), min(memory), min(disk)

    def hungry(self, stats: ManagerStats, overtaken: int = 0) -> int:
        """How many more of the smallest tasks idle workers can take, plus a reserve that waits.

        `overtaken` waiting tasks do not count, since the new ones go before them.

        The reserve is a tenth of what all workers can take, but at least 10 and at most 100 tasks,
        and no more than are expected to end soon. A long queue is expensive, since Work Queue's
        manager scans all of it for each task that it sends to a worker (0.4 ms per task with 4
        waiting, 6.8 ms with 1,000). And TaskVine's manager (7.14.5) rotates its queue each time
        that no worker is free (send_one_task of vine_manager.c), so that a task of high priority,
        or a long one, can come after all that wait.
        """
        total = (stats.total_cores, stats.total_memory, stats.total_disk)
        slots = min(
            (have // asked for have, asked in zip(total, self.least, strict=True) if asked),
            default=0,
        )
        reserve = min(_MAX_RESERVE_TASKS, max(_MIN_RESERVE_TASKS, slots // 10))
        seconds = self._seconds / max(1, self._sizes.total())
        if seconds > 0 and slots:
            reserve = min(reserve, math.ceil(_RESERVE_SECONDS * slots / seconds))
        idle = max(0, slots - stats.tasks_on_workers)
        return int(max(0, min(MAX_WAITING_TASKS, reserve + idle) - stats.tasks_waiting + overtaken))

    def trouble(self, stats: ManagerStats, blocked: Sequence[str] = ()) -> str | None:
        """A description of the tasks that no connected worker can take; None if there are none.

        `blocked` are the hosts to which the engine sends no tasks.
        """
        if not stats.workers_connected or not stats.tasks_waiting:
            self._idle_since = time.monotonic()
            return None
        largest = (stats.max_cores, stats.max_memory, stats.max_disk)
        units = ("cores", "MB of memory", "MB of disk")
        for size, count in self._sizes.items():
            over = [
                f"{asked} {unit} (the largest worker has {most})"
                for asked, most, unit in zip(size, largest, units, strict=True)
                if asked > most > 0
            ]
            if over:
                return (
                    f"no worker is large enough for {count} of the waiting tasks, which need "
                    f"{' and '.join(over)}"
                )
        return self._idle(stats, blocked)

    def _idle(self, stats: ManagerStats, blocked: Sequence[str]) -> str | None:
        now = time.monotonic()
        if stats.tasks_on_workers:
            self._idle_since = now
        patience = IDLE_WORKERS_TIMEOUT_SECONDS
        if blocked:
            patience = min(patience, _BLOCKED_HOSTS_TIMEOUT_SECONDS)
        if now - self._idle_since < patience:
            return None
        found = f"waiting tasks: {stats.tasks_waiting}, idle workers: {stats.workers_connected}; "
        if blocked:
            more = ["..."] if len(blocked) > _MAX_NAMED_HOSTS else []
            named = ", ".join([*blocked[:_MAX_NAMED_HOSTS], *more])
            found += f"blocked hosts: {len(blocked)} ({named})"
            show = self._setting.show_hosts
            return found if show is None else f"{found}; to see why: {show}"
        found += "no worker has enough memory, disk or remaining time"
        # The libraries block a host that exceeds this factor, and do not name it.
        slow = ", or all hosts were too slow ('engine: {fast_abort: ...}')"
        return found if self._setting.fast_abort is None else found + slow
