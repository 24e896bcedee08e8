"""Checks of the forces, the negative gradient.

If nothing outside a molecule acts on it, its energy does not change when it is moved or turned as a
whole, so the forces and their torques add up to zero. What remains is an error of the forces, due
to coarse grids and loose approximations (Kuryla, Berger, Csanyi, Michaelides, J. Chem. Phys. 163,
224313 (2025), doi 10.1063/5.0296997). The sums reveal many inaccurate forces but not all: if an SCF
converged to another state, its forces are wrong and still add up to zero.
"""

import math
from collections.abc import Sequence

from wqmaster.checks.base import Check, Limits
from wqmaster.checks.evaluated import Evaluated
from wqmaster.jobs.failures import FailureClass

# CODATA 2018: 1 Eh in eV and 1 Bohr in Angstrom.
_EV_PER_HARTREE = 27.211386245988
_ANGSTROM_PER_BOHR = 0.529177210903
EV_PER_ANGSTROM = _EV_PER_HARTREE / _ANGSTROM_PER_BOHR
_MILLI = 1000.0

Vector = tuple[float, float, float]
Rows = Sequence[Sequence[float]]


def total(rows: Rows) -> Vector:
    """The sum of vectors, shape (n, 3)."""
    x, y, z = (math.fsum(column) for column in zip(*rows, strict=True))
    return x, y, z


def torque(rows: Rows, places: Rows) -> Vector:
    """The sum of (place - center) x row; the center is the mean of the places.

    Both arguments have the shape (n, 3). The center matters only if the rows do not add up to zero.
    """
    cx, cy, cz = (component / len(places) for component in total(places))
    tx = ty = tz = 0.0
    for (fx, fy, fz), (px, py, pz) in zip(rows, places, strict=True):
        x, y, z = px - cx, py - cy, pz - cz
        tx += y * fz - z * fy
        ty += z * fx - x * fz
        tz += x * fy - y * fx
    return tx, ty, tz


def rigid_part(rows: Rows, places: Rows) -> float:
    """The root mean square of the components of those forces that move a molecule rigidly.

    This part is the orthogonal projection of the forces onto the translations and rotations of the
    molecule: the only part of their error that is visible without better forces. Unlike the two
    sums, it need not weigh forces against torques, and its unit is that of the forces.

    Args:
        rows: the forces or the gradient, shape (n, 3)
        places: the coordinates, shape (n, 3)
    """
    count = len(places)
    fx, fy, fz = total(rows)
    center = [component / count for component in total(places)]
    arms = [[p - c for p, c in zip(place, center, strict=True)] for place in places]
    turning = torque(rows, places)
    # The tensor of inertia for atoms of mass 1; its inverse turns a torque into a rotation.
    tensor = [
        [
            sum((math.hypot(*arm) ** 2 if a == b else 0.0) - arm[a] * arm[b] for arm in arms)
            for b in range(3)
        ]
        for a in range(3)
    ]
    square = (fx**2 + fy**2 + fz**2) / count
    square += sum(t * w for t, w in zip(turning, _solved(tensor, turning), strict=True))
    return math.sqrt(max(square, 0.0) / (3 * count))


def _solved(matrix: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve a symmetric 3 x 3 system; if it is singular, the solution has the smallest norm."""
    import numpy as np

    inverse = np.linalg.pinv(np.asarray(matrix), rcond=1e-9, hermitian=True)
    found: list[float] = (inverse @ np.asarray(right)).tolist()
    return found


def _largest(evaluated: Evaluated) -> float | None:
    rows = evaluated.gradient
    if rows is None:
        return None
    return max(math.hypot(*row) for row in rows) * EV_PER_ANGSTROM


def _net_force(evaluated: Evaluated) -> float | None:
    rows = evaluated.gradient
    if rows is None:
        return None
    return math.hypot(*total(rows)) / len(rows) * EV_PER_ANGSTROM * _MILLI


def _net_torque(evaluated: Evaluated) -> float | None:
    rows = evaluated.gradient
    if rows is None:
        return None
    places = evaluated.geometry
    if places is None or len(rows) != len(places):
        return None
    return math.hypot(*torque(rows, places)) / len(rows) * EV_PER_ANGSTROM * _MILLI


MAX_FORCE = Check(
    name="max_force",
    quantity="the largest force on an atom",
    unit="eV/Angstrom",
    default=Limits(refuse=50.0),
    strict=Limits(warn=20.0, refuse=50.0),
    measure=_largest,
    kind=FailureClass.CHECK_MAX_FORCE,
)
"""The largest norm of the force on an atom.

Source: SPICE cuts force components at 1 Eh/Bohr = 51.4 eV/Angstrom (openmm/spice-dataset,
downloader/config.yaml); the largest forces of OMol25 end at 49.9 eV/Angstrom. A norm is at least as
large as its components, so the limit is not looser than that of SPICE. The strict warning is ours.
"""

NET_FORCE = Check(
    name="net_force",
    quantity="the net force per atom",
    unit="meV/Angstrom",
    default=Limits(warn=1.0, refuse=10.0),
    strict=Limits(warn=0.1, refuse=1.0),
    measure=_net_force,
    kind=FailureClass.CHECK_NET_FORCE,
)
"""Norm of the sum of all forces, divided by the number of atoms.

Source: Kuryla et al. (see the module) report the net force per atom of seven data sets. The limits
are ours: of 1,000 AIMNet2 structures of that paper, 60% are above 1 and 0.1% above 10
meV/Angstrom. The check does not apply next to point charges, constraints or an external field.
"""

NET_TORQUE = Check(
    name="net_torque",
    quantity="the net torque per atom",
    unit="meV",
    default=Limits(warn=1.0, refuse=10.0),
    strict=Limits(warn=0.1, refuse=1.0),
    measure=_net_torque,
    kind=FailureClass.CHECK_NET_TORQUE,
)
"""Norm of the sum of the torques about the mean position of the atoms, per atom.

A torque is (r - center) x force, in eV. Source: as `NET_FORCE`, for rotations instead of
translations; limits and normalization are ours, since the paper has no torques. If a program's grid
does not turn with the molecule, the error shows here although the net force vanishes. The check
needs the geometry to which the gradient belongs; if that is unknown, it does not apply.
"""
