"""Keys of molecular graphs, which keep the conformers of a molecule in one part of a data set.

A key stands for the atoms, which of them are bonded, the charge and the multiplicity. Bond orders,
formal charges and stereochemistry are left out, so resonance forms, enantiomers, diastereomers and
all conformers share a key; tautomers and ions have different ones. Bonds to metals are left out as
well, since neither programs nor people agree on them (InChI disconnects metals, too): linkage
isomers of a complex share a key. Molecules that share a key stay in one part, so each of these
choices errs on the safe side.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.canonical import canonical, digest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ServiceError

# The covalent radii in Angstrom of nonmetals and metalloids, by atomic number: Cordero et al.,
# Dalton Trans. 2008, 2832, doi 10.1039/b801115j (sp3 for carbon). Other elements get no bonds here.
# fmt: off
_RADII_ANGSTROM = {
    1: 0.31, 2: 0.28, 5: 0.84, 6: 0.76, 7: 0.71, 8: 0.66, 9: 0.57, 10: 0.58,
    14: 1.11, 15: 1.07, 16: 1.05, 17: 1.02, 18: 1.06,
    32: 1.20, 33: 1.19, 34: 1.20, 35: 1.20, 36: 1.16,
    51: 1.39, 52: 1.38, 53: 1.39, 54: 1.40, 85: 1.50, 86: 1.50,
}
# fmt: on
# The longest bond as a multiple of the sum of the radii. Hydrogen, which moves most in a hot
# trajectory, belongs to the nearest atom anyway, so its limit can be generous (C-H: 1.6 Angstrom).
# Relative to their radii, elements from the third period on come closer to each other without a
# bond than those of the second.
_LONGEST_HYDROGEN, _LONGEST_LIGHT, _LONGEST_HEAVY = 1.5, 1.3, 1.2
_LONGEST = np.array(
    [
        [_LONGEST_HYDROGEN, _LONGEST_HYDROGEN, _LONGEST_HYDROGEN],
        [_LONGEST_HYDROGEN, _LONGEST_LIGHT, _LONGEST_HEAVY],
        [_LONGEST_HYDROGEN, _LONGEST_HEAVY, _LONGEST_HEAVY],
    ]
)
# Two atoms with two common neighbors face each other across a four-membered ring. In
# bicyclo[1.1.1]pentane they are 1.87 Angstrom apart (1.23 times the sum of the radii) and not
# bonded, in [1.1.1]propellane 1.60 Angstrom (1.05) and bonded.
_LONGEST_ACROSS = 1.1
_MOST_NEIGHBORS = {1: 1, 6: 4, 7: 4, 8: 3, 9: 1}
_BORON = 5
# If atoms are closer than this multiple, the geometry has collapsed, and nothing can be said about
# its bonds. The shortest bond, by this measure, is that of N2 (0.77).
_COLLAPSED = 0.5
_ROWS_AT_A_TIME = 500


def graph_key(
    numbers: npt.ArrayLike,
    coordinates: npt.ArrayLike,
    charge: int,
    multiplicity: int,
    smiles: str | None = None,
) -> str:
    """A key of the molecular graph, charge and multiplicity: 20 hexadecimal digits.

    The order of atoms and their positions do not matter as long as the bonds are the same. If
    `smiles` is given and its atoms, hydrogens included, are those of the molecule, its bonds are
    used; otherwise bonds are perceived from distances. If that fails, the key stands for the
    composition and the sorted distances, rounded to 0.01 Angstrom, so that each conformer has its
    own.

    Args:
        numbers: atomic numbers, shape (n,)
        coordinates: in Angstrom, shape (n, 3)
        charge: in e
        multiplicity: 2 S + 1
        smiles: SMILES with implicit or explicit hydrogens

    Raises:
        ServiceError: a SMILES is given and RDKit is not installed.
    """
    elements: list[int] = np.asarray(numbers, dtype=np.int64).tolist()
    places = np.asarray(coordinates, dtype=np.float64).reshape(-1, 3)
    if smiles:
        known = _of_smiles(smiles)
        if known is not None and known[0] == tuple(sorted(elements)):
            return digest(known[1], charge, multiplicity)
    bonds = perceived(elements, places)
    if bonds is None:
        return digest(_by_distances(elements, places), charge, multiplicity)
    return digest(canonical(elements, bonds), charge, multiplicity)


def perceived(numbers: Sequence[int], coordinates: npt.ArrayLike) -> list[tuple[int, int]] | None:
    """The bonds, as pairs of atoms counted from 0.

    None if atoms have collapsed onto each other or a coordinate is not finite.

    Atoms are bonded if they are not much farther apart than the sum of their covalent radii. The
    shortest bonds, relative to this sum, are accepted first, and H, C, N, O and F accept no more
    than their valence allows, so that a hydrogen bond is not a bond. Bonds to boron do not count
    toward the valence (diborane, carboranes).

    Args:
        numbers: atomic numbers, shape (n,)
        coordinates: in Angstrom, shape (n, 3)
    """
    places = np.asarray(coordinates, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(places).all():
        return None
    radii = np.array([_RADII_ANGSTROM.get(number, 0.0) for number in numbers])
    covalent = np.flatnonzero(radii).tolist()
    places, radii = places[covalent], radii[covalent]
    elements = [numbers[place] for place in covalent]
    kinds = np.array([0 if number == 1 else 1 if number <= 10 else 2 for number in elements])
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(elements), _ROWS_AT_A_TIME):
        rows = slice(start, start + _ROWS_AT_A_TIME)
        apart = np.sqrt(((places[rows, None, :] - places[None, :, :]) ** 2).sum(axis=2))
        ratios = apart / (radii[rows, None] + radii[None, :])
        limits = _LONGEST[kinds[rows, None], kinds[None, :]]
        ones, others = np.nonzero(ratios <= limits)
        above = others > ones + start
        ones, others = ones[above], others[above]
        close = ratios[ones, others]
        if len(close) and close.min() < _COLLAPSED:
            return None
        found.extend(zip(close.tolist(), (ones + start).tolist(), others.tolist(), strict=True))
    found.sort()
    neighbors: list[set[int]] = [set() for _ in elements]
    left = [_MOST_NEIGHBORS.get(number, 99) for number in elements]
    bonds = []
    for ratio, one, other in found:
        if ratio > _LONGEST_ACROSS and len(neighbors[one] & neighbors[other]) > 1:
            continue
        if _BORON not in (elements[one], elements[other]):
            if not (left[one] and left[other]):
                continue
            left[one] -= 1
            left[other] -= 1
        neighbors[one].add(other)
        neighbors[other].add(one)
        bonds.append((covalent[one], covalent[other]))
    return bonds


@lru_cache(maxsize=10_000)
def _of_smiles(smiles: str) -> tuple[tuple[int, ...], str] | None:
    """The sorted atomic numbers and the canonical form; None if the SMILES cannot be read."""
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        raise ServiceError(
            "documents have SMILES, and RDKit, which reads them, is not installed; "
            "pip install 'wqmaster[datasets]'",
            code=ErrorCode.LIBRARY_MISSING,
        ) from None
    with rdBase.BlockLogs():
        try:
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None or not molecule.GetNumAtoms():
                return None
            molecule = Chem.AddHs(molecule)
        except Exception:  # RDKit can raise any exception
            return None
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    bonds = [
        pair
        for bond in molecule.GetBonds()
        if _is_covalent(bond, Chem)
        for pair in [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())]
        if all(numbers[atom] in _RADII_ANGSTROM for atom in pair)
    ]
    return tuple(sorted(numbers)), canonical(numbers, bonds)


def _is_covalent(bond: Any, chem: Any) -> bool:
    return bond.GetBondType() not in (chem.BondType.ZERO, chem.BondType.HYDROGEN)


def _by_distances(numbers: Sequence[int], places: npt.NDArray[np.float64]) -> tuple[object, ...]:
    """What identifies a geometry without recognizable bonds: its elements and distances."""
    rounded = [
        np.round(np.sqrt(((places[place + 1 :] - places[place]) ** 2).sum(axis=1)), 2)
        for place in range(len(places))
    ]
    distances = np.sort(np.concatenate(rounded)) if rounded else np.zeros(0)
    return "distances", sorted(numbers), distances.tobytes()
