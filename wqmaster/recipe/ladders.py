"""Combine the program's remedies and the campaign's `remedies:` into the ladders of a recipe."""

import os

from pydantic import ValidationError

from wqmaster.campaign.loading import LoadedCampaign, describe
from wqmaster.campaign.models import nearest
from wqmaster.jobs.failures import FailureClass, Family
from wqmaster.tasks.base import Ladders, Rung, Traits


def ladders_of(loaded: LoadedCampaign, traits: Traits) -> Ladders:
    """The program's ladders. A ladder in the campaign's `remedies:` replaces the program's.

    A program's remedy is left out if it multiplies an amount of memory or disk that the campaign
    does not set. If all workers run on this machine, remedies that need more memory than it has are
    left out too.

    Raises:
        CampaignError: the campaign names an unknown remedy or failure class, has an invalid remedy,
            or gives two different remedies one name. The message contains the file and the line.
    """
    campaign = loaded.campaign
    given = campaign.remedies
    if given is False:
        return {}
    memory, disk = campaign.resources.memory, campaign.resources.disk
    own = {FailureClass.DISK_LIMIT: (traits.rung(name="disk_2x", disk=2),), **traits.ladders}
    ladders: dict[FailureClass, list[Rung]] = {
        # An unknown amount of memory or disk cannot be multiplied.
        kind: [rung for rung in ladder if not _unknown(rung, memory, disk)]
        for kind, ladder in own.items()
    }
    known = {rung.name: rung for ladder in own.values() for rung in ladder}
    for label, entries in given.items():
        kind = _curable(loaded, label)
        ladders[kind] = []
        for position, entry in enumerate(entries):
            keys = ("remedies", label, position)
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
    if campaign.workers.on_this_machine and memory is not None:
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


def _curable(loaded: LoadedCampaign, label: str) -> FailureClass:
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
        raise loaded.source.error(message, "remedies", label)
    return curable[label]
