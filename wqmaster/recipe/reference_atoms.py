"""Check the section `reference_atoms` of a campaign."""

from collections.abc import Iterable

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.jobs.ground_states import GROUND_STATES
from wqmaster.jobs.molecule import NUMBER_OF
from wqmaster.recipe.task_function import TaskFunction


def check_reference_atoms(loaded: LoadedCampaign, functions: Iterable[TaskFunction]) -> None:
    """Check the elements and multiplicities of a campaign's reference atoms.

    Raises:
        CampaignError: an element is unknown, a multiplicity is impossible, missing or not asked
            for, or a task function needs no molecule, so that its energy cannot be compared with
            that of atoms.
    """
    asked = loaded.campaign.reference_atoms
    if asked is None:
        return
    section = "reference_atoms"
    for function in functions:
        if not function.traits.molecule:
            raise loaded.source.error(
                f"{function.name} does not compute the molecules of documents, so reference atoms "
                "have no meaning; remove 'reference_atoms'",
                section,
            )
    stated: list[tuple[str, tuple[str, ...]]]
    stated = [(symbol, (section, "multiplicities", symbol)) for symbol in asked.multiplicities]
    stated += [(symbol, (section, "elements")) for symbol in asked.elements or ()]
    for symbol, place in stated:
        if symbol not in NUMBER_OF:
            right = symbol.capitalize()
            hint = f"; did you mean '{right}'?" if right in NUMBER_OF else ""
            raise loaded.source.error(f"'{symbol}' is not the symbol of an element{hint}", *place)
        if symbol not in GROUND_STATES and symbol not in asked.multiplicities:
            raise loaded.source.error(
                f"the ground state of {symbol} is not known; state its multiplicity: "
                f"'multiplicities: {{{symbol}: ...}}'",
                *place,
            )
    for symbol, multiplicity in asked.multiplicities.items():
        if asked.elements is not None and symbol not in asked.elements:
            raise loaded.source.error(
                f"'multiplicities' names {symbol}, which is not among 'elements'; add it there, or "
                "remove it here",
                section,
                "multiplicities",
                symbol,
            )
        electrons = NUMBER_OF[symbol]
        if (electrons - multiplicity + 1) % 2 or multiplicity - 1 > electrons:
            raise loaded.source.error(
                f"multiplicity {multiplicity} is impossible for {symbol}, which has {electrons} "
                f"electron{'' if electrons == 1 else 's'}",
                section,
                "multiplicities",
                symbol,
            )
