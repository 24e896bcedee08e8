"""Charges and radicals in a connection table, V2000 or V3000.

Source: "CTfile Formats" (BIOVIA, 2020), chapters "The connection table" and "The properties block".
RDKit reads the same blocks, and its molecules are compared with these values. Unlike RDKit, this
module distinguishes a singlet carbene from a triplet.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from wqmaster.structures.base import Refused

# The charge (e) for each code in the atom block of V2000. A line M  CHG or M  RAD supersedes all
# codes.
_OLD_CHARGES = {"1": 3, "2": 2, "3": 1, "5": -1, "6": -2, "7": -3}
_OLD_DOUBLET = "4"
# The number of unpaired electrons for each radical code (none, singlet, doublet, triplet).
_UNPAIRED = {0: 0, 1: 0, 2: 1, 3: 2}
_V30 = "M  V30 "
_KEYWORD = re.compile(r"\b(CHG|RAD)=(\S*)")
_INTEGER = re.compile(r"-?\d+")
# A line `M  CHG` or `M  RAD` in another case or spacing, which RDKit would ignore.
_MISWRITTEN = re.compile(r"\s*M\s+(CHG|RAD)\b", re.IGNORECASE)


@dataclass
class Table:
    """The content of a connection table, apart from elements, coordinates and bonds."""

    title: str
    dimension: str  # "2D", "3D" or ""
    natoms: int
    charges: dict[int, int] = field(default_factory=dict)  # charges by atom, counted from 1
    radicals: dict[int, int] = field(default_factory=dict)  # radical codes, by atom

    @property
    def charge(self) -> int:
        """The sum of the formal charges, in e."""
        return sum(self.charges.values())

    @property
    def unpaired(self) -> int:
        """The number of unpaired electrons if the spins of all radical centers are parallel."""
        return sum(_UNPAIRED.get(code, 0) for code in self.radicals.values())

    @property
    def centers(self) -> int:
        """The number of atoms with unpaired electrons."""
        return sum(_UNPAIRED.get(code, 0) > 0 for code in self.radicals.values())


def _number(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refused(f"{what} is not a number: {text.strip()[:20]!r}") from None


def table_of(lines: list[str]) -> Table:
    """The connection table in `lines`, which end with `M  END`.

    Raises:
        Refused: it is truncated, or its counts or properties cannot be read.
    """
    if len(lines) < 4:
        raise Refused("it is truncated: no connection table")
    if not any(line.startswith("M  END") for line in lines[3:]):
        raise Refused("it is truncated: no line 'M END' (with two spaces before END)")
    title, program, counts = lines[0].strip(), lines[1], lines[3]
    dimension = program[20:22].upper()
    found = Table(title, dimension if dimension in ("2D", "3D") else "", 0)
    if "V3000" in counts:
        _read_v3000(found, lines)
    else:
        _read_v2000(found, lines)
    return found


def _read_v2000(found: Table, lines: list[str]) -> None:
    counts = lines[3]
    found.natoms = _number(counts[0:3], "the number of atoms")
    nbonds = _number(counts[3:6] or "0", "the number of bonds")
    if len(lines) < 4 + found.natoms + nbonds:
        raise Refused("it is truncated: fewer lines than its atoms and bonds need")
    for atom, line in enumerate(lines[4 : 4 + found.natoms], start=1):
        code = line[36:39].strip()
        if code in _OLD_CHARGES:
            found.charges[atom] = _OLD_CHARGES[code]
        elif code == _OLD_DOUBLET:
            found.radicals[atom] = 2
    _check_bonds(lines[4 + found.natoms : 4 + found.natoms + nbonds], found.natoms)
    superseded = False
    for line in lines[4 + found.natoms + nbonds :]:
        if line.startswith("M  END"):
            break
        if line[:6] not in ("M  CHG", "M  RAD"):
            if _MISWRITTEN.match(line):
                raise Refused(
                    f"the line {line.strip()[:40]!r} would be ignored; start it with M, two "
                    f"spaces and {line.split()[1].upper()}"
                )
            continue
        if not superseded:
            found.charges, found.radicals, superseded = {}, {}, True
        values = found.charges if line[3:6] == "CHG" else found.radicals
        values.update(_pairs(line, found.natoms))


def _check_bonds(lines: list[str], natoms: int) -> None:
    """Check which atoms the bonds join, which RDKit reports in words of its own code.

    Raises:
        Refused: an atom does not exist, is bonded to itself, or is bonded twice to another.
    """
    seen: dict[frozenset[int], int] = {}
    for number, line in enumerate(lines, start=1):
        what = f"an atom of bond {number}"
        atoms = [_number(line[0:3], what), _number(line[3:6], what)]
        for atom in atoms:
            if not 1 <= atom <= natoms:
                raise Refused(f"bond {number} refers to atom {atom} of {natoms}")
        ends = frozenset(atoms)
        if len(ends) == 1:
            raise Refused(f"bond {number} joins atom {atoms[0]} to itself")
        if ends in seen:
            raise Refused(
                f"bonds {seen[ends]} and {number} both join atoms {atoms[0]} and {atoms[1]}"
            )
        seen[ends] = number


def _pairs(line: str, natoms: int) -> Iterator[tuple[int, int]]:
    """The pairs (atom, value) in a line `M  CHG  n aaa vvv ...`.

    Raises:
        Refused: the line cannot be read or refers to an atom that does not exist.
    """
    words = line[6:].split()
    count = _number(words[0] if words else "", f"the count of the line {line.strip()[:40]!r}")
    if len(words) != 1 + 2 * count:
        raise Refused(f"the line {line.strip()[:40]!r} does not have {count} pairs")
    for atom, value in zip(words[1::2], words[2::2], strict=True):
        place = _number(atom, "the atom of a property")
        if not 1 <= place <= natoms:
            raise Refused(f"the line {line.strip()[:40]!r} refers to atom {place} of {natoms}")
        yield place, _number(value, "the property of an atom")


def _entries(lines: list[str]) -> Iterator[str]:
    """The V3000 lines without `M  V30`; a line that ends with `-` continues on the next one."""
    joined = ""
    for line in lines:
        if not line.startswith(_V30):
            continue
        entry = line[len(_V30) :].rstrip()
        if entry.endswith("-"):
            joined += entry[:-1]
            continue
        yield joined + entry
        joined = ""


def _read_v3000(found: Table, lines: list[str]) -> None:
    in_atoms = False
    seen = -1
    for entry in _entries(lines):
        words = entry.split()
        if words[:1] == ["COUNTS"]:
            found.natoms = _number(words[1] if len(words) > 1 else "", "the number of atoms")
        elif words[:2] in (["BEGIN", "ATOM"], ["END", "ATOM"]):
            in_atoms = words[0] == "BEGIN"
            seen = max(seen, 0)
        elif in_atoms:
            seen += 1
            for name, value in _KEYWORD.findall(entry):
                if not _INTEGER.fullmatch(value):
                    raise Refused(f"atom {seen} has {name}={value[:20]}, not a whole number")
                if name == "CHG":
                    found.charges[seen] = int(value)
                else:
                    found.radicals[seen] = int(value)
    if seen != found.natoms:
        raise Refused(f"it has {max(seen, 0)} atoms, but its counts line says {found.natoms}")
