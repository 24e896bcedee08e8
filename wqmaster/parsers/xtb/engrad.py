"""The reader of molecule.engrad, a file in ORCA's format that xtb writes with `--grad`."""

import math
from dataclasses import dataclass
from functools import lru_cache

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output

# 1 Bohr in Angstrom, with xtb's value (xtb, src/mctc/convert.f90: autoaa).
BOHR = 0.52917726


# xtb writes an atomic number and three coordinates, or one number, into a line.
_MAX_LINE_CHARACTERS = 500


@dataclass(frozen=True)
class Engrad:
    """The content of molecule.engrad."""

    energy: float  # Eh
    gradient: list[list[float]]  # Eh/Bohr
    geometry: list[list[float]]  # Angstrom


def _place(word: str) -> float:
    """Convert a coordinate from Bohr to Angstrom.

    The result is NaN if the number was too wide for its field, so xtb printed asterisks.
    """
    try:
        return float(word) * BOHR
    except ValueError:
        return math.nan


def _triples(values: list[float], width: int) -> list[list[float]]:
    """The last three numbers of each row, for rows of `width` numbers."""
    return [values[end - 3 : end] for end in range(width, len(values) + 1, width)]


def engrad(output: Output) -> Engrad:
    """The content of molecule.engrad, with its geometry converted from Bohr to Angstrom.

    Raises:
        ParseError: the file is missing or truncated, or a number in it cannot be read.
    """
    return _read(output.file("molecule.engrad"))


def gradient_geometry(output: Output) -> list[list[float]]:
    """The geometry in Angstrom, shape (n, 3), to which the parser `gradient` belongs.

    Raises what `engrad` raises.
    """
    return engrad(output).geometry


@lru_cache(maxsize=1)
def _read(text: str) -> Engrad:
    """The content of the file; all parsers of a step read the same text."""
    if 3 * text.count("\n") > len(text) + 3:
        raise ParseError("the gradient in molecule.engrad cannot be read: the lines are empty")
    lines = text.split("\n")
    if any(len(line) > _MAX_LINE_CHARACTERS for line in lines):
        raise ParseError("the gradient in molecule.engrad cannot be read: a line is too long")
    words = [word for line in lines if not line.lstrip().startswith("#") for word in line.split()]
    try:
        natoms = int(words[0])
        values = [float(word) for word in words[1 : 2 + 3 * natoms]]
        if natoms < 1 or len(values) != 1 + 3 * natoms or len(words) != 2 + 7 * natoms:
            raise ValueError("it is truncated")
    except (ValueError, IndexError) as error:
        raise ParseError(f"the gradient in molecule.engrad cannot be read: {error}") from error
    places = [_place(word) for word in words[2 + 3 * natoms :]]
    return Engrad(values[0], _triples(values[1:], 3), _triples(places, 4))
