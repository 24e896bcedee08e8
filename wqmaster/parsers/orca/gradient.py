"""Gradients in ORCA's text, versions 3 to 6.1, in Eh/Bohr, shape (n, 3).

Formats: analytic, `CARTESIAN GRADIENT`, an empty line and rows `1   H   :  x y z`; numerical, the
same without the empty line; MP2 module, `The final MP2 gradient` and rows `0:  x y z`. All of them
include the norm, against which the rows are checked.

An optimization evaluates the energy at its stationary point without a gradient. The last gradient
in the output then belongs to another geometry than the final energy, and `gradient` refuses it.
"""

import math
from collections.abc import Iterator
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import Evaluation, described, evaluations, final
from wqmaster.parsers.orca.events import GRADIENTS
from wqmaster.parsers.orca.final_values import of_final_state
from wqmaster.parsers.orca.geometry import check_count, whole
from wqmaster.parsers.orca.text import atom_rows, every, last_of, line_end, lines, number

HEADINGS = GRADIENTS
_DISPERSION = "DISPERSION GRADIENT"
_ENDS = ("Difference to", "Norm of", "NORM OF", "-----")
_CONSTRAINED = "CONSTRAINED CARTESIAN"
# The norm follows the rows within so many lines.
_LINES_TO_NORM = 12
# Rows have 8 or 9 decimals, the norm of the MP2 gradient has 6.
_ROUNDING = 2e-6


def _norm(rows: Iterator[str]) -> float | None:
    """The norm printed after a gradient; None if there is none."""
    for line in islice(rows, _LINES_TO_NORM):
        stripped = line.strip()
        if stripped in (*HEADINGS, _DISPERSION):
            return None
        if stripped.upper().startswith("NORM OF THE "):
            return number(stripped.replace("...", ":").rpartition(":")[2].strip())
    return None


def _gradient(text: str, position: int, what: str) -> list[list[float]]:
    rows = lines(text, position)
    found, _ = atom_rows(rows, what, _ENDS)
    if len(found[0]) != 3:
        raise ParseError(f"{what} has {len(found[0])} columns")
    head = text[position : line_end(text, position) + 400]
    norm = None if _CONSTRAINED in head else _norm(rows)
    computed = math.hypot(*(value for row in found for value in row))
    if norm is not None and abs(norm - computed) > _ROUNDING + 1e-4 * abs(norm):
        raise ParseError(f"the norm of {what} is {computed:.9f}, but ORCA printed {norm:.9f}")
    return found


def _checked(text: str, position: int, what: str) -> list[list[float]]:
    found = _gradient(text, position, what)
    check_count(text, position, len(found), what)
    return found


def gradient_of(text: str, evaluation: Evaluation) -> list[list[float]] | None:
    """The gradient of an evaluation in Eh/Bohr, shape (n, 3); None if ORCA computed none there.

    Raises:
        ParseError: it cannot be read, or there are several, for different states.
    """
    found = [_checked(text, place, "the gradient") for place in evaluation.gradients]
    if any(other != found[0] for other in found[1:]):
        raise ParseError(
            f"there are {len(found)} gradients in {described(text, evaluation)} but only one"
            " energy: ORCA does not state which gradient belongs to the state of the energy"
        )
    if not found and evaluation.twin is not None:
        return gradient_of(text, evaluation.twin)
    return found[0] if found else None


@reads("stdout", per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of the energy in the final evaluation in Eh/Bohr, shape (n, 3).

    It is at `geometry`, of the state of `total_energy`, in the frame of the input.

    Raises:
        ParseError: it is missing; it belongs to another evaluation, as after an optimization (use
            `frames`, or add a single point with EnGrad); an atom is missing; its norm differs from
            the printed one.
    """
    text = output.text
    if last_of(text, *HEADINGS) < 0:
        raise output.missing("'CARTESIAN GRADIENT'")
    last = final(text)
    if last.layers:
        whole(text, last)
    found = gradient_of(text, last)
    if found is None:
        owners = (one for one in reversed(evaluations(text)) if one.gradients)
        owner = next((described(text, one) for one in owners), "a displaced geometry")
        raise ParseError(
            f"the last gradient in the output belongs to {owner}, but the final energy to"
            f" {described(text, last)}; use 'frames', which has both for each evaluation, or add a"
            " single point with EnGrad"
        )
    return found


@reads("stdout")
def gradient_trajectory(output: Output) -> list[list[list[float]]]:
    """All gradients in output order, in Eh/Bohr, shape (steps, n, 3).

    Their number can differ from that of `energy_trajectory`: see `frames`.
    """
    text = output.text
    positions = sorted(position for heading in HEADINGS for position in every(text, heading))
    if not positions:
        raise output.missing("'CARTESIAN GRADIENT'")
    return [_gradient(text, position, "the gradient") for position in positions]


@reads("stdout", per_atom=True)
@of_final_state
def dispersion_gradient(output: Output) -> list[list[float]]:
    """Gradient of the dispersion correction (D3, D4) in the final evaluation in Eh/Bohr, (n, 3).

    ORCA prints it with `%output Print[P_DFTD_GRAD] 1 end`.
    """
    position = last_of(output.text, _DISPERSION)
    if position < 0:
        raise output.missing(f"'{_DISPERSION}'")
    return _checked(output.text, position, "the dispersion gradient")
