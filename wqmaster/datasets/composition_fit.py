"""Fit the energies of a campaign to the elements of its molecules, for `energy_by_composition`.

A first pass over the campaign fits one energy per element, per unit of positive and of negative
charge, and per unpaired electron; a second pass measures how far each energy is from this fit. Both
need a fixed amount of memory, whatever the number of documents.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wqmaster.jobs.molecule import SYMBOLS

_Vector = npt.NDArray[np.float64]

# One column for each element (column 0 is not used), one for positive and one for negative charge,
# and one for unpaired electrons.
_COLUMNS = len(SYMBOLS) + 3
# The largest number of rows from which the robust fit and the scale are computed. A random sample
# represents a larger campaign.
_SAMPLE_ROWS = 5000
# The first rows are solved directly. Later ones are accumulated as differences from this solution,
# because sums of squares of total energies would lose digits.
_FIRST_ROWS = 500
_ROUNDS = 30
# Below this many documents with an element (or sign of charge), its energy is not known.
_FEWEST_DOCUMENTS = 3
# Below this many documents, the scale is not known.
_FEWEST_ALL = 50
# The smallest scale, in Eh per square root of the number of atoms (0.27 eV). If a campaign has
# conformers of only a few molecules, its energies are much closer to the fit, which says nothing
# about other molecules.
_SMALLEST_SCALE_EH = 1e-2
# Turns the median of absolute deviations of normally distributed numbers into their standard
# deviation.
_SIGMA_PER_MEDIAN = 1.4826


def _row(numbers: Sequence[int], charge: int, multiplicity: int) -> _Vector:
    row = np.zeros(_COLUMNS)
    for number in numbers:
        row[number] += 1.0
    row[-3:] = max(charge, 0), max(-charge, 0), multiplicity - 1
    return row


def _least_squares(rows: _Vector, right: _Vector) -> _Vector:
    """The least-squares solution with the smallest norm; columns may be empty or dependent."""
    found: _Vector = np.linalg.lstsq(rows, right, rcond=1e-10)[0]
    return found


class EnergyByComposition:
    """Fits the energies of a campaign (`add`, `fit`), then measures each of them (`z`).

    Energies are in Eh. The same documents in the same order give the same result.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._seen = 0
        self._documents = np.zeros(_COLUMNS)  # documents with each element or sign of charge
        self._sample: list[tuple[_Vector, float, int]] = []
        self._base: _Vector | None = None
        self._products = np.zeros((_COLUMNS, _COLUMNS))
        self._right = np.zeros(_COLUMNS)
        self._energies = np.zeros(_COLUMNS)  # of the columns, in Eh
        self._scale = 0.0

    def add(
        self, numbers: Sequence[int], energy: float, charge: int = 0, multiplicity: int = 1
    ) -> None:
        """Add a document to the first pass.

        Args:
            numbers: atomic numbers, shape (n,)
            energy: in Eh
            charge: in e
            multiplicity: 2 S + 1
        """
        row = _row(numbers, charge, multiplicity)
        entry = (row, energy, len(numbers))
        self._seen += 1
        self._documents += row > 0
        if len(self._sample) < _SAMPLE_ROWS:
            self._sample.append(entry)
        else:
            place = int(self._random.integers(self._seen))
            if place < _SAMPLE_ROWS:
                self._sample[place] = entry
        if self._base is None and self._seen == _FIRST_ROWS:
            self._begin()
        elif self._base is not None:
            self._accumulate(entry)

    def _begin(self) -> None:
        first = list(self._sample)
        self._base = _least_squares(
            np.array([row for row, _, _ in first]), np.array([energy for _, energy, _ in first])
        )
        for entry in first:
            self._accumulate(entry)

    def _accumulate(self, entry: tuple[_Vector, float, int]) -> None:
        row, energy, natoms = entry
        assert self._base is not None  # noqa: S101  # `_begin` set it
        weighted = row / natoms
        self._products += np.outer(row, weighted)
        self._right += weighted * (energy - row @ self._base)

    def fit(self) -> None:
        """Finish the first pass.

        The fit to all documents is refined on the sample, by absolute deviations instead of
        squares, so that a few wrong energies do not spoil it.
        """
        if not self._sample:
            return
        if self._base is None:
            self._begin()
        assert self._base is not None  # noqa: S101  # `_begin` set it
        used = np.flatnonzero(self._documents)
        solution = self._base.copy()
        solution[used] += _least_squares(self._products[np.ix_(used, used)], self._right[used])
        rows = np.array([row for row, _, _ in self._sample])[:, used]
        energies = np.array([energy for _, energy, _ in self._sample])
        roots = np.sqrt([natoms for _, _, natoms in self._sample])
        scaled = rows / roots[:, None]
        residuals = (energies - rows @ solution[used]) / roots
        for _ in range(_ROUNDS):
            weights = 1.0 / np.sqrt(np.maximum(np.abs(residuals), _SMALLEST_SCALE_EH))
            step = _least_squares(scaled * weights[:, None], residuals * weights)
            solution[used] += step
            change = scaled @ step
            residuals = residuals - change
            if np.max(np.abs(change)) < _SMALLEST_SCALE_EH * 1e-3:
                break
        self._energies = solution
        self._scale = max(
            _SIGMA_PER_MEDIAN * float(np.median(np.abs(residuals))), _SMALLEST_SCALE_EH
        )

    def z(
        self, numbers: Sequence[int], energy: float, charge: int = 0, multiplicity: int = 1
    ) -> float | None:
        """The robust z-score of an energy (Eh): how far it is from the fit, without a sign.

        None if there are too few documents, or too few with one of its elements or its charge.
        """
        row = _row(numbers, charge, multiplicity)
        if (
            self._seen < _FEWEST_ALL
            or not self._scale
            or np.any(self._documents[row > 0] < _FEWEST_DOCUMENTS)
        ):
            return None
        return float(abs(energy - row @ self._energies) / (self._scale * len(numbers) ** 0.5))
