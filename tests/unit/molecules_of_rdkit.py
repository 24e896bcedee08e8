"""Conformers of molecules that RDKit builds, for tests of data sets."""

from functools import cache
from typing import Any

import numpy as np

from wqmaster.datasets.frame import Frame

SEED = 7


@cache
def built(smiles: str, conformers: int = 1) -> tuple[np.ndarray, list[np.ndarray]]:
    """Atomic numbers, shape (n,), and conformers in Angstrom, each of shape (n, 3)."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom

    with rdBase.BlockLogs():
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        rdDistGeom.EmbedMultipleConfs(molecule, conformers, randomSeed=SEED)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, [one.GetPositions() for one in molecule.GetConformers()]


def turned(random: np.random.Generator) -> np.ndarray:
    """A random rotation, shape (3, 3)."""
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    return rotation * np.linalg.det(rotation)


def frame(name: str, numbers: Any, coordinates: Any, energy: float = -1.0, **more: Any) -> Frame:
    """A frame of a neutral singlet, if nothing else is said."""
    given = {"charge": 0, "multiplicity": 1, "document": name, "campaign": "c", "graph": "g"}
    return Frame(
        id=name,
        numbers=np.asarray(numbers),
        coordinates=np.asarray(coordinates, dtype=np.float64),
        energy=energy,
        **(given | more),
    )
