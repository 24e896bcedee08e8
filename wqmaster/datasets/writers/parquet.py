"""The writer of Parquet files: one row per frame, with the names of the JSON Lines.

Format: Apache Parquet, by pyarrow. The schema's metadata state the level of theory, each column's
metadata its unit. Labels that a frame lacks are null. Numbers are in double precision.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import LABELS, Level
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.writers.by_size import attributes
from wqmaster.datasets.writers.tables import TEXTS, UNITS, row_of

# The rows of a group wait in memory until the group is written, so their number is limited.
_ROWS_PER_GROUP = 1000


class ParquetWriter:
    """Writes frames as rows."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        import pyarrow.parquet

        if path.exists():
            raise FileExistsError(17, "the file exists", str(path))
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(LABELS)
        self._schema = _schema(level)
        self._writer: Any = pyarrow.parquet.ParquetWriter(
            str(path), self._schema, compression="zstd"
        )
        self._rows: list[dict[str, Any]] = []

    def add(self, frame: Frame) -> None:
        """Write a frame."""
        row = row_of(frame, self.labels)
        if checks := row.get("checks"):
            row["checks"] = json.dumps(checks, sort_keys=True)
        self._rows.append(row)
        if len(self._rows) >= _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is left, and close the file."""
        if self._rows:
            self._flush()
        self._writer.close()

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, schema=self._schema))
        self._rows = []


def _schema(level: Level) -> Any:
    import pyarrow as pa

    per_atom, vectors = pa.list_(pa.float64()), pa.list_(pa.list_(pa.float64(), 3))
    types = {
        "_id": pa.string(),
        "atomic_numbers": pa.list_(pa.int16()),
        "coordinates": vectors,
        "charge": pa.int32(),
        "multiplicity": pa.int32(),
        "energy": pa.float64(),
        "forces": vectors,
        "charges": per_atom,
        "spins": per_atom,
        "dipole": pa.list_(pa.float64(), 3),
        "quadrupole": pa.list_(pa.list_(pa.float64(), 3), 3),
        **dict.fromkeys(TEXTS, pa.string()),
        "frame": pa.int32(),
        "isolated_atom": pa.bool_(),
        "checks": pa.string(),
        "warned": pa.list_(pa.string()),
    }
    fields = [
        pa.field(name, type_, metadata={"unit": UNITS[name]} if name in UNITS else None)
        for name, type_ in types.items()
    ]
    return pa.schema(fields, metadata=attributes(level))


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> ParquetWriter:
    """A writer of a Parquet file."""
    return ParquetWriter(path, level, labels)
