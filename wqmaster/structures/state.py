"""The charge and multiplicity of a record, from the usual keys and never from a silent guess.

`charge`, `total_charge`, `net_charge` and PubChem's `PUBCHEM_TOTAL_CHARGE` are charges in e.
`multiplicity`, `mult`, `spin` and `total_spin` are 2S + 1, as in fairchem (`atoms.info["spin"]`,
the documentation of UMA) and MACE (`total_spin`, mace/tools/default_keys.py). `uhf` is the number
of unpaired electrons, as in xtb's `--uhf`. Case, spaces, hyphens and underscores do not matter. A
record with contradictory values is refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import Note, Options, Record, Refused, put

# Names as `known` returns them: lower case, without spaces, hyphens and underscores.
_CHARGE_KEYS = frozenset(("charge", "totalcharge", "netcharge", "pubchemtotalcharge"))
_MULTIPLICITY_KEYS = frozenset(
    ("multiplicity", "mult", "spin", "totalspin", "spinmultiplicity", "totalmultiplicity")
)
_UNPAIRED_KEYS = frozenset(("uhf", "unpaired", "unpairedelectrons", "nunpaired"))
STATE_KEYS = _CHARGE_KEYS | _MULTIPLICITY_KEYS | _UNPAIRED_KEYS
_LOOKALIKE = re.compile(r"charge|mult|spin|unpaired")
_NUMBER = re.compile(r"[-+]?\d{1,3}(\.0*)?")


@dataclass(frozen=True)
class Implied:
    """The electronic state that a structure implies, independent of any keys."""

    # The charge (e) that each source, such as "formal charges", implies.
    charges: Mapping[str, int] = field(default_factory=dict)
    # The number of unpaired electrons that each source, such as "radicals", implies.
    unpaired: Mapping[str, int] = field(default_factory=dict)
    # Whether a key can state another number of unpaired electrons without a contradiction.
    is_choice: bool = False
    # Whether the format marks all radicals, so that other molecules have closed shells.
    is_closed_shell: bool = False
    # Whether an atom belongs to the d or f block, for which no valence model predicts the spin.
    has_metal: bool = False

    @property
    def unpaired_stated(self) -> list[tuple[str, int]]:
        """Each source of unpaired electrons, with the multiplicity that it implies."""
        return [(name, number + 1) for name, number in self.unpaired.items()]


def has_metal(numbers: Iterable[int]) -> bool:
    """Whether any atomic number belongs to the d or f block (groups 3 to 12)."""
    return any(
        21 <= number <= 30 or 39 <= number <= 48 or 57 <= number <= 80 or 89 <= number <= 112
        for number in numbers
    )


def _whole(name: str, value: Any) -> int:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list) and len(plain) == 1:
        plain = plain[0]
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
    """The number that all statements agree on, or None if there are none.

    Raises:
        Refused: two statements contradict each other; the message names `what`.
    """
    if len({number for _, number in stated}) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in stated)
        raise Refused(f"contradictory {what}: {listed}")
    return stated[0][1] if stated else None


def known(name: object) -> str:
    """A normalized name: `Total charge`, `total_charge` and `TOTAL-CHARGE` become the same."""
    return re.sub(r"[\s_-]+", "", str(name)).lower()


def _stated(info: Mapping[str, Any], names: frozenset[str], own: str) -> Iterable[tuple[str, int]]:
    for name, value in info.items():
        if str(name) == own or known(name) in names:
            yield f"'{name}'", _whole(f"'{name}'", value)


def charge_of(info: Mapping[str, Any], implied: Implied, options: Options) -> int | None:
    """The charge (e) that a record states, or None if it states none.

    Raises:
        Refused: two charges contradict each other, or one is not a whole number.
    """
    stated = list(_stated(info, _CHARGE_KEYS, options.fields.charge))
    stated += implied.charges.items()
    if options.charge is not None:
        stated.append(("--charge", options.charge))
    return _one("charges", stated)


def multiplicity_of(info: Mapping[str, Any], implied: Implied, options: Options) -> int | None:
    """The multiplicity 2S + 1 that a record states, or None if it states none.

    Raises:
        Refused: two multiplicities contradict each other, or one is not a positive whole number.
    """
    return _one("multiplicities", _multiplicities(info, implied, options))


def _multiplicities(
    info: Mapping[str, Any], implied: Implied, options: Options
) -> list[tuple[str, int]]:
    stated = list(_stated(info, _MULTIPLICITY_KEYS, options.fields.multiplicity))
    unpaired = list(_stated(info, _UNPAIRED_KEYS, ""))
    stated += [(f"{name} (unpaired electrons)", number + 1) for name, number in unpaired]
    if options.multiplicity is not None:
        stated.append(("--multiplicity", options.multiplicity))
    for name, number in stated:
        if number < 1:
            raise Refused(f"{name} is {number}, not a multiplicity 2S + 1; correct or remove it")
    if not (implied.is_choice and stated):
        stated += implied.unpaired_stated
    return stated


def looks_like_state(info: Mapping[str, Any]) -> bool:
    """Whether there is a number under an unknown key that could mean charge or spin."""
    return any(
        _LOOKALIKE.search(known(name))
        and known(name) not in STATE_KEYS
        and _NUMBER.fullmatch(str(value).strip())
        for name, value in info.items()
    )


def set_state(
    record: Record,
    document: Document,
    info: Mapping[str, Any],
    implied: Implied,
    options: Options,
) -> None:
    """Write charge and multiplicity to a document, and add notes on assumptions to its record.

    Raises:
        Refused: the statements are contradictory or not whole numbers.
    """
    charge = charge_of(info, implied, options)
    multiplicity = multiplicity_of(info, implied, options)
    stated = _multiplicities(info, implied, options)
    record.multiplicity_from = stated[0][0] if stated else ""
    if charge is None:
        record.notes.add(Note.NO_CHARGE)
    if multiplicity is None and not implied.is_closed_shell:
        record.notes.add(Note.NO_MULTIPLICITY)
    if (charge is None or multiplicity is None) and looks_like_state(info):
        record.notes.add(Note.LOOKALIKE)
    by_structure = multiplicity is None or stated == [*implied.unpaired_stated]
    if implied.is_choice and by_structure and sum(implied.unpaired.values()) > 1:
        record.notes.add(Note.HIGH_SPIN)
    if implied.has_metal and by_structure:
        record.notes.add(Note.METAL_SPIN)
    put(document, options.fields.charge, charge or 0)
    put(document, options.fields.multiplicity, 1 if multiplicity is None else multiplicity)
