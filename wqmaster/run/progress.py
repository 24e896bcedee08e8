"""The counts, rates and remaining time of a run."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wqmaster.database import recipe_guard, stale
from wqmaster.database.documents import Counts, Store
from wqmaster.engines.base import EngineStats
from wqmaster.jobs.failures import FailureClass
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import stragglers
from wqmaster.run.holds import Hold, quoted
from wqmaster.run.spool import Spool
from wqmaster.run.stragglers import Slow

# The period over which rates are averaged.
RATE_WINDOW_SECONDS = 60.0
# How long `status` searches for stale results, and how long it counts those with warnings.
_STALE_SECONDS = 5.0
_WARNED_SECONDS = 5.0
# How many of the last commands `status` shows.
_SHOWN_COMMANDS = 5


class Rate:
    """The rate at which jobs end, with a result or a failure, averaged over the last minute."""

    def __init__(self, window: float = RATE_WINDOW_SECONDS) -> None:
        self._window = window
        self._started = time.monotonic()
        self._events: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, count: int, now: float | None = None) -> None:
        """Count `count` jobs that ended at `now`, in seconds of `time.monotonic` (None: just now).

        Jobs that end within a tenth of a second are stored together.
        """
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
        """The current rate in jobs per second."""
        now = time.monotonic() if now is None else now
        self._forget(now)
        span = min(self._window, now - self._started)
        return self._sum / span if span > 0 else 0.0


class RunState(StrEnum):
    """The state of a run; the values are published for `wqmaster status`."""

    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    NOTHING_TO_DO = "nothing to do: all documents have a result or have failed"


@dataclass
class Progress:
    """The counts of one run, which the master keeps up to date."""

    campaign: str
    engine: str
    done_before: int = 0
    failures_before: Counter[str] = field(default_factory=Counter)  # failed documents, by class
    total: int | None = None  # documents of the campaign; None if they were not counted
    done: int = 0  # documents with a result from this run
    warned: int = 0  # those of them about which a check warns
    sent: int = 0  # jobs that the engine has, running or waiting for a worker
    on_workers: int | None = None  # those of them on workers; None if they were not counted
    spooled: int = 0  # jobs that have returned and are not yet committed
    spooled_bytes: int = 0  # the files of these jobs
    # When the first task returned that is not yet committed, in seconds of `time.monotonic`.
    returned_at: float | None = None
    failures: Counter[str] = field(default_factory=Counter)  # failed in this run, by class
    attempts_failed: int = 0  # failed attempts that are followed by another
    # Jobs of this run, done or failed, whose documents are to be computed again.
    requeued: int = 0
    mended: int = 0  # documents that had failed, were changed, and are computed again
    stats: EngineStats = field(default_factory=EngineStats)
    started: float = field(default_factory=time.monotonic)
    rate: Rate = field(default_factory=Rate)
    state: RunState = RunState.RUNNING
    trouble: str | None = None  # the current problem, such as an unreachable database
    hold: Hold | None = None  # why no jobs are sent now; None if they are
    # The pause that remains after a drain, with the command that ends it; None without a drain.
    drained: str | None = None
    how_to_connect: str | None = None  # the command that starts workers
    port: int | None = None  # the port that workers connect to
    host: str | None = None  # the name by which workers reach this machine
    workers_of: str | None = None  # the campaign file whose workers are used, if it is another's
    waits_for_workers: bool = False  # whether the user must start workers or their factory
    notes: list[str] = field(default_factory=list)  # remarks for the end of the run
    slow: Sequence[Slow] = ()  # running tasks that take much longer than expected
    hosts_running: int = 0  # hosts on which tasks run
    hosts: Callable[[], Mapping[str, Any]] = dict  # the hosts for `status --hosts`
    memory: Callable[[], Mapping[str, Any]] = dict  # what is known of the memory of jobs
    stage: str | None = None  # what this run is a part of, such as an audit
    # How many results are stale (`Survey.as_json`), as far as they were compared; None: not here.
    stale_survey: Mapping[str, Any] | None = None
    limit_left: int | None = None  # documents that may still be fed; None: no limit

    @property
    def stopped(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.state in (RunState.STOPPING, RunState.STOPPED)

    @property
    def failed(self) -> int:
        """Documents that failed in this run."""
        return sum(self.failures.values())

    @property
    def failed_before(self) -> int:
        """Documents that failed before this run."""
        return sum(self.failures_before.values())

    def reopen(self, classes: Sequence[str]) -> None:
        """Stop counting changed documents as failed; `classes` are their former failure classes."""
        self.mended += len(classes)
        self.retry(classes)

    def retry(self, classes: Sequence[str]) -> None:
        """Stop counting documents as failed that run again; `classes` are their former classes."""
        for name in classes:
            if self.failures_before[name] > 0:
                self.failures_before[name] -= 1
            elif self.failures[name] > 0:
                self.failures[name] -= 1
                self.requeued += name != FailureClass.CANCELED.label

    def correct(self, counts: Counts) -> None:
        """Adopt counts of the database, which others have changed since this run began.

        What is no longer done or failed first reduces the numbers of earlier runs.
        """
        computed = self.computed
        self.done = min(self.done, counts.done)
        self.done_before = counts.done - self.done
        now = Counter(counts.failures)
        self.failures &= now
        self.failures_before = now - self.failures
        self.total = counts.done + max(counts.undone, counts.failed)
        self.requeued += computed - self.computed

    @property
    def left(self) -> int | None:
        """Documents that are neither done nor failed; None if they were not counted."""
        if self.total is None:
            return None
        before = self.done_before + self.failed_before
        return max(0, self.total - before - self.done - self.failed)

    @property
    def all_done(self) -> int:
        """Documents with a result, from this run and before it."""
        return self.done_before + self.done

    @property
    def all_failed(self) -> int:
        """Documents that failed, in this run and before it."""
        return self.failed_before + self.failed

    @property
    def running(self) -> int:
        """Jobs on workers; if unknown, estimated from the share of running tasks."""
        if self.on_workers is not None:
            return self.on_workers
        tasks = self.stats.running + self.stats.waiting
        return round(self.sent * self.stats.running / tasks) if tasks else 0

    @property
    def lag(self) -> float:
        """How long the first job has waited that is not yet committed, in seconds."""
        return 0.0 if self.returned_at is None else time.monotonic() - self.returned_at

    @property
    def pending(self) -> int | None:
        """Documents that are not done, failed, running or spooled; None if not counted."""
        return None if self.left is None else max(0, self.left - self.running - self.spooled)

    @property
    def unsent(self) -> int | None:
        """Documents that are still to be sent, also if once more; None if not counted."""
        return None if self.left is None else max(0, self.left - self.sent - self.spooled)

    @property
    def speed(self) -> float:
        """The average rate of this run in jobs per second, including failed jobs."""
        return self.computed / self.seconds if self.seconds else 0.0

    @property
    def computed(self) -> int:
        """Jobs of this run that ended with a result or a final failure.

        Canceled documents have failed without being computed.
        """
        canceled = self.failures[FailureClass.CANCELED.label]
        return self.done + self.failed - canceled + self.requeued

    @property
    def outcome(self) -> str:
        """How the run has ended, in words."""
        if self.state is RunState.FINISHED and self.limit_left == 0 and self.left:
            return "reached --limit; documents are left"
        return str(self.state)

    @property
    def seconds_left(self) -> float | None:
        """The remaining time at the current rate, in seconds; None if unknown, as during a hold."""
        if self.hold is not None and not self.hold.is_routine:
            return None
        if self.left == 0:
            return 0.0
        rate = self.rate.per_second()
        return self.left / rate if self.left is not None and rate > 0 else None

    @property
    def seconds(self) -> float:
        """The duration of this run so far, in seconds."""
        return time.monotonic() - self.started

    def published(self) -> Mapping[str, Any]:
        """The status that the database holds for `wqmaster status`."""
        return {
            "engine": self.engine,
            "state": str(self.state),
            **({"stage": self.stage} if self.stage else {}),
            "running": self.running,
            "sent": self.sent,
            "spooled": self.spooled,
            "spooled_bytes": self.spooled_bytes,
            "jobs_per_second": round(self.rate.per_second(), 3),
            "seconds_left": self.seconds_left,
            "workers": self.stats.workers,
            "cores": self.stats.cores,
            "tasks_waiting": self.stats.waiting,
            "tasks_running": self.stats.running,
            "workers_lost": self.stats.workers_lost,
            "trouble": self.trouble,
            "hold": self.hold.published() if self.hold else None,
            "hosts": self.hosts(),
            "slow": stragglers.published(self.slow),
            "memory": self.memory(),
            "stale_survey": self.stale_survey,
            "port": self.port,
            "listens_on": self.host,
            **({"workers_of": self.workers_of} if self.workers_of else {}),
        }


def overview(store: Store, spool: Spool, recipe: Recipe | None) -> dict[str, Any]:
    """The document counts of a campaign, from the database, the spool and the running master.

    `running` documents are on workers. `pending` ones are not done, failed, running or spooled, so
    the five counts add up to all documents of the campaign. `partly_done` states for each step how
    many documents lack its result but have a result of another step. `warned` is the number of
    documents about whose results a check warns; None if counting them takes too long. `stale`
    documents are done, but hold another molecule now; None if they were not compared: there is no
    `recipe`, or the collection is large and no master runs. `control` has the pause and the blocked
    hosts that users have ordered, and `commands` their last commands, the newest first.
    `failed_with_other_recipe` is the number of failed documents that the next run computes again;
    None without a `recipe`.
    """
    with ThreadPoolExecutor() as pool:
        counting = pool.submit(store.counts)
        partly_done = pool.submit(store.partly_done)
        warned = pool.submit(store.warned, _WARNED_SECONDS)
        live = store.presence.published()
        survey = recipe and _surveyed(store, recipe, live)
        failed_otherwise = recipe and store.ledger.failed_otherwise(recipe.hash)
    counts = counting.result()
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
        "failed_with_other_recipe": failed_otherwise,
        "partly_done": partly_done.result(),
        "warned": warned.result(),
        "stale": survey and survey["stale"],
        "stale_survey": survey,
        "master": live,
        "control": store.commands.orders().stored(),
        "commands": store.commands.last(_SHOWN_COMMANDS),
    }


def _surveyed(
    store: Store, recipe: Recipe, live: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """How many results are stale; in a large collection, what a running master has found."""
    if recipe_guard.is_small(store):
        return stale.survey(store, recipe, _STALE_SECONDS).as_json()
    return live and live.get("stale_survey")


def speed(per_second: float) -> str:
    """A rate in a readable unit: 27.8 jobs/s, 6.0 jobs/min, 1.5 jobs/h."""
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1 or not per_second:
            return f"{per_second * seconds:.1f} jobs/{unit}"
    return f"{per_second * 3600:.1f} jobs/h"


def counts(progress: Progress) -> str:
    """The number of documents in each state; each document is in one of them."""
    total = "?" if progress.total is None else f"{progress.total:,}"
    pending = "?" if progress.pending is None else f"{progress.pending:,}"
    return (
        f"{progress.all_done:,}/{total} done, {progress.all_failed:,} failed, "
        f"{progress.running:,} running, {progress.spooled:,} spooled, {pending} pending"
    )


def duration(seconds: float | None) -> str:
    """A duration in readable units: 42 s, 3 min 05 s, 2 h 07 min, 3 d 4 h; "?" for None."""
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


def expectation(seconds: float | None) -> str:
    """How long a task was expected to take; None if that is unknown."""
    if seconds is None:
        return "unknown"
    return duration(seconds) if seconds >= 1 else "less than 1 s"


def time_left(progress: Progress) -> str:
    """How long the rest of the run will take: "3 min 05 s left"."""
    if progress.seconds_left is None:
        return "time left unknown"
    if progress.left == 0:
        return "nothing left"
    return f"{duration(progress.seconds_left)} left"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def line(progress: Progress) -> str:
    """A plain line for a log, which `run` prints every ten seconds if its output is piped."""
    parts = [
        counts(progress),
        speed(progress.rate.per_second()),
        time_left(progress),
        f"{_counted(progress.stats.workers, 'worker')}, {_counted(progress.stats.cores, 'core')}",
    ]
    if progress.warned:
        parts.append(f"checks warn about {progress.warned:,}")
    if progress.trouble:
        parts.append(progress.trouble)
    stage = f"{progress.stage}: " if progress.stage else ""
    return f"{progress.campaign}: {stage}{', '.join(parts)}"


def slowest(slow: Sequence[Slow]) -> str | None:
    """The task that takes longest beyond what is expected, in words; None if there is none."""
    if not slow:
        return None
    first, more = slow[0], len(slow) - 1
    text = f"document {quoted(first.document)}"
    if first.jobs > 1:
        text += f" and {_counted(first.jobs - 1, 'other')} of this task"
    text += f" on {quoted(first.host)} for {duration(first.seconds)}"
    also = f"; {_counted(more, 'other task')} as well" if more else ""
    return f"slow: {text} (expected: {expectation(first.expected)}){also}"
