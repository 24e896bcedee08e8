"""The writer of HDF5 files in the format of ANI-1x.

Format: aiqm/ANI1x_datasets, `dataloader.py` and README: a group for each formula with
`atomic_numbers` (n,), `coordinates` (conformers, n, 3) in Angstrom, and `LEVEL.energy` in Eh and
`LEVEL.forces` in Eh/Angstrom, with NaN for missing values. Here, each group is for one order of the
atoms, so that no frame is reordered: its name is the formula and a hash of that order. Energies are
in double precision, forces in single precision. `_id` is ours; the loader takes only the keys that
it is asked for.

The format has no place for charge and spin: everything in it counts as a neutral singlet.
"""

import hashlib
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.base import LABELS, Level, Unfit
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.writers.by_size import attributes
from wqmaster.datasets.writers.formula import formula
from wqmaster.datasets.writers.hdf5 import Column, GroupedFile


class AniWriter:
    """Writes frames of neutral singlets."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(("gradient",))
        name = level_key(level.name)
        self._energy, self._forces = f"{name}.energy", f"{name}.forces"
        columns = {
            "_id": Column("S"),
            "atomic_numbers": Column("u1"),
            "coordinates": Column("f8", "Angstrom"),
            self._energy: Column("f8", "Eh"),
            self._forces: Column("f4", "Eh/Angstrom"),
        }
        self._file = GroupedFile(path, columns, attributes(level))

    def add(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            Unfit: it is an ion or has an open shell.
        """
        if frame.charge:
            raise Unfit("an ion, and the format has no place for a charge")
        if frame.multiplicity != 1:
            raise Unfit("an open shell, and the format has no place for a spin")
        row: dict[str, Any] = {
            "_id": frame.id,
            "coordinates": frame.coordinates,
            self._energy: frame.energy,
        }
        if "gradient" in self.labels:
            forces = frame.forces_eh
            row[self._forces] = np.full((frame.natoms, 3), np.nan) if forces is None else forces
        order = hashlib.sha256(frame.numbers.astype("<i8").tobytes()).hexdigest()[:8]
        group = f"{formula(frame.numbers)}_{order}"
        self._file.append(group, row, {"atomic_numbers": frame.numbers})

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""
        self._file.abandon()


def level_key(name: str) -> str:
    """The name of a level of theory in the form for a key, such as `wb97x-d3bj_def2-svp`."""
    return re.sub(r"[^a-z0-9-]+", "_", name.lower()).strip("_") or "energy_level"


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> AniWriter:
    """A writer of a file in the format of ANI-1x."""
    return AniWriter(path, level, labels)
