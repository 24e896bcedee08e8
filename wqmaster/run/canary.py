"""The canary: the first documents of a run are computed before the others.

If most of them fail with the same class, the campaign is at fault and not the molecules, and the
run is held before it has failed every document in the same way.
"""

import math
from collections import Counter
from collections.abc import Sequence

from wqmaster.campaign.waste import Canary
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.gates import Room
from wqmaster.run.holds import Hold, HoldKind, quoted

# A task has at most this share of the canary, so that many workers compute it.
_TASK_SHARE = 0.1


class CanaryMeter:
    """Holds a run after the canary until its verdicts are known, or for good if it fails.

    A document counts with its last verdict: a result, or the failure after which it has failed.
    `command` lets the run go on. `run_command` begins a new run, if this one has ended.
    """

    def __init__(self, canary: Canary, command: str, run_command: str) -> None:
        self._jobs = canary.jobs
        self._limit = _limit(canary)
        self._command = command
        self._run_command = run_command
        self._keys: set[str] = set()  # the documents of the canary
        self._waiting: set[str] = set()  # those of them without a verdict
        self._failures: Counter[str] = Counter()
        self._examples: dict[str, tuple[EndedJob, JobFailure]] = {}
        self._hosts: dict[str, set[str]] = {}
        self._is_over = False

    @property
    def is_over(self) -> bool:
        """Whether all documents may pass."""
        return self._is_over

    def sent(self, keys: Sequence[str]) -> None:
        """Add documents to the canary until it is complete."""
        if self._is_over:
            return
        new = [key for key in dict.fromkeys(keys) if key not in self._keys]
        self._keys.update(new)
        self._waiting.update(new)

    def ended(self, task: Ended) -> None:
        """Count the verdicts of the canary's documents."""
        if self._is_over:
            return
        for job in task.jobs:
            failure = job.failure
            if job.key not in self._waiting or (failure is not None and not failure.final):
                continue
            self._waiting.remove(job.key)
            if failure is not None:
                kind = failure.failure_class
                self._failures[kind] += 1
                self._examples.setdefault(kind, (job, failure))
                self._hosts.setdefault(kind, set()).add(job.host)
        open_ = self._jobs - self._decided
        if self._worst[1] < self._limit and self._worst[1] + open_ < self._limit:
            self._end()

    def idle(self) -> None:
        """Replace documents that have no verdict: they were deleted or computed by another."""
        self._keys -= self._waiting
        self._waiting.clear()

    @property
    def _decided(self) -> int:
        return len(self._keys) - len(self._waiting)

    @property
    def _worst(self) -> tuple[str, int]:
        return self._failures.most_common(1)[0] if self._failures else ("", 0)

    def hold(self) -> Hold | None:
        """A hold if the canary failed, or a routine one until its verdicts are known."""
        if self._is_over or len(self._keys) < self._jobs:
            return None
        kind, count = self._worst
        if count >= self._limit:
            job, failure = self._examples[kind]
            hosts = len(self._hosts[kind] - {""})
            where = f" on {hosts} host{'' if hosts == 1 else 's'}" if hosts else ""
            return Hold(
                HoldKind.CANARY,
                f"{count} of the first {self._decided} documents failed with {kind}{where}, for "
                f"example {quoted(job.key)}: {quoted(failure.message)}",
                self._command,
                retries_go_on=True,
                afterwards=f"fix the cause, then: {self._run_command}; or compute the rest anyway: "
                f"{self._run_command} --no-canary",
            )
        reason = (
            f"waiting for the first {self._jobs} documents ({self._decided} have ended); the rest "
            "then follows automatically"
        )
        return Hold(HoldKind.CANARY, reason, is_routine=True, retries_go_on=True)

    def room(self) -> Room:
        """As many new documents as the canary lacks. Retries of its documents may always pass."""
        if self._is_over:
            return Room()
        # A canary that has failed is completed all the same: if there are no further documents, the
        # run ends by itself.
        new = max(0, self._jobs - len(self._keys))
        return Room(new=new, bundle=max(1, math.ceil(self._jobs * _TASK_SHARE)))

    def release(self) -> bool:
        """Let the run go on although the canary failed; return whether it held the run."""
        hold = self.hold()
        if hold is None or hold.is_routine:
            return False
        self._end()
        return True

    def _end(self) -> None:
        """Let all documents pass from now on."""
        self._is_over = True
        self._keys.clear()
        self._waiting.clear()
        self._examples.clear()


def _limit(canary: Canary) -> int:
    """How many failures of one class hold the run."""
    # Rounding errors must not turn 0.8 x 50 into 41.
    return max(1, math.ceil(canary.stop_share * canary.jobs - 1e-9))


def good_enough(canary: Canary) -> int:
    """How many results show that the canary can no longer fail."""
    return canary.jobs - _limit(canary) + 1
