"""The number of atoms in a geometry, and whether they lie on a straight line."""

import math
from collections.abc import Sequence

from wqmaster.errors import ParseError
from wqmaster.parsers.orca.geometry import HEADING, is_atom, labels_and_coordinates
from wqmaster.parsers.orca.text import last

# The largest distance (Angstrom) of an atom from the axis of a linear molecule. Coordinates are
# printed with six decimals, and an optimized linear molecule deviates far less.
_OFF_AXIS = 1e-3


def on_a_line(points: Sequence[Sequence[float]]) -> bool:
    """Whether all points (Angstrom) are within 0.001 Angstrom of a straight line."""
    origin = points[0]
    far = max(points, key=lambda point: math.dist(point, origin))
    length = math.dist(far, origin)
    if length <= _OFF_AXIS:
        return True
    axis = [(end - start) / length for end, start in zip(far, origin, strict=True)]
    for point in points:
        offset = [value - start for value, start in zip(point, origin, strict=True)]
        along = sum(x * y for x, y in zip(offset, axis, strict=True))
        if math.sqrt(max(sum(x * x for x in offset) - along * along, 0.0)) > _OFF_AXIS:
            return False
    return True


def _last(text: str, position: int) -> tuple[list[str], list[list[float]]]:
    """Labels and coordinates of the last geometry before `position`; empty if it cannot be read."""
    place = last(text, HEADING, 0, position)
    try:
        return labels_and_coordinates(text, place) if place >= 0 else ([], [])
    except ParseError:
        return [], []


def natoms(text: str, position: int) -> int:
    """The number of atoms in the last geometry before `position`, or 0 if it cannot be read."""
    return sum(map(is_atom, _last(text, position)[0]))


def is_linear(text: str, position: int, count: int) -> bool | None:
    """Whether the last geometry before `position` is linear.

    None if that geometry does not have `count` atoms.
    """
    labels, points = _last(text, position)
    if points and len(points) == count:
        return on_a_line(points)
    atoms = [point for label, point in zip(labels, points, strict=True) if is_atom(label)]
    return on_a_line(atoms) if atoms and len(atoms) == count else None
