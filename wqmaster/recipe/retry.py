"""What follows a failed attempt: the same job elsewhere, the job with a remedy, or nothing.

If running the same job again can help (`FailureClass.again`), it is retried elsewhere and uses no
rung. Any other class has a ladder of rungs, from the program's task module or from the campaign's
`remedies:`; each rung is tried at most once for a document and step. Rungs of different ladders
add up, so that an earlier remedy stays in effect. Pure functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import MAX_ATTEMPTS, FailureClass
from wqmaster.tasks.base import Ladders, Rung

# Stands for the step if the engine ended a job in an unknown step. It is not a valid step name.
WHOLE_JOB = "(job)"
# Step name -> the names of the rungs that it uses.
Plan = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Past:
    """A failed attempt: the data from which the next one is planned."""

    attempt: int  # counted from 1
    kind: FailureClass | None  # None: this version does not know the class
    step: str | None
    remedy: Plan = field(default_factory=dict)  # the remedies that it used
    # Whether the user asked for another try after it, or changed the document.
    retried: bool = False
    recipe: str | None = None  # hash of what was asked for
    molecule: str | None = None  # fingerprint; None if there was no molecule


def plan_of(value: Any) -> dict[str, tuple[str, ...]]:
    """The plan that JSON or the database holds as `value`."""
    if not isinstance(value, Mapping):
        return {}
    return {str(step): tuple(map(str, names)) for step, names in value.items()}


@dataclass(frozen=True)
class GiveUp:
    """No further attempt would help."""

    plan: Plan = field(default_factory=dict)  # used if the document is run anyway


@dataclass(frozen=True)
class Again:
    """Run the job without remedies, for the first time or again."""

    plan: Plan = field(default_factory=dict)  # empty


@dataclass(frozen=True)
class WithRemedies:
    """Run the job again with the remedies of `plan`."""

    plan: Plan


Decision = GiveUp | Again | WithRemedies


def decide(ladders: Ladders, history: Sequence[Past]) -> Decision:
    """The decision after the failed attempts of a document; `history` is in their order."""
    if not history:
        return Again()
    last = history[-1]
    if last.kind is not None and last.kind.again:
        asked = max((n for n, past in enumerate(history) if past.retried), default=-1)
        lost = sum(past.kind is not None and past.kind.again for past in history[asked + 1 :])
        return _as_before(last) if lost < MAX_ATTEMPTS else GiveUp()
    higher = _higher(ladders, history)
    if higher is not None:
        return WithRemedies(higher)
    return _as_before(last) if last.retried else GiveUp()


def _as_before(last: Past) -> Decision:
    return WithRemedies(last.remedy) if last.remedy else Again()


def _higher(ladders: Ladders, history: Sequence[Past]) -> dict[str, tuple[str, ...]] | None:
    """The last plan plus the next rung of the last failure's ladder; None if none is left."""
    last = history[-1]
    if last.kind is None:
        return None
    step = last.step or WHOLE_JOB
    ladder = [rung.name for rung in ladders.get(last.kind, ())]
    tried = {name for past in history for name in past.remedy.get(step, ())}
    rung = next((name for name in ladder if name not in tried), None)
    if rung is None:
        return None
    others = tuple(name for name in last.remedy.get(step, ()) if name not in ladder)
    return {**last.remedy, step: (*others, rung)}


def _rungs(ladders: Ladders, names: Sequence[str]) -> tuple[Rung, ...]:
    """The rungs with these names, without those that the campaign no longer has."""
    known = {rung.name: rung for ladder in ladders.values() for rung in ladder}
    return tuple(known[name] for name in names if name in known)


@dataclass(frozen=True)
class Factors:
    """Factors on `resources:` and `job_timeout` for an attempt."""

    memory: float = 1.0
    disk: float = 1.0
    time: float = 1.0


@dataclass(frozen=True)
class Remedies:
    """The resolved remedies of one attempt; false if there are none."""

    plan: Plan = field(default_factory=dict)
    rungs: Mapping[str, tuple[Rung, ...]] = field(default_factory=dict)  # by step name
    factors: Factors = Factors()  # the largest of all steps

    def __bool__(self) -> bool:
        return bool(self.plan)


NO_REMEDIES = Remedies()


def remedies(ladders: Ladders, plan: Plan) -> Remedies:
    """The remedies of a plan, as the campaign defines them now."""
    if not plan:
        return NO_REMEDIES
    by_step = {step: _rungs(ladders, names) for step, names in plan.items()}
    taken = [rung for rungs in by_step.values() for rung in rungs]
    factors = Factors(
        memory=max((rung.memory or 1.0 for rung in taken), default=1.0),
        disk=max((rung.disk or 1.0 for rung in taken), default=1.0),
        time=max((rung.time or 1.0 for rung in taken), default=1.0),
    )
    return Remedies(plan, by_step, factors)
