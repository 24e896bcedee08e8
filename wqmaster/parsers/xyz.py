"""The reader of XYZ files that programs write: the number of atoms, a comment, a line per atom."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from wqmaster.errors import ParseError


@dataclass(frozen=True)
class Frame:
    """One structure in an XYZ file."""

    comment: str
    symbols: tuple[str, ...]
    coordinates: tuple[tuple[float, float, float], ...]  # Angstrom


def _row(line: str, name: str) -> tuple[str, tuple[float, float, float]]:
    words = line.split()
    if len(words) < 4 or not words[0].isalpha():
        raise ParseError(f"the line {line.strip()[:60]!r} in {name} is not an atom")
    x, y, z = (_coordinate(word, name) for word in words[1:4])
    return words[0], (x, y, z)


def _coordinate(word: str, name: str) -> float:
    try:
        return float(word.replace("D", "E").replace("d", "e"))  # Fortran can print 0.1D+01
    except ValueError as error:
        raise ParseError(f"a coordinate in {name} is not a number: {word[:40]!r}") from error


def _number_of_atoms(line: str, name: str) -> int:
    try:
        return int(line)
    except ValueError as error:
        what = f"the number of atoms in {name}"
        raise ParseError(f"{what} is not a whole number: {line.strip()[:40]!r}") from error


def frames(text: str, name: str, more: int = 0) -> Iterator[Frame]:
    """The structures in an XYZ file in which `more` extra lines per atom follow each structure.

    Raises:
        ParseError: a structure is truncated, or a line is not an atom.
    """
    if text and not text.endswith("\n"):
        raise ParseError(f"{name} is truncated")
    # The text is read line by line, so that a large file of another kind is refused at its first
    # wrong line.
    lines = io.StringIO(text.rstrip())
    for first in lines:
        natoms = _number_of_atoms(first, name)
        if not 0 < natoms < len(text):
            raise ParseError(f"{name} is truncated")
        size = 1 + (1 + more) * natoms
        block = list(islice(lines, size))
        if len(block) < size:
            raise ParseError(f"{name} is truncated")
        rows = [_row(line, name) for line in block[1 : natoms + 1]]
        comment = block[0].rstrip("\r\n")
        yield Frame(comment, tuple(row[0] for row in rows), tuple(row[1] for row in rows))
