"""An index on disk of the frames that a file must hold, so that the proof needs little memory."""

import random
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.frame import Frame

# Two geometries are the same if no coordinate differs by more: single precision has 7 digits, and
# geometries of different documents differ by more.
_SAME_ANGSTROM = 2e-5
_LABELS = ("gradient", "charges", "spins", "dipole", "quadrupole")
# It is fixed, so that the same frames yield the same sample.
_SEED = 13
_TABLE = """
    CREATE TABLE frames (
        slot INTEGER PRIMARY KEY, id TEXT, numbers BLOB, place REAL, charge INTEGER,
        multiplicity INTEGER, energy REAL, labels INTEGER, data BLOB, seen INTEGER DEFAULT 0
    )
"""


class Expected:
    """The frames of a data set, or a random sample of them, found by id or by content."""

    def __init__(self, sample: int | None) -> None:
        self.count = 0  # number of frames that were added
        self.sample = sample
        self._random = random.Random(_SEED)  # noqa: S311  # not for secrets
        # SQLite keeps a database without a name in a temporary file, which it removes itself.
        self._database = sqlite3.connect("")
        self._database.execute(_TABLE)

    def add(self, frame: Frame) -> None:
        """Add a frame; if the sample is full, chance decides whether it replaces another one.

        Each frame is in the sample with the same probability (Vitter's algorithm R).
        """
        slot = self.count
        self.count += 1
        if self.sample is not None and slot >= self.sample:
            slot = self._random.randrange(self.count)
            if slot >= self.sample:
                return
        values = [frame.coordinates]
        present = 0
        for bit, label in enumerate(_LABELS):
            value = getattr(frame, label)
            if value is not None:
                present |= 1 << bit
                values.append(value)
        data = np.concatenate([np.asarray(value, dtype="<f8").ravel() for value in values])
        row = (
            slot,
            frame.id,
            _packed(frame.numbers),
            _place(frame.coordinates),
            frame.charge,
            frame.multiplicity,
            frame.energy,
            present,
            data.tobytes(),
        )
        self._database.execute("INSERT OR REPLACE INTO frames VALUES (?,?,?,?,?,?,?,?,?,0)", row)

    def close(self) -> None:
        """Remove the index."""
        self._database.close()

    def index(self) -> None:
        """Prepare the search by `like`; call this after the last frame was added."""
        self._database.execute("CREATE INDEX by_id ON frames (id)")
        self._database.execute("CREATE INDEX by_place ON frames (numbers, place)")

    def like(self, found: Frame) -> list[tuple[int, Frame]]:
        """The frames that a row of the file can be, with their slots, the unseen ones first.

        They have the row's id or, if it has none, its elements and coordinates.
        """
        if found.id:
            rows = self._select("id = ?", (found.id,))
            return sorted(rows, key=lambda row: row[0])
        margin = _SAME_ANGSTROM * 3 * found.natoms * 2
        place = _place(found.coordinates)
        limits = (_packed(found.numbers), place - margin, place + margin)
        return [
            (slot, frame)
            for slot, frame in self._select("numbers = ? AND place BETWEEN ? AND ?", limits)
            if np.abs(frame.coordinates - found.coordinates).max(initial=0.0) < _SAME_ANGSTROM
        ]

    def see(self, slot: int) -> bool:
        """Mark a frame as found in the file; returns whether it was marked before."""
        query = "UPDATE frames SET seen = seen + 1 WHERE slot = ? RETURNING seen"
        return bool(self._database.execute(query, (slot,)).fetchone()[0] > 1)

    def unseen(self) -> tuple[int, str]:
        """How many frames were not found, and the id of one of them."""
        query = "SELECT count(*), min(id) FROM frames WHERE seen = 0"
        count, one = self._database.execute(query).fetchone()
        return int(count), str(one)

    def _select(self, where: str, values: tuple[Any, ...]) -> Iterator[tuple[int, Frame]]:
        columns = "slot, id, numbers, charge, multiplicity, energy, labels, data"
        query = f"SELECT {columns} FROM frames WHERE {where} ORDER BY seen, slot"  # noqa: S608
        for slot, *rest in self._database.execute(query, values):
            yield slot, _unpacked(*rest)


def _packed(numbers: npt.NDArray[Any]) -> bytes:
    return numbers.astype("<i8").tobytes()


def _place(coordinates: npt.NDArray[np.float64]) -> float:
    """A weighted sum of the coordinates, close for close geometries and rarely for others."""
    weights = 1.0 + np.modf(np.arange(coordinates.size) * 0.6180339887498949)[0]
    return float(coordinates.ravel() @ weights)


def _unpacked(
    id_: str,
    numbers: bytes,
    charge: int,
    multiplicity: int,
    energy: float,
    labels: int,
    data: bytes,
) -> Frame:
    elements = np.frombuffer(numbers, dtype="<i8").astype(np.int64)
    n = len(elements)
    shapes = {
        "gradient": (n, 3),
        "charges": (n,),
        "spins": (n,),
        "dipole": (3,),
        "quadrupole": (3, 3),
    }
    values = np.frombuffer(data, dtype="<f8")
    coordinates, values = values[: 3 * n].reshape(n, 3), values[3 * n :]
    said: dict[str, Any] = {}
    for bit, label in enumerate(_LABELS):
        if labels >> bit & 1:
            size = int(np.prod(shapes[label]))
            said[label], values = values[:size].reshape(shapes[label]), values[size:]
    return Frame(id_, elements, coordinates, charge, multiplicity, energy, **said)
