"""Remedies for xtb."""

from typing import Literal

from pydantic import Field

from wqmaster.jobs.failures import FailureClass
from wqmaster.tasks.base import Ladders, Rung


class XtbRung(Rung):
    """A remedy for xtb. It changes how equations are solved, but not the equations or thresholds.

    A higher electronic temperature would help convergence, but it changes the energy.
    """

    # Raises the limit on iterations for the charges to at least this number.
    iterations: int | None = Field(default=None, gt=0)
    # xtb's `broydamp` (default: 0.4). A smaller value is slower and steadier.
    damping: float | None = Field(default=None, gt=0, lt=1)
    # Raises the limit on cycles of an optimization to at least this number.
    cycles: int | None = Field(default=None, gt=0)
    # The optimizer: xtb's rf (default), lbfgs or inertial, with the same thresholds (`level`).
    engine: Literal["rf", "lbfgs", "inertial"] | None = None


LADDERS: Ladders = {
    FailureClass.SCF_NOT_CONVERGED: (
        XtbRung(name="iterations", iterations=1000),
        XtbRung(name="damped", iterations=3000, damping=0.1),
        XtbRung(name="strongly-damped", iterations=10_000, damping=0.02),
    ),
    # A bug in xtb 6.7.1 affects one run in five for some atoms (parsers.xtb.asking.is_full).
    FailureClass.ERRATIC: tuple(XtbRung(name=f"again-{count}") for count in range(1, 5)),
    FailureClass.OPT_NOT_CONVERGED: (
        XtbRung(name="restart", restart=True, cycles=1000),
        XtbRung(name="lbfgs", restart=True, cycles=3000, engine="lbfgs"),
    ),
}
