"""The writer of ASE's databases in LMDB (.aselmdb), for fairchem; MACE reads them as well.

Format: `ase_db_backends/aselmdb.py` (zlib, ASE's JSON, keys `1`, `2`, ..., `nextid`, `metadata`).
The writer there looks up each new id in a list of all ids, and can commit only after each row or
after all rows, so either its time grows with the square of the number of rows, or its memory grows
with the number of rows. This one writes the same bytes through lmdb, a batch at a time.

fairchem takes energy and forces from the calculator's results, and `charge` and `spin` (the
multiplicity) from the row's `data`, with `r_data_keys: [charge, spin]` (`AseDBDataset.get_atoms` in
`fairchem/core/datasets/ase_datasets.py`, `AtomicData.from_ase` in `atomic_data.py`;
`configs/uma/.../omol.yaml`). MACE's reader of the same file looks for `total_charge` and
`total_spin` there (`mace/tools/fairchem_dataset`, `mace/data/lmdb_dataset.py`), so both pairs are
written. It does not look for charges and dipole moments; they have ASE's names, so ASE finds them.
Energies are in eV, lengths in Angstrom, dipole moments in e Angstrom.
"""

import hashlib
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import LABELS, Level
from wqmaster.datasets.frame import Frame

# A transaction keeps the pages that it has written in memory, so its size is limited.
_FRAMES_PER_TRANSACTION = 500
# The file grows as it is filled; this is its largest size.
_MAP_BYTES = 1 << 41
# In years since 2000, as ASE counts. It is constant, so that the same data make the same file.
_MTIME_YEARS = 0.0


class AseLmdbWriter:
    """Writes frames as rows of a database."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        import lmdb

        if path.exists():
            raise FileExistsError(17, "the file exists", str(path))
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(LABELS)
        self._level = level
        # No other process has the file open, and a lock would leave a second file.
        self._environment: Any = lmdb.open(
            str(path), map_size=_MAP_BYTES, subdir=False, lock=False, sync=False
        )
        self._transaction: Any = self._environment.begin(write=True)
        self._count = 0

    def add(self, frame: Frame) -> None:
        """Write a frame."""
        self._count += 1
        self._put(str(self._count), self._row(frame))
        if self._count % _FRAMES_PER_TRANSACTION == 0:
            self._commit()
            self._transaction = self._environment.begin(write=True)

    def close(self) -> None:
        """Write the metadata, and close the file."""
        level = self._level
        metadata = {
            "level_of_theory": level.name,
            "program": level.program,
            "options": dict(level.options),
            "recipe": level.recipe,
            "units": {"energy": "eV", "forces": "eV/Angstrom", "positions": "Angstrom"},
            "charge": "total charge in e (also total_charge)",
            "spin": "multiplicity 2S+1 (also total_spin)",
            "format": "wqmaster",
        }
        self._put("metadata", metadata)
        self._commit()
        self._environment.sync(True)
        self._environment.close()

    def abandon(self) -> None:
        """Close the file; the caller removes it."""
        self._transaction.abort()
        self._environment.close()

    def _commit(self) -> None:
        self._put("nextid", self._count + 1)
        self._transaction.commit()

    def _put(self, key: str, value: Any) -> None:
        from ase.io.jsonio import encode

        self._transaction.put(key.encode("ascii"), zlib.compress(encode(value).encode("utf-8")))

    def _row(self, frame: Frame) -> dict[str, Any]:
        """A row as `ase.db.row.atoms2dict` makes it."""
        labels = self.labels
        row: dict[str, Any] = {
            "numbers": frame.numbers,
            "positions": frame.coordinates,
            "unique_id": hashlib.md5(frame.id.encode(), usedforsecurity=False).hexdigest(),
            "ctime": _MTIME_YEARS,
            "mtime": _MTIME_YEARS,
            "user": None,
            "calculator": "unknown",
            "calculator_parameters": {},
            "energy": frame.energy_ev,
            "cell": [[0.0] * 3] * 3,
            "pbc": [False] * 3,
        }
        data: dict[str, Any] = {
            "charge": frame.charge,
            "spin": frame.multiplicity,
            "total_charge": frame.charge,
            "total_spin": frame.multiplicity,
            "_id": frame.id,
            "sid": frame.id,  # the name that fairchem gives to a row
        }
        if "gradient" in labels and frame.gradient is not None:
            row["forces"] = frame.forces_ev
        if "dipole" in labels and frame.dipole is not None:
            row["dipole"] = frame.dipole_ea
        if "charges" in labels and frame.charges is not None:
            row["charges"] = frame.charges
        if "spins" in labels and frame.spins is not None:
            row["magmoms"] = frame.spins
        if "quadrupole" in labels and frame.quadrupole is not None:
            data["quadrupole"] = frame.quadrupole_ea2
        for name in ("title", "smiles", "program", "recipe", "graph", "split"):
            if value := getattr(frame, name):
                data[name] = value
        if frame.isolated:
            data["config_type"] = "IsolatedAtom"
        return row | {"key_value_pairs": {}, "data": data}


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> AseLmdbWriter:
    """A writer of an ASE database in LMDB."""
    return AseLmdbWriter(path, level, labels)
