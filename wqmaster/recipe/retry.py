"""What comes after a failed attempt: the same elsewhere, the same with a remedy, or nothing.

A class that running the same again can help (`FailureClass.again`) is retried elsewhere, and uses
up no rung. Any other has a ladder of rungs, from the program's task module or from `remedies:` in
the campaign; each rung is tried at most once for a document and step. Rungs of different ladders
add up: what had been cured stays cured. Pure functions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import MAX_ATTEMPTS, FailureClass
from wqmaster.tasks.base import Ladders, Rung

# In the place of a step's name, which it cannot be: where the engine has ended a job without
# saying in which.
WHOLE_JOB = "(job)"
# By the step's name: the names of the rungs that it takes.
Plan = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Past:
    """A failed attempt, as the next one is planned from it."""

    attempt: int  # counted from 1
    kind: FailureClass | None  # None: a class that this version does not know
    step: str | None
    remedy: Plan = field(default_factory=dict)  # what that attempt had taken
    # Whether a person asked for another try after it, or changed the document.
    retried: bool = False
    recipe: str | None = None  # hash of what was asked
    molecule: str | None = None  # fingerprint of what was computed; None: there was no molecule


def plan_of(value: Any) -> dict[str, tuple[str, ...]]:
    """A plan as JSON or the database hold it."""
    if not isinstance(value, Mapping):
        return {}
    return {str(step): tuple(map(str, names)) for step, names in value.items()}


@dataclass(frozen=True)
class GiveUp:
    """No further attempt would help."""

    plan: Plan = field(default_factory=dict)  # should the document be run all the same


@dataclass(frozen=True)
class Again:
    """The same once more, or for the first time."""

    plan: Plan = field(default_factory=dict)  # empty


@dataclass(frozen=True)
class WithRemedies:
    """Once more with the remedies of `plan`."""

    plan: Plan


Decision = GiveUp | Again | WithRemedies


def decide(ladders: Ladders, history: Sequence[Past]) -> Decision:
    """What comes after the failed attempts of a document, `history`, the first one first."""
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
    """The last plan with the next rung of the ladder of the last failure."""
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
    """The rungs of these names; one that the campaign no longer has is left out."""
    known = {rung.name: rung for ladder in ladders.values() for rung in ladder}
    return tuple(known[name] for name in names if name in known)


@dataclass(frozen=True)
class Factors:
    """How much more than `resources:` and `job_timeout` an attempt may use."""

    memory: float = 1.0
    disk: float = 1.0
    time: float = 1.0


@dataclass(frozen=True)
class Remedies:
    """The remedies of one attempt, resolved. It is false where there are none."""

    plan: Plan = field(default_factory=dict)
    rungs: Mapping[str, tuple[Rung, ...]] = field(default_factory=dict)  # by the step's name
    factors: Factors = Factors()  # the largest of all steps

    def __bool__(self) -> bool:
        return bool(self.plan)


NO_REMEDIES = Remedies()


def remedies(ladders: Ladders, plan: Plan) -> Remedies:
    """The remedies of a plan, as the campaign has them now."""
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
