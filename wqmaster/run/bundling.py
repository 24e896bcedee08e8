"""How many jobs form a task, from the times that jobs took (`bundle: auto`).

A task costs the manager, the worker and the runner some milliseconds whatever is in it, and a lost
worker costs what its task has done, as the next job of a higher priority waits for a task to end.
So tasks are to take a given time, by default as short as the manager can well serve with the number
of slots. They take less when few documents are left: the share that each slot still gets is divided
in two, as in guided self-scheduling
(C. D. Polychronopoulos and D. J. Kuck, IEEE Trans. Comput. C-36, 1425 (1987)).
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from wqmaster.campaign.models import Bundle
from wqmaster.engines.base import Returned
from wqmaster.run.holds import quoted
from wqmaster.run.run_times import RunTimes

log = logging.getLogger("wqmaster.master")

# The largest number of jobs that a task gets without being asked for.
MAX_AUTO_JOBS = 500
# How long tasks are to take by default: this many seconds for each slot, so that a manager starts
# at most ten tasks per second, within limits.
_SECONDS_PER_SLOT = 0.1
_MIN_TASK_SECONDS = 5.0
_MAX_TASK_SECONDS = 60.0
# How large the files of all jobs of a task may become: one archive travels at once, and a collector
# commits about as much together.
_MAX_TASK_BYTES = 64 << 20
# What the runner takes for each job besides the program, in seconds.
_RUNNER_SECONDS = 0.005
# How long a task may be at most, as a share of the time that a worker stays: later, it gets none.
_STAY_SHARE = 0.5
# How many standard deviations above the median few tasks exceed.
_DEVIATIONS = 2.0
# Into how many tasks a slot's share is divided.
_SHARES_PER_SLOT = 2
# How much a new task counts in the average size of a job's files.
_NEW_SHARE = 0.1
# Of how many documents it is remembered that their task failed as a whole.
_MAX_DOUBTED = 100_000


class Bundling:
    """Decides how many jobs the next tasks get, in one campaign.

    `times` are those of jobs without remedies. `most_slots` is the largest number of tasks that
    workers will run at the same time, and `walltime` how long a worker stays, in seconds, if that
    is known.
    """

    def __init__(
        self, times: RunTimes, most_slots: int | None = None, walltime: int | None = None
    ) -> None:
        self._times = times
        self._walltime = walltime
        self._most_slots = most_slots
        self._slots = 0  # at the last count
        self._job_bytes: float | None = None
        # Document -> the largest number of jobs that its next task may have.
        self._doubted: OrderedDict[str, int] = OrderedDict()

    def returned(self, jobs: int, size: int) -> None:
        """Take note of the size in bytes of a returned task with this number of jobs."""
        mean = size / max(1, jobs)
        before = self._job_bytes
        self._job_bytes = mean if before is None else before + _NEW_SHARE * (mean - before)

    def failed(self, keys: Sequence[str], returned: Returned) -> None:
        """Take note that a task of these documents has failed as a whole, for an unknown reason.

        One of its jobs may be the cause, and is found by halving.
        """
        log.warning(
            "task %s returned without its %d jobs, which run again in smaller tasks: %s, exit code "
            "%d, on %s: %s",
            *(returned.task_id, len(keys), returned.result.value, returned.exit_code),
            *(quoted(returned.host), quoted(returned.message)),
        )
        for key in keys:
            self._doubted[key] = max(1, len(keys) // 2)
            self._doubted.move_to_end(key)
        while len(self._doubted) > _MAX_DOUBTED:
            self._doubted.popitem(last=False)

    def ended(self, keys: Iterable[str]) -> None:
        """Forget doubts about documents that have a verdict."""
        for key in keys:
            self._doubted.pop(key, None)

    def count(self, bundle: Bundle, left: int | None, slots: int) -> int:
        """How many documents to fetch for the next tasks.

        `left` documents are still to be sent (None: unknown), and workers run `slots` tasks at the
        same time.
        """
        if isinstance(bundle.size, int):
            return bundle.size
        self._slots = slots = max(1, slots, self._most_slots or 0)
        seconds = self._times.typical()
        if seconds is None:
            return 1
        count = min(MAX_AUTO_JOBS, int(self._time(bundle) / (seconds + _RUNNER_SECONDS)))
        if self._job_bytes:
            count = min(count, int(_MAX_TASK_BYTES / self._job_bytes))
        if left is not None:
            count = min(count, -(-left // (_SHARES_PER_SLOT * slots)))
        return max(1, count)

    def _time(self, bundle: Bundle) -> float:
        """How long a task is to take, in seconds."""
        usual = min(_MAX_TASK_SECONDS, max(_MIN_TASK_SECONDS, _SECONDS_PER_SLOT * self._slots))
        wanted = usual if bundle.time is None else bundle.time
        return wanted if self._walltime is None else min(wanted, _STAY_SHARE * self._walltime)

    def expected(self, sizes: Sequence[int]) -> tuple[float, float] | None:
        """What jobs for molecules with these numbers of atoms take together, in seconds.

        Returns:
            the median, and what few tasks exceed, but no more than a worker can have left; None if
            too few times are known.
        """
        each = [one for size in sizes if (one := self._times.expected(size)) is not None]
        if len(each) < len(sizes):
            return None
        seconds = sum(one.value for one in each)
        most = sum(one.at_most(_DEVIATIONS) for one in each)
        if self._walltime is not None:
            most = min(most, _STAY_SHARE * self._walltime)
        return seconds, most

    def groups(self, bundle: Bundle, jobs: Sequence[tuple[str, int]]) -> list[int]:
        """Divide documents into tasks; return the number of documents in each task, in order.

        `jobs` are the keys of the documents and their numbers of atoms.
        """
        groups: list[int] = []
        size, seconds, most, limit = 0, 0.0, len(jobs), self._time(bundle)
        for key, natoms in jobs:
            cap = self._doubted.get(key, len(jobs))
            expected = None
            if not isinstance(bundle.size, int):
                expected = self._times.expected(natoms)
            took = 0.0 if expected is None else expected.value + _RUNNER_SECONDS
            if size and (size >= min(most, cap) or seconds + took > limit):
                groups.append(size)
                size, seconds, most = 0, 0.0, len(jobs)
            size, seconds, most = size + 1, seconds + took, min(most, cap)
        return [*groups, size] if size else groups
