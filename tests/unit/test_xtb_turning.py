"""Molecules that lie along an axis are turned before xtb sees them."""

import itertools
import math

import pytest

from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.xtb.turning import is_aligned, turned

METHANOL = (
    *((0.0, 0.0, 0.0), (1.42, 0.0, 0.0), (-0.36, 1.03, 0.02)),
    *((-0.36, -0.5, 0.89), (-0.35, -0.53, -0.9), (1.74, 0.9, 0.03)),
)


def molecule(coordinates: tuple[tuple[float, float, float], ...]) -> Molecule:
    return Molecule("m", (6, 8, 1, 1, 1, 1), coordinates)


def distances(one: Molecule) -> list[float]:
    return [math.dist(a, b) for a, b in itertools.combinations(one.coordinates, 2)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_bond_along_any_axis_is_found_and_turned(order: tuple[int, int, int]) -> None:
    first, second, third = order
    places = tuple((place[first], place[second], place[third]) for place in METHANOL)
    before = molecule(places)
    after = turned(before)
    assert is_aligned(before)
    assert not is_aligned(after)
    assert distances(after) == pytest.approx(distances(before), abs=1e-12)
    moved = [math.dist(a, b) for a, b in zip(before.coordinates, after.coordinates, strict=True)]
    assert 1e-8 < max(moved) < 1e-5
    assert after.numbers == before.numbers


def test_a_bond_in_a_coordinate_plane_is_found_too() -> None:
    places = tuple((x + 0.1 * y, y + 0.3 * x, z) for x, y, z in METHANOL)
    assert is_aligned(molecule(places))
    assert not is_aligned(turned(molecule(places)))


def test_other_molecules_stay_as_they_are() -> None:
    places = tuple((x + 0.1 * y, y + 0.01 * x + 0.02 * z, z + 0.003 * x) for x, y, z in METHANOL)
    before = molecule(places)
    assert not is_aligned(before)
    assert turned(before) is before
    atom = Molecule("h", (1,), ((0.0, 0.0, 0.0),), multiplicity=2)
    assert turned(atom) is atom
