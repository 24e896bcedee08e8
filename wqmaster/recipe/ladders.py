"""Combine the program's remedies and the campaign's `remedies:` into the ladders of a recipe."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from wqmaster.campaign.loading import LoadedCampaign, describe
from wqmaster.campaign.models import nearest
from wqmaster.jobs.failures import FailureClass, Family
from wqmaster.recipe.retry import WHOLE_JOB, JobLadders
from wqmaster.tasks.base import Ladders, Rung, Traits

# The settings of a rung that every program understands.
_COMMON_SETTINGS = frozenset(Rung.model_fields)


def job_ladders(loaded: LoadedCampaign, traits_of_steps: Mapping[str, Traits]) -> JobLadders:
    """The ladders of each step, by its name, and those for a job that ended in an unknown step.

    Raises:
        CampaignError: as `ladders_of`; or `remedies:` names neither a step nor a failure class.
    """
    ladders = {step: ladders_of(loaded, traits, step) for step, traits in traits_of_steps.items()}
    one = len({id(traits) for traits in traits_of_steps.values()}) == 1
    whole: dict[FailureClass, list[Rung]] = {}
    for of_step in ladders.values():
        for kind, ladder in of_step.items():
            there = whole.setdefault(kind, [])
            names = {rung.name for rung in there}
            there += [
                rung
                for rung in ladder
                # In a chain, a rung that changes one program's input is of no use for another.
                if rung.name not in names and (one or rung.model_fields_set <= _COMMON_SETTINGS)
            ]
    return {**ladders, WHOLE_JOB: whole}


def _given(
    loaded: LoadedCampaign, step: str
) -> Iterator[tuple[FailureClass, Sequence[dict[str, Any] | str], tuple[str | int, ...]]]:
    """The campaign's own ladders for a step: class, entries, keys in the campaign file."""
    remedies = loaded.campaign.remedies or {}
    below = remedies.get(step)
    steps = {one.name for one in loaded.campaign.steps}
    for label, entries in remedies.items():
        if isinstance(entries, dict):
            if label not in steps:
                raise loaded.source.error(
                    f"there is no step '{label}'; {nearest(label, steps)}", "remedies", label
                )
        elif label in steps and label not in {kind.label for kind in FailureClass}:
            raise loaded.source.error(
                f"'{label}' is a step; write its remedies as {{{label}: {{CLASS: [...]}}}}",
                "remedies",
                label,
            )
        elif not (isinstance(below, dict) and label in below):
            yield _curable(loaded, label, "remedies", label), entries, ("remedies", label)
    for label, entries in below.items() if isinstance(below, dict) else ():
        keys = ("remedies", step, label)
        yield _curable(loaded, label, *keys), entries, keys


def ladders_of(loaded: LoadedCampaign, traits: Traits, step: str) -> Ladders:
    """The ladders of a step's program, each replaced by that of the campaign's `remedies:`, if any.

    A program's remedy is left out if it multiplies an amount of memory or disk that the campaign
    does not set. If all workers run on this machine, remedies that need more memory than it has are
    left out too.

    Raises:
        CampaignError: the campaign names an unknown remedy or failure class, has an invalid remedy,
            or gives two different remedies one name. The message contains the file and the line.
    """
    campaign = loaded.campaign
    if campaign.remedies is False:
        return {}
    memory, disk = campaign.resources.first_memory, campaign.resources.disk
    own = {FailureClass.DISK_LIMIT: (traits.rung(name="disk_2x", disk=2),), **traits.ladders}
    is_learned = campaign.resources.learned_memory is not None
    if is_learned:
        # What is learned can be too little for any program.
        more = (traits.rung(name=f"memory_{factor}x", memory=factor) for factor in (2, 4))
        own = {FailureClass.MEMORY: tuple(more), **own}
    ladders: dict[FailureClass, list[Rung]] = {
        # An unknown amount of memory or disk cannot be multiplied.
        kind: [rung for rung in ladder if not _unknown(rung, memory, disk)]
        for kind, ladder in own.items()
    }
    known = {rung.name: rung for ladder in own.values() for rung in ladder}
    for kind, entries, place in _given(loaded, step):
        ladders[kind] = []
        for position, entry in enumerate(entries):
            keys = (*place, position)
            if isinstance(entry, str):
                if entry not in known:
                    hint = nearest(entry, known)
                    raise loaded.source.error(f"there is no remedy '{entry}'; {hint}", *keys)
                rung = known[entry]
            else:
                try:
                    rung = traits.rung.model_validate(entry)
                except ValidationError as error:
                    raise describe(error, loaded.source, *keys) from error
            unknown = _unknown(rung, memory, disk)
            if unknown:
                raise loaded.source.error(
                    f"'{rung.name}' asks for {getattr(rung, unknown):g} times the {unknown}, but "
                    f"the campaign does not set it; add 'resources: {{{unknown}: MB}}'",
                    *keys,
                )
            ladders[kind].append(rung)
    if campaign.workers.on_this_machine and memory is not None and not is_learned:
        # A task that needs more memory than this machine has would wait forever.
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
        ladders = {
            kind: [rung for rung in ladder if rung.memory is None or rung.memory * memory <= most]
            for kind, ladder in ladders.items()
        }
    named: dict[str, Rung] = {}
    for rung in (rung for ladder in ladders.values() for rung in ladder):
        if named.setdefault(rung.name, rung) != rung:
            raise loaded.source.error(
                f"two different remedies are named '{rung.name}'; rename yours", "remedies"
            )
    return ladders


def _unknown(rung: Rung, memory: int | None, disk: int | None) -> str | None:
    """The resource that `rung` multiplies but whose amount is unknown; None if there is none."""
    if rung.memory is not None and memory is None:
        return "memory"
    return "disk" if rung.disk is not None and disk is None else None


def _curable(loaded: LoadedCampaign, label: str, *keys: str) -> FailureClass:
    """The failure class with this label.

    Raises:
        CampaignError: there is no such class, or it cannot have remedies.
    """
    curable = {
        kind.label: kind
        for kind in FailureClass
        if not kind.again and kind.family is not Family.INPUT
    }
    if label not in curable:
        all_labels = {kind.label: kind for kind in FailureClass}
        message = f"unknown failure class '{label}'; {nearest(label, curable)}"
        if label in all_labels:
            why = (
                "such jobs are retried elsewhere unchanged"
                if all_labels[label].again
                else "a wrong input is never retried"
            )
            message = f"there are no remedies for '{label}': {why}"
        raise loaded.source.error(message, *keys)
    return curable[label]
