"""Largest force, net force and net torque in the final evaluation.

The force is the negative gradient. If there are no point charges, constraints, frozen atoms or
external fields, exact forces and torques add up to zero. A nonzero sum is due to grids and other
approximations (Kuryla et al., J. Chem. Phys. 163, 224313 (2025), doi 10.1063/5.0296997).
"""

import math

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.geometry import centers, geometry, symbols
from wqmaster.parsers.orca.gradient import gradient
from wqmaster.parsers.orca.property_file import BOHR


def _forces(output: Output) -> list[list[float]]:
    return [[-value for value in row] for row in gradient(output)]


def _positions(output: Output, count: int) -> list[list[float]]:
    """The coordinates (Bohr) of the `count` centers that have a force.

    Raises:
        ParseError: the geometry is missing or has a different number of centers.
    """
    labels = symbols(output)
    rows = centers(labels, geometry(output), count)
    if rows is None:
        raise ParseError(f"the gradient has {count} rows, but the geometry has {len(labels)} atoms")
    return [[value / BOHR for value in row] for row in rows]


@reads("stdout")
def largest_force(output: Output) -> float:
    """Norm of the largest force on one atom in the final evaluation, in Eh/Bohr.

    The largest component of this force can be up to sqrt(3) times smaller than its norm.
    1 Eh/Bohr is 51.422 eV/Angstrom. Raises what `gradient` raises.
    """
    return max(math.hypot(*force) for force in _forces(output))


@reads("stdout")
def net_force(output: Output) -> list[float]:
    """Sum of the forces on all atoms in the final evaluation, (x, y, z) in Eh/Bohr.

    It need not vanish if there are point charges, constraints, frozen atoms or a field. ORCA's
    rounding to 9 decimals leaves about 1e-9 Eh/Bohr. Raises what `gradient` raises.
    """
    return [sum(column) for column in zip(*_forces(output), strict=True)]


@reads("stdout")
def net_torque(output: Output) -> list[float]:
    """Sum of the torques about the geometric center in the final evaluation, (x, y, z) in Eh.

    This is the sum of (r - center) x force, with r in Bohr. The center is the mean position of the
    atoms, which matters only if `net_force` does not vanish. The torque need not vanish if there
    are point charges, constraints, frozen atoms or a field.

    Raises:
        ParseError: `gradient` or `geometry` raises it, or their numbers of atoms differ.
    """
    forces = _forces(output)
    positions = _positions(output, len(forces))
    center = [sum(column) / len(positions) for column in zip(*positions, strict=True)]
    arms = [[a - c for a, c in zip(row, center, strict=True)] for row in positions]
    return [
        sum(
            arm[second] * force[third] - arm[third] * force[second]
            for arm, force in zip(arms, forces, strict=True)
        )
        for second, third in ((1, 2), (2, 0), (0, 1))
    ]
