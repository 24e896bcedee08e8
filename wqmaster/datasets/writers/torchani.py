"""The writer of HDF5 files for TorchANI 2.

Format: aiqm/torchani, `torchani/datasets/backends/hdf5_impl.py` (the attribute `grouping`, without
which a file counts as "legacy") and `anidataset.py` (groups `001`, ..., with `species` as atomic
numbers; `_id` is read as text in ASCII, so other characters are escaped as in Python). Energies are
in Eh, forces in Eh/Angstrom (`torchani/units.py`). TorchANI has no reserved names for the state;
its tests call it `charges` and `spin_multiplicities` (`tests/test_datasets.py`), and
`atomic_charges` are those of the atoms (`torchani/utils.py`, `ATOMIC_KEYS`). Dipole moments are in
e Angstrom, as `torchani/electro.py` computes them. The reader makes tensors of the precision that
it finds, here double precision.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import Level
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.writers.by_size import BySizeWriter, attributes
from wqmaster.datasets.writers.hdf5 import Column

_COLUMNS = {
    "_id": Column("S"),
    "species": Column("i8"),
    "coordinates": Column("f8", "Angstrom"),
    "charges": Column("i8", "e"),
    "spin_multiplicities": Column("i8", "2S+1"),
    "energies": Column("f8", "Eh"),
    "forces": Column("f8", "Eh/Angstrom"),
    "atomic_charges": Column("f8", "e"),
    "atomic_spins": Column("f8", "e"),
    "dipoles": Column("f8", "e Angstrom"),
    "quadrupoles": Column("f8", "e Angstrom^2"),
}


class TorchaniWriter(BySizeWriter):
    """Writes frames for TorchANI."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        carried = ("gradient", "charges", "spins", "dipole", "quadrupole")
        about = attributes(level) | {"grouping": "by_num_atoms"}
        super().__init__(path, _COLUMNS, labels, about, carried)

    def row(self, frame: Frame, labels: frozenset[str]) -> dict[str, Any]:
        """The values of a frame by their keys in the file."""
        row: dict[str, Any] = {
            "_id": frame.id.encode("unicode_escape").decode("ascii"),
            "species": frame.numbers,
            "coordinates": frame.coordinates,
            "charges": frame.charge,
            "spin_multiplicities": frame.multiplicity,
            "energies": frame.energy,
        }
        if "gradient" in labels:
            row["forces"] = frame.forces_eh
        if "charges" in labels:
            row["atomic_charges"] = frame.charges
        if "spins" in labels:
            row["atomic_spins"] = frame.spins
        if "dipole" in labels:
            row["dipoles"] = frame.dipole_ea
        if "quadrupole" in labels:
            row["quadrupoles"] = frame.quadrupole_ea2
        return row


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> TorchaniWriter:
    """A writer of a file for TorchANI."""
    return TorchaniWriter(path, level, labels)
