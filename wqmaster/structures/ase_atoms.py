"""Atoms objects of ASE -> documents."""

import json
from collections.abc import Mapping
from typing import Any

from wqmaster.ledger import Document
from wqmaster.structures.base import Note, Options, Record, Refused, add_fields, put
from wqmaster.structures.state import Implied, charge_of, multiplicity_of, set_state

# How far the charges or magnetic moments of the atoms may add up from a whole number (e, mu_B).
_NEARLY_WHOLE = 0.05
# Columns that are the molecule itself, or that are read here.
_OWN_COLUMNS = frozenset(("numbers", "positions", "initial_charges", "initial_magmoms"))


def plain(value: Any) -> Any:
    """`value` as BSON can hold it; None for what it cannot."""
    if hasattr(value, "tolist"):
        return value.tolist()
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value


def fill(
    record: Record, atoms: Any, options: Options, more: Mapping[str, Any] | None = None
) -> None:
    """Give a record the document of its Atoms; `more` are keys from beside them.

    Raises:
        Refused: charge or spin contradict each other, or it is a crystal.
    """
    if any(atoms.pbc):
        raise Refused(
            'it is periodic, and molecules are not; for a molecule in a box write pbc="F F F"'
        )
    info = {**atoms.info, **(more or {})}
    fields = options.fields
    document: Document = {}
    put(document, fields.atomic_numbers, atoms.numbers.tolist())
    put(document, fields.coordinates, atoms.positions.tolist())
    if record.title:
        document["title"] = record.title
    implied = _implied(record, atoms, info, options)
    record.notes |= set_state(document, info, implied, options)
    own = {fields.charge, fields.multiplicity}
    given = {str(name): plain(value) for name, value in info.items() if name not in own}
    lost = sorted(name for name, value in given.items() if value is None)
    if lost:
        raise Refused(f"its key '{lost[0]}' holds what a document cannot")
    columns = {
        name: values.tolist() for name, values in atoms.arrays.items() if name not in _OWN_COLUMNS
    }
    add_fields(document, {**given, **columns}, options)
    if atoms.calc is not None:
        record.notes.add(Note.NO_LABELS)
    record.documents = [document]


def _implied(record: Record, atoms: Any, info: Mapping[str, Any], options: Options) -> Implied:
    """What the charges and magnetic moments of the atoms add up to, where no key says it.

    Raises:
        Refused: they do not add up to a whole number.
    """
    nothing = Implied()
    charges: dict[str, int] = {}
    unpaired: dict[str, int] = {}
    if atoms.has("initial_charges") and charge_of(info, nothing, options) is None:
        total = _sum("charges", atoms.get_initial_charges())
        charges["the charges of the atoms"] = total
        record.notes.add(Note.CHARGE_OF_ATOMS)
    if atoms.has("initial_magmoms") and multiplicity_of(info, nothing, options) is None:
        moments = atoms.get_initial_magnetic_moments()
        if getattr(moments, "ndim", 1) != 1:
            raise Refused("the magnetic moments of its atoms are vectors; give 'multiplicity'")
        unpaired["the magnetic moments of the atoms"] = abs(_sum("magnetic moments", moments))
        record.notes.add(Note.SPIN_OF_ATOMS)
    return Implied(charges, unpaired)


def _sum(what: str, values: Any) -> int:
    total = float(values.sum())
    if not abs(total - round(total)) <= _NEARLY_WHOLE:
        raise Refused(f"the {what} of its atoms add up to {total:.3f}, not to a whole number")
    return round(total)
