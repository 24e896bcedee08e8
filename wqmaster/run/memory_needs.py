"""How much memory jobs get, from what earlier ones used (`resources: {memory: auto}`).

The memory of a job is a quantile of what jobs for molecules of its size use, by a robust fit, times
the campaign's `safety`. As long as too little is known, and for molecules that are larger than all
measured ones, it is at least what the program is known to need (`tasks.needs`) or `first`.
"""

import math
import os
from collections import deque
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.factory.sizes import worker_size
from wqmaster.jobs.failures import FailureClass
from wqmaster.recipe.retry import Past
from wqmaster.run.collector.messages import Ended
from wqmaster.run.size_fit import SizeFit
from wqmaster.tasks.needs import Needs

# The memory of jobs varies at least by this standard deviation of its logarithm, and a job gets
# what it needs if it is this many standard deviations above the median.
_MIN_SPREAD = 0.05
_DEVIATIONS = 2.0
# Memory has little noise, so those of similar sizes that are a few quarters of an octave away say
# more than the line through all.
_REACH = 3
# Memory below this, in MB, is that of shells and libraries.
_LEAST_MB = 1.0
# A job that used more than this share of its memory may have used what it was told to, as programs
# with `software.memory` do: its share is not lowered, or it would go down step by step.
_FILLED_SHARE = 2 / 3
# The factor on the memory of the last attempt that was too little.
_MORE = 2.0
# Memory is rounded up to this many binary digits.
_DIGITS = 5
# How many of the last tasks the published ratio is of.
_RATIOS = 1000


class MemoryNeeds:
    """The memory of the jobs of one campaign."""

    def __init__(self, campaign: Campaign) -> None:
        self._resources = campaign.resources
        self._most = _largest(campaign)
        self._fit = SizeFit(_LEAST_MB, _MIN_SPREAD, _REACH)
        self._ratios: deque[float] = deque(maxlen=_RATIOS)
        self._killed = 0

    def follow(self, campaign: Campaign) -> None:
        """Use another form of the campaign from now on."""
        self._resources = campaign.resources
        self._most = _largest(campaign)

    def ended(self, task: Ended) -> None:
        """Take note of the memory that the jobs of a task used."""
        for job in task.jobs:
            failure = job.failure
            over = failure is not None and failure.failure_class == FailureClass.MEMORY.label
            self._killed += over
            if job.used is None or job.size is None or (failure is not None and not over):
                continue
            used = job.used
            if job.memory is not None and used > _FILLED_SHARE * job.memory:
                used = max(used, job.memory / self._margin(job.size))
            self._fit.add(job.size, used)
        used_most = max((job.used for job in task.jobs if job.used is not None), default=0)
        asked = max((job.memory for job in task.jobs if job.memory is not None), default=0)
        if used_most and asked:
            self._ratios.append(asked / used_most)

    def asked(self, needs: Needs, past: Iterable[Past], factor: float) -> int | None:
        """The memory in MB of a job's next attempt; None if memory is not learned.

        `past` are its failed attempts, and its remedies multiply the memory by `factor`.
        """
        memory = self._resources.learned_memory
        if memory is None:
            return None
        found = self._expected(needs, memory.safety) * factor
        too_little = [
            one.memory for one in past if one.kind is FailureClass.MEMORY and one.memory is not None
        ]
        found = max(found, memory.min, _MORE * max(too_little, default=0))
        most = min(self._most, math.inf if memory.max is None else memory.max)
        return math.ceil(min(found, most))

    def _expected(self, needs: Needs, safety: float) -> float:
        memory = self._resources.learned_memory
        stated = None if memory is None else memory.first
        first: float = stated or needs.memory or self._resources.first_memory or 0
        # Below the smallest measured size, overhead makes up more and more of the need.
        found = self._fit.expected(max(needs.size, self._fit.smallest))
        if found is None:
            return first
        most = found.at_most(_DEVIATIONS) * safety
        return max(_rounded(most), first) if found.is_extrapolated else _rounded(most)

    def _margin(self, size: float) -> float:
        """By how much more a job gets than jobs of this size are expected to use."""
        memory, found = self._resources.learned_memory, self._fit.expected(size)
        spread = _MIN_SPREAD if found is None else found.spread
        return math.exp(_DEVIATIONS * spread) * (1.0 if memory is None else memory.safety)

    def limit(self, asked: int | None) -> int | None:
        """The `Task.memory_limit` of a task that has `asked` MB."""
        memory = self._resources.memory
        if memory is None or asked is None:
            return None
        return asked if memory.is_enforced else 0

    def published(self) -> dict[str, Any]:
        """What the database holds for `wqmaster status`.

        `killed` jobs of this run needed more memory than they had. `asked_by_used` is the median of
        the memory of tasks by what they used; None if that is unknown.
        """
        ratio = median(self._ratios) if self._ratios else None
        return {"killed": self._killed, "asked_by_used": ratio and round(ratio, 3)}


def _largest(campaign: Campaign) -> float:
    """The memory of a worker, in MB: a task that asks for more would wait forever."""
    if campaign.workers.on_this_machine:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    if isinstance(campaign.workers, BatchWorkers):
        return worker_size(campaign).memory
    return math.inf


def _rounded(megabytes: float) -> int:
    """Round up, so that tasks have few different sizes, which their manager compares."""
    step: int = 1 << max(0, math.floor(math.log2(max(1.0, megabytes))) - _DIGITS + 1)
    return math.ceil(megabytes / step) * step


def most_of(asked: Sequence[int | None]) -> int | None:
    """The memory of a task, whose jobs run one after another; None if it is not learned."""
    return max((one for one in asked if one is not None), default=None)
