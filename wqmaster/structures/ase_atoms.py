"""Atoms objects of ASE -> documents."""

import json
from collections.abc import Mapping
from typing import Any

from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import Note, Options, Record, Refused, add_fields, put
from wqmaster.structures.state import Implied, charge_of, multiplicity_of, set_state

# How far the charges or magnetic moments of the atoms may add up from a whole number (e, mu_B).
_NEARLY_WHOLE = 0.05
# Columns that are the molecule itself, or that are read here.
_OWN_COLUMNS = frozenset(("numbers", "positions"))
# Names of a length unit that is not Angstrom.
_OTHER_UNITS = frozenset(("bohr", "au", "a.u.", "atomic", "nm"))


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
    if str(info.get("units", "")).lower() in _OTHER_UNITS:
        raise Refused(f"its coordinates are in {info['units']}; convert them to Angstrom")
    fields = options.fields
    document: Document = {}
    put(document, fields.atomic_numbers, atoms.numbers.tolist())
    put(document, fields.coordinates, atoms.positions.tolist())
    if record.title:
        document["title"] = record.title
    implied = _implied(record, atoms, info, options)
    set_state(record, document, info, implied, options)
    own = {fields.charge, fields.multiplicity}
    given = {str(name): plain(value) for name, value in info.items() if name not in own}
    lost = sorted(name for name, value in given.items() if value is None)
    if lost:
        raise Refused(f"its key '{lost[0]}' holds what a document cannot")
    if "masses" in atoms.arrays:
        record.notes.add(Note.ISOTOPES)
    columns = {
        name: values.tolist() for name, values in atoms.arrays.items() if name not in _OWN_COLUMNS
    }
    add_fields(document, {**given, **columns}, options)
    if atoms.calc is not None:
        record.notes.add(Note.NO_LABELS)
    if atoms.cell.any() or atoms.constraints:
        record.notes.add(Note.NO_CELL)
    record.documents = [document]


def _implied(record: Record, atoms: Any, info: Mapping[str, Any], options: Options) -> Implied:
    """What the charges and magnetic moments of the atoms add up to.

    Where a key says it as well, sums that are whole numbers must agree with it.

    Raises:
        Refused: no key says it, and they do not add up to a whole number.
    """
    nothing = Implied()
    charges: dict[str, int] = {}
    unpaired: dict[str, int] = {}
    partial = atoms.get_initial_charges() if atoms.has("initial_charges") else None
    if partial is None and atoms.calc is not None:
        partial = atoms.calc.results.get("charges")
    if partial is not None and getattr(partial, "ndim", 0) == 1:
        said = charge_of(info, nothing, options) is not None
        if not said or _is_whole(partial):
            charges["the charges of the atoms"] = _sum("charges", partial)
        if not said:
            record.notes.add(Note.CHARGE_OF_ATOMS)
    if atoms.has("initial_magmoms"):
        moments = atoms.get_initial_magnetic_moments()
        said = multiplicity_of(info, nothing, options) is not None
        if not said and moments.ndim != 1:
            raise Refused("the magnetic moments of its atoms are vectors; give 'multiplicity'")
        if not said:
            total = abs(_sum("magnetic moments", moments))
            unpaired["the magnetic moments of the atoms"] = total
            record.notes.add(Note.SPIN_OF_ATOMS)
    return Implied(charges, unpaired)


def _is_whole(values: Any) -> bool:
    total = float(values.sum())
    return abs(total - round(total)) <= _NEARLY_WHOLE


def _sum(what: str, values: Any) -> int:
    total = float(values.sum())
    if not _is_whole(values):
        raise Refused(f"the {what} of its atoms add up to {total:.3f}, not to a whole number")
    return round(total)
