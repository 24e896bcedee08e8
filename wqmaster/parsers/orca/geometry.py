"""Geometries in ORCA's text, versions 3 to 6.1.

Labels are ORCA's: `Q` is a point charge, `DA` (in 5.0 `-`) a dummy atom, `H :` a ghost atom and
`Mg>` a bare effective core potential (ORCA's manual, "Input of coordinates"). The geometry is that
of the final evaluation (see `evaluations`). It is missing if ORCA prints no coordinates between the
last step and the final energy, as after a NEB-TS optimization or with MiniPrint.
"""

from typing import Any, TypeVar

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import (
    Evaluation,
    described,
    evaluations,
    final,
    same_geometry,
)
from wqmaster.parsers.orca.events import GEOMETRY, STATIONARY
from wqmaster.parsers.orca.text import every, last, line_end, lines, numbers

HEADING = GEOMETRY
_SAME_IN_BOHR = "CARTESIAN COORDINATES (A.U.)"
_CONVERGED = ("THE OPTIMIZATION HAS CONVERGED", STATIONARY)
_CYCLE = "GEOMETRY OPTIMIZATION CYCLE"
_NOT_CONVERGED = "The optimization did not converge"
# The largest distance from a geometry to the heading of the same geometry in Bohr, and the largest
# number of lines between that heading and the first row.
_MAX_DISTANCE_CHARACTERS = 300
_MAX_LINES_BEFORE_ROWS = 4
# The labels of point charges and dummy atoms, which have no nucleus.
_NO_ATOMS = ("Q", "DA", "-")

T = TypeVar("T")


def is_atom(label: str) -> bool:
    """Whether `label` denotes an atom, not a point charge, dummy, ghost or bare core potential."""
    return label not in _NO_ATOMS and label[-1:] not in (":", ">")


def _count_in_bohr(text: str, position: int) -> int | None:
    """The number of rows in the Bohr table right after the geometry, or None if it is missing."""
    following = text.find(_SAME_IN_BOHR, position, position + _MAX_DISTANCE_CHARACTERS)
    if following < 0:
        return None
    count = 0
    skipped = 0
    for line in lines(text, following):
        words = line.split(maxsplit=7)
        if len(words) >= 7 and words[0].isdecimal():
            count += 1
        elif count or skipped > _MAX_LINES_BEFORE_ROWS:
            return count or None
        else:
            skipped += 1
    return None


def _rows(text: str, position: int) -> tuple[list[list[str]], int]:
    """The words on each atom's line, and the position at which the geometry ends."""
    found: list[list[str]] = []
    read = line_end(text, position)
    for line in lines(text, position):
        words = line.split()
        read += len(line) + 1
        if not words and found:
            return found, read
        # Skip the dashed line under the heading, but not a dummy atom, whose label is "-".
        if not found and (not words or words[0].startswith("--")):
            continue
        if len(words) < 4:
            raise ParseError(f"the line {line.strip()[:60]!r} is not an atom of a geometry")
        found.append(words)
    raise ParseError("the geometry is truncated")


def _label(words: list[str]) -> str:
    return words[0] if len(words) == 4 else " ".join(words[:-3])


def labels_and_coordinates(text: str, position: int) -> tuple[list[str], list[list[float]]]:
    """Labels and coordinates (Angstrom) of the geometry whose heading is at `position`.

    Raises:
        ParseError: it is truncated, an atom is missing, or a number cannot be read.
    """
    rows, end = _rows(text, position)
    # ORCA repeats the geometry in Bohr, with numbered atoms.
    count = _count_in_bohr(text, end)
    if count is not None and count != len(rows):
        raise ParseError(f"the geometry has {len(rows)} atoms in Angstrom but {count} in Bohr")
    return [_label(words) for words in rows], [numbers(words[-3:]) for words in rows]


def centers(labels: list[str], rows: list[T], count: int) -> list[T] | None:
    """Select the `rows` (one for each label) that correspond to a table with `count` rows.

    Such a table contains all centers, all but the point charges, or only the atoms. None if none of
    these selections has `count` rows.
    """
    for chosen in (lambda _: True, lambda label: label != "Q", is_atom):
        found = [row for row, label in zip(rows, labels, strict=True) if chosen(label)]
        if len(found) == count:
            return found
    return None


def atom_counts(text: str, end: int | None = None) -> tuple[int, ...]:
    """The possible lengths of a table of atoms, according to the last geometry before `end`.

    They are the numbers of all centers, of all but the point charges, and of atoms alone. () if no
    geometry can be read.
    """
    position = last(text, HEADING, 0, end)
    try:
        labels = [_label(words) for words in _rows(text, position)[0]] if position >= 0 else []
    except ParseError:
        return ()
    if not labels:
        return ()
    return len(labels), sum(label != "Q" for label in labels), sum(map(is_atom, labels))


