"""Duplicates: frames with the same structure, found while frames stream by.

Two frames are duplicates if they have the same graph, charge, multiplicity and recipe, and if their
RMSD over all atoms is at most a bound; atoms of one element may be in any order. Structures that
agree within rounding (`SAME_ANGSTROM`) are duplicates even if their graphs differ. Mirror images
are not duplicates.

The default bound, 0.05 Angstrom, lies between the RMSD of two optimizations of the same minimum
(about 0.01) and the displacements by vibrations (at rest, C-C bonds by 0.05 and C-H bonds by 0.08).
So neither frames of a trajectory nor displacements along normal modes are duplicates. The energies
of two duplicates can still differ by some 10 meV.

The frames seen so far are kept in a file on disk. Candidates are selected by quantities that differ
between two structures by no more than their RMSD: first the three singular values of the
coordinates about their center, divided by the square root of the number of atoms (Mirsky's
inequality), then the distances of the atoms from the center.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.scratch import OnDisk
from wqmaster.datasets.superposition import rmsd
from wqmaster.datasets.units import ANGSTROM_PER_BOHR
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError

BOUND_ANGSTROM = 0.05
# Two frames with a smaller RMSD have the same structure: it is twice the largest change by rounding
# to four decimals.
SAME_ANGSTROM = 1e-4
# Energies of the same structure differ by no more than this, apart from what the small differences
# of the coordinates explain: ten times the convergence threshold of a usual SCF.
ENERGY_TOLERANCE_EH = 1e-5
# The slope that is assumed for a frame without a gradient: that of a bond which is stretched by 0.1
# Angstrom.
_SLOPE_EH_PER_ANGSTROM = 0.1
# A long trajectory of a rigid molecule has thousands of candidates for each frame. Only the nearest
# of them, by their singular values, are compared.
_MOST_ROWS = 2000
_MOST_CANDIDATES = 20


@dataclass(frozen=True)
class Conflict:
    """Two frames of the same structure and recipe whose energies differ, so that one is wrong."""

    earlier: str  # id
    later: str  # id
    difference: float  # Eh, of the later from the earlier
    rmsd: float  # Angstrom


@dataclass(frozen=True)
class Pair:
    """A frame and the earlier one that it duplicates."""

    earlier: str  # id
    later: str  # id
    rmsd: float  # Angstrom


class Duplicates(OnDisk):
    """The frames seen so far, and which later ones duplicate them.

    Memory does not grow with the number of frames.

    Attributes:
        found: the number of duplicates
        of_one_document: how many of them are frames of the same document as the earlier one
        conflicting: the number of conflicts
        limited: the number of frames that were compared with the nearest candidates only
    """

    def __init__(self, bound: float = BOUND_ANGSTROM, folder: Path | None = None) -> None:
        """Create the file on disk.

        Args:
            bound: the largest RMSD of duplicates in Angstrom
            folder: where to create it (default: the system's folder for temporary files)

        Raises:
            WqmasterError: the bound is not above 0 and below 1 (code `usage`).
        """
        if not 0 < bound < 1:
            raise WqmasterError(
                f"the RMSD of duplicates is {bound:g} Angstrom; it must be above 0 and below 1",
                code=ErrorCode.USAGE,
            )
        self.bound = max(bound, SAME_ANGSTROM)
        self.found = self.of_one_document = self.conflicting = self.limited = 0
        self._last: tuple[Any, ...] | None = None  # the row of the frame that was added last
        super().__init__(folder)
        self._database.execute(
            "CREATE TABLE frames (number INTEGER PRIMARY KEY, id TEXT, document TEXT, graph TEXT,"
            " energy REAL, slope REAL, places BLOB)"
        )
        # Without row ids, the table is its own index.
        self._database.execute(
            "CREATE TABLE sizes (bucket TEXT, a REAL, b REAL, c REAL, number INTEGER,"
            " PRIMARY KEY (bucket, a, b, c, number)) WITHOUT ROWID"
        )
        self._database.execute(
            "CREATE TABLE pairs (earlier TEXT, later TEXT, rmsd REAL, difference REAL,"
            " conflict INTEGER)"
        )

    def add(self, frame: Frame) -> str | None:
        """The id of the earlier frame that this one duplicates, or None if it is new.

        A duplicate is not kept for later comparisons. Reference atoms are never duplicates.
        """
        self._last = None
        if frame.isolated:
            return None
        order, places = _ordered(frame)
        numbers = frame.numbers[order]
        bucket = (
            f"{frame.recipe} {frame.charge} {frame.multiplicity} "
            f"{np.asarray(numbers, dtype=np.int16).tobytes().hex()}"
        )
        sizes = np.linalg.svd(places, compute_uv=False) / np.sqrt(len(places))
        a, b, c = [*sizes.tolist(), 0.0, 0.0][:3]
        graph = frame.graph
        match = self._match(bucket, (a, b, c), SAME_ANGSTROM, None, numbers, places)
        if match is None and self.bound > SAME_ANGSTROM:
            match = self._match(bucket, (a, b, c), self.bound, graph, numbers, places)
        if match is not None:
            return self._note(frame, *match)
        added = self._database.execute(
            "INSERT INTO frames (id, document, graph, energy, slope, places)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (
                *(frame.id, _document(frame), graph, float(frame.energy), _slope(frame)),
                places.astype(np.float32).tobytes(),
            ),
        )
        self._last = (bucket, a, b, c, added.lastrowid)
        self._database.execute("INSERT INTO sizes VALUES (?, ?, ?, ?, ?)", self._last)
        return None

    def forget_last(self) -> None:
        """Forget the frame that was added last, which was not written.

        Otherwise a later frame could be left out as its duplicate.
        """
        if self._last is not None:
            *size, number = self._last
            self._database.execute("DELETE FROM frames WHERE number = ?", (number,))
            self._database.execute(
                "DELETE FROM sizes WHERE bucket = ? AND a = ? AND b = ? AND c = ? AND number = ?",
                (*size, number),
            )
            self._last = None

    def conflicts(self, most: int | None = None) -> Iterator[Conflict]:
        """Yield the conflicts, the one with the largest difference of energies first."""
        for earlier, later, apart, difference in self._database.execute(
            "SELECT earlier, later, rmsd, difference FROM pairs WHERE conflict"
            " ORDER BY abs(difference) DESC LIMIT ?",
            (-1 if most is None else most,),
        ):
            # SQLite stores NaN as NULL.
            yield Conflict(earlier, later, math.nan if difference is None else difference, apart)

    def pairs(self, most: int | None = None) -> Iterator[Pair]:
        """Yield the duplicates, in the order in which they were found."""
        for earlier, later, apart in self._database.execute(
            "SELECT earlier, later, rmsd FROM pairs ORDER BY rowid LIMIT ?",
            (-1 if most is None else most,),
        ):
            yield Pair(earlier, later, apart)

    def _match(
        self,
        bucket: str,
        sizes: tuple[float, float, float],
        bound: float,
        graph: str | None,
        numbers: npt.NDArray[np.int64],
        places: npt.NDArray[np.float64],
    ) -> tuple[int, float] | None:
        """The number and RMSD of a frame within the bound, or None.

        Of several, it is the one whose sizes are nearest.
        """
        window = bound + 1e-6  # the coordinates on disk have seven digits
        found = self._nearest(bucket, sizes, window)
        if not found:
            return None
        radii = np.sqrt((places * places).sum(axis=1))
        for number in found:
            row = self._database.execute(
                "SELECT graph, places FROM frames WHERE number = ?", (number,)
            ).fetchone()
            if graph is not None and row[0] != graph:
                continue
            others = np.frombuffer(row[1], dtype=np.float32).astype(np.float64).reshape(-1, 3)
            # The atoms of both are sorted by element and distance from the center.
            apart = np.sqrt((others * others).sum(axis=1)) - radii
            if apart @ apart > len(radii) * window * window:
                continue
            distance = rmsd(numbers, others, places, bound)
            if distance <= bound:
                return number, distance
        return None

    def _nearest(self, bucket: str, sizes: tuple[float, float, float], window: float) -> list[int]:
        """The numbers of the frames whose sizes differ by at most the window, the nearest first."""
        a, b, c = sizes
        rows: list[tuple[float, float, float, int]] = []
        is_limited = False
        for condition, order, end in (
            ("a >= ? AND a <= ?", "ASC", a + window),
            ("a < ? AND a >= ?", "DESC", a - window),
        ):
            some = self._database.execute(
                f"SELECT a, b, c, number FROM sizes WHERE bucket = ? AND {condition}"  # noqa: S608
                f" ORDER BY a {order} LIMIT {_MOST_ROWS}",
                (bucket, a, end),
            ).fetchall()
            is_limited |= len(some) == _MOST_ROWS
            rows.extend(some)
        near = sorted(
            (square, number)
            for one, two, three, number in rows
            if (square := (one - a) ** 2 + (two - b) ** 2 + (three - c) ** 2) <= window * window
        )
        if is_limited or len(near) > _MOST_CANDIDATES:
            self.limited += 1
        return [number for _, number in near[:_MOST_CANDIDATES]]

    def _note(self, frame: Frame, number: int, apart: float) -> str:
        earlier, document, energy, slope = self._database.execute(
            "SELECT id, document, energy, slope FROM frames WHERE number = ?", (number,)
        ).fetchone()
        difference = float(frame.energy) - (math.nan if energy is None else energy)
        # To first order, the energy changes by at most the norm of all displacements times the norm
        # of the gradient.
        shift = apart * np.sqrt(frame.natoms)
        allowed = ENERGY_TOLERANCE_EH + max(slope, _slope(frame)) * shift
        is_conflict = apart <= SAME_ANGSTROM and not abs(difference) <= allowed
        self.found += 1
        self.of_one_document += document == _document(frame)
        self.conflicting += is_conflict
        self._database.execute(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?)",
            (earlier, frame.id, apart, difference, is_conflict),
        )
        return str(earlier)


def _ordered(frame: Frame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The order of atoms by element and distance from the center, and the centered coordinates."""
    places = frame.coordinates - frame.coordinates.mean(axis=0)
    order: Any = np.lexsort(((places * places).sum(axis=1), frame.numbers))
    return order, places[order]


def _document(frame: Frame) -> str:
    return f"{frame.campaign} {frame.document!r}"


def _slope(frame: Frame) -> float:
    """The norm of the gradient in Eh/Angstrom; a typical one if the frame has no gradient."""
    if frame.gradient is None:
        return float(_SLOPE_EH_PER_ANGSTROM * np.sqrt(frame.natoms))
    return float(np.linalg.norm(frame.gradient) / ANGSTROM_PER_BOHR)
