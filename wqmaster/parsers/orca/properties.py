"""Dipole and quadrupole moments and <S**2> in ORCA's text, versions 3 to 6.1, in atomic units.

Moments of charged molecules are relative to ORCA's origin, by default the center of mass. The
dipole has 5 decimals up to version 5 and 9 since version 6. If ORCA prints moments for several
densities (SCF, MP2, coupled cluster), the last ones count. All values belong to the final
evaluation (`evaluations`). If ORCA followed an excited state, they must be those of its density; if
it only computed excitations, they are those of the SCF state, to which `scf_energy` belongs but
`total_energy` does not (`roots`).
"""

import math
from itertools import islice

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_density, of_final_state
from wqmaster.parsers.orca.text import (
    every_beginning,
    last_beginning,
    lines,
    number,
    whole_line,
)

_DIPOLE = "Total Dipole Moment    :"
_MAGNITUDE = "Magnitude (a.u.)"
_QUADRUPOLE = "QUADRUPOLE MOMENT (A.U.)"
_PARTS = ("NUC", "EL", "TOT")
_AXES = ("XX", "YY", "ZZ", "XY", "XZ", "YZ")
# The largest number of lines between the heading of the quadrupole moment and its total.
_MAX_LINES_BEFORE = 30
_S_SQUARED = "Expectation value of <S**2>"
_NL = ("NL Energy, E(C,NL)", "NL    Energy")


def _dipole(text: str, position: int) -> list[float]:
    found = [number(word) for word in whole_line(text, position)[len(_DIPOLE) :].split()]
    if len(found) != 3:
        raise ParseError(f"the dipole moment has {len(found)} components")
    for line in islice(lines(text, position), 3):
        label, _, magnitude = line.partition(":")
        if label.strip() == _MAGNITUDE:
            printed = number(magnitude.strip())
            # ORCA rounds the components and the magnitude to 5 decimals.
            if abs(printed - math.hypot(*found)) > 3e-5 + 1e-6 * abs(printed):
                raise ParseError(f"the dipole does not have the printed magnitude, {printed} a.u.")
    return found


@reads("stdout")
@of_final_density
def dipole(output: Output) -> list[float]:
    """Total dipole moment (x, y, z) from the final evaluation in e a0."""
    position = last_beginning(output.text, _DIPOLE)
    if position < 0:
        raise output.missing("'Total Dipole Moment'")
    return _dipole(output.text, position)


@reads("stdout")
def dipole_trajectory(output: Output) -> list[list[float]]:
    """All total dipole moments in output order, in e a0, shape (m, 3)."""
    text = output.text
    found = [_dipole(text, position) for position in every_beginning(text, _DIPOLE)]
    if not found:
        raise output.missing("'Total Dipole Moment'")
    return found


@reads("stdout")
@of_final_density
def quadrupole(output: Output) -> list[list[float]]:
    """Total quadrupole moment from the final evaluation in e a0**2, shape (3, 3), not traceless.

    It belongs to the last density for which ORCA printed moments. ORCA prints it only with
    `%elprop Quadrupole true end`, and none of 600 public outputs has it. The format comes from two
    real blocks: one is quoted in cclib's issue 1359 (with "(a.u.)" after the total), the other in
    ioChem-BD's documentation of ORCA's log (codes/orca/quadrupole, without "(a.u.)").

    Raises:
        ParseError: it is missing or truncated, or the total is not the sum of the nuclear and
            electronic parts.
    """
    position = last_beginning(output.text, _QUADRUPOLE)
    if position < 0:
        raise output.missing(f"'{_QUADRUPOLE}'")
    axes: list[str] = []
    rows: dict[str, list[float]] = {}
    for line in islice(lines(output.text, position), _MAX_LINES_BEFORE):
        words = [word for word in line.split() if word != "(a.u.)"]
        if sorted(words) == sorted(_AXES):
            axes = words
        elif axes and words[:1] and words[0] in _PARTS:
            rows[words[0]] = _six(words[1:], line)
            if words[0] == "TOT":
                return _tensor(axes, rows)
    raise ParseError("the quadrupole moment has no total")


def _six(words: list[str], line: str) -> list[float]:
    if len(words) != len(_AXES):
        raise ParseError(f"the row {line.strip()[:60]!r} of the quadrupole moment cannot be read")
    return [number(word) for word in words]


def _tensor(axes: list[str], rows: dict[str, list[float]]) -> list[list[float]]:
    """The total as a (3, 3) tensor, after a check that it is the sum of its parts."""
    if set(rows) != set(_PARTS):
        raise ParseError("the quadrupole moment lacks its nuclear or electronic part")
    for nuclear, electronic, total in zip(*(rows[part] for part in _PARTS), strict=True):
        if not abs(nuclear + electronic - total) <= 3e-5:  # the values have 5 decimals
            raise ParseError("the quadrupole moment is not the sum of its parts")
    found = dict(zip(axes, rows["TOT"], strict=True))
    return [[found["".join(sorted(row + axis))] for axis in "XYZ"] for row in "XYZ"]


@reads("stdout")
def s_squared(output: Output) -> dict[str, float]:
    """<S**2> in the final evaluation: its `value`, the `ideal` S (S + 1) and the `deviation`.

    Raises:
        ParseError: it is missing, as in every restricted run, or truncated.
    """
    if _S_SQUARED not in output.text:  # a quick answer for restricted runs
        raise output.missing(f"'{_S_SQUARED}'")
    return _s_squared(output)


@of_final_density
def _s_squared(output: Output) -> dict[str, float]:
    position = last_beginning(output.text, _S_SQUARED)
    if position < 0:
        raise output.missing(f"'{_S_SQUARED}'")
    rows = [whole_line(output.text, position), *islice(lines(output.text, position), 3)]
    labels = (_S_SQUARED, "Ideal value", "Deviation")
    if len(rows) < 4 or any(
        not row.strip().startswith(label) for row, label in zip(rows, labels, strict=False)
    ):
        raise ParseError("<S**2> and its deviation are truncated")
    value, ideal, deviation = (number(row.rpartition(":")[2].strip()) for row in rows[:3])
    return {"value": value, "ideal": ideal, "deviation": deviation}


@reads("stdout")
@of_final_state
def nl_energy(output: Output) -> float:
    """Non-local (VV10) correlation energy from the final evaluation in Eh, as in wB97M-V."""
    text = output.text
    position = max(last_beginning(text, words) for words in _NL)
    if position < 0:
        raise output.missing("'NL Energy'")
    return number(whole_line(text, position).rpartition(":")[2].split("Eh")[0].strip())
