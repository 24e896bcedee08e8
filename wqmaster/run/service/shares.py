"""Decide which campaign sends the next task: priority first, then fair shares by weight. Pure.

Within a level of priority, the campaign with the least *virtual time* is next: the core-seconds of
its returned tasks and an estimate for the jobs in flight, divided by its weight (start-time fair
queuing: Goyal, Vin and Cheng, IEEE/ACM Transactions on Networking 5, 1997). A campaign that wakes
up starts at the virtual time of its level, so that it gets nothing for the time when it was idle.
Lower levels get a least share of the core-seconds, so that they do not starve.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

# The part of all core-seconds that each lower level gets while it has tasks waiting.
LEAST_SHARE = 0.05
# How many of the newest jobs count in a campaign's average of core-seconds per job.
_AVERAGED_JOBS = 5
# What a job is taken to need before any task has returned.
_UNKNOWN_CORE_SECONDS = 1.0


@dataclass(frozen=True)
class Pick:
    """The campaign that sends the next task, and the priority with which the task is sent."""

    name: str
    # That of the highest level if the task is part of a lower level's least share.
    priority: int
    # The lower levels that wait while this task runs.
    passed_over: tuple[int, ...] = ()
    is_least_share: bool = False


@dataclass
class _Level:
    # Never decreases; see `_Entry.now`.
    virtual_time: float = 0.0
    # Core-seconds that are due to the level while higher ones go first.
    due: float = 0.0


@dataclass(frozen=True)
class _Flying:
    """A task in flight."""

    jobs: int
    cost: float  # the core-seconds that it was taken to need
    pick: Pick


@dataclass
class _Entry:
    priority: int
    weight: float
    used: float = 0.0  # virtual time of the returned tasks
    estimate: float | None = None  # core-seconds of a job
    active: bool = False
    flying: dict[str, _Flying] = field(default_factory=dict)  # by task
    jobs: int = 0  # in all tasks in flight

    def now(self, unknown: float) -> float:
        """The campaign's virtual time, with its tasks in flight."""
        estimate = unknown if self.estimate is None else self.estimate
        return self.used + self.jobs * estimate / self.weight


class Shares:
    """The shares of campaigns, which are known by their names."""

    def __init__(self, least_share: float = LEAST_SHARE) -> None:
        self._entries: dict[str, _Entry] = {}
        self._levels: dict[int, _Level] = {}
        # What is due to a lower level for each core-second of a higher one.
        self._ratio = least_share / (1 - least_share)

    def set(self, name: str, priority: int, weight: float) -> None:
        """Add a campaign, or change its priority and weight."""
        entry = self._entries.setdefault(name, _Entry(priority, weight))
        if entry.priority != priority:
            entry.priority, entry.active, entry.used = priority, False, 0.0
        entry.weight = weight
        self._levels.setdefault(priority, _Level())

    def remove(self, name: str) -> None:
        """Forget a campaign, with its tasks in flight."""
        self._entries.pop(name, None)

    def pick(self, ready: Mapping[str, int]) -> Pick | None:
        """The campaign whose task is sent next, among those with waiting tasks; None without any.

        `ready` has the number of jobs in the first waiting task of every campaign with waiting
        tasks: one that is not in it, and has nothing in flight, counts as idle.
        """
        unknown = self._unknown()
        self._wake(ready, unknown)
        levels = sorted({self._entries[name].priority for name in ready}, reverse=True)
        for priority, level in self._levels.items():
            if priority not in levels[1:]:
                level.due = 0.0
        if not levels:
            return None

        def first(priority: int) -> str:
            names = (name for name in ready if self._entries[name].priority == priority)
            return min(names, key=lambda name: (self._entries[name].now(unknown), name))

        for priority in levels[1:]:
            name = first(priority)
            if self._levels[priority].due >= ready[name] * self._estimate(name, unknown):
                return Pick(name, levels[0], is_least_share=True)
        return Pick(first(levels[0]), levels[0], tuple(levels[1:]))

    def started(self, pick: Pick, task: str, jobs: int) -> None:
        """Note that a task of the campaign that was picked is in flight, with `jobs` jobs."""
        entry = self._entries[pick.name]
        cost = jobs * self._estimate(pick.name, self._unknown())
        entry.flying[task] = _Flying(jobs, cost, pick)
        entry.jobs += jobs
        self._charge(entry, pick, cost)

    def ended(self, name: str, task: str, core_seconds: float | None) -> None:
        """Note that a task is no longer in flight, and what it used; None: it was canceled."""
        entry = self._entries.get(name)
        if entry is None or task not in entry.flying:
            return
        flown = entry.flying.pop(task)
        entry.jobs -= flown.jobs
        used = 0.0 if core_seconds is None else max(0.0, core_seconds)
        self._charge(entry, flown.pick, used - flown.cost)
        entry.used += used / entry.weight
        if core_seconds is not None:
            each = used / flown.jobs
            old = each if entry.estimate is None else entry.estimate
            entry.estimate = old + min(1.0, flown.jobs / _AVERAGED_JOBS) * (each - old)

    def _charge(self, entry: _Entry, pick: Pick, core_seconds: float) -> None:
        if pick.is_least_share and entry.priority in self._levels:
            self._levels[entry.priority].due -= core_seconds
        for priority in pick.passed_over:
            self._levels[priority].due += self._ratio * core_seconds

    def _estimate(self, name: str, unknown: float) -> float:
        found = self._entries[name].estimate
        return unknown if found is None else found

    def _unknown(self) -> float:
        """What a job of a campaign without returned tasks is taken to need."""
        known = [one.estimate for one in self._entries.values() if one.estimate is not None]
        return sum(known) / len(known) if known else _UNKNOWN_CORE_SECONDS

    def _wake(self, ready: Collection[str], unknown: float) -> None:
        for name, entry in self._entries.items():
            entry.active = entry.active and (bool(entry.flying) or name in ready)
        for priority, level in self._levels.items():
            active = [
                entry.now(unknown)
                for entry in self._entries.values()
                if entry.priority == priority and entry.active
            ]
            level.virtual_time = max(level.virtual_time, min(active, default=0.0))
        for name in ready:
            entry = self._entries[name]
            if not entry.active:
                entry.active = True
                late = self._levels[entry.priority].virtual_time - entry.now(unknown)
                entry.used += max(0.0, late)
