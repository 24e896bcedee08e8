"""Gradients in ORCA's text, versions 3 to 6.1, in Eh/Bohr, shape (n, 3).

Layouts: analytic, `CARTESIAN GRADIENT`, an empty line, rows `1   H   :  x y z`; numerical, the same
without the empty line; and that of the MP2 module, `The final MP2 gradient` with rows `0:  x y z`.
All of them print the norm, which the rows are held against.
"""

import math
from collections.abc import Iterator
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers import Output, reads
from wqmaster.parsers.orca.geometry import check_count
from wqmaster.parsers.orca.text import atom_rows, every, last_of, line_end, lines, number

HEADINGS = (
    "CARTESIAN GRADIENT",
    "CARTESIAN GRADIENT (NUMERICAL)",
    "The final MP2 gradient",
    "The cartesian gradient:",
)
_DISPERSION = "DISPERSION GRADIENT"
_ENDS = ("Difference to", "Norm of", "NORM OF", "-----")
_CONSTRAINED = "CONSTRAINED CARTESIAN"
# How far behind the rows the norm stands.
_LINES_TO_NORM = 12
# Rows have 8 or 9 decimals, the norm of the MP2 gradient has 6.
_ROUNDING = 2e-6


def _norm(rows: Iterator[str]) -> float | None:
    """The norm that follows a gradient; None if ORCA printed none."""
    for line in islice(rows, _LINES_TO_NORM):
        stripped = line.strip()
        if stripped in (*HEADINGS, _DISPERSION):
            return None
        if stripped.upper().startswith("NORM OF THE "):
            return number(stripped.replace("...", ":").rpartition(":")[2].strip())
    return None


def _gradient(text: str, position: int, what: str) -> list[list[float]]:
    rows = lines(text, position)
    found, _ = atom_rows(rows, what, _ENDS)
    if len(found[0]) != 3:
        raise ParseError(f"{what} has {len(found[0])} columns")
    head = text[position : line_end(text, position) + 400]
    norm = None if _CONSTRAINED in head else _norm(rows)
    computed = math.hypot(*(value for row in found for value in row))
    if norm is not None and abs(norm - computed) > _ROUNDING + 1e-4 * abs(norm):
        raise ParseError(f"the norm of {what} is {computed:.9f}, ORCA printed {norm:.9f}")
    return found


def _checked(text: str, position: int, what: str) -> list[list[float]]:
    found = _gradient(text, position, what)
    check_count(text, position, len(found), what)
    return found


@reads("stdout", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """The last gradient of the energy in Eh/Bohr, shape (n, 3), in the input's frame.

    Raises:
        ParseError: there is none; an atom is missing; its norm is not the printed one.
    """
    position = last_of(output.text, *HEADINGS)
    if position < 0:
        raise output.missing("'CARTESIAN GRADIENT'")
    return _checked(output.text, position, "the gradient")


@reads("stdout")
def gradient_trajectory(output: Output) -> list[list[list[float]]]:
    """All gradients in the order of the text, in Eh/Bohr, shape (steps, n, 3)."""
    text = output.text
    positions = sorted(position for heading in HEADINGS for position in every(text, heading))
    if not positions:
        raise output.missing("'CARTESIAN GRADIENT'")
    return [_gradient(text, position, "the gradient") for position in positions]


@reads("stdout", per_atom=True)
def dispersion_gradient(output: Output) -> list[list[float]]:
    """The last gradient of the dispersion correction (D3, D4) in Eh/Bohr, shape (n, 3).

    ORCA prints it with `%output Print[P_DFTD_GRAD] 1 end`.
    """
    position = last_of(output.text, _DISPERSION)
    if position < 0:
        raise output.missing(f"'{_DISPERSION}'")
    return _checked(output.text, position, "the dispersion gradient")
