"""Whole frames of an optimisation, a relaxed scan or molecular dynamics: energy and geometry of
one evaluation each."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers import Output, reads
from wqmaster.parsers.xtb import moving
from wqmaster.parsers.xtb.engrad import engrad
from wqmaster.parsers.xtb.evaluation import has_scan, is_biased, of_one_geometry
from wqmaster.parsers.xtb.molecular import FINAL
from wqmaster.parsers.xtb.text import Frame, last_line, stated_energy, stdout
from wqmaster.parsers.xtb.text import frames as structures

_CONVERGED = "*** GEOMETRY OPTIMIZATION CONVERGED AFTER "
# What xtb says of charges that did not converge, after which it stops.
_SCC = ("convergence criteria cannot be satisfied", "charge iterator did not converge")
# xtb's files have 14 and 12 decimals; --ohess turns the molecule to another orientation (Angstrom).
_SAME_PLACE = 1e-6
# The last frame of xtbopt.log and xtbopt.xyz are two evaluations of one geometry (Eh).
_SAME_ENERGY = 1e-7


def _frame(frame: Frame, name: str, converged: bool = False) -> dict[str, Any]:
    energy = stated_energy(frame, name)
    places = [list(row) for row in frame.coordinates]
    if not all(math.isfinite(value) for value in (energy, *(x for row in places for x in row))):
        raise ParseError(f"a structure of {name} has a number that is not finite")
    return {
        "energy": energy,
        "gradient": None,
        "geometry": places,
        "symbols": list(frame.symbols),
        "converged": converged,
    }


def _shape(points: Sequence[Sequence[float]]) -> Iterator[float]:
    """Distances that stay as they are when a molecule is turned."""
    middle = [sum(column) / len(points) for column in zip(*points, strict=True)]
    for point in points:
        yield math.dist(point, middle)
        yield math.dist(point, points[0])
        yield math.dist(point, points[-1])


def _is_same(frame: Frame, other: Frame) -> bool:
    """Whether two structures are one, in whatever orientation, with one energy."""
    return (
        frame.symbols == other.symbols
        and abs(stated_energy(frame, "xtbopt.log") - stated_energy(other, "xtbopt.xyz"))
        <= _SAME_ENERGY
        and all(
            abs(one - two) <= _SAME_PLACE
            for one, two in zip(_shape(frame.coordinates), _shape(other.coordinates), strict=True)
        )
    )


def _with_gradient(output: Output, frame: dict[str, Any]) -> dict[str, Any]:
    """The frame with energy and gradient of molecule.engrad, if that is of the same geometry."""
    if not output.has("molecule.engrad"):
        return frame
    found = engrad(output)
    same = len(found.geometry) == len(frame["geometry"]) and all(
        abs(x - y) <= 10 * _SAME_PLACE
        for one, two in zip(found.geometry, frame["geometry"], strict=True)
        for x, y in zip(one, two, strict=True)
    )
    if not same or abs(found.energy - frame["energy"]) > _SAME_ENERGY:
        return frame
    return {**frame, "energy": found.energy, "gradient": found.gradient}


def _optimisation(output: Output, text: str) -> list[dict[str, Any]]:
    log = moving.log(output)
    converged = last_line(text, _CONVERGED) is not None
    if not output.has("xtbopt.xyz"):
        return [_frame(frame, "xtbopt.log") for frame in log]
    final = moving.final(output)
    if final.symbols != log[0].symbols:
        raise ParseError("xtbopt.log and xtbopt.xyz are of different molecules")
    if _is_same(log[-1], final):
        log.pop()
    last = _frame(final, "xtbopt.xyz", converged)
    return [*(_frame(frame, "xtbopt.log") for frame in log), _with_gradient(output, last)]


def _scan(output: Output) -> list[dict[str, Any]]:
    name = "xtbscan.log"
    return [_frame(frame, name) for frame in structures(output.file(name), name)]


@reads(
    *("stdout", "xtbopt.log", "xtbopt.xyz", "molecule.engrad", "xtbscan.log", "xtb.trj"),
)
def frames(output: Output) -> list[dict[str, Any]]:
    """Whole frames of the run, each of one evaluation: of its relaxed scan (xtbscan.log), else of
    its molecular dynamics (xtb.trj), else of its optimisation (xtbopt.log).

    Each is a mapping: `energy` (Eh), `gradient` (Eh/Bohr, shape (n, 3), or None), `geometry`
    (Angstrom, shape (n, 3)), `symbols`, and `converged`, whether it is the stationary point that
    the optimisation converged to. Measured with 6.7.1, a direct run at each frame gives its energy
    to 2e-10 Eh (GFN1, GFN2) and 1e-12 Eh (GFN-FF).

    The last frame of an optimisation is its final structure (xtbopt.xyz) and energy, with the
    gradient where `--grad` wrote molecule.engrad; xtb writes no other gradients. Energies hold the
    restraints and walls of the input. Those of a scan do not: xtb takes the bias away. It does not
    say which points of a scan converged, so that none is `converged`. xtb stops at charges that do
    not converge before it writes a frame of them.

    Raises:
        ParseError: there is no such run, a file of it is missing or cut short, its energies hold
            the bias of `--bhess`, or xtb says that charges did not converge in a scan or an MD.
    """
    text = stdout(output)
    scanned, moved = has_scan(text), moving.has_dynamics(text)
    if (scanned or moved) and any(words in text for words in _SCC):
        raise ParseError("xtb says that charges did not converge, but not in which frames")
    if scanned:
        found = _scan(output)
    elif moved:
        found = [_frame(frame, "xtb.trj") for frame in moving.trajectory(output)]
    elif is_biased(output):
        of_one_geometry(output, "the energy of each frame")
    elif FINAL in text or ".. CYCLE " in text:
        found = _optimisation(output, text)
    else:
        raise ParseError("no optimisation, relaxed scan or molecular dynamics was run")
    if not found:
        raise ParseError("there are no frames")
    return found
