"""Avoid an error of xtb's gradient for molecules that lie along an axis or a coordinate plane.

If a bond lies exactly along x, y or z, or in some planes that two axes span, GFN1 and GFN2 of xtb
6.7.1 give a wrong gradient, by 0.6 to 1 eV/Angstrom for one component (F31; grimme-lab/xtb issue
#986). If the molecule is turned by 1e-6 radians, the gradient is right. The turn itself changes a
component by no more than 1e-6 of the gradient, and the coordinates of a molecule of 10 Angstrom by
1e-5 Angstrom. All of xtb's task functions turn the molecule, since their steps can share its file.
"""

import math
from collections import Counter
from dataclasses import replace

from wqmaster.jobs.molecule import Molecule

_TURN_RADIANS = 1e-6
# The axis of the turn, a unit vector that lies in no plane of two coordinate axes.
_AXIS = (0.36, 0.48, 0.8)


def is_aligned(molecule: Molecule) -> bool:
    """Whether an atom other than hydrogen has a coordinate in common with another atom."""
    for axis in range(3):
        values = Counter(place[axis] for place in molecule.coordinates)
        for number, place in zip(molecule.numbers, molecule.coordinates, strict=True):
            if number > 1 and values[place[axis]] > 1:
                return True
    return False


def turned(molecule: Molecule) -> Molecule:
    """The molecule; if it is aligned (`is_aligned`), turned by 1e-6 radians about its center."""
    if not is_aligned(molecule):
        return molecule
    count = molecule.natoms
    center = [sum(place[axis] for place in molecule.coordinates) / count for axis in range(3)]
    sine, versine = math.sin(_TURN_RADIANS), 2 * math.sin(_TURN_RADIANS / 2) ** 2
    u, v, w = _AXIS
    found = []
    for place in molecule.coordinates:
        x, y, z = (place[axis] - center[axis] for axis in range(3))
        cross = (v * z - w * y, w * x - u * z, u * y - v * x)
        along = u * x + v * y + w * z
        # Rodrigues' formula, written as a difference from the old position, so that no digit is
        # lost.
        shift = [
            sine * cross[axis] + versine * (_AXIS[axis] * along - (x, y, z)[axis])
            for axis in range(3)
        ]
        found.append((place[0] + shift[0], place[1] + shift[1], place[2] + shift[2]))
    return replace(molecule, coordinates=tuple(found))
