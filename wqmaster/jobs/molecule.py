"""Molecules, read from documents."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from bson import json_util

from wqmaster.campaign.models import MoleculeFields
from wqmaster.errors import BadDocument, Defect

# A document from the database, with its `_id`.
Document = dict[str, Any]

# fmt: off
SYMBOLS = (
    "X", "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P", "S",
    "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge",
    "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd",
    "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd",
    "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg",
    "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm",
    "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn",
    "Nh", "Fl", "Mc", "Lv", "Ts", "Og",
)
# fmt: on
# Atoms closer than this count as being in the same place.
COINCIDENT_ANGSTROM = 0.1
# A unit vector, in a direction such that atoms in drawings and crystals rarely have equal
# projections onto it.
_AXIS = (0.5477, 0.3162, 0.7746)
NUMBER_OF = {symbol: number for number, symbol in enumerate(SYMBOLS) if number}


@dataclass(frozen=True)
class Molecule:
    """Atoms, charge and multiplicity of one document."""

    id: Any  # the document's _id
    numbers: tuple[int, ...]  # atomic numbers, shape (n,)
    coordinates: tuple[tuple[float, float, float], ...]  # Angstrom, shape (n, 3)
    charge: int = 0  # units of e
    multiplicity: int = 1  # 2 S + 1
    document: Mapping[str, Any] = field(default_factory=dict)  # the fields that were fetched
    further: str = ""  # the fetched fields that do not describe the molecule, as JSON

    @property
    def natoms(self) -> int:
        """The number of atoms."""
        return len(self.numbers)

    @property
    def unpaired(self) -> int:
        """The number of unpaired electrons, 2 S."""
        return self.multiplicity - 1

    @property
    def fingerprint(self) -> str:
        """A hash of everything in the document that the calculation depends on."""
        known = (self.numbers, self.coordinates, self.charge, self.multiplicity)
        text = repr((*known, self.further) if self.further else known)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def parts(self, fields: Iterable[str] | None = None) -> dict[str, Any]:
        """The parts of the fingerprint, with which `differences` can state what has changed.

        `elements` and `coordinates` are hashes. `charge` and `multiplicity` are the numbers
        themselves. `fields` is a hash of the document's other fields: those that the argument
        names, or all that were fetched if it is None. It is left out if there are no such fields.
        """
        found: dict[str, Any] = {
            "elements": elements_hash(self.numbers),
            "coordinates": _short_hash(repr(self.coordinates)),
            "charge": self.charge,
            "multiplicity": self.multiplicity,
        }
        further = self.further
        if fields is not None:
            named = {name: lookup(self.document, name) for name in fields}
            further = json_util.dumps(named, sort_keys=True) if named else ""
        return {**found, "fields": _short_hash(further)} if further else found

    def xyz(self) -> str:
        """The molecule as an XYZ file, in Angstrom with 12 decimals."""
        lines = [str(len(self.numbers)), ""]
        for number, (x, y, z) in zip(self.numbers, self.coordinates, strict=True):
            lines.append(f"{SYMBOLS[number]:<2} {x:20.12f} {y:20.12f} {z:20.12f}")
        return "\n".join(lines) + "\n"


def elements_hash(numbers: tuple[int, ...]) -> str:
    """The hash of a molecule's atomic numbers, in order, that `Molecule.parts` holds."""
    return _short_hash(repr(numbers))


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def shown_id(document_id: object) -> str:
    """A document's `_id` in a message: a number as it is, an ObjectId and others in quotes."""
    return str(document_id) if isinstance(document_id, int) else f"'{document_id}'"


