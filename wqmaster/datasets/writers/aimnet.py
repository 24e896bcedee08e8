"""The writer of HDF5 files for AIMNet2.

Format: isayevlab/aimnetcentral, `docs/train.md` (groups by size, units eV, Angstrom and e) and the
sample `tests/data/dataset.h5`, whose keys and types these are: `coord`, `forces`, `charges`,
`spin_charges`, `dipole` and `quadrupole` in single precision, `energy` in double precision,
`charge` and `mult` (2S+1) in 8 bits, `numbers` for each molecule, and `_id`. The models read `mult`
(`aimnet/models/aimnet2.py`), but the default configuration for training does not name it
(`aimnet/train/default_train.yaml`, `data.x`). The quadrupole moment is traceless, with the
components xx, yy, zz, xy, yz, zx (`Quadrupole` in `aimnet/modules/core.py`).
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.base import Level, Unfit
from wqmaster.datasets.frame import Floats, Frame
from wqmaster.datasets.writers.by_size import BySizeWriter, attributes
from wqmaster.datasets.writers.hdf5 import Column

_COLUMNS = {
    "_id": Column("S"),
    "numbers": Column("i4"),
    "coord": Column("f4", "Angstrom"),
    "charge": Column("i1", "e"),
    "mult": Column("i1", "2S+1"),
    "energy": Column("f8", "eV"),
    "forces": Column("f4", "eV/Angstrom"),
    "charges": Column("f4", "e"),
    "spin_charges": Column("f4", "e"),
    "dipole": Column("f4", "e Angstrom"),
    "quadrupole": Column("f4", "e Angstrom^2"),
}
# The largest signed integer of 8 bits.
_LARGEST = 127


class AimnetWriter(BySizeWriter):
    """Writes frames for AIMNet2."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        carried = ("gradient", "charges", "spins", "dipole", "quadrupole")
        super().__init__(path, _COLUMNS, labels, attributes(level), carried)

    def row(self, frame: Frame, labels: frozenset[str]) -> dict[str, Any]:
        """The values of a frame by their keys in the file.

        Raises:
            Unfit: the charge or multiplicity does not fit into 8 bits.
        """
        if max(abs(frame.charge), frame.multiplicity) > _LARGEST:
            raise Unfit(f"a charge or multiplicity above {_LARGEST}")
        row: dict[str, Any] = {
            "_id": frame.id,
            "numbers": frame.numbers,
            "coord": frame.coordinates,
            "charge": frame.charge,
            "mult": frame.multiplicity,
            "energy": frame.energy_ev,
        }
        if "gradient" in labels:
            row["forces"] = frame.forces_ev
        if "charges" in labels:
            row["charges"] = frame.charges
        if "spins" in labels:
            row["spin_charges"] = frame.spins
        if "dipole" in labels:
            row["dipole"] = frame.dipole_ea
        quadrupole = frame.quadrupole_ea2
        if "quadrupole" in labels and quadrupole is not None:
            row["quadrupole"] = _traceless(quadrupole)
        return row


def _traceless(moment: Floats) -> Floats:
    """The components xx, yy, zz, xy, yz, zx of the traceless part of a moment of shape (3, 3)."""
    x, y, z = range(3)
    diagonal = np.diagonal(moment) - np.trace(moment) / 3
    return np.concatenate([diagonal, [moment[x, y], moment[y, z], moment[z, x]]])


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> AimnetWriter:
    """A writer of a file for AIMNet2."""
    return AimnetWriter(path, level, labels)
