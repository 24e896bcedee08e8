"""Charge and multiplicity of a record: from the keys that the field writes, never by silent guess.

`charge`, `total_charge` and `net_charge` are charges in e. `multiplicity`, `mult`, `spin` and
`total_spin` are 2S + 1, as fairchem (`atoms.info["spin"]`, docs of UMA) and MACE (`total_spin`,
mace/tools/default_keys.py) read them; `uhf` is the number of unpaired electrons, as xtb's `--uhf`
takes it. Capitals, blanks, hyphens and underscores do not matter. Two statements that differ are a
contradiction, and the record is refused.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import Note, Options, Record, Refused, put

# As `_known` writes names: in small letters, without blanks, hyphens and underscores.
_CHARGE_KEYS = frozenset(("charge", "totalcharge", "netcharge"))
_MULTIPLICITY_KEYS = frozenset(
    ("multiplicity", "mult", "spin", "totalspin", "spinmultiplicity", "totalmultiplicity")
)
_UNPAIRED_KEYS = frozenset(("uhf", "unpaired", "unpairedelectrons", "nunpaired"))
STATE_KEYS = _CHARGE_KEYS | _MULTIPLICITY_KEYS | _UNPAIRED_KEYS
_LOOKALIKE = re.compile(r"charge|mult|spin|unpaired")
_NUMBER = re.compile(r"[-+]?\d{1,3}(\.0*)?")


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
    # Whether there is an atom of the d or f block, whose spin no valence model knows.
    has_metal: bool = False

    @property
    def unpaired_stated(self) -> list[tuple[str, int]]:
        """The multiplicities that unpaired electrons of the structure mean."""
        return [(name, number + 1) for name, number in self.unpaired.items()]


def has_metal(numbers: Iterable[int]) -> bool:
    """Whether one of the atomic numbers is of the d or f block (groups 3 to 12)."""
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
    """The one number that all statements agree on; None without any."""
    if len({number for _, number in stated}) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in stated)
        raise Refused(f"contradictory {what}: {listed}")
    return stated[0][1] if stated else None


def known(name: object) -> str:
    """A name as it is compared: `Total charge`, `total_charge` and `TOTAL-CHARGE` are one."""
    return re.sub(r"[\s_-]+", "", str(name)).lower()


def _stated(info: Mapping[str, Any], names: frozenset[str], own: str) -> Iterable[tuple[str, int]]:
    for name, value in info.items():
        if str(name) == own or known(name) in names:
            yield f"'{name}'", _whole(f"'{name}'", value)


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
            raise Refused(
                f"{name} is {number}, not a multiplicity 2S + 1; correct it, or take it out"
            )
    if not (implied.is_choice and stated):
        stated += implied.unpaired_stated
    return stated


def looks_like_state(info: Mapping[str, Any]) -> bool:
    """Whether a number is there under a name that may mean charge or spin, and is not known."""
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
    """Write charge and multiplicity into a document; note in its record what was assumed.

    Raises:
        Refused: as `charge_of` and `multiplicity_of`.
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
    if implied.has_metal and by_structure:
        record.notes.add(Note.METAL_SPIN)
    put(document, options.fields.charge, charge or 0)
    put(document, options.fields.multiplicity, 1 if multiplicity is None else multiplicity)
