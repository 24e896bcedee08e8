"""Frequencies, normal modes and infrared intensities (same format from 2.6 to 6.1).

ORCA sets the frequencies of translations and rotations to 0.00 and lists them first: 6 values, 5
for a linear molecule, 3 for an atom (seen in 38 real outputs of 2.6 to 6.1). Vibrations that are
also printed as 0.00 come after these values or after the imaginary frequencies, and are kept.
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
# The largest number of lines between a heading and the first row.
_MAX_LINES_ABOVE_ROWS = 20
_LINEAR = "The molecule is recognized as being linear"
_ENERGY = "FINAL SINGLE POINT ENERGY"
# Keywords for partial Hessians (ORCA's manual, "%freq PARTIAL_Hess", "Hybrid_Hess"), in which some
# atoms are left out and have no vibrations.
_PARTIAL = ("partial_hess", "hybrid_hess")
# The tolerance (1/cm) for a frequency in two tables, both with two decimals.
_ROUNDING_WAVENUMBERS = 0.011


def _all_frequencies(output: Output) -> tuple[int, list[float]]:
    """The position of the last table of frequencies, and its 3n values in cm^-1."""
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

    If `linear` is None, the number is 5 or 6, depending on how many leading values are 0.00. For a
    `partial` Hessian, all leading values of 0.00 count.

    Raises:
        ParseError: fewer leading values are 0.00.
    """
    if len(values) == 3:
        return 3
    zeros = next((place for place, value in enumerate(values) if value), len(values))
    if partial:
        return zeros
    expected = min(max(zeros, 5), 6) if linear is None else 5 if linear else 6
    # ORCA can treat a nearly linear molecule as linear. It never sets 5 values to 0 otherwise.
    if zeros == 5:
        expected = 5
    if zeros < expected:
        raise ParseError(
            f"the number of leading frequencies of 0.00 is {zeros} instead of {expected}, so"
            " vibrations cannot be distinguished from translations and rotations"
        )
    return expected


def _is_partial(text: str) -> bool:
    """Whether the echoed input asks for a partial Hessian."""
    end = text.find("****END OF INPUT****")
    echoed = text[:end].lower() if end >= 0 else ""
    return any(words in echoed for words in _PARTIAL)


def _of_final(read: Callable[[Output, bool], T]) -> Callable[[Output], T]:
    """Restrict a parser to the final evaluation, and tell it whether the Hessian is partial.

    Only the echoed input, which precedes all evaluations, shows this.
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
    """The last table's position, its 3n frequencies (1/cm), and the index of the first vibration.

    If a molecule is linear, ORCA reports this in the thermochemistry below the table. If there is
    no such report, the geometry above the table decides.
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
    """Frequencies from the final evaluation in cm^-1, in ORCA's order, imaginary ones negative.

    Translations and rotations, which ORCA sets to 0.00, are omitted. For n atoms, 3n - 6 values
    remain, 3n - 5 for a linear molecule, none for a single atom. For a partial Hessian, only the
    vibrations of its atoms remain. ORCA has already applied any scaling factor in the input.

    Raises:
        ParseError: the table is missing or incomplete, or ORCA did not set 6 values (5 for a linear
            molecule) to 0.00.
    """
    _, values, first = _vibrations(output, partial)
    return [value + 0.0 for value in values[first:]]  # -0.00 is 0.00


def _table(output: Output, rows: Iterator[str], size: int) -> list[list[float]]:
    """The columns of a square table with `size` rows, which ORCA prints in blocks of columns."""
    columns: list[list[float]] = []
    row = size
    width = above = 0
    for line in rows:
        words = line.split()
        if row == size:
            first = [str(len(columns) + place) for place in range(len(words))]
            if not words or words != first:
                # There is text above the first block and an empty line above some other blocks.
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
            # This line has the irreps of the columns.
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
    """Normal modes for `frequencies` as Cartesian displacements, shape (modes, n, 3).

    As in ORCA, they are mass-weighted eigenvectors times 1/sqrt(mass). Each is then normalized so
    that its squares add up to 1, so they are not orthogonal.

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
    """The mode, frequency and intensity in one row of the spectrum, or None for other lines.

    Up to 4.2 a row is `mode: freq T**2 (TX TY TZ)`, with T**2 in km/mol (ORCA manual 4.2, "IR
    spectra"). Since 5.0 it is `mode: freq eps Int T**2 (TX TY TZ)`, with Int in km/mol.
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
    """Infrared intensities in km/mol, one for each of the `frequencies`.

    An entry is None if ORCA lists no intensity, as for imaginary modes and vibrations printed as
    0.00.

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
