"""The check of a molecule before anything is computed: atoms that are too close."""

import math

from wqmaster.checks.base import Check, Limits
from wqmaster.checks.evaluated import Evaluated
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import Molecule, closest


def _nothing(evaluated: Evaluated) -> None:
    """Measure nothing: the check is applied to a molecule (`too_close`), not to a result."""
    return


CLOSEST_ATOMS = Check(
    name="closest_atoms",
    quantity="the smallest distance of two atoms",
    unit="Angstrom",
    default=Limits(refuse=0.5),
    strict=Limits(refuse=0.6),
    measure=_nothing,
    kind=FailureClass.CHECK_CLOSEST_ATOMS,
    low_is_bad=True,
)
"""Smallest distance of two atoms of the document.

Source: OMol25 refuses reactive geometries with atoms closer than 0.5 Angstrom (om-data,
omdata/reactivity_utils.py). The shortest bond, that of H2, is 0.74 Angstrom long; the strict limit
is ours. A document that fails is not computed, so there is no warning.
"""


def too_close(molecule: Molecule, limit: float) -> str | None:
    """Why two atoms of `molecule` are closer than `limit` (Angstrom); None if none are."""
    pair = closest(molecule.coordinates, limit)
    if pair is None:
        return None
    first, second = pair
    distance = math.dist(molecule.coordinates[first], molecule.coordinates[second])
    return (
        f"atoms {first + 1} and {second + 1} (of {molecule.natoms}) are {distance:.2f} Angstrom "
        f"apart, below the limit of {limit:g}"
    )
