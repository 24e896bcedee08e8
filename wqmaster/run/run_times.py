"""What a job is expected to take, from the times of earlier ones and the size of its molecule.

The times of jobs of one kind (one recipe, without remedies) follow a power of the number of atoms
over a wide range. The fit is linear in the logarithms and robust: Theil-Sen's estimator, the median
of the slopes between pairs of points (P. K. Sen, J. Am. Stat. Assoc. 63, 1379 (1968)), here between
the medians of similar sizes. Memory is constant, and old times make room for new ones.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

# Sizes are similar if they are within a quarter of an octave, and this many of the last times of
# similar sizes are kept.
_BINS_PER_OCTAVE = 4
_TIMES_PER_BIN = 32
# With fewer times than this, nothing is expected.
MIN_TIMES = 8
# Where the sizes differ by less than this factor, they determine no exponent.
_MIN_RANGE = 1.5
# The exponent assumed then for larger molecules: a cautious one. For smaller ones it is 0.
_ASSUMED_EXPONENT = 3.0
_MAX_EXPONENT = 7.0
# Times below this, in seconds, are those of the operating system.
_MIN_SECONDS = 0.01
# The spread of the logarithms is at least this, since hosts differ.
_MIN_SPREAD = 0.1
# The standard deviation of a normal distribution, divided by its median absolute deviation.
_NORMAL = 1.4826


@dataclass(frozen=True)
class Expectation:
    """What a job is expected to take."""

    seconds: float  # the median
    spread: float  # the standard deviation of the natural logarithm of the time
    is_extrapolated: bool = False  # whether no molecule of a similar size was computed

    def at_most(self, deviations: float) -> float:
        """The time that few jobs exceed: `deviations` standard deviations above the median."""
        return self.seconds * math.exp(deviations * self.spread)


@dataclass(frozen=True)
class _Fit:
    exponent: float
    constant: float
    spread: float
    smallest: float  # logarithm of the smallest number of atoms
    largest: float
    has_range: bool

    def at(self, size: float) -> float:
        """The logarithm of the time for the logarithm of a number of atoms."""
        if self.has_range:
            return self.constant + self.exponent * size
        return self.constant + _ASSUMED_EXPONENT * max(0.0, size - self.largest)


class RunTimes:
    """The times of jobs of one kind."""

    def __init__(self) -> None:
        self._bins: dict[int, deque[tuple[float, float]]] = {}
        self.count = 0
        self._fit: _Fit | None = None
        self._fitted = 0  # `count` at the last fit

    def add(self, natoms: int, seconds: float) -> None:
        """Take note of a job that took `seconds` for a molecule with `natoms` atoms."""
        if not math.isfinite(seconds) or seconds < 0:
            return
        size = math.log(max(1, natoms))
        kept = self._bins.setdefault(_bin(size), deque(maxlen=_TIMES_PER_BIN))
        kept.append((size, math.log(max(_MIN_SECONDS, seconds))))
        self.count += 1

    def expected(self, natoms: int) -> Expectation | None:
        """What a job for a molecule with `natoms` atoms takes; None if too few are known."""
        if self.count < MIN_TIMES:
            return None
        if self._fit is None or self.count >= 1.1 * self._fitted:
            self._fit, self._fitted = self._made(), self.count
        fit, size = self._fit, math.log(max(1, natoms))
        similar = self._bins.get(_bin(size), ())
        if len(similar) >= MIN_TIMES:
            # An overhead that all jobs share bends the line for small molecules.
            return Expectation(math.exp(median(time for _, time in similar)), fit.spread)
        extrapolated = not fit.smallest <= size <= fit.largest
        return Expectation(math.exp(fit.at(size)), fit.spread, extrapolated)

    def typical(self) -> float | None:
        """The median of the last times in seconds, over all sizes; None if too few are known."""
        if self.count < MIN_TIMES:
            return None
        return math.exp(median(time for kept in self._bins.values() for _, time in kept))

    def _made(self) -> _Fit:
        points = [
            (median(size for size, _ in kept), median(time for _, time in kept), len(kept))
            for _, kept in sorted(self._bins.items())
        ]
        smallest = min(size for kept in self._bins.values() for size, _ in kept)
        largest = max(size for kept in self._bins.values() for size, _ in kept)
        has_range = len(points) > 1 and largest - smallest >= math.log(_MIN_RANGE)
        exponent = _exponent(points) if has_range else 0.0
        constant = _weighted_median([(y - exponent * x, weight) for x, y, weight in points])
        centers = {number: median(time for _, time in kept) for number, kept in self._bins.items()}
        off = [
            # Where there are enough similar sizes, the time is expected from these.
            abs(time - (centers[number] if len(kept) >= MIN_TIMES else constant + exponent * size))
            for number, kept in self._bins.items()
            for size, time in kept
        ]
        spread = max(_MIN_SPREAD, _NORMAL * median(off))
        return _Fit(exponent, constant, spread, smallest, largest, has_range)


def _bin(size: float) -> int:
    return round(size / math.log(2) * _BINS_PER_OCTAVE)


def _exponent(points: Sequence[tuple[float, float, int]]) -> float:
    slopes = [
        ((y2 - y1) / (x2 - x1), min(w1, w2) * (x2 - x1))
        for (x1, y1, w1), (x2, y2, w2) in combinations(points, 2)
    ]
    return min(_MAX_EXPONENT, max(0.0, _weighted_median(slopes)))


def _weighted_median(values: Sequence[tuple[float, float]]) -> float:
    """The median of (value, weight)."""
    half, total = sum(weight for _, weight in values) / 2, 0.0
    for value, weight in sorted(values):
        total += weight
        if total >= half:
            return value
    raise ValueError("there are no values")
