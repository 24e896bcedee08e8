"""Counts, rates and the time that is left."""

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wqmaster.database import stale
from wqmaster.database.documents import Store
from wqmaster.engines.base import EngineStats
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.spool import Spool

# Seconds over which rates are taken.
RATE_WINDOW_SECONDS = 60.0
# How long `status` looks for stale results.
_STALE_SECONDS = 5.0


class Rate:
    """Jobs that came to an end, with a result or failed, a second over the last minute."""

    def __init__(self, window: float = RATE_WINDOW_SECONDS) -> None:
        self._window = window
        self._started = time.monotonic()
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, count: int, now: float | None = None) -> None:
        """Note `count` events. Those of a tenth of a second are kept as one."""
        if not count:
            return
        now = time.monotonic() if now is None else now
        if self._events and now - self._events[-1][0] < 0.1:
            self._events[-1] = (self._events[-1][0], self._events[-1][1] + count)
        else:
            self._events.append((now, count))
        self._sum += count
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._events and self._events[0][0] < now - self._window:
            self._sum -= self._events.popleft()[1]

    def per_second(self, now: float | None = None) -> float:
        """The rate now."""
        now = time.monotonic() if now is None else now
        self._forget(now)
        span = min(self._window, now - self._started)
        return self._sum / span if span > 0 else 0.0


class RunState(StrEnum):
    """What a run does; the values are published for `wqmaster status`."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ENDED = "ended"
    NOTHING_TO_DO = "nothing to do: all documents have a result, or were given up"


@dataclass
class Progress:
    """The counts of one run, as the master keeps them."""

    campaign: str
    engine: str
    done_before: int = 0
    failures_before: Counter[str] = field(default_factory=Counter)  # given up, by class
    total: int | None = None  # documents of the campaign, where they could be counted
    done: int = 0  # in this run
    sent: int = 0  # jobs that the engine has: some run, the others wait for a worker
    spooled: int = 0  # jobs that came back and are not committed yet
    failures: Counter[str] = field(default_factory=Counter)  # given up, by class
    attempts_failed: int = 0  # that are run again
    mended: int = 0  # documents that had failed, were changed, and are computed again
    stats: EngineStats = field(default_factory=EngineStats)
    started: float = field(default_factory=time.monotonic)
    rate: Rate = field(default_factory=Rate)
    state: RunState = RunState.RUNNING
    trouble: str | None = None
    how_to_connect: str | None = None  # the command line of a worker
    port: int | None = None  # that workers connect to
    host: str | None = None  # by which they reach this machine
    waits_for_workers: bool = False  # until the user starts them, or what sends them
    notes: list[str] = field(default_factory=list)  # what is to be told of it at the end

    @property
    def failed(self) -> int:
        """Documents given up in this run."""
        return sum(self.failures.values())

    @property
    def failed_before(self) -> int:
        """Documents given up before this run."""
        return sum(self.failures_before.values())

    def reopen(self, classes: Sequence[str]) -> None:
        """Documents that had failed with these classes were changed, and have not failed now."""
        self.mended += len(classes)
        for name in classes:
            for failures in (self.failures_before, self.failures):
                if failures[name] > 0:
                    failures[name] -= 1
                    break

    @property
    def left(self) -> int | None:
        """Documents that are neither done nor given up; None where they could not be counted."""
        if self.total is None:
            return None
        before = self.done_before + self.failed_before
        return max(0, self.total - before - self.done - self.failed)

    @property
    def all_done(self) -> int:
        """Documents with a result, of this run and before it."""
        return self.done_before + self.done

    @property
    def all_failed(self) -> int:
        """Documents given up, in this run and before it."""
        return self.failed_before + self.failed

    @property
    def running(self) -> int:
        """Jobs on workers. Engines count tasks: jobs are divided as tasks are."""
        tasks = self.stats.running + self.stats.waiting
        return round(self.sent * self.stats.running / tasks) if tasks else 0

    @property
    def pending(self) -> int | None:
        """Documents that are neither done, failed, running nor spooled; None: not counted."""
        return None if self.left is None else max(0, self.left - self.running - self.spooled)

    @property
    def speed(self) -> float:
        """Jobs that came to an end in this run, with a result or failed, a second of it."""
        return (self.done + self.failed) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """How long the rest will take at the present rate."""
        rate = self.rate.per_second()
        return self.left / rate if self.left is not None and rate > 0 else None

    @property
    def seconds(self) -> float:
        """How long this run has taken."""
        return time.monotonic() - self.started

    def published(self) -> Mapping[str, Any]:
        """What the database holds for `wqmaster status`."""
        return {
            "engine": self.engine,
            "state": str(self.state),
            "running": self.running,
            "sent": self.sent,
            "spooled": self.spooled,
            "jobs_per_second": round(self.rate.per_second(), 3),
            "seconds_left": self.seconds_left,
            "workers": self.stats.workers,
            "cores": self.stats.cores,
            "tasks_waiting": self.stats.waiting,
            "tasks_running": self.stats.running,
            "workers_lost": self.stats.workers_lost,
            "trouble": self.trouble,
            "port": self.port,
            "listens_on": self.host,
        }


def overview(store: Store, spool: Spool, recipe: Recipe | None) -> dict[str, Any]:
    """The counts of documents of a campaign as database, spool and a living master have them.

    `pending` are those that are neither done, failed, running nor spooled, so that the five add up
    to all documents of the campaign; `running` are on workers. `partly_done` says by
    step without a result how many documents have results of other steps; `stale` are done, but
    for another molecule than the document holds now: None without the `recipe` that says which.
    """
    counts = store.counts()
    survey = recipe and stale.survey(store, recipe, _STALE_SECONDS)
    live = store.presence.published()
    running = live["running"] if live else 0
    spooled = live["spooled"] if live else spool.jobs_returned()
    return {
        "campaign": store.campaign.campaign,
        "done": counts.done,
        "failed": counts.failed,
        "pending": max(0, counts.undone - counts.failed - running - spooled),
        "running": running,
        "spooled": spooled,
        "failures": dict(counts.failures),
        "partly_done": store.partly_done(),
        "stale": survey and survey.stale,
        "stale_survey": survey and survey.as_json(),
        "master": live,
    }


def speed(per_second: float) -> str:
    """A rate as people say it: 27.8 jobs/s, 6.0 jobs/min, 1.5 jobs/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1 or not per_second:
            return f"{per_second * seconds:.1f} jobs/{unit}"
    return f"{per_second * 3600:.1f} jobs/h"


def counts(progress: Progress) -> str:
    """Where the documents are. Each is in one of these states, which add up to all of them."""
    total = "?" if progress.total is None else progress.total
    pending = "?" if progress.pending is None else progress.pending
    return (
        f"{progress.all_done}/{total} done, {progress.all_failed} failed, "
        f"{progress.running} running, {progress.spooled} spooled, {pending} pending"
    )


def duration(seconds: float | None) -> str:
    """Seconds as people say them: 42 s, 3 min 05 s, 2 h 07 min, 3 d 4 h."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def line(progress: Progress) -> str:
    """One plain line for a log: what `run` prints every ten seconds when it is piped."""
    parts = [
        counts(progress),
        speed(progress.rate.per_second()),
        f"{duration(progress.seconds_left)} left",
        f"{progress.stats.workers} workers, {progress.stats.cores} cores",
    ]
    if progress.trouble:
        parts.append(progress.trouble)
    return f"{progress.campaign}: {', '.join(parts)}"
