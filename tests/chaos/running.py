"""One run: start the service, disturb it by a plan, and judge it."""

import math
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.faults import FAULTS, NotDone
from tests.chaos.judge import Judge, Oplog, Verdict, Watch
from tests.chaos.plan import Plan, Planned
from tests.chaos.system import System

# How long a run may take without a new result before it counts as stuck.
_STUCK_SECONDS = 180.0
_LOOK_INTERVAL_SECONDS = 0.25


@dataclass
class Happened:
    """A fault that was done, and how long the next result took."""

    name: str
    note: str
    began: float
    ended: float  # in seconds since 1970
    # Seconds until the next result; None: no result was missing any more.
    recovery: float | None = None
    # The longest time without a result until the next fault: what was on its way when the fault
    # came can arrive at once, and hide how long the rest takes.
    pause: float | None = None
    limit: float = 0.0
    too_slow: bool = False

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        if self.recovery is None:
            return f"{self.name}{note}"
        pause = "" if self.pause is None else f" (then at most {self.pause:.1f} s)"
        return f"{self.name}{note} {self.recovery:.1f} s{' TOO SLOW' * self.too_slow}{pause}"


@dataclass
class Outcome:
    """What came of a run."""

    plan: Plan
    folder: Path
    happened: list[Happened] = field(default_factory=list)
    not_done: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    exits: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stuck: bool = False

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        found = self.verdict
        bad = (found.lost, found.doubled, found.wrong, self.exits, self.left)
        return not (any(bad) or self.stuck or any(one.too_slow for one in self.happened))


class Run:
    """Carries out a plan in `folder`, which is removed if nothing is wrong, unless `keep`.

    Results may take `patience` times the limits of faults, on a machine that does other work.
    """

    def __init__(
        self, plan: Plan, folder: Path, *, keep: bool = False, patience: float = 1.0
    ) -> None:
        self.plan = plan
        self._patience = patience
        self._keep = keep
        self.outcome = Outcome(plan, folder)
        self._folder = folder
        self._changed = time.monotonic()
        self._last = -1

    def carry_out(self) -> Outcome:
        """Do everything."""
        began = time.monotonic()
        system = System(self._folder, self.plan)
        try:
            judge = self._judge(system)
            system.start()
            self._disturb(system, judge)
            self._until(system, judge, lambda: judge.is_done)
            if not self.outcome.stuck:
                self._measure(judge)
            system.end()
            self._judge_results(judge)
            self.outcome.left = system.left()
            self.outcome.exits = system.exits
        finally:
            system.close()
        self.outcome.seconds = time.monotonic() - began
        if self.outcome.is_good and not self._keep:
            shutil.rmtree(self._folder)
        return self.outcome

    @staticmethod
    def _judge(system: System) -> Judge:
        if system.replica is not None:
            client = next(iter(system.clients.values()))
            writes: Oplog | Watch = Oplog(client, system.campaigns)
        else:
            writes = Watch(system.clients, system.campaigns)
        return Judge(system.campaigns, system.clients, system.documents, writes)

    def _judge_results(self, judge: Judge) -> None:
        self.outcome.verdict = judge.verdict()
        happened = self.outcome.happened
        for place, one in enumerate(happened):
            end = happened[place + 1].began if place + 1 < len(happened) else math.inf
            one.pause = judge.longest_pause(one.ended, end)

    # --- faults -------------------------------------------------------------------------------

    def _disturb(self, system: System, judge: Judge) -> None:
        for planned in self.plan.faults:
            if not planned.joined:
                self._until(system, judge, lambda: self._measure(judge))
            share = planned.share * self.plan.jobs
            self._until(system, judge, lambda share=share: judge.done() >= share)  # type: ignore[misc]
            if self.outcome.stuck or judge.is_done:
                self.outcome.not_done.append(f"{planned.name}: all jobs are done")
                continue
            system.watch(lambda: judge.is_done)
            self._do(planned, system)

    def _do(self, planned: Planned, system: System) -> None:
        chance = random.Random(planned.seed)  # noqa: S311  # not for secrets
        time.sleep(chance.uniform(0.0, 0.7))
        fault, began = FAULTS[planned.name], time.time()
        try:
            note = fault.do(system, chance)
        except NotDone as reason:
            self.outcome.not_done.append(f"{planned.name}: {reason}")
            return
        done = Happened(fault.name, note, began, time.time(), limit=fault.limit)
        self.outcome.happened.append(done)
        self._changed = time.monotonic()

    def _measure(self, judge: Judge) -> bool:
        """Note how long results took after the last faults; return whether all have come."""
        waiting = []
        for one in reversed(self.outcome.happened):
            if one.recovery is not None:
                break
            waiting.append(one)
        if not waiting:
            return True
        # Faults that follow one another without a pause count together, from the last one's end.
        seconds = judge.recovered(waiting[0].ended)
        if seconds is None:
            return judge.is_done
        limit = self._patience * max(one.limit for one in waiting)
        for one in waiting:
            one.recovery, one.too_slow = seconds, seconds > limit
        return True

    def _until(self, system: System, judge: Judge, condition: Callable[[], bool]) -> None:
        """Wait for a condition, for all results, or until nothing happens any more."""
        while not self.outcome.stuck and not condition():
            done = judge.done()
            if done != self._last:
                self._last, self._changed = done, time.monotonic()
            self.outcome.stuck = time.monotonic() - self._changed > _STUCK_SECONDS
            if judge.is_done:
                return
            system.watch(lambda: judge.is_done)
            time.sleep(_LOOK_INTERVAL_SECONDS)
