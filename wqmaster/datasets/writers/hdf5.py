"""Groups of resizable arrays in an HDF5 file, filled row by row in constant memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.base import Unfit

Row = Mapping[str, Any]
# How much may wait in memory before it is written: in all groups together, and in one.
_MOST_BYTES_WAITING = 16 << 20
_MOST_ROWS_WAITING = 10_000
_MOST_ROWS_OF_GROUP = 512
# The size of a chunk, the unit in which HDF5 reads and writes.
_CHUNK_BYTES = 1 << 16
# How many rows are copied at a time when a column of texts becomes wider.
_ROWS_PER_COPY = 10_000
# How many bytes of chunks HDF5 keeps in memory for each open array.
_CACHE_BYTES = 1 << 18
# The format of HDF5 1.10 (2016); in the oldest format, a group takes five times the space.
_VERSIONS = ("v110", "v110")
# All texts of a column take the same number of bytes, at least this; a longer text widens the
# column.
_TEXT_BYTES = 32


@dataclass(frozen=True)
class Column:
    """The type of an array, and its unit, which is written as the attribute `units`."""

    dtype: str  # of NumPy; "S" for text in UTF-8
    unit: str = ""


@dataclass
class _Waiting:
    rows: list[Row] = field(default_factory=list)
    size: int = 0  # bytes


class GroupedFile:
    """An HDF5 file of groups, each with arrays whose first axis counts rows.

    Every row of a group must have the same keys and shapes; a column that the first rows lack
    cannot be added later. The constants of a group are written when it is created.
    """

    def __init__(self, path: Path, columns: Mapping[str, Column], attributes: Mapping[str, Any]):
        import h5py

        self.file: Any = h5py.File(path, "x", rdcc_nbytes=_CACHE_BYTES, libver=_VERSIONS)
        self._columns = columns
        self._waiting: dict[str, _Waiting] = {}
        self._rows = self._size = 0
        for name, value in attributes.items():
            self.file.attrs[name] = value

    def append(self, group: str, row: Row, constants: Mapping[str, Any] | None = None) -> None:
        """Add a row to a group; if the group is new, its `constants` are written, too.

        Raises:
            Unfit: a text ends with a NUL, which texts of fixed size lose.
        """
        if any(isinstance(value, str) and value.endswith("\0") for value in row.values()):
            raise Unfit("an _id that ends with a NUL character, which HDF5 would drop")
        if group not in self._waiting:
            self._waiting[group] = _Waiting()
            if constants and group not in self.file:
                made = self.file.create_group(group)
                for name, value in constants.items():
                    self._create_constant(made, name, value)
        waiting = self._waiting[group]
        size = sum(_bytes_of(value) for value in row.values())
        waiting.rows.append(row)
        waiting.size += size
        self._rows += 1
        self._size += size
        if len(waiting.rows) >= _MOST_ROWS_OF_GROUP or waiting.size >= _MOST_BYTES_WAITING // 4:
            self._flush(group)
        elif self._rows >= _MOST_ROWS_WAITING or self._size >= _MOST_BYTES_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write all rows that wait."""
        for group in sorted(self._waiting):
            self._flush(group)

    def close(self) -> None:
        """Write what waits, and close the file."""
        self.flush()
        self.file.close()

    def abandon(self) -> None:
        """Close the file without writing what waits."""
        self._waiting.clear()
        self.file.close()

    def _create_constant(self, group: Any, name: str, value: Any) -> None:
        import h5py

        if isinstance(value, str):
            group.create_dataset(name, data=[value], dtype=h5py.string_dtype())
        else:
            group.create_dataset(name, data=value, dtype=self._columns[name].dtype)

    def _flush(self, name: str) -> None:
        waiting = self._waiting.pop(name)
        self._rows -= len(waiting.rows)
        self._size -= waiting.size
        group = self.file.require_group(name)
        for key in waiting.rows[0]:
            column = self._columns[key]
            values = _stacked([row[key] for row in waiting.rows], column)
            if key not in group:
                self._create(group, key, values, column)
            else:
                self._extend(group, key, values)

    def _create(self, group: Any, key: str, values: npt.NDArray[Any], column: Column) -> None:
        per_row = max(1, values.nbytes // len(values))
        rows = max(1, min(len(values), _CHUNK_BYTES // per_row))
        made = group.create_dataset(
            key,
            data=values,
            maxshape=(None, *values.shape[1:]),
            chunks=(rows, *(max(1, extent) for extent in values.shape[1:])),
        )
        if column.unit:
            made.attrs["units"] = column.unit

    def _extend(self, group: Any, key: str, values: npt.NDArray[Any]) -> None:
        array = group[key]
        if array.dtype.kind == "S" and values.dtype.itemsize > array.dtype.itemsize:
            array = _widened(group, key, values.dtype.itemsize)
        start = len(array)
        array.resize(start + len(values), axis=0)
        array[start:] = values


def _bytes_of(value: Any) -> int:
    return int(value.nbytes) if isinstance(value, np.ndarray) else 64


def _stacked(values: Sequence[Any], column: Column) -> npt.NDArray[Any]:
    if column.dtype != "S":
        return np.array(values, dtype=column.dtype)
    encoded = [text.encode("utf-8") for text in values]
    return np.array(encoded, dtype=f"S{max(_TEXT_BYTES, *map(len, encoded))}")


def _widened(group: Any, key: str, width: int) -> Any:
    """Replace the array of texts `key` by one with `width` bytes per text; returns the new one."""
    old = group[key]
    group.move(key, f"{key}~")
    new = group.create_dataset(
        key, (len(old),), dtype=f"S{width}", maxshape=(None,), chunks=old.chunks
    )
    for start in range(0, len(old), _ROWS_PER_COPY):
        new[start : start + _ROWS_PER_COPY] = old[start : start + _ROWS_PER_COPY]
    del group[f"{key}~"]
    return new
