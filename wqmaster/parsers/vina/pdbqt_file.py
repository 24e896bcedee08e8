"""PDBQT, AutoDock's format for molecules, as AutoDock Vina 1.2.7 reads it.

Source: Vina's src/lib/parse_pdbqt.cpp (columns, keywords) and atom_constants.h (atom types). An
atom's line has these fields (columns counted from 1): number in columns 7-11, name 13-16, x y z
31-54 (Angstrom), charge 69-76, type from column 78 on.
"""

import re
from dataclasses import dataclass

# The atom types of each element. X stands for pseudo-atoms that close macrocycles or represent
# water. Vina treats all metals alike; those from Cu on have no separate parameters.
_TYPES = {
    "H": "H HD",
    "C": "C A CG0 CG1 CG2 CG3",
    "N": "N NA",
    "O": "O OA",
    "F": "F",
    "P": "P",
    "S": "S SA",
    "Cl": "Cl",
    "Br": "Br",
    "I": "I",
    "Si": "Si",
    "Se": "Se",
    "At": "At",
    "X": "G0 G1 G2 G3 W",
    "Mg": "Mg",
    "Mn": "Mn",
    "Zn": "Zn",
    "Ca": "Ca",
    "Fe": "Fe",
    "Cu": "Cu",
    "Na": "Na",
    "K": "K",
    "Hg": "Hg",
    "Co": "Co",
    "U": "U",
    "Cd": "Cd",
    "Ni": "Ni",
}
ELEMENTS = {name: element for element, names in _TYPES.items() for name in names.split()}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"\d+", re.ASCII)
# The range of coordinates (Angstrom) that fit into eight columns with three decimals.
LOWEST, HIGHEST = -999.0, 9999.0
# The longest ligand that is read; 200 atoms take 20,000 characters.
_MAX_LIGAND_CHARACTERS = 1_000_000
_IGNORED = ("REMARK", "WARNING")


@dataclass(frozen=True)
class Atom:
    """An atom, as described by an ATOM or HETATM line."""

    number: int
    name: str
    type: str  # AutoDock's atom type
    position: tuple[float, float, float]  # Angstrom

    @property
    def element(self) -> str:
        """The element's symbol, or X for a pseudo-atom."""
        return ELEMENTS[self.type]


def is_atom(line: str) -> bool:
    """Whether `line` describes an atom."""
    return line.startswith(("ATOM  ", "HETATM"))


def number(text: str, what: str) -> float:
    """Convert `text` to a number.

    Raises:
        ValueError: `text` is not a finite number; the message names `what`.
    """
    text = text.strip()
    if len(text) > 40 or not _NUMBER.fullmatch(text) or not abs(float(text)) < float("inf"):
        raise ValueError(f"{what} {text[:20]!r} is not a finite number")
    return float(text)


def atom(line: str) -> Atom:
    """The atom that `line` describes.

    Raises:
        ValueError: the line is invalid.
    """
    name = line[77:].strip()
    if not name or (not line[68:76].strip(" ") and len(line) < 76):
        raise ValueError("the line is too short")
    if name not in ELEMENTS:
        raise ValueError(f"Vina has no atom type {name[:20]!r} (types are case-sensitive)")
    if not _WHOLE.fullmatch(line[6:11].strip()):
        raise ValueError(f"{line[6:11]!r} is not an atom number")
    x, y, z = (number(line[start : start + 8], "the coordinate") for start in (30, 38, 46))
    if min(x, y, z) < LOWEST or max(x, y, z) > HIGHEST:
        raise ValueError(f"the atom is too far away, at {x}, {y}, {z} Angstrom")
    if line[68:76].strip():
        number(line[68:76], "the charge")
    return Atom(int(line[6:11]), line[12:16].strip(), name, (x, y, z))


def clean(text: str) -> str:
    r"""`text` with the line endings that Vina expects (\n)."""
    return text.replace("\r\n", "\n").rstrip() + "\n"