def lookup(document: Mapping[str, Any], name: str) -> Any:
    """The value of the field `name` (dots separate nested fields), or None if it is missing."""
    value: Any = document
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def differences(
    computed: Mapping[str, Any], molecule: Molecule, fields: Iterable[str] | None
) -> Iterator[str]:
    """Yield the differences between the computed molecule and `molecule`, one phrase for each.

    An example is "charge: 0 before, 1 now". `computed` contains the computed molecule's fingerprint
    as `molecule` and its parts as `computed`; older versions did not record the parts. `fields`
    names the document's other fields that affect the result; None means all that were fetched.
    """
    if computed["molecule"] == molecule.fingerprint:
        return
    before = computed.get("computed")
    if not isinstance(before, Mapping):
        yield "molecule: it differs (the result does not record in what)"
        return
    now = molecule.parts(fields)
    for part in ("elements", "coordinates", "charge", "multiplicity", "fields"):
        if before.get(part) == now.get(part):
            continue
        if part in ("charge", "multiplicity"):
            yield f"{part}: {before.get(part)} when computed, {now.get(part)} now"
        else:
            yield f"{part}: changed"


def hash_of_fields(document: Mapping[str, Any], fields: MoleculeFields) -> str:
    """A hash of the document's molecule fields, usable or not.

    It shows whether a document without a usable molecule has been edited.
    """
    named = {name: lookup(document, name) for name in sorted(fields.names)}
    return _short_hash(json_util.dumps(named))


def closest(points: Sequence[Sequence[float]], limit: float) -> tuple[int, int] | None:
    """The indices of two points that are closer than `limit`; None if there are no such points.

    The smaller index comes first. Points with coordinates that are not finite are ignored.
    """
    # Points are at least as far apart as their projections onto the axis, which are sorted here.
    along = sorted(
        (x * _AXIS[0] + y * _AXIS[1] + z * _AXIS[2], number)
        for number, (x, y, z) in enumerate(points)
        if math.isfinite(x) and math.isfinite(y) and math.isfinite(z)
    )
    for place, (start, one) in enumerate(along):
        for further in range(place + 1, len(along)):
            end, other = along[further]
            if end - start >= limit:
                break
            if math.dist(points[one], points[other]) < limit:
                return (one, other) if one < other else (other, one)
    return None


def refuse_coincident(molecule: Molecule, options: object = None) -> None:
    """Refuse a molecule with two atoms in the same place, which no program can compute.

    Raises:
        BadDocument: two atoms are in the same place.
    """
    why = coincidence(molecule)
    if why is not None:
        raise BadDocument(why, Defect.COINCIDENT_ATOMS)


def coincidence(molecule: Molecule) -> str | None:
    """Which two atoms are in the same place, as a message; None if all are apart."""
    pair = closest(molecule.coordinates, COINCIDENT_ANGSTROM)
    if pair is None:
        return None
    first, second = pair
    distance = math.dist(molecule.coordinates[first], molecule.coordinates[second])
    return (
        f"atoms {first + 1} and {second + 1} (of {molecule.natoms}) are in the same place: they "
        f"are {distance:.2f} Angstrom apart"
    )


def _atom(position: int, total: int) -> str:
    return f"atom {position + 1} (of {total})"


def _atomic_number(value: Any, position: int, total: int) -> int:
    if isinstance(value, str):
        number = NUMBER_OF.get(value.strip().capitalize(), 0)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = int(value) if 0 < value < len(SYMBOLS) and value == int(value) else 0
    else:
        number = 0
    if not 0 < number < len(SYMBOLS):
        raise BadDocument(
            f"{_atom(position, total)} has an unknown element: {value!r}", Defect.UNKNOWN_ELEMENT
        )
    return number


def _atomic_numbers(values: Sequence[Any]) -> tuple[int, ...]:
    if set(map(type, values)) == {int} and min(values) > 0 and max(values) < len(SYMBOLS):
        return tuple(values)
    total = len(values)
    return tuple(_atomic_number(value, position, total) for position, value in enumerate(values))


