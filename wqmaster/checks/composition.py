"""The check of a campaign: energies that do not fit those of other molecules of the same elements.

`datasets/composition_fit.py` applies it.
"""

from wqmaster.checks.base import Check, Limits
from wqmaster.checks.evaluated import Evaluated


def _nothing(evaluated: Evaluated) -> None:
    """Measure nothing: the check needs the whole campaign."""
    return


ENERGY_BY_COMPOSITION = Check(
    name="energy_by_composition",
    quantity="the robust z-score of the energy",
    unit="",
    default=Limits(warn=6.0, refuse=30.0),
    strict=Limits(warn=4.0, refuse=10.0),
    measure=_nothing,
)
"""|residual| / (scale sqrt(n)): residual of a linear fit of the energies to the composition.

n is the number of atoms: deviations of many bonds add up like independent ones. The scale is the
median of the absolute residuals per sqrt(n), times 1.4826. Source: common practice (OMol25 keeps
energies within 150 eV of its reference atoms). The limits are ours: the distribution of chemical
energies has longer tails than a normal one.
"""
