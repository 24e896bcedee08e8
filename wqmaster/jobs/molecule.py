"""A document's molecule."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bson import json_util

from wqmaster.campaign.models import MoleculeFields
from wqmaster.errors import BadDocument, Defect

# A document of the database, with its `_id`.
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
# Two atoms nearer than this are in the same place.
COINCIDENT_ANGSTROM = 0.1
# Of length 1, and along no direction in which atoms of drawings and crystals lie.
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
    further: str = ""  # those of them that are not of the molecule, as JSON

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
        """What tells this molecule from every other: a hash of all that is computed with."""
        known = (self.numbers, self.coordinates, self.charge, self.multiplicity)
        text = repr((*known, self.further) if self.further else known)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def parts(self, fields: Iterable[str] | None = None) -> dict[str, Any]:
        """What was computed, piece by piece, so that a later difference can be named.

        `elements` and `coordinates` are hashes, `charge` and `multiplicity` the numbers themselves.
        `fields` is a hash of further fields of the document: of those that are named, or of all
        that were fetched; there is no such entry where there are none.
        """
        found: dict[str, Any] = {
            "elements": _short_hash(repr(self.numbers)),
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
        """The molecule as an XYZ file, Angstrom with 12 decimals."""
        lines = [str(len(self.numbers)), ""]
        for number, (x, y, z) in zip(self.numbers, self.coordinates, strict=True):
            lines.append(f"{SYMBOLS[number]:<2} {x:20.12f} {y:20.12f} {z:20.12f}")
        return "\n".join(lines) + "\n"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def lookup(document: Mapping[str, Any], name: str) -> Any:
    """The value of the field `name` (dots for fields within fields), None where it is missing."""
    value: Any = document
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def closest(points: Sequence[Sequence[float]], limit: float) -> tuple[int, int] | None:
    """Two points nearer to each other than `limit`, counted from 0; None if there are none.

    Points that are not finite are left out.
    """
    # Points cannot be nearer than their projections are, which are sorted.
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
    """See that no two atoms are in the same place, which no program computes.

    Raises:
        BadDocument: two are.
    """
    pair = closest(molecule.coordinates, COINCIDENT_ANGSTROM)
    if pair is not None:
        raise BadDocument(
            f"atoms {pair[0]} and {pair[1]} are in the same place", Defect.COINCIDENT_ATOMS
        )


def _atomic_number(value: Any, position: int) -> int:
    if isinstance(value, str):
        number = NUMBER_OF.get(value.strip().capitalize(), 0)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        number = int(value) if 0 < value < len(SYMBOLS) and value == int(value) else 0
    else:
        number = 0
    if not 0 < number < len(SYMBOLS):
        raise BadDocument(
            f"atom {position} is of an unknown element: {value!r}", Defect.UNKNOWN_ELEMENT
        )
    return number


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
            f"the document has no '{name}'; if the field has another name, say so with "
            f"'molecule: {{{setting}: NAME}}' in the campaign file",
            Defect.MISSING_FIELD,
        )
    if not isinstance(value, (list, tuple)) or not value:
        raise BadDocument(
            f"'{name}' is not a list with something in it: {value!r:.60}", Defect.NOT_A_LIST
        )
    return value


def _coordinates(values: Sequence[Any], name: str) -> tuple[tuple[float, float, float], ...]:
    rows: Sequence[Any] = values
    if not isinstance(values[0], (list, tuple)):
        if len(values) % 3:
            raise BadDocument(
                f"'{name}' has {len(values)} numbers, not three for each atom", Defect.WRONG_SHAPE
            )
        rows = [values[start : start + 3] for start in range(0, len(values), 3)]
    found = []
    for position, row in enumerate(rows):
        if not isinstance(row, (list, tuple)) or len(row) != 3:
            raise BadDocument(
                f"'{name}' of atom {position} is not three numbers: {row!r:.60}", Defect.WRONG_SHAPE
            )
        x, y, z = (_finite(value, f"a coordinate of atom {position}") for value in row)
        found.append((x, y, z))
    return tuple(found)


def from_document(document: Mapping[str, Any], fields: MoleculeFields) -> Molecule:
    """The molecule of `document`, whose fields are named as `fields` says.

    Raises:
        BadDocument: what is missing, not finite, unknown or at odds, with the number of the atom
            (counted from 0).
    """
    others = {name: document[name] for name in document if name not in ("_id", *fields.names)}
    further = json_util.dumps(others, sort_keys=True) if others else ""
    named = (fields.atomic_numbers, fields.coordinates)
    if not fields.required and all(lookup(document, name) is None for name in named):
        return Molecule(document["_id"], (), (), document=document, further=further)
    listed = _list(document, fields.atomic_numbers, "atomic_numbers")
    numbers = tuple(_atomic_number(value, position) for position, value in enumerate(listed))
    coordinates = _coordinates(
        _list(document, fields.coordinates, "coordinates"), fields.coordinates
    )
    if len(numbers) != len(coordinates):
        raise BadDocument(
            f"'{fields.atomic_numbers}' names {len(numbers)} atoms, "
            f"'{fields.coordinates}' has {len(coordinates)}",
            Defect.LENGTHS_DIFFER,
        )
    charge = _whole(document, fields.charge, 0)
    multiplicity = _whole(document, fields.multiplicity, 1)
    electrons = sum(numbers) - charge
    if electrons < 0:
        raise BadDocument(
            f"charge {charge} is more than the {sum(numbers)} electrons there are",
            Defect.TOO_FEW_ELECTRONS,
        )
    if multiplicity < 1 or multiplicity - 1 > electrons or (multiplicity - 1 - electrons) % 2:
        raise BadDocument(
            f"multiplicity {multiplicity} is impossible with {electrons} electrons "
            f"(charge {charge})",
            Defect.IMPOSSIBLE_MULTIPLICITY,
        )
    return Molecule(document["_id"], numbers, coordinates, charge, multiplicity, document, further)