def _finite(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise BadDocument(f"{what} is not a number: {value!r}", Defect.NOT_A_NUMBER)
    if not abs(value) < math.inf:
        raise BadDocument(f"{what} is not finite: {value!r}", Defect.NOT_FINITE)
    return float(value)


def _whole(document: Mapping[str, Any], name: str, default: int) -> int:
    value = lookup(document, name)
    if value is None:
        return default
    number = _finite(value, f"'{name}'")
    if number != int(number):
        raise BadDocument(f"'{name}' is not a whole number: {value!r}", Defect.NOT_WHOLE)
    return int(number)


def _list(document: Mapping[str, Any], name: str, setting: str) -> Sequence[Any]:
    value = lookup(document, name)
    if value is None:
        raise BadDocument(
            f"the document has no '{name}'; if the field has another name, write "
            f"'molecule: {{{setting}: NAME}}' into the campaign file",
            Defect.MISSING_FIELD,
        )
    if not isinstance(value, (list, tuple)) or not value:
        raise BadDocument(f"'{name}' is not a non-empty list: {value!r:.60}", Defect.NOT_A_LIST)
    return value


def _coordinates(values: Sequence[Any], name: str) -> tuple[tuple[float, float, float], ...]:
    rows: Sequence[Any] = values
    if not isinstance(values[0], (list, tuple)):
        if len(values) % 3:
            raise BadDocument(
                f"'{name}' has length {len(values)}, which is not a multiple of 3",
                Defect.WRONG_SHAPE,
            )
        rows = [values[start : start + 3] for start in range(0, len(values), 3)]
    # This is a fast path: a campaign can read 10^7 documents, and nearly all have three floats per
    # atom.
    if set(map(type, rows)) == {list} and set(map(len, rows)) == {3}:
        numbers = list(chain.from_iterable(rows))
        if set(map(type, numbers)) == {float} and all(map(math.isfinite, numbers)):
            return tuple(map(tuple, rows))
    found = []
    for position, row in enumerate(rows):
        atom = _atom(position, len(rows))
        if not isinstance(row, (list, tuple)) or len(row) != 3:
            raise BadDocument(
                f"'{name}' of {atom} is not three numbers: {row!r:.60}", Defect.WRONG_SHAPE
            )
        x, y, z = (_finite(value, f"a coordinate of {atom}") for value in row)
        found.append((x, y, z))
    return tuple(found)


def from_document(document: Mapping[str, Any], fields: MoleculeFields) -> Molecule:
    """The molecule of `document`, read from the fields that `fields` names.

    Raises:
        BadDocument: a value is missing, not finite, unknown or contradictory. The message contains
            the atom's number, counted from 0.
    """
    others = {name: document[name] for name in document if name not in ("_id", *fields.names)}
    further = json_util.dumps(others, sort_keys=True) if others else ""
    named = (fields.atomic_numbers, fields.coordinates)
    if not fields.required and all(lookup(document, name) is None for name in named):
        return Molecule(document["_id"], (), (), document=document, further=further)
    listed = _list(document, fields.atomic_numbers, "atomic_numbers")
    numbers = _atomic_numbers(listed)
    coordinates = _coordinates(
        _list(document, fields.coordinates, "coordinates"), fields.coordinates
    )
    if len(numbers) != len(coordinates):
        raise BadDocument(
            f"the number of atoms is {len(numbers)} in '{fields.atomic_numbers}', but "
            f"{len(coordinates)} in '{fields.coordinates}'",
            Defect.LENGTHS_DIFFER,
        )
    charge = _whole(document, fields.charge, 0)
    multiplicity = _whole(document, fields.multiplicity, 1)
    electrons = sum(numbers) - charge
    if electrons < 0:
        raise BadDocument(
            f"charge {charge:+d} is too large: the neutral atoms have {sum(numbers)} electrons",
            Defect.TOO_FEW_ELECTRONS,
        )
    if multiplicity < 1 or multiplicity - 1 > electrons or (multiplicity - 1 - electrons) % 2:
        signed = f"{charge:+d}" if charge else "0"
        count = "is 1 electron" if electrons == 1 else f"are {electrons} electrons"
        demand = "even" if electrons % 2 else "odd"
        if multiplicity < 1:
            demand = "at least 1"
        elif multiplicity - 1 > electrons:
            demand = f"at most {electrons + 1}"
        stated = f"multiplicity {multiplicity}"
        if lookup(document, fields.multiplicity) is None:
            stated = f"no multiplicity is given, and the default, {multiplicity},"
        raise BadDocument(
            f"{stated} is impossible: with charge {signed} there {count}, so the multiplicity must "
            f"be {demand}",
            Defect.IMPOSSIBLE_MULTIPLICITY,
        )
    return Molecule(document["_id"], numbers, coordinates, charge, multiplicity, document, further)
