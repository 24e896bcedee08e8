"""Functions that turn ASE Atoms objects into documents."""

import json
from collections.abc import Mapping
from typing import Any

from wqmaster.jobs.molecule import Document
from wqmaster.structures.base import Note, Options, Record, Refused, add_fields, put
from wqmaster.structures.state import Implied, charge_of, multiplicity_of, set_state

# The largest deviation from a whole number for a sum of atomic charges (e) or magnetic moments
# (mu_B).
_NEARLY_WHOLE = 0.05
# The columns that are stored as the molecule.
_OWN_COLUMNS = frozenset(("numbers", "positions"))
# Names of units of length other than Angstrom.
_OTHER_UNITS = frozenset(("bohr", "au", "a.u.", "atomic", "nm"))


def plain(value: Any) -> Any:
    """`value` in a form that fits into BSON, or None if there is none."""
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
    """Fill a record with a document made from an Atoms object; `more` has keys from elsewhere.

    Raises:
        Refused: the statements on charge or spin are contradictory, the structure is periodic, the
            unit of length is not Angstrom, or a value cannot be stored.
    """
    if any(atoms.pbc):
        raise Refused('the structure is periodic; for a molecule in a box write pbc="F F F"')
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
    if is_own_id(info.get("_id")):
        document["_id"] = plain(info.pop("_id"))
    own = {fields.charge, fields.multiplicity}
    given = {str(name): plain(value) for name, value in info.items() if name not in own}
    lost = sorted(name for name, value in given.items() if value is None)
    if lost:
        raise Refused(f"the value of its key '{lost[0]}' cannot be stored in a document")
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


def is_own_id(value: Any) -> bool:
    """Whether a key `_id` can be the document's: a non-empty string, as in exported data sets."""
    return isinstance(value, str) and bool(value)


def _implied(record: Record, atoms: Any, info: Mapping[str, Any], options: Options) -> Implied:
    """The total charge and spin that the charges and magnetic moments of the atoms imply.

    If a key states the charge, the sum of the atomic charges is compared with it only if it is a
    whole number. If a key states the multiplicity, the magnetic moments are ignored.

    Raises:
        Refused: there is no key, and the sum is not a whole number or the moments are vectors.
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
            raise Refused("the magnetic moments of its atoms are vectors; add 'multiplicity'")
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
