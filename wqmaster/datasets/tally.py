"""Statistics of a data set, counted while its frames stream by, in constant memory."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.base import LABELS
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.scratch import OnDisk

# Each bin of a histogram is 1.0011 times as wide as the one before. The card lists wider ones:
# eight for each power of ten.
_BINS_PER_DECADE = 2048
_LISTED_BINS_PER_DECADE = 8
_MOST_DECADES = 15
# How many ids are listed for each reason for leaving frames out, and how many reasons.
_MOST_IDS = 5
_MOST_REASONS = 100
_OTHER_REASONS = "other reasons"


class Histogram:
    """The distribution of a number, in bins that are equally wide on a logarithmic scale."""

    def __init__(self) -> None:
        self.count = 0
        self.not_finite = 0
        self.least = math.inf
        self.largest = -math.inf
        self._bins: Counter[int] = Counter()

    def add(self, value: float) -> None:
        """Count a value."""
        if not math.isfinite(value):
            self.not_finite += 1
            return
        self.count += 1
        self.least, self.largest = min(self.least, value), max(self.largest, value)
        self._bins[_bin(value)] += 1

    def bins(self) -> list[tuple[float, float, int]]:
        """The lower end, upper end and number of values of each wide bin that is not empty."""
        wide: Counter[int] = Counter()
        for place, count in self._bins.items():
            width = _BINS_PER_DECADE // _LISTED_BINS_PER_DECADE
            above = (abs(place) - 1) // width + 1
            wide[above if place > 0 else -above if place else 0] += count
        return [
            (*_ends(place, _LISTED_BINS_PER_DECADE), count) for place, count in sorted(wide.items())
        ]

    def quantile(self, fraction: float) -> float:
        """The value that this fraction of the values does not exceed, to within 0.2%."""
        wanted = fraction * self.count
        seen = 0
        for place in sorted(self._bins):
            seen += self._bins[place]
            if seen >= wanted and seen < self.count:
                return min(max(_ends(place)[1], self.least), self.largest)
        return self.largest


def _bin(value: float) -> int:
    """The number of the bin: 0 for zero, negative for negative values."""
    if abs(value) < 10.0**-_MOST_DECADES:
        return 0
    most = _MOST_DECADES * _BINS_PER_DECADE
    place = math.floor(math.log10(abs(value)) * _BINS_PER_DECADE)
    place = min(max(place, -most), most) + most + 1
    return place if value > 0 else -place


def _ends(place: int, per_decade: int = _BINS_PER_DECADE) -> tuple[float, float]:
    if place == 0:
        return 0.0, 0.0
    exponent = abs(place) - 1 - _MOST_DECADES * per_decade
    low, high = (10.0 ** ((exponent + step) / per_decade) for step in (0, 1))
    return (low, high) if place > 0 else (-high, -low)


class Tally(OnDisk):
    """The counts of a data card.

    Attributes:
        frames: the number of frames, without reference atoms
        references: the reference atoms, by symbol and charge
        left_out: for each reason, the number of frames or documents and the first ids
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Create the tables.

        Args:
            folder: where to keep the documents and graphs that were seen (default: the system's
                folder for temporary files)
        """
        self.frames = self.atoms = 0
        self.elements: Counter[str] = Counter()  # number of atoms
        self.element_frames: Counter[str] = Counter()
        self.sizes: Counter[int] = Counter()  # number of frames, by number of atoms
        self.charges: Counter[int] = Counter()
        self.multiplicities: Counter[int] = Counter()
        self.labels: Counter[str] = Counter()
        self.programs: Counter[str] = Counter()
        self.recipes: Counter[tuple[str, str, str]] = Counter()  # by campaign, step and recipe
        self.split_frames: Counter[str] = Counter()
        self.warned: Counter[str] = Counter()
        self.checks: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.energy_per_atom = Histogram()  # eV
        self.force_components = Histogram()  # the largest of each frame, eV/Angstrom
        self.references: dict[str, Frame] = {}
        self.left_out: dict[str, tuple[int, list[str]]] = {}
        super().__init__(folder)
        self._database.execute(
            "CREATE TABLE seen (kind TEXT, name TEXT, split TEXT, PRIMARY KEY (kind, name, split))"
            " WITHOUT ROWID"
        )

    def add(self, frame: Frame) -> None:
        """Count a frame that was written."""
        # The program of a reference atom is cited, although the atom is not a frame.
        self.programs[frame.program or "unknown"] += not frame.isolated
        if frame.isolated:
            charge = f"{frame.charge:+d}" if frame.charge else ""
            self.references[f"{frame.symbols[0]}{charge}"] = frame
            return
        self.frames += 1
        self.atoms += frame.natoms
        here = Counter(frame.symbols)
        self.elements.update(here)
        self.element_frames.update(here.keys())
        self.sizes[frame.natoms] += 1
        self.charges[int(frame.charge)] += 1
        self.multiplicities[int(frame.multiplicity)] += 1
        self.labels["energy"] += 1
        self.labels.update(name for name in LABELS if getattr(frame, name) is not None)
        self.recipes[frame.campaign, frame.step, frame.recipe] += 1
        self.split_frames[frame.split] += 1
        for name, value in frame.checks.items():
            self.checks[name].add(float(value))
        self.warned.update(frame.warned)
        self.energy_per_atom.add(frame.energy_ev / frame.natoms)
        forces = frame.forces_ev
        if forces is not None:
            self.force_components.add(float(np.abs(forces).max()))
        self._database.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)",
            (
                ("document", f"{frame.campaign} {frame.document!r}", frame.split),
                ("graph", frame.graph, frame.split),
            ),
        )

    def leave_out(self, reason: str, ids: Iterable[Any] = (), count: int = 1) -> None:
        """Count frames or documents that were left out; the reason must not name any of them."""
        if reason not in self.left_out and len(self.left_out) >= _MOST_REASONS:
            reason = _OTHER_REASONS
        before, known = self.left_out.get(reason, (0, []))
        for one in ids:
            if len(known) >= _MOST_IDS:
                break
            known.append(str(one))
        self.left_out[reason] = (before + count, known)

    def distinct(self, kind: str, split: str | None = None) -> int:
        """The number of documents or graphs (`kind`), of the whole data set or of a part."""
        (count,) = self._database.execute(
            "SELECT count(DISTINCT name) FROM seen WHERE kind = ? AND (? IS NULL OR split = ?)",
            (kind, split, split),
        ).fetchone()
        return int(count)

    def divided_graphs(self) -> int:
        """The number of graphs in more than one part, which only the user's groups can cause."""
        (count,) = self._database.execute(
            "SELECT count(*) FROM (SELECT 1 FROM seen WHERE kind = 'graph'"
            " GROUP BY name HAVING count(*) > 1)"
        ).fetchone()
        return int(count)