def check_count(text: str, position: int, rows: int, what: str) -> None:
    """Check that the table at `position`, which has `rows` rows, has one for each atom.

    The atoms are those in the last geometry before the table. Without such a geometry, the check is
    skipped.

    Raises:
        ParseError: the numbers differ; the message calls the table `what`.
    """
    counts = atom_counts(text, position)
    if counts and rows not in counts:
        raise ParseError(f"{what} has {rows} rows, but the geometry above it has {counts[0]} atoms")


def whole(text: str, evaluation: Evaluation) -> int:
    """The position of the geometry that an evaluation's energy belongs to.

    Raises:
        ParseError: ORCA printed no coordinates for it, or only those of part of the system.
    """
    if evaluation.layers:
        raise ParseError(
            f"the energy of {described(text, evaluation)} is that of all layers of the system, but"
            " the coordinates in the output are those of one layer"
        )
    if evaluation.geometry is None:
        raise ParseError(
            f"ORCA printed no coordinates for {described(text, evaluation)}; the last ones in the"
            " output belong to an earlier evaluation"
        )
    return evaluation.geometry


def _last(output: Output) -> tuple[list[str], list[list[float]]]:
    text = output.text
    if last(text, HEADING) < 0:
        raise output.missing(f"'{HEADING}'")
    return labels_and_coordinates(text, whole(text, final(text)))


@reads("stdout", per_atom=True)
def geometry(output: Output) -> list[list[float]]:
    """Coordinates in the final evaluation (that of `total_energy`) in Angstrom, shape (n, 3).

    Raises:
        ParseError: ORCA printed no coordinates for it, or only those of one layer.
    """
    return _last(output)[1]


@reads("stdout", per_atom=True)
def symbols(output: Output) -> list[str]:
    """Elements of the atoms in `geometry`, as ORCA prints them, shape (n,).

    Raises what `geometry` raises.
    """
    return _last(output)[0]


@reads("stdout")
def geometry_trajectory(output: Output) -> list[list[list[float]]]:
    """All geometries in output order, in Angstrom, shape (m, n, 3).

    Their number can differ from that of `energy_trajectory`; see `frames`.
    """
    text = output.text
    found = [labels_and_coordinates(text, position)[1] for position in every(text, HEADING)]
    if not found:
        raise output.missing(f"'{HEADING}'")
    return found


def _optimized(output: Output) -> Evaluation:
    """The evaluation at the geometry that the last optimization converged to.

    Raises:
        ParseError: there was no optimization, or the last one did not converge.
    """
    text = output.text
    converged = max(text.rfind(words) for words in _CONVERGED)
    if converged < 0:
        raise output.missing(f"'{_CONVERGED[0]}'")
    if max(text.rfind(_CYCLE), text.rfind(_NOT_CONVERGED)) > converged:
        raise ParseError("the last optimization did not converge")
    found = evaluations(text)
    # Very old versions do not reevaluate the energy at the stationary point.
    stationary = [one for one in found if one.kind == "stationary_point"]
    return stationary[-1] if stationary else final(text)


@reads("stdout", per_atom=True)
def optimized_geometry(output: Output) -> list[list[float]]:
    """The geometry that the last optimization converged to, in Angstrom, shape (n, 3).

    It must also be the geometry of the final evaluation.

    Raises:
        ParseError: there was no optimization, or the last one did not converge; ORCA printed no
            coordinates at its end; or the final evaluation, in another job, has another geometry.
    """
    text = output.text
    optimized, last_one = _optimized(output), final(text)
    position = whole(text, optimized)
    if last_one is not optimized and not same_geometry(text, optimized, last_one):
        raise ParseError(
            f"the optimized geometry belongs to {described(text, optimized)}, but the final energy"
            f" to {described(text, last_one)}, at another geometry; use 'frames', which has both"
        )
    return labels_and_coordinates(text, position)[1]


@reads("stdout")
def optimisation(output: Output) -> dict[str, Any]:  # codespell:ignore optimisation
    """Whether the last optimization `converged`, and the number of its `cycles`.

    Raises:
        ParseError: there was no optimization, or the number of its last cycle cannot be read.
    """
    text = output.text
    position = text.rfind(_CYCLE)
    if position < 0:
        raise output.missing(f"'{_CYCLE}'")
    words = text[position + len(_CYCLE) : line_end(text, position)].split()
    if not words or not words[0].isdecimal() or not words[0].isascii():
        raise ParseError("the number of the last optimization cycle cannot be read")
    return {
        "converged": any(text.find(said, position) >= 0 for said in _CONVERGED),
        "cycles": int(words[0][:9]),
    }
