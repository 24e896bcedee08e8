"""Gradients in ORCA's text, versions 3 to 6.1, in Eh/Bohr, shape (n, 3).

An analytic gradient consists of `CARTESIAN GRADIENT`, an empty line and rows `1   H   :  x y z`. A
numerical gradient has no empty line. The MP2 module prints `The final MP2 gradient` and rows
`0:  x y z`. Each is followed by its norm, against which the rows are checked.

An optimization evaluates the energy at its stationary point without a gradient. The last gradient
in the output and the final energy then belong to different geometries, so `gradient` refuses it.
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
# The largest number of lines between the last row and the norm.
_LINES_TO_NORM = 12
# The tolerance for the norm. Rows have 8 or 9 decimals, but the norm of the MP2 gradient has 6.
_ROUNDING = 2e-6


def _norm(rows: Iterator[str]) -> float | None:
    """The norm that ORCA printed after a gradient, or None if there is none."""
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
    """The gradient in an evaluation in Eh/Bohr, shape (n, 3), or None if there is none.

    Raises:
        ParseError: it cannot be read, or there are several gradients for different states.
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
    """Gradient of `total_energy` in the final evaluation in Eh/Bohr, shape (n, 3).

    It belongs to `geometry` and to the same state as the energy, in the orientation of the input.

    Raises:
        ParseError: it is missing; it belongs to another evaluation, as after an optimization (use
            `frames`, or add a single point with EnGrad); an atom is missing; or its norm differs
            from the printed norm.
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

    Their number can differ from that of `energy_trajectory`; see `frames`.
    """
    text = output.text
    positions = sorted(position for heading in HEADINGS for position in every(text, heading))
    if not positions:
        raise output.missing("'CARTESIAN GRADIENT'")
    return [_gradient(text, position, "the gradient") for position in positions]


@reads("stdout", per_atom=True)
@of_final_state
def dispersion_gradient(output: Output) -> list[list[float]]:
    """Gradient of the final evaluation's dispersion correction in Eh/Bohr, shape (n, 3).

    ORCA prints it for D3 and D4 if the input has `%output Print[P_DFTD_GRAD] 1 end`.
    """
    position = last_of(output.text, _DISPERSION)
    if position < 0:
        raise output.missing(f"'{_DISPERSION}'")
    return _checked(output.text, position, "the dispersion gradient")
