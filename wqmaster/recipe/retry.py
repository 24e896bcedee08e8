"""Decide what follows a failed attempt: the same job elsewhere, the job with a remedy, or nothing.

If running the same job again can help (`FailureClass.again`), the job is retried elsewhere and uses
no rung. Any other failure class can have a ladder of rungs, which comes from the program's task
module or from the campaign's `remedies:`. Each rung is tried at most once per document and step.
Rungs from different ladders add up, so an earlier remedy stays in effect. All functions are pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import MAX_ATTEMPTS, FailureClass
from wqmaster.tasks.base import Ladders, Rung

# Stands for the step if the engine ended a job in an unknown step. No step can have this name.
WHOLE_JOB = "(job)"
# Maps each step's name to its ladders. Those of WHOLE_JOB serve jobs that ended in an unknown step.
JobLadders = Mapping[str, Ladders]
# Maps each step's name to the names of the rungs that the step uses.
Plan = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Past:
    """A failed attempt, with the data from which the next attempt is planned."""

    attempt: int  # counted from 1
    kind: FailureClass | None  # None: this version does not know the class
    step: str | None  # None: the step is unknown
    remedy: Plan = field(default_factory=dict)  # the remedies that the attempt used
    # Whether the user asked for another attempt after this one, or changed the document.
    retried: bool = False
    recipe: str | None = None  # the recipe's hash
    molecule: str | None = None  # the molecule's fingerprint; None if there was no molecule
    memory: int | None = None  # the memory in MB that the job had; None if it was not stated


def plan_of(value: Any) -> dict[str, tuple[str, ...]]:
    """The plan in `value`, which comes from JSON or the database; {} if it is not a mapping."""
    if not isinstance(value, Mapping):
        return {}
    return {str(step): tuple(map(str, names)) for step, names in value.items()}


@dataclass(frozen=True)
class GiveUp:
    """No further attempt would help."""

    plan: Plan = field(default_factory=dict)  # used if the document runs again anyway


@dataclass(frozen=True)
class Again:
    """Run the job without remedies, for the first time or again."""

    plan: Plan = field(default_factory=dict)  # empty


@dataclass(frozen=True)
class WithRemedies:
    """Run the job again with the remedies of `plan`."""

    plan: Plan


Decision = GiveUp | Again | WithRemedies


def decide(ladders: JobLadders, history: Sequence[Past]) -> Decision:
    """Decide what follows a document's failed attempts; `history` lists them from first to last."""
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


def _higher(ladders: JobLadders, history: Sequence[Past]) -> dict[str, tuple[str, ...]] | None:
    """The last plan with the next rung of the last failure's ladder; None if no rung is left.

    In the failed step, the new rung replaces any earlier rung from the same ladder.
    """
    last = history[-1]
    if last.kind is None:
        return None
    step = last.step or WHOLE_JOB
    ladder = [rung.name for rung in ladders.get(step, {}).get(last.kind, ())]
    tried = {name for past in history for name in past.remedy.get(step, ())}
    rung = next((name for name in ladder if name not in tried), None)
    if rung is None:
        return None
    others = tuple(name for name in last.remedy.get(step, ()) if name not in ladder)
    return {**last.remedy, step: (*others, rung)}


def _rungs(ladders: Ladders, names: Sequence[str]) -> tuple[Rung, ...]:
    """The rungs with these names. Names that no ladder contains any longer are ignored."""
    known = {rung.name: rung for ladder in ladders.values() for rung in ladder}
    return tuple(known[name] for name in names if name in known)


@dataclass(frozen=True)
class Factors:
    """The factors by which an attempt multiplies `resources:` and `job_timeout`."""

    memory: float = 1.0
    disk: float = 1.0
    time: float = 1.0


@dataclass(frozen=True)
class Remedies:
    """The resolved remedies of one attempt; false if there are none."""

    plan: Plan = field(default_factory=dict)
    rungs: Mapping[str, tuple[Rung, ...]] = field(default_factory=dict)  # rungs by the step's name
    factors: Factors = Factors()  # each factor is the largest among all rungs

    def __bool__(self) -> bool:
        return bool(self.plan)


NO_REMEDIES = Remedies()


def remedies(ladders: JobLadders, plan: Plan) -> Remedies:
    """The remedies in a plan, as the campaign defines them now."""
    if not plan:
        return NO_REMEDIES
    by_step = {step: _rungs(ladders.get(step, {}), names) for step, names in plan.items()}
    taken = [rung for rungs in by_step.values() for rung in rungs]
    factors = Factors(
        memory=max((rung.memory or 1.0 for rung in taken), default=1.0),
        disk=max((rung.disk or 1.0 for rung in taken), default=1.0),
        time=max((rung.time or 1.0 for rung in taken), default=1.0),
    )
    return Remedies(plan, by_step, factors)
