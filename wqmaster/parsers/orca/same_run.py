"""Check that another file of a run belongs to the final evaluation in the standard output.

The check is skipped if the standard output lacks the value, or is missing because the user passed
only the other file.
"""

from collections.abc import Callable
from typing import TypeVar

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.energy import total_energy
from wqmaster.parsers.orca.geometry import centers, geometry, symbols

# The largest difference between the energies of one evaluation in two files.
_SAME_ENERGY_EH = 1e-8
# The largest absolute and relative differences between the coordinates of one evaluation in two
# files. The standard output has 6 decimals, and ORCA's value of the Bohr depends on the version.
_SAME_PLACE_ANGSTROM = 2e-6
_OTHER_BOHR = 2e-7

T = TypeVar("T")


def _try(parser: Callable[[Output], T], output: Output) -> T | None:
    """The value that a parser finds in the standard output of the same step, or None."""
    try:
        return parser(output.beside("stdout"))
    except ParseError:
        return None


def check_energy(output: Output, energy: float) -> None:
    """Check that `energy` (Eh) is the final energy in the standard output.

    Raises:
        ParseError: the energies differ.
    """
    expected = _try(total_energy, output) if output.has("stdout") else None
    if expected is not None and not abs(energy - expected) <= _SAME_ENERGY_EH:
        raise ParseError(
            f"{output.name} has the energy {energy:.9f} Eh, but the final evaluation in the"
            f" standard output has {expected:.9f} Eh: the file belongs to another evaluation, as"
            " after an optimization; use 'frames', or add a single point with EnGrad"
        )


def _centered(rows: list[list[float]]) -> list[list[float]]:
    center = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return [[x - c for x, c in zip(row, center, strict=True)] for row in rows]


def check_geometry(output: Output, rows: list[list[float]], shifted: bool = False) -> None:
    """Check that `rows` (Angstrom) are the final evaluation's geometry in the standard output.

    `shifted`: whether the origin can differ.

    Raises:
        ParseError: the geometries differ.
    """
    if not output.has("stdout"):
        return
    expected, labels = _try(geometry, output), _try(symbols, output)
    if expected is None or labels is None:
        return
    found = centers(labels, expected, len(rows))
    if found and shifted:
        found, rows = _centered(found), _centered(rows)
    if not found or any(
        not abs(x - y) <= _SAME_PLACE_ANGSTROM + _OTHER_BOHR * abs(x)
        for row, other in zip(found, rows, strict=True)
        for x, y in zip(row, other, strict=True)
    ):
        raise ParseError(
            f"{output.name} belongs to another geometry than the final energy in the standard"
            " output, and so to another evaluation"
        )
