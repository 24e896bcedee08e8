"""Vibrations: frequencies, normal modes and infrared intensities (same format from 2.6 to 6.1).

ORCA sets the frequencies of translations and rotations to 0.00 and lists them first: 6, or 5 for a
linear molecule, or all 3 for an atom (seen in 38 real outputs of 2.6 to 6.1). A vibration that is
also printed as 0.00 follows them, or the imaginary ones, and is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import TypeVar

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.final_values import of_final_evaluation
from wqmaster.parsers.orca.shape import is_linear
from wqmaster.parsers.orca.text import last, lines, number, numbers

T = TypeVar("T")

_FREQUENCIES = "VIBRATIONAL FREQUENCIES"
_MODES = "NORMAL MODES"
_INFRARED = "IR SPECTRUM"
# More lines than ORCA prints between a heading and the first row.
_MAX_LINES_ABOVE_ROWS = 20
_LINEAR = "The molecule is recognized as being linear"
_ENERGY = "FINAL SINGLE POINT ENERGY"
# Partial Hessians (ORCA's manual, "%freq PARTIAL_Hess", "Hybrid_Hess"): atoms that are left out
# have no vibrations.
_PARTIAL = ("partial_hess", "hybrid_hess")
# Both tables have frequencies with two decimals.
_ROUNDING_WAVENUMBERS = 0.011


def _all_frequencies(output: Output) -> tuple[int, list[float]]:
    """Position of the last table, and its 3n frequencies in cm^-1."""
    position = last(output.text, _FREQUENCIES)
    if position < 0:
        raise output.missing(f"'{_FREQUENCIES}'")
    found: list[float] = []
    for count, line in enumerate(lines(output.text, position)):
        words = line.split()
        if len(words) >= 3 and words[2] == "cm**-1":
            if words[0] != f"{len(found)}:":
                raise ParseError(f"frequency {len(found)} is missing")
            found.append(number(words[1]))
        elif found or count > _MAX_LINES_ABOVE_ROWS:
            if words:
                found = []
            break
    else:
        found = []
    if not found or len(found) % 3:
        raise ParseError(f"the table '{_FREQUENCIES}' in {output.name} is damaged or truncated")
    return position, found


def first_vibration(values: Sequence[float], linear: bool | None, partial: bool = False) -> int:
    """The number of translations and rotations, which come first in the 3n frequencies `values`.

    If `linear` is None, they are those that ORCA set to 0.00, at most 6. For a `partial` Hessian,
    they are all leading values of 0.00.

    Raises:
        ParseError: ORCA did not set that many to 0.00.
    """
    if len(values) == 3:
        return 3
    zeros = next((place for place, value in enumerate(values) if value), len(values))
    if partial:
        return zeros
    expected = min(max(zeros, 5), 6) if linear is None else 5 if linear else 6
    # ORCA may treat a nearly linear molecule as linear, but never sets 5 to 0 otherwise.
    if zeros == 5:
        expected = 5
    if zeros < expected:
        raise ParseError(
            f"the frequencies begin with {zeros} values of 0.00 instead of {expected}, so"
            " vibrations cannot be distinguished from translations and rotations"
        )
    return expected


def _is_partial(text: str) -> bool:
    """Whether the echoed input asks for a partial Hessian."""
    end = text.find("****END OF INPUT****")
    echoed = text[:end].lower() if end >= 0 else ""
    return any(words in echoed for words in _PARTIAL)


def _of_final(read: Callable[[Output, bool], T]) -> Callable[[Output], T]:
    """Restrict a parser to the final evaluation, and pass it whether the Hessian is partial.

    The echoed input, which shows that, is above all evaluations.
    """

    @wraps(read)
    def parser(output: Output) -> T:
        partial = _is_partial(output.text)

        @of_final_evaluation
        @wraps(read)
        def of_final(excerpt: Output) -> T:
            return read(excerpt, partial)

        return of_final(output)

    return parser


def _vibrations(output: Output, partial: bool) -> tuple[int, list[float], int]:
    """Position of the last table, its 3n frequencies in cm^-1, and index of the first vibration.

    ORCA reports below, with the thermochemistry, that a molecule is linear; if it does not, the
    geometry above decides.
    """
    text = output.text
    position, values = _all_frequencies(output)
    end = text.find(_ENERGY, position)
    linear: bool | None = text.find(_LINEAR, position, end if end >= 0 else len(text)) >= 0
    if not linear:
        linear = is_linear(text, position, len(values) // 3)
    return position, values, first_vibration(values, linear, partial)


@reads("stdout")
@_of_final
def frequencies(output: Output, partial: bool) -> list[float]:
    """Frequencies of the final evaluation in cm^-1, in ORCA's order, imaginary ones negative.

    Translations and rotations, which ORCA sets to 0.00, are omitted: 3n - 6 values remain for a
    molecule of n atoms, 3n - 5 for a linear one, none for an atom; for a partial Hessian, those of
    its atoms. A scaling factor in the input has already been applied.

    Raises:
        ParseError: the table is missing or incomplete, or ORCA did not set 6 (5) values to 0.00.
    """
    _, values, first = _vibrations(output, partial)
    return [value + 0.0 for value in values[first:]]  # -0.00 is 0.00


def _table(output: Output, rows: Iterator[str], size: int) -> list[list[float]]:
    """The columns of a square table that is printed in blocks of columns."""
    columns: list[list[float]] = []
    row = size
    width = above = 0
    for line in rows:
        words = line.split()
        if row == size:
            first = [str(len(columns) + place) for place in range(len(words))]
            if not words or words != first:
                # There is text above the first columns and an empty line above some others.
                above += 1
                if (columns and words) or words[:1] == ["0"] or above > _MAX_LINES_ABOVE_ROWS:
                    break
                continue
            above = 0
            width, row = len(words), 0
            columns += [[] for _ in range(width)]
            if len(columns) > size:
                break
        elif row == 0 and words and words[0] != "0":
            # The irreps of the columns are below their numbers.
            if len(words) != width:
                break
        else:
            if len(words) != width + 1 or words[0] != str(row):
                break
            for column, value in zip(columns[-width:], numbers(words[1:]), strict=True):
                column.append(value)
            row += 1
        if len(columns) == size and row == size:
            return columns
    raise ParseError(f"the table '{_MODES}' in {output.name} is damaged or truncated")


@reads("stdout")
@_of_final
def normal_modes(output: Output, partial: bool) -> list[list[list[float]]]:
    """Normal modes (final evaluation) as Cartesian displacements of `frequencies`, (modes, n, 3).

    They are ORCA's: mass-weighted eigenvectors times 1/sqrt(mass), each then normalized to 1 (the
    sum of its squares), so they are not orthogonal.

    Raises:
        ParseError: the table is missing or incomplete.
    """
    start, values, first = _vibrations(output, partial)
    position = last(output.text, _MODES, start)
    if position < 0:
        raise output.missing(f"'{_MODES}'")
    columns = _table(output, lines(output.text, position), len(values))
    return [
        [column[atom : atom + 3] for atom in range(0, len(column), 3)] for column in columns[first:]
    ]


def _intensity(line: str) -> tuple[int, float, float] | None:
    """Mode, frequency and intensity in one row of the spectrum; None for other lines.

    Up to 4.2 a row is `mode: freq T**2 (TX TY TZ)`, with T**2 in km/mol (ORCA manual 4.2, "IR
    spectra"); since 5.0 it is `mode: freq eps Int T**2 (TX TY TZ)`, with Int in km/mol.
    """
    before, bracket, _ = line.partition("(")
    words = before.split()
    if not bracket or not words or not words[0].endswith(":") or len(words) not in (3, 5):
        return None
    values = numbers(words[1:])
    mode = number(words[0][:-1])
    if not mode.is_integer():
        raise ParseError(f"{words[0]!r} is not a mode of the IR spectrum")
    return int(mode), values[0], values[1] if len(values) == 2 else values[2]


@reads("stdout")
@_of_final
def ir_intensities(output: Output, partial: bool) -> list[float | None]:
    """Infrared intensities (final evaluation) in km/mol, one for each of `frequencies`.

    None where ORCA lists none: for imaginary modes and vibrations printed as 0.00.

    Raises:
        ParseError: the spectrum is missing or incomplete.
    """
    start, values, first = _vibrations(output, partial)
    position = last(output.text, _INFRARED, start)
    if position < 0:
        raise output.missing(f"'{_INFRARED}'")
    found: dict[int, float] = {}
    for count, line in enumerate(lines(output.text, position)):
        row = _intensity(line)
        if row is None:
            if (
                found
                or count > _MAX_LINES_ABOVE_ROWS
                or line.startswith(("The first frequency", "The total number"))
            ):
                break
            continue
        mode, frequency, intensity = row
        expected = values[mode] if 0 <= mode < len(values) else None
        if expected is None or mode in found or abs(frequency - expected) > _ROUNDING_WAVENUMBERS:
            raise ParseError(f"mode {mode} of the IR spectrum does not match the frequencies")
        found[mode] = intensity
    else:
        raise ParseError(f"the table '{_INFRARED}' in {output.name} is truncated")
    missing = [mode for mode, value in enumerate(values) if value > 0 and mode not in found]
    if missing:
        raise ParseError(f"the IR spectrum has no mode {missing[0]}")
    return [found.get(mode) for mode in range(first, len(values))]