def receptor(text: str) -> list[Atom]:
    """The atoms of a rigid receptor.

    Raises:
        ValueError: a line is invalid (the message gives its number), or there are no atoms.
    """
    atoms = []
    for place, line in enumerate(clean(text).split("\n"), start=1):
        if is_atom(line):
            try:
                atoms.append(atom(line))
            except ValueError as error:
                raise ValueError(f"line {place}: {error}") from error
        elif line.startswith(("ROOT", "BRANCH", "TORSDOF")):
            raise ValueError(f"line {place}: {line.split()[0]} belongs in a ligand, not a receptor")
        elif line and not line.startswith((*_IGNORED, "TER", "END")):
            raise ValueError(f"line {place}: {line[:20]!r} does not belong in a receptor")
    if not atoms:
        raise ValueError("it has no atoms")
    return atoms


class _Ligand:
    """A ligand that is being read.

    `open` holds the rigid groups that are not closed yet, the root first. Each entry has the two
    atom numbers on the BRANCH line and the numbers of the group's atoms.
    """

    def __init__(self) -> None:
        self.atoms: list[Atom] = []
        self.open: list[tuple[list[str], set[int]]] = []
        self.in_root = False
        self.torsions: int | None = None

    def add(self, line: str) -> None:
        words = line.split()
        if is_atom(line):
            if not self.in_root and len(self.open) < 2:
                raise ValueError("an atom is outside ROOT and BRANCH")
            found = atom(line)
            self.atoms.append(found)
            self.open[-1][1].add(found.number)
        elif line.startswith("ROOT") and not self.open:
            self.in_root = True
            self.open.append(([], set()))
        elif line.startswith("ENDROOT") and self.in_root:
            self.in_root = False
        elif line.startswith("BRANCH") and self.open and not self.in_root:
            ends = self._ends(words)
            if int(ends[0]) not in self.open[-1][1]:
                raise ValueError(
                    f"BRANCH begins at atom {ends[0]}, which is not in the group above"
                )
            self.open.append((ends, set()))
        elif line.startswith("ENDBRANCH") and len(self.open) > 1:
            ends, atoms = self.open.pop()
            if self._ends(words) != ends:
                raise ValueError(f"ENDBRANCH does not match BRANCH {' '.join(ends)}")
            if int(ends[1]) not in atoms:
                raise ValueError(f"the BRANCH that ends here does not contain its atom {ends[1]}")
        elif line.startswith("TORSDOF") and len(self.open) == 1 and self.torsions is None:
            if len(words) < 2 or not _WHOLE.fullmatch(words[1]):
                raise ValueError("TORSDOF has no number")
            self.torsions = int(words[1])
        elif line.startswith("MODEL"):
            raise ValueError("a ligand has no MODEL: use only the lines between MODEL and ENDMDL")
        elif line and not line.startswith(_IGNORED):
            raise ValueError(f"{line[:20]!r} does not belong here")

    @staticmethod
    def _ends(words: list[str]) -> list[str]:
        ends = [str(int(word)) for word in words[1:3] if _WHOLE.fullmatch(word) and len(word) < 10]
        if len(ends) != 2:
            raise ValueError("a BRANCH needs the numbers of two atoms")
        return ends

    def end(self) -> None:
        if not self.atoms:
            raise ValueError("it has no atoms")
        if self.torsions is None:
            raise ValueError("it does not end with TORSDOF")
        if all(found.element in ("H", "X") for found in self.atoms):
            raise ValueError("it has no atoms other than hydrogen")
        places: dict[tuple[float, float, float], int] = {}
        for found in self.atoms:
            # A pseudo-atom that closes a macrocycle lies on the atom that it stands for.
            if found.element == "X":
                continue
            other = places.setdefault(found.position, found.number)
            if other != found.number:
                raise ValueError(f"atoms {other} and {found.number} are in the same place")


def ligand(text: str) -> frozenset[str]:
    """The atom types of a ligand, after checks that Vina will read it as intended.

    Raises:
        ValueError: the ligand is invalid; if one line is to blame, the message gives its number.
    """
    if len(text) > _MAX_LIGAND_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, more than a ligand can have")
    found = _Ligand()
    for place, line in enumerate(clean(text).split("\n"), start=1):
        if "\0" in line:
            raise ValueError(f"line {place}: it contains a NUL character")
        try:
            found.add(line)
        except ValueError as error:
            raise ValueError(f"line {place}: {error}") from error
    found.end()
    return frozenset(one.type for one in found.atoms)
