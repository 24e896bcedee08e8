"""The circuit breaker: hold a run in which most jobs suddenly fail with the same class.

How many verdicts that takes depends on what a class says about its cause: a lost file system shows
in a hundred of them, whereas hundreds of hard molecules in a row are normal in sorted input. After
a pause, a few documents are tried, and the run goes on by itself if they do not fail in the same
way.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from wqmaster.campaign.waste import Breaker, Threshold
from wqmaster.jobs.failures import FailureClass, Family
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.gates import Room
from wqmaster.run.holds import Hold, HoldKind, quoted

# By how much the share of a class must be larger than before.
_MIN_RISE = 0.3
# How many verdicts before the window count as "before"; older ones fade.
_MEMORY_VERDICTS = 2000
# The longest pause between two trials.
MAX_PAUSE_SECONDS = 3600.0
# A trial succeeds if less than this share of it fails with the class that held the run.
_TRIAL_SHARE = 0.5
# The largest factor by which a user who lets the run go on repeatedly raises a number of verdicts.
_MAX_PATIENCE = 16


class Cause(StrEnum):
    """What a failure class is likely to be caused by; the names of thresholds in `breaker:`."""

    INFRASTRUCTURE = "infrastructure"
    PROGRAM = "program"
    SCIENCE = "science"


def cause_of(kind: str) -> Cause:
    """The likely cause of a failure class, by its label."""
    found = FailureClass.of(kind)
    if found is FailureClass.DOCUMENT_CHANGED:
        return Cause.SCIENCE  # somebody edits the documents
    if found.family is Family.INFRASTRUCTURE:
        return Cause.INFRASTRUCTURE
    return Cause.PROGRAM if found.family in (Family.PROGRAM, Family.PARSE) else Cause.SCIENCE


@dataclass(frozen=True)
class _Verdict:
    kind: str | None  # the failure class; None for a result
    host: str


@dataclass
class _Window:
    """The last verdicts, and the shares of the classes before them."""

    size: int
    verdicts: deque[_Verdict] = field(default_factory=deque)
    counts: Counter[str | None] = field(default_factory=Counter)
    hosts: dict[str, Counter[str]] = field(default_factory=dict)  # by class
    before: dict[str | None, float] = field(default_factory=dict)
    weight: float = 0.0  # of all verdicts in `before`

    def add(self, verdict: _Verdict) -> None:
        self.verdicts.append(verdict)
        self.counts[verdict.kind] += 1
        if verdict.kind is not None:
            self.hosts.setdefault(verdict.kind, Counter())[verdict.host] += 1
        while len(self.verdicts) > self.size:
            self._forget(self.verdicts.popleft())

    def _forget(self, verdict: _Verdict) -> None:
        self.counts[verdict.kind] -= 1
        if verdict.kind is not None:
            hosts = self.hosts[verdict.kind]
            hosts[verdict.host] -= 1
            if not hosts[verdict.host]:
                del hosts[verdict.host]
        if self.weight > _MEMORY_VERDICTS:
            self.before = {kind: weight / 2 for kind, weight in self.before.items()}
            self.weight /= 2
        self.before[verdict.kind] = self.before.get(verdict.kind, 0.0) + 1
        self.weight += 1

    def clear(self) -> None:
        """Forget the window, and not what was before it."""
        self.verdicts.clear()
        self.counts.clear()
        self.hosts.clear()

    @property
    def is_good(self) -> bool:
        """Whether at least half of a full window are results."""
        return len(self.verdicts) >= self.size and 2 * self.counts[None] >= self.size

    @property
    def all_hosts(self) -> int:
        return len({one.host for one in self.verdicts} - {""})

    def share_before(self, kind: str) -> float:
        return self.before.get(kind, 0.0) / self.weight if self.weight else 0.0


class _State(Enum):
    CLOSED = 1  # the run sends documents
    OPEN = 2  # it pauses
    TRIAL = 3  # it tries a few documents


class BreakerMeter:
    """Holds a run when one failure class suddenly prevails on several hosts.

    `hosts_now` returns on how many hosts tasks run, `is_due` whether verdicts count: those of the
    canary do not. `command` lets the run go on, `run_command` begins a new one. `clock` returns
    seconds and never goes back.
    """

    def __init__(
        self,
        breaker: Breaker,
        command: str,
        run_command: str,
        hosts_now: Callable[[], int] = lambda: 0,
        is_due: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setting = breaker
        self._command = command
        self._run_command = run_command
        self._hosts_now = hosts_now
        self._is_due = is_due
        self._clock = clock
        self._thresholds: dict[Cause, Threshold] = {
            Cause.INFRASTRUCTURE: breaker.infrastructure,
            Cause.PROGRAM: breaker.program,
            Cause.SCIENCE: breaker.science,
        }
        self._windows = {
            cause: _Window(threshold.verdicts) for cause, threshold in self._thresholds.items()
        }
        # The factors by which a user's releases have raised the numbers of verdicts.
        self._patience = dict.fromkeys(Cause, 1)
        self._state = _State.CLOSED
        self._pauses = 0
        self._until = 0.0
        self._kind = ""
        self._reason = ""
        self._trial: set[str] = set()  # the documents that are tried and have no verdict
        self._trial_size = 0
        self._trial_failures = 0

    def sent(self, keys: Sequence[str]) -> None:
        """Take note of the documents that are tried."""
        if self._state is _State.TRIAL:
            self._trial.update(keys)
            self._trial_size += len(keys)

    def ended(self, task: Ended) -> None:
        """Count the verdicts. A failure of the infrastructure counts once for the whole task."""
        if not self._is_due():
            return
        seen: set[str] = set()
        for job in task.jobs:
            if self._state is not _State.CLOSED:
                self._try(job)
                continue
            failure = job.failure
            kind = failure.failure_class if failure else None
            if kind is not None and cause_of(kind) is Cause.INFRASTRUCTURE:
                if kind in seen:
                    continue
                seen.add(kind)
            verdict = _Verdict(kind, job.host)
            for cause, window in self._windows.items():
                window.add(verdict)
                if self._patience[cause] > 1 and window.is_good:
                    self._be_patient(cause, 1)
            if failure is not None:
                self._judge(job, failure)

    def _judge(self, job: EndedJob, failure: JobFailure) -> None:
        kind = failure.failure_class
        cause = cause_of(kind)
        window, threshold = self._windows[cause], self._thresholds[cause]
        total, count = len(window.verdicts), window.counts[kind]
        share, before = count / total, window.share_before(kind)
        if total < window.size or share < threshold.stop_share or share - before < _MIN_RISE:
            return
        on = window.hosts[kind]
        hosts, unnamed = len(set(on) - {""}), on[""]
        there = max(window.all_hosts, self._hosts_now())
        # A job that was never sent, or whose worker was lost, need not have a host.
        if 2 * unnamed < count and hosts < min(self._setting.hosts, there):
            return
        self._kind = kind
        where = f" on {hosts} host{'' if hosts == 1 else 's'}" if hosts else ""
        self._reason = (
            f"{count} of the last {total} jobs failed with {kind}{where} (before: {before:.0%}), "
            f"for example {quoted(job.key)}: {quoted(failure.message)}"
        )
        self._pauses = 0
        self._pause()

    # --- pausing and trying ------------------------------------------------------------------

    def _pause(self) -> None:
        self._state = _State.OPEN
        seconds = min(MAX_PAUSE_SECONDS, self._setting.pause * 2**self._pauses)
        self._pauses = min(self._pauses + 1, 20)
        self._until = self._clock() + seconds

    def _try(self, job: EndedJob) -> None:
        """Count the verdict of a document that is tried; others are of before the hold."""
        if self._state is not _State.TRIAL or job.key not in self._trial:
            return
        self._trial.remove(job.key)
        if job.failure is not None and job.failure.failure_class == self._kind:
            self._trial_failures += 1
        if self._trial or self._trial_size < self._setting.probe:
            return
        self._decide()

    def _decide(self) -> None:
        if self._trial_failures < _TRIAL_SHARE * self._trial_size:
            self._close()
        else:
            self._pause()

    def idle(self) -> None:
        """Decide a trial of fewer documents, if no more came or some vanished."""
        if self._state is _State.TRIAL and self._trial_size:
            self._trial_size -= len(self._trial)
            self._trial.clear()
            if self._trial_size:
                self._decide()

    def _close(self) -> None:
        self._state = _State.CLOSED
        self._trial.clear()
        for window in self._windows.values():
            window.clear()

    def hold(self) -> Hold | None:
        """A hold from the moment when a class prevails until a trial succeeds."""
        self._begin_trial()
        if self._state is _State.CLOSED:
            return None
        if self._state is _State.TRIAL:
            then = f"trying {self._setting.probe} documents"
        else:
            then = f"trying again in {max(1, round(self._until - self._clock()))} s"
        return Hold(
            HoldKind.BREAKER,
            self._reason,
            self._command,
            then=then,
            afterwards=f"fix the cause, then: {self._run_command}",
        )

    def room(self) -> Room:
        """No document while the run pauses, and a few in a trial."""
        self._begin_trial()
        if self._state is _State.CLOSED:
            return Room()
        if self._state is _State.OPEN:
            return Room(documents=0)
        return Room(documents=max(0, self._setting.probe - self._trial_size), bundle=1)

    def _begin_trial(self) -> None:
        if self._state is _State.OPEN and self._clock() >= self._until:
            self._state = _State.TRIAL
            self._trial.clear()
            self._trial_size = self._trial_failures = 0

    def _be_patient(self, cause: Cause, factor: int) -> None:
        self._patience[cause] = factor
        self._windows[cause].size = factor * self._thresholds[cause].verdicts

    def release(self) -> bool:
        """Let the run go on; return whether it was held.

        Each time, twice as many verdicts of the same cause are needed to hold the run again. Once
        half of them are results, the original number applies again.
        """
        if self._state is _State.CLOSED:
            return False
        cause = cause_of(self._kind)
        self._be_patient(cause, min(_MAX_PATIENCE, 2 * self._patience[cause]))
        self._close()
        return True
