"""Find the running tasks that take much longer than expected."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wqmaster.engines.base import RunningTask
from wqmaster.run.collector.messages import Ended
from wqmaster.run.holds import quoted
from wqmaster.run.run_times import RunTimes

# A task is slow if it takes longer than this many standard deviations above the median, than this
# multiple of the median, and than this many seconds.
_DEVIATIONS = 4.0
_MIN_FACTOR = 3.0
_MIN_SECONDS = 30.0
# How much longer a molecule may take that is smaller or larger than all with results.
_EXTRAPOLATION_FACTOR = 2.0
# Where nothing is expected, a task is slow after this share of its time limit, and this time.
_LIMIT_SHARE = 0.5
_UNKNOWN_SECONDS = 600.0
# What a task may take in addition until a worker has unpacked its software.
_SOFTWARE_SECONDS = 300.0
# How many slow tasks are published.
MAX_LISTED = 20


@dataclass(frozen=True)
class Slow:
    """A task that takes much longer than expected."""

    document: str  # the `key_of` of its first document
    jobs: int
    host: str
    started: float  # seconds since 1970
    seconds: float  # how long it has run
    expected: float | None  # seconds; None if that is unknown

    def published(self) -> dict[str, Any]:
        """The task as the database holds it for `wqmaster status --slow`."""
        return {
            "document": quoted(self.document),
            "jobs": self.jobs,
            "host": quoted(self.host),
            "started": datetime.fromtimestamp(self.started, UTC),
            "running_for": round(self.seconds, 1),
            "expected": None if self.expected is None else round(self.expected, 3),
        }


class Stragglers:
    """Compares the running tasks of one recipe with the times of its results.

    `job_timeout` is the time limit of a job in seconds. `has_software` is whether workers unpack
    software for the jobs.
    """

    def __init__(self, job_timeout: int, *, has_software: bool) -> None:
        self.times = RunTimes()
        self._job_timeout = job_timeout
        self._patience = _MIN_SECONDS + (_SOFTWARE_SECONDS if has_software else 0.0)

    def ended(self, task: Ended) -> None:
        """Take note of how long the jobs of a task took."""
        for job in task.jobs:
            if job.failure is None and job.natoms is not None and job.seconds is not None:
                self.times.add(job.natoms, job.seconds)

    def slow(
        self,
        running: Iterable[RunningTask],
        sent: Callable[[str], tuple[Sequence[str], Sequence[int]] | None],
        now: float | None = None,
    ) -> list[Slow]:
        """The running tasks that take much longer than expected, the slowest first.

        `sent` returns the keys of a task's documents and their numbers of atoms; no numbers if the
        jobs have remedies, which change their times. `now` is in seconds since 1970.
        """
        now = time.time() if now is None else now
        found = []
        for task in running:
            seconds = now - task.started
            if seconds < self._patience:
                continue
            jobs = sent(task.task_id)
            if jobs is None or not jobs[0]:
                continue
            keys, sizes = jobs
            expected, limit = self._expected(len(keys), sizes)
            if seconds > limit:
                one = Slow(keys[0], len(keys), task.host, task.started, seconds, expected)
                found.append(one)
        return sorted(found, key=lambda one: -one.seconds)

    def _expected(self, jobs: int, sizes: Sequence[int]) -> tuple[float | None, float]:
        """What a task takes, and after which time it is slow."""
        each = [self.times.expected(size) for size in sizes]
        known = [one for one in each if one is not None]
        if not known or len(known) < jobs:
            return None, max(_UNKNOWN_SECONDS, _LIMIT_SHARE * jobs * self._job_timeout)
        total = sum(one.value for one in known)
        most = sum(
            one.at_most(_DEVIATIONS) * (_EXTRAPOLATION_FACTOR if one.is_extrapolated else 1.0)
            for one in known
        )
        return total, max(self._patience, self._patience - _MIN_SECONDS + most, _MIN_FACTOR * total)


def published(slow: Sequence[Slow]) -> dict[str, Any]:
    """The slow tasks as the database holds them: their number, and the slowest ones."""
    return {"count": len(slow), "listed": [one.published() for one in slow[:MAX_LISTED]]}
