"""Charge and multiplicity of a record: from the keys that the field writes, never by silent guess.

`charge` and `total_charge` are charges in e. `multiplicity`, `spin` and `total_spin` are 2S + 1, as
fairchem (`atoms.info["spin"]`, docs of UMA) and MACE (`total_spin`, mace/tools/default_keys.py)
read them; `uhf` is the number of unpaired electrons, as xtb's `--uhf` takes it. Two statements that
differ are a contradiction, and the record is refused.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.ledger import Document
from wqmaster.structures.base import Note, Options, Refused, put

_CHARGE_KEYS = ("charge", "total_charge")
_MULTIPLICITY_KEYS = ("multiplicity", "spin", "total_spin")
_UNPAIRED_KEY = "uhf"


@dataclass(frozen=True)
class Implied:
    """What a structure says of its electronic state beside such keys."""

    # Name of the source ("formal charges") -> charge.
    charges: Mapping[str, int] = field(default_factory=dict)
    # Name of the source ("radicals") -> unpaired electrons.
    unpaired: Mapping[str, int] = field(default_factory=dict)
    # Whether the unpaired electrons are a choice between several: a key may say another number.
    is_choice: bool = False
    # Whether molecules of the format are closed-shell unless it marks radicals.
    is_closed_shell: bool = False


def _whole(name: str, value: Any) -> int:
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        if isinstance(plain, bool):
            raise ValueError
        number = float(plain.strip() if isinstance(plain, str) else plain)
        if number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise Refused(f"{name} is not a whole number: {plain!r:.40}") from None
    return int(number)


def _one(what: str, stated: list[tuple[str, int]]) -> int | None:
    """The one number that all statements agree on; None without any."""
    if len({number for _, number in stated}) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in stated)
        raise Refused(f"contradictory {what}: {listed}")
    return stated[0][1] if stated else None


def _stated(info: Mapping[str, Any], names: Iterable[str], own: str) -> Iterable[tuple[str, int]]:
    lower = {str(name).lower(): (str(name), value) for name, value in info.items()}
    if own in info:
        yield f"'{own}'", _whole(f"'{own}'", info[own])
    for name in names:
        if name in lower and lower[name][0] != own:
            yield f"'{lower[name][0]}'", _whole(f"'{lower[name][0]}'", lower[name][1])


def charge_of(info: Mapping[str, Any], implied: Implied, options: Options) -> int | None:
    """The charge in e that a record states; None if it states none.

    Raises:
        Refused: it states two, or one that is not a whole number.
    """
    stated = list(_stated(info, _CHARGE_KEYS, options.fields.charge))
    stated += implied.charges.items()
    if options.charge is not None:
        stated.append(("--charge", options.charge))
    return _one("charges", stated)


def multiplicity_of(info: Mapping[str, Any], implied: Implied, options: Options) -> int | None:
    """The multiplicity 2S + 1 that a record states; None if it states none.

    Raises:
        Refused: it states two, or one that is not a whole number above 0.
    """
    stated = list(_stated(info, _MULTIPLICITY_KEYS, options.fields.multiplicity))
    unpaired = list(_stated(info, (_UNPAIRED_KEY,), ""))
    stated += [(f"{name} (unpaired electrons)", number + 1) for name, number in unpaired]
    if options.multiplicity is not None:
        stated.append(("--multiplicity", options.multiplicity))
    for name, number in stated:
        if number < 1:
            raise Refused(f"{name} is {number}, not a multiplicity 2S + 1")
    if not (implied.is_choice and stated):
        stated += [(name, number + 1) for name, number in implied.unpaired.items()]
    return _one("multiplicities", stated)


def set_state(
    document: Document, info: Mapping[str, Any], implied: Implied, options: Options
) -> set[Note]:
    """Write charge and multiplicity into a document; what was assumed.

    Raises:
        Refused: as `charge_of` and `multiplicity_of`.
    """
    notes = set()
    charge = charge_of(info, implied, options)
    multiplicity = multiplicity_of(info, implied, options)
    if charge is None:
        notes.add(Note.NO_CHARGE)
    if multiplicity is None and not implied.is_closed_shell:
        notes.add(Note.NO_MULTIPLICITY)
    put(document, options.fields.charge, charge or 0)
    put(document, options.fields.multiplicity, 1 if multiplicity is None else multiplicity)
    return notes
