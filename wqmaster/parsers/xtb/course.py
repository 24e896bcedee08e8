"""Frames from an optimization, a relaxed scan or molecular dynamics.

Each frame holds the energy and geometry of one evaluation.
"""

import math
from dataclasses import dataclass
from typing import Any

from wqmaster.errors import NotApplicable, ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.xtb import moving
from wqmaster.parsers.xtb.engrad import engrad
from wqmaster.parsers.xtb.evaluation import has_scan, is_biased, is_layered, of_one_geometry
from wqmaster.parsers.xtb.molecular import FINAL, changed_norm, net_charge
from wqmaster.parsers.xtb.text import (
    stated_energy,
    stated_unpaired,
    stdout,
)
from wqmaster.parsers.xyz import Frame
from wqmaster.parsers.xyz import frames as structures

# Messages that xtb prints before it stops because the charges did not converge.
_SCC = ("convergence criteria cannot be satisfied", "charge iterator did not converge")
# The largest deviation of the sum of the atomic charges from a whole number (e).
_CHARGE_TOLERANCE_E = 1e-3


@dataclass(frozen=True)
class _State:
    """The charge (e) and multiplicity of all frames in a run; None if xtb does not state them."""

    charge: int | None
    multiplicity: int | None


def _state(output: Output, text: str) -> _State:
    # An ONIOM run states only the charge and multiplicity of the inner region.
    if is_layered(text):
        return _State(None, None)
    unpaired = stated_unpaired(text)
    try:
        charge = net_charge(output)
    except ParseError:
        charge = math.nan
    plain = abs(charge - round(charge)) <= _CHARGE_TOLERANCE_E if math.isfinite(charge) else False
    return _State(round(charge) if plain else None, None if unpaired is None else unpaired + 1)


def _frame(
    frame: Frame,
    name: str,
    kind: str,
    state: _State,
    *,
    converged: bool | None = False,
    cycle: int | None = None,
    step: int | None = None,
) -> dict[str, Any]:
    energy = stated_energy(frame, name)
    places = [list(row) for row in frame.coordinates]
    if not all(math.isfinite(value) for value in (energy, *(x for row in places for x in row))):
        raise ParseError(f"a structure in {name} has a number that is not finite")
    return {
        "energy": energy,
        "gradient": None,
        "geometry": places,
        "symbols": list(frame.symbols),
        "kind": kind,
        "converged": converged,
        "cycle": cycle,
        "step": step,
        "job": 1,
        "charge": state.charge,
        "multiplicity": state.multiplicity,
        "root": None,
    }


def _with_gradient(output: Output, frame: dict[str, Any]) -> dict[str, Any]:
    """The frame with energy and gradient from molecule.engrad, if the geometry is the same.

    The frame gets no gradient if the one in the file is not the full gradient.
    """
    if not output.has("molecule.engrad"):
        return frame
    found = engrad(output)
    same = len(found.geometry) == len(frame["geometry"]) and all(
        abs(x - y) <= 10 * moving.SAME_PLACE_ANGSTROM
        for one, two in zip(found.geometry, frame["geometry"], strict=True)
        for x, y in zip(one, two, strict=True)
    )
    if not same or abs(found.energy - frame["energy"]) > moving.SAME_ENERGY_EH:
        return frame
    whole = changed_norm(output, found.gradient) is None
    return {**frame, "energy": found.energy, "gradient": found.gradient if whole else None}


def _cycles(log: list[Frame], state: _State) -> list[dict[str, Any]]:
    return [
        _frame(frame, "xtbopt.log", "optimisation_cycle", state, cycle=count)
        for count, frame in enumerate(log, start=1)
    ]


def _optimization(output: Output, state: _State) -> list[dict[str, Any]]:
    log = moving.log(output)
    if not output.has("xtbopt.xyz"):
        return _cycles(log, state)
    final = moving.final(output)
    converged = moving.has_converged(output, final)
    while log and moving.is_same(log[-1], final):
        log.pop()  # the lbfgs optimizer writes the last structure twice
    cycles = _cycles(log, state)
    if converged:
        last = _frame(final, "xtbopt.xyz", "stationary_point", state, converged=True)
    else:
        count = len(log) + 1
        last = _frame(final, "xtbopt.xyz", "optimisation_cycle", state, cycle=count)
    return [*cycles, _with_gradient(output, last)]


def _scan(output: Output, state: _State) -> list[dict[str, Any]]:
    name = "xtbscan.log"
    return [
        _frame(frame, name, "scan_point", state, converged=None, step=count)
        for count, frame in enumerate(structures(output.file(name), name), start=1)
    ]


def _dynamics(output: Output, state: _State) -> list[dict[str, Any]]:
    return [
        _frame(frame, "xtb.trj", "dynamics_step", state, step=count)
        for count, frame in enumerate(moving.trajectory(output), start=1)
    ]


@reads(
    *("stdout", "xtbopt.log", "xtbopt.xyz", "molecule.engrad", "xtbscan.log", "xtb.trj"),
)
def frames(output: Output) -> list[dict[str, Any]]:
    """Energy and geometry of each evaluation of the run, in order.

    The frames come from the relaxed scan (xtbscan.log) if there was one, otherwise from the
    molecular dynamics (xtb.trj), otherwise from the optimization (xtbopt.log). Each frame is a
    mapping with the same keys as ORCA's frames:
    `energy` in Eh;
    `gradient` in Eh/Bohr, shape (n, 3), or None;
    `geometry` in Angstrom, shape (n, 3), and `symbols`, shape (n,);
    `kind`: "optimisation_cycle", "stationary_point" (if the optimization converged),
    "scan_point" or "dynamics_step";
    `converged`: whether the frame is a stationary point; None for a scan point, since xtb does not
    report its convergence;
    `cycle`: the number of the optimization cycle (the initial geometry is 1), otherwise None;
    `step`: the number of the structure in xtbscan.log or xtb.trj, counted from 1, otherwise None;
    `job`: 1;
    `charge` and `multiplicity`: None if xtb does not state them (GFN-FF has no multiplicity);
    `root`: None, since xtb computes no excited states.

    Measured with 6.7.1: a single point at each frame reproduces its energy to within 2e-10 Eh
    (GFN1, GFN2) or 1e-12 Eh (GFN-FF).

    The last frame of an optimization is its final structure (xtbopt.xyz) and energy, with the
    gradient if `--grad` wrote molecule.engrad and no atoms are fixed; xtb writes no other
    gradients. Energies include the
    restraints and walls of the input, but not in a scan: there xtb subtracts the bias. If charges
    do not converge, xtb stops before it writes a frame with them.

    Raises:
        ParseError: no such run took place, one of its files is missing or truncated, the energies
            include the bias of `--bhess`, or charges did not converge in a scan or an MD.
    """
    text = stdout(output)
    scanned, moved = has_scan(text), moving.has_dynamics(text)
    if (scanned or moved) and any(words in text for words in _SCC):
        raise ParseError("xtb reports that charges did not converge, but not in which frames")
    state = _state(output, text)
    if scanned:
        found = _scan(output, state)
    elif moved:
        found = _dynamics(output, state)
    elif is_biased(output):
        of_one_geometry(output, "the energy of each frame")
    elif FINAL in text or ".. CYCLE " in text:
        found = _optimization(output, state)
    else:
        raise NotApplicable("no optimization, relaxed scan or molecular dynamics was run")
    if not found:
        raise ParseError("there are no frames")
    return found
