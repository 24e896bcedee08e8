"""What a job is expected to take or use, from earlier ones and the size of its molecule.

Times and memory of jobs of one kind (one recipe) follow a power of the number of atoms, or of basis
functions, over a wide range. The fit is linear in the logarithms and robust: Theil-Sen's estimator,
the median of the slopes between pairs of points (P. K. Sen, J. Am. Stat. Assoc. 63, 1379 (1968)),
here between the medians of similar sizes. It takes constant memory, and old values make room for
new ones.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

# Sizes are similar if they are within a quarter of an octave, and this many of the last values of
# similar sizes are kept.
_BINS_PER_OCTAVE = 4
_VALUES_PER_BIN = 32
# With fewer values than this, nothing is expected.
MIN_VALUES = 8
# Where the sizes differ by less than this factor, they determine no exponent.
_MIN_RANGE = 1.5
# The exponent assumed then for larger molecules: a cautious one. For smaller ones it is 0.
_ASSUMED_EXPONENT = 3.0
_MAX_EXPONENT = 7.0
# The standard deviation of a normal distribution, divided by its median absolute deviation.
_NORMAL = 1.4826


@dataclass(frozen=True)
class Expectation:
    """What a job is expected to take or use."""

    value: float  # the median
    spread: float  # the standard deviation of the value's natural logarithm
    is_extrapolated: bool = False  # whether no molecule of a similar size was computed

    def at_most(self, deviations: float) -> float:
        """The value that few jobs exceed: `deviations` standard deviations above the median."""
        return self.value * math.exp(deviations * self.spread)


@dataclass(frozen=True)
class _Fit:
    exponent: float
    constant: float
    spread: float
    smallest: float  # logarithm of the smallest size
    largest: float
    has_range: bool

    @property
    def slope(self) -> float:
        """By how much the logarithm of the value grows with that of the size, nearby."""
        return self.exponent if self.has_range else 0.0

    def at(self, size: float) -> float:
        """The logarithm of the value for the logarithm of a size."""
        if self.has_range:
            return self.constant + self.exponent * size
        return self.constant + _ASSUMED_EXPONENT * max(0.0, size - self.largest)


class SizeFit:
    """The values of jobs of one kind, such as their times.

    Values below `least` count as `least`. `min_spread` is the least standard deviation of their
    natural logarithms. Before the line through all values decides, those of sizes are asked that
    are up to `reach` quarters of an octave away.
    """

    def __init__(self, least: float, min_spread: float, reach: int = 0) -> None:
        self._least = least
        self._min_spread = min_spread
        self._reach = reach
        self._bins: dict[int, deque[tuple[float, float]]] = {}
        self.count = 0
        self._fit: _Fit | None = None
        self._fitted = 0  # `count` at the last fit

    def add(self, size: float, value: float) -> None:
        """Take note of the value of a job for a molecule of this size."""
        if not math.isfinite(value) or value < 0:
            return
        log_size = math.log(max(1, size))
        kept = self._bins.setdefault(_bin(log_size), deque(maxlen=_VALUES_PER_BIN))
        kept.append((log_size, math.log(max(self._least, value))))
        self.count += 1

    @property
    def smallest(self) -> float:
        """The smallest size of which a value is known; 1 if there is none."""
        return math.exp(min((size for kept in self._bins.values() for size, _ in kept), default=0))

    def expected(self, wanted: float) -> Expectation | None:
        """The value of a job for a molecule of this size; None if too few are known."""
        if self.count < MIN_VALUES:
            return None
        if self._fit is None or self.count >= 1.1 * self._fitted:
            self._fit, self._fitted = self._made(), self.count
        fit, size = self._fit, math.log(max(1, wanted))
        own = self._bins.get(_bin(size), ())
        extrapolated = len(own) < MIN_VALUES and not fit.smallest <= size <= fit.largest
        center = self._near(size, fit.slope)
        value = fit.at(size) if center is None else center + fit.slope * size
        return Expectation(math.exp(value), fit.spread, extrapolated)

    def _near(self, size: float, slope: float) -> float | None:
        """The median of the logarithms of values of similar sizes, less `slope` times their size.

        None if too few are known. An overhead that all jobs share bends the line for small
        molecules, so the nearest sizes count.
        """
        middle, values = _bin(size), list[float]()
        for off in range(self._reach + 1):
            for number in {middle - off, middle + off}:
                values += (value - slope * one for one, value in self._bins.get(number, ()))
            if len(values) >= MIN_VALUES:
                return median(values)
        return None

    def typical(self) -> float | None:
        """The median of the last values, over all sizes; None if too few are known."""
        if self.count < MIN_VALUES:
            return None
        return math.exp(median(value for kept in self._bins.values() for _, value in kept))

    def _made(self) -> _Fit:
        points = [
            (median(size for size, _ in kept), median(value for _, value in kept), len(kept))
            for _, kept in sorted(self._bins.items())
        ]
        smallest = min(size for kept in self._bins.values() for size, _ in kept)
        largest = max(size for kept in self._bins.values() for size, _ in kept)
        has_range = len(points) > 1 and largest - smallest >= math.log(_MIN_RANGE)
        exponent = _exponent(points) if has_range else 0.0
        constant = _weighted_median([(y - exponent * x, weight) for x, y, weight in points])
        off: list[float] = []
        for kept in self._bins.values():
            center = self._near(kept[0][0], exponent)
            center = constant if center is None else center
            off += (abs(value - exponent * size - center) for size, value in kept)
        spread = max(self._min_spread, _NORMAL * median(off))
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
