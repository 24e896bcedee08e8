"""Label noise from the differences between labels and a tighter calculation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.database.audits import Estimate
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.units import EV_PER_ANGSTROM, EV_PER_EH

Floats = npt.NDArray[np.float64]
_MILLI = 1000.0
_RESAMPLES = 1000
_PERCENTILE = 95.0
# The limits of a 95% confidence interval.
_INTERVAL_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Difference:
    """The difference between the labels of one structure and a tighter calculation."""

    document: Any  # the _id
    natoms: int
    energy: float  # |difference| per atom, meV
    forces: Floats | None  # |difference| of each component, meV/Angstrom, shape (3 n,)

    @property
    def rms(self) -> float | None:
        """Root mean square of the force components, meV/Angstrom."""
        return None if self.forces is None else float(np.sqrt(np.mean(self.forces**2)))

    @property
    def badness(self) -> float:
        """The number that ranks structures: `rms`, or `energy` if there are no forces."""
        rms = self.rms
        return self.energy if rms is None else rms


def difference(label: Frame, tight: Frame) -> Difference:
    """Compare the labels of a structure with those of a tighter calculation of the same one."""
    energy = abs(label.energy - tight.energy) * EV_PER_EH * _MILLI / label.natoms
    forces = None
    if label.gradient is not None and tight.gradient is not None:
        forces = np.abs(label.gradient - tight.gradient).ravel() * EV_PER_ANGSTROM * _MILLI
    return Difference(label.document, label.natoms, energy, forces)


@dataclass(frozen=True)
class Summary:
    """Statistics of several differences; those of forces are None if there are none."""

    energy_mean: Estimate
    energy_p95: Estimate
    force_mean: Estimate | None
    force_p95: Estimate | None
    rms_mean: Estimate | None
    rms_p95: Estimate | None


def summary(differences: Sequence[Difference], seed: int) -> Summary:
    """Means and 95th percentiles, with confidence intervals by the bootstrap.

    Structures are resampled, not force components, since those of one structure depend on each
    other (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8). The same seed
    gives the same intervals.
    """
    generator = np.random.default_rng(seed)
    count = len(differences)
    # How often each structure occurs in each resample, shape (resamples, structures).
    times = generator.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    energies = [np.array([one.energy]) for one in differences]
    forces = [one.forces for one in differences if one.forces is not None]
    has_forces = len(forces) == count
    rms = [np.array([one.rms], dtype=np.float64) for one in differences] if has_forces else []
    return Summary(
        energy_mean=_estimate(energies, times, _mean),
        energy_p95=_estimate(energies, times, _percentile),
        force_mean=_estimate(forces, times, _mean) if has_forces else None,
        force_p95=_estimate(forces, times, _percentile) if has_forces else None,
        rms_mean=_estimate(rms, times, _mean) if has_forces else None,
        rms_p95=_estimate(rms, times, _percentile) if has_forces else None,
    )


def _estimate(
    values: Sequence[Floats],
    times: npt.NDArray[np.int64],
    statistic: Callable[[Floats, Floats], float],
) -> Estimate:
    """Estimate a statistic of the values of all structures, with its confidence interval.

    `statistic` receives the sorted values and the weight of each.
    """
    flat = np.concatenate(values)
    owner = np.repeat(np.arange(len(values)), [len(one) for one in values])
    order = np.argsort(flat, kind="stable")
    flat, owner = flat[order], owner[order]
    resampled = [statistic(flat, each[owner].astype(np.float64)) for each in times]
    low, high = np.percentile(resampled, _INTERVAL_PERCENTILES)
    return Estimate(statistic(flat, np.ones(len(flat))), float(low), float(high))


def _mean(values: Floats, weights: Floats) -> float:
    return float(np.average(values, weights=weights))


def _percentile(values: Floats, weights: Floats) -> float:
    """The 95th percentile: the smallest value that 95% of the values do not exceed."""
    reached = np.cumsum(weights)
    place = np.searchsorted(reached, reached[-1] * _PERCENTILE / 100 - 1e-9)
    return float(values[min(int(place), len(values) - 1)])
