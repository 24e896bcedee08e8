"""Frames: the energy, gradient and geometry of each evaluation (see `evaluations`)."""

from bisect import bisect_right
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.convergence import marks
from wqmaster.parsers.orca.evaluations import Evaluation, evaluations
from wqmaster.parsers.orca.final_lines import final_energy, is_converged
from wqmaster.parsers.orca.geometry import labels_and_coordinates
from wqmaster.parsers.orca.gradient import gradient_of
from wqmaster.parsers.orca.roots import root_of
from wqmaster.parsers.orca.run import places_of_charge, places_of_multiplicity
from wqmaster.parsers.orca.text import whole_line

_SCF_CONVERGED = "SCF CONVERGED AFTER"


class _Stated:
    """The values that SCF settings state, by position.

    ORCA does not repeat the settings in each cycle, so an earlier value can still apply.
    """

    def __init__(self, places: list[tuple[int, int]]) -> None:
        self._positions = [position for position, _ in places]
        self._values = [value for _, value in places]

    def before(self, position: int, since: int) -> int | None:
        """The last value between `since` and `position`, or None if there is none."""
        place = bisect_right(self._positions, position) - 1
        return self._values[place] if place >= 0 and self._positions[place] >= since else None


def _unconverged(text: str) -> list[tuple[int, FailureClass]]:
    return sorted(marks(text), key=lambda mark: mark[0])


def _is_affected(text: str, one: Evaluation, found: list[tuple[int, FailureClass]]) -> bool:
    """Whether a convergence failure affects the energy or gradient of an evaluation."""
    energy = one.energies[-1]
    last = max([energy, *one.gradients])
    first = bisect_right(found, one.start, key=lambda mark: mark[0])
    for place in range(first, len(found)):
        position, kind = found[place]
        if position > last:
            return False
        overcome = kind is FailureClass.SCF_NOT_CONVERGED and (
            text.find(_SCF_CONVERGED, position, energy) >= 0
        )
        if not overcome:
            return True
    return False


@reads("stdout")
def frames(output: Output) -> list[dict[str, Any]]:
    """Energy, gradient and geometry of each evaluation, in output order.

    Each frame is a mapping:
    `energy`: FINAL SINGLE POINT ENERGY in Eh;
    `gradient` for the same geometry and state in Eh/Bohr, shape (n, 3), or None if ORCA computed no
    gradient, as at the stationary point after an optimization;
    `geometry` in Angstrom, shape (n, 3), and `symbols`, shape (n,);
    `kind`: "optimisation_cycle", "stationary_point" (the evaluation after a converged
    optimization), "scan_point" (in an unrelaxed scan), "dynamics_step" or "single_point";
    `converged`: whether it is a stationary point; a relaxed scan has one for each step;
    `cycle` of the optimization and `step` of the scan or dynamics, as ORCA counts them, or None;
    `job`, counted from 1 (`$new_job`, compound jobs);
    `charge` and `multiplicity`: None if the output does not state them; with spin-orbit coupling,
    the multiplicity is undefined and None;
    `root`: the number of the excited state that energy and gradient belong to, or None for the SCF
    state.

    The following evaluations are omitted: those whose SCF, coupled-cluster or response equations
    did not converge; those whose coordinates or energy ORCA does not print (images of a nudged
    elastic band, points on an IRC, MiniPrint, the end of NEB-TS); NoIter runs, which have no
    energy; displaced geometries for numerical derivatives; and multilayer calculations (QM/MM),
    whose coordinates and energy belong to different systems.

    Raises:
        ParseError: there is no such evaluation, or one of them is damaged.
    """
    text = output.text
    bad = _unconverged(text)
    charges, multiplicities = _Stated(places_of_charge(text)), _Stated(places_of_multiplicity(text))
    found: list[dict[str, Any]] = []
    since, job = 0, 1
    for one in evaluations(text):
        if one.job != job:
            since, job = one.start, one.job
        if one.geometry is None or not one.energies or one.layers:
            continue
        energy, suffix = final_energy(whole_line(text, one.energies[-1]))
        if not is_converged(suffix) or _is_affected(text, one, bad):
            continue
        if energy == 0 and not one.scfs:
            continue
        root = root_of(text, one)
        multiplicity = multiplicities.before(one.energies[-1], since)
        symbols, geometry = labels_and_coordinates(text, one.geometry)
        found.append(
            {
                "energy": energy,
                "gradient": gradient_of(text, one),
                "geometry": geometry,
                "symbols": symbols,
                "kind": one.kind,
                "converged": one.kind == "stationary_point",
                "cycle": one.cycle,
                "step": one.step,
                "job": one.job,
                "charge": charges.before(one.energies[-1], since),
                "multiplicity": multiplicity if root is None else root.multiplicity(multiplicity),
                "root": None if root is None else root.number,
            }
        )
    if not found:
        raise ParseError(
            f"there is no evaluation with coordinates and a converged final energy in {output.name}"
        )
    return found
