"""The base of writers of HDF5 files with a group for each number of atoms.

The trainers refuse a file whose groups have different keys (`SizeGroupedDataset.__setitem__` in
`aimnet/data/sgdataset.py`, `_update_properties_cache` in
`torchani/datasets/backends/interface.py`), so all frames have the same labels.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import Level, Unfit
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.writers.hdf5 import Column, GroupedFile

# Frames of ions lack these, which would depend on the origin. So the first frame does not decide on
# them: a file would otherwise refuse all ions.
_MOMENTS = frozenset(("dipole", "quadrupole"))


def attributes(level: Level) -> dict[str, str]:
    """The attributes of a file, which hold for all its frames."""
    return {
        "level_of_theory": level.name,
        "program": level.program,
        "options": json.dumps(dict(level.options), sort_keys=True, default=str),
        "recipe": level.recipe,
        "format": "wqmaster",
    }


class BySizeWriter(ABC):
    """Writes frames into groups `001`, `002`, ... by the number of atoms."""

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, Column],
        labels: Collection[str] | None,
        about: Mapping[str, Any],
        carried: Collection[str],
    ) -> None:
        self._file = GroupedFile(path, columns, about)
        self._carried = frozenset(carried)
        self._labels = None if labels is None else frozenset(labels) & self._carried

    @property
    def labels(self) -> frozenset[str]:
        """The labels of every frame; if the first frame decides on them, none before it."""
        return self._labels or frozenset()

    @abstractmethod
    def row(self, frame: Frame, labels: frozenset[str]) -> dict[str, Any]:
        """The values of a frame by their keys in the file."""

    def add(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            Unfit: it lacks a label that the other frames have.
        """
        present = frozenset(label for label in self._carried if getattr(frame, label) is not None)
        labels = present - _MOMENTS if self._labels is None else self._labels
        for label in sorted(labels - present):
            raise Unfit(f"no {label}, which all frames of this format must have or lack")
        self._file.append(f"{frame.natoms:03d}", self.row(frame, labels))
        self._labels = labels

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""
        self._file.abandon()
