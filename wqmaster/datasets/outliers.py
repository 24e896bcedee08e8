"""The checks of an export: those that need the whole campaign, and those of unchecked frames."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from wqmaster.checks.base import Level, Measurement, measured
from wqmaster.checks.composition import ENERGY_BY_COMPOSITION
from wqmaster.checks.evaluated import Evaluated
from wqmaster.datasets.composition_fit import EnergyByComposition
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.source import Source

_NAME = ENERGY_BY_COMPOSITION.name


class Outliers:
    """Judges each frame by the checks of its campaign.

    A first pass over the database fits the energies of each recipe to the compositions. Checks that
    are recorded with a result are not repeated. Frames of optimizations are checked here, as are
    results of earlier versions of wqmaster, which recorded no checks.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._fits: dict[str, EnergyByComposition] = {}
        for source in sources:
            if _NAME not in source.recipe.checks.rules:
                continue
            for frame in source.energies():
                if not frame.isolated:
                    fit = self._fits.setdefault(frame.recipe, EnergyByComposition())
                    fit.add(*_described(frame))
        for fit in self._fits.values():
            fit.fit()

    def judged(self, source: Source, frame: Frame) -> tuple[Frame, str | None]:
        """The frame with the values of its checks, and the reason if it is refused, or None."""
        found: list[Measurement] = []
        checks = source.recipe.checks
        if not frame.checks and checks.rules:
            found += checks.applied(_evaluated(source, frame))
        fit = self._fits.get(frame.recipe)
        if fit is not None:
            value = fit.z(*_described(frame))
            if value is not None:
                found.append(measured(ENERGY_BY_COMPOSITION, value, checks.limits(_NAME)))
        if not found:
            return frame, None
        refusing = next((one for one in found if one.level is Level.REFUSE), None)
        why = f"refused by the check {refusing.check.name}" if refusing is not None else None
        warned = [one.check.name for one in found if one.level is Level.WARN]
        values = {one.check.name: one.value for one in found}
        return replace(
            frame, checks={**frame.checks, **values}, warned=(*frame.warned, *warned)
        ), why


def _described(frame: Frame) -> tuple[list[int], float, int, int]:
    return frame.numbers.tolist(), frame.energy, frame.charge, frame.multiplicity


def _evaluated(source: Source, frame: Frame) -> Evaluated:
    values: dict[str, Any] = {
        "gradient": None if frame.gradient is None else frame.gradient.tolist(),
        "geometry": frame.coordinates.tolist(),
        "symbols": frame.symbols,
    }
    return Evaluated(
        values.get,
        natoms=frame.natoms,
        charge=frame.charge,
        multiplicity=frame.multiplicity,
        inapplicable=source.labels.step.inapplicable_checks,
    )
