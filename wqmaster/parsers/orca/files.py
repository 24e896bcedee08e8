"""Parsers of ORCA's files BASENAME.engrad and BASENAME.hess, and checks that they are complete.

In a job, BASENAME is `orca`. Neither format changed from ORCA 3 to 6.1 (seen: .hess files from 4.2
and 6.1, .engrad files as in ORCA's manual and as xtb writes them). An .engrad file has numbers
between comment lines with `#`. A .hess file has sections `$name` and ends with `$end`.

Each file belongs to one evaluation, which is not always the final one. An optimization leaves the
.engrad file of its last cycle, and `Calc_Hess` leaves the .hess file of an earlier one (see
`same_run`).
"""

import math
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.molecule import SYMBOLS
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.property_file import BOHR, property_json
from wqmaster.parsers.orca.same_run import check_energy, check_geometry
from wqmaster.parsers.orca.shape import on_a_line
from wqmaster.parsers.orca.text import every, last, line_end, number, numbers
from wqmaster.parsers.orca.vibrations import first_vibration

_ENGRAD = "orca.engrad"
_HESS = "orca.hess"
# The largest asymmetry of a Hessian, as a fraction of its largest element. ORCA does not symmetrize
# analytic Hessians (3e-4 was seen in 4.2), and numerical ones are less symmetric. A wrong digit in
# a large element exceeds this limit.
_ASYMMETRY = 0.02
# The tolerance for the frequencies in $ir_spectrum, which have two decimals.
_ROUNDING_WAVENUMBERS = 0.011


def _whole(word: str) -> int:
    if not word.isascii() or not word.isdigit() or len(word) > 9:
        raise ParseError(f"{word[:40]!r} is not a count")
    return int(word)


# --- .engrad -----------------------------------------------------------------------------------


def _rows(text: str) -> Iterator[list[str]]:
    """The words on each line that is neither empty nor a comment."""
    for line in filter(str.strip, text.split("\n")):
        if not line.lstrip().startswith("#"):
            yield line.split()


def _engrad(output: Output) -> tuple[float, list[float], list[str]]:
    """Energy (Eh), gradient (3n numbers, Eh/Bohr) and geometry (4n words) in the .engrad file.

    For each atom, the geometry has the atomic number and x, y, z in Bohr.

    Raises:
        ParseError: the file is incomplete or does not belong to the final evaluation.
    """
    energy, gradient, words = _engrad_alone(output)
    check_energy(output, energy)
    check_geometry(output, [[x * BOHR for x in row] for row in _triples(words)])
    return energy, gradient, words


def _triples(words: list[str]) -> list[list[float]]:
    return [[number(x) for x in words[at + 1 : at + 4]] for at in range(0, len(words), 4)]


def _engrad_alone(output: Output) -> tuple[float, list[float], list[str]]:
    words: list[str] = []
    expected = 1
    for row in _rows(output.text):
        words += row
        if expected == 1:
            expected = 2 + 7 * _whole(words[0])
        if len(words) > expected:
            break
    if expected < 9 or len(words) != expected or not output.text.endswith("\n"):
        raise ParseError(f"{output.name} is truncated, or its number of atoms is wrong")
    natoms = (expected - 2) // 7
    values = numbers(words[1 : 2 + 3 * natoms])
    return values[0], values[1:], words[2 + 3 * natoms :]


@reads(_ENGRAD, "stdout")
def engrad_energy(output: Output) -> float:
    """Total energy of the final evaluation in Eh, from the .engrad file (12 decimals).

    All parsers of this file raise a ParseError if the standard output exists and has a different
    final evaluation from the file's.
    """
    return _engrad(output)[0]


@reads(_ENGRAD, "stdout", per_atom=True)
def engrad_gradient(output: Output) -> list[list[float]]:
    """Gradient in the .engrad file in Eh/Bohr, shape (n, 3), at `engrad_geometry`.

    Raises what `engrad_energy` raises, for instance after an optimization, which leaves the
    gradient of its last cycle.
    """
    gradient = _engrad(output)[1]
    return [gradient[start : start + 3] for start in range(0, len(gradient), 3)]


@reads(_ENGRAD, "stdout", per_atom=True)
def engrad_geometry(output: Output) -> list[list[float]]:
    """Geometry in the .engrad file, converted to Angstrom, shape (n, 3).

    The file is in Bohr (1 Bohr = 0.529177210903 Angstrom). Raises what `engrad_energy` raises.
    """
    words = _engrad(output)[2]
    atoms = [words[start : start + 4] for start in range(0, len(words), 4)]
    numbers = [_whole(atom[0]) for atom in atoms]
    if not all(0 < z < len(SYMBOLS) for z in numbers):
        raise ParseError(f"{output.name} has an atom with an invalid atomic number")
    return [[number(word) * BOHR for word in atom[1:]] for atom in atoms]


# --- .hess -------------------------------------------------------------------------------------


def _section(output: Output, name: str) -> tuple[int, Iterator[list[str]]]:
    """The count at the start of the section `$name`, and the section's rows.

    Raises:
        ParseError: the file is truncated, or the section is missing or occurs twice.
    """
    text = output.text
    if last(text, "$end") < 0:
        raise ParseError(f"{output.name} is truncated: it has no $end")
    places = every(text, f"${name}")
    start = next(places, -1)
    if start < 0:
        raise output.missing(f"'${name}'")
    if next(places, -1) >= 0:
        raise ParseError(f"{output.name} has two sections ${name}")
    rows = _rows(text[line_end(text, start) : text.find("\n$", start)])
    return _whole(next(rows, [""])[0]), rows


def _damaged(output: Output, name: str) -> ParseError:
    return ParseError(f"the section ${name} of {output.name} is damaged or truncated")


def _table(output: Output, name: str) -> list[list[float]]:
    """The rows of a square table, which ORCA writes in blocks of columns."""
    size, lines = _section(output, name)
    table: list[list[float]] = []
    row = size
    done = width = 0
    for words in lines:
        if row == size:
            done, width, row = done + width, len(words), 0
            if words != [str(done + place) for place in range(width)] or done + width > size:
                raise _damaged(output, name)
        else:
            if len(words) != width + 1 or words[0] != str(row):
                raise _damaged(output, name)
            if done == 0:
                table.append([])
            table[row] += numbers(words[1:])
            row += 1
    if size < 1 or row != size or done + width != size:
        raise _damaged(output, name)
    return table


def _atoms(output: Output) -> list[list[str]]:
    """The symbol, mass (u) and x, y, z (Bohr) of each atom.

    Raises:
        ParseError: the section is damaged, or it does not have the final geometry.
    """
    count, lines = _section(output, "atoms")
    rows = list(lines)
    if count < 1 or len(rows) != count or any(len(row) != 5 for row in rows):
        raise _damaged(output, "atoms")
    # ORCA 6.1 moves the origin to the center of mass. ORCA 4.2 does not.
    check_geometry(output, [[number(x) * BOHR for x in row[2:]] for row in rows], shifted=True)
    return rows


def _of_all_modes(output: Output, size: int, name: str) -> None:
    if size != 3 * len(_atoms(output)):
        raise ParseError(f"${name} of {output.name} has {size} modes, which does not match $atoms")


@reads(_HESS, "stdout")
def hess_hessian(output: Output) -> list[list[float]]:
    """Hessian in Eh/Bohr^2, shape (3n, 3n), as in the .hess file, at `hess_geometry`.

    ORCA does not symmetrize it. Elements (i, j) and (j, i) agree to within 2% of the largest
    element. All parsers of this file raise a ParseError if the standard output exists and has a
    different final geometry from the file's.

    Raises:
        ParseError: the Hessian is missing or incomplete, does not have 3n rows, or is not
            symmetric.
    """
    table = _table(output, "hessian")
    _of_all_modes(output, len(table), "hessian")
    allowed = _ASYMMETRY * max(abs(value) for row in table for value in row)
    for place, row in enumerate(table):
        for other in range(place):
            if abs(row[other] - table[other][place]) > allowed:
                raise ParseError(f"the Hessian of {output.name} is not symmetric")
    return table


def _frequencies(output: Output) -> list[float]:
    name = "vibrational_frequencies"
    size, rows = _section(output, name)
    _of_all_modes(output, size, name)
    found: list[float] = []
    for row in rows:
        if len(row) != 2 or row[0] != str(len(found)):
            raise _damaged(output, name)
        found.append(number(row[1]))
    if len(found) != size:
        raise _damaged(output, name)
    return found


def _first_vibration(output: Output, values: list[float]) -> int:
    """The index of the first vibration among all frequencies, as in `frequencies`.

    In a partial Hessian, the rows of the other atoms are zero.
    """
    has_hessian = last(output.text, "$hessian") >= 0
    partial = has_hessian and any(not any(row) for row in _table(output, "hessian"))
    points = [[number(word) * BOHR for word in atom[2:]] for atom in _atoms(output)]
    return first_vibration(values, on_a_line(points), partial)


@reads(_HESS, "stdout")
def hess_frequencies(output: Output) -> list[float]:
    """Frequencies in cm^-1, imaginary ones negative, without translations and rotations.

    Raises:
        ParseError: a section is missing or damaged, or ORCA did not set 6 values (5 for a linear
            molecule) to 0.
    """
    values = _frequencies(output)
    return values[_first_vibration(output, values) :]


@reads(_HESS, "stdout")
def hess_normal_modes(output: Output) -> list[list[list[float]]]:
    """Normal modes for `hess_frequencies`, shape (modes, n, 3), normalized as in `normal_modes`."""
    values = _frequencies(output)
    table = _table(output, "normal_modes")
    _of_all_modes(output, len(table), "normal_modes")
    columns = list(zip(*table, strict=True))
    return [
        [list(column[start : start + 3]) for start in range(0, len(column), 3)]
        for column in columns[_first_vibration(output, values) :]
    ]


@reads(_HESS, "stdout")
def hess_ir_intensities(output: Output) -> list[float]:
    """Infrared intensities in km/mol, one for each of `hess_frequencies`.

    The lines in the section $ir_spectrum are `freq T**2 TX TY TZ` up to 4.2, with T**2 in km/mol,
    and `freq eps Int TX TY TZ` since 5.0, with Int in km/mol.
    """
    size, lines = _section(output, "ir_spectrum")
    frequencies = _frequencies(output)
    rows = [numbers(row) for row in lines]
    if size != len(frequencies) or [len(row) in (5, 6) for row in rows] != [True] * size:
        raise _damaged(output, "ir_spectrum")
    found = []
    for row, frequency in zip(rows, frequencies, strict=True):
        if abs(row[0] - frequency) > _ROUNDING_WAVENUMBERS:
            raise ParseError(f"the frequencies in $ir_spectrum of {output.name} do not match")
        found.append(row[1] if len(row) == 5 else row[2])
    return found[_first_vibration(output, frequencies) :]


@reads(_HESS, "stdout", per_atom=True)
def hess_geometry(output: Output) -> list[list[float]]:
    """Geometry of the Hessian in Angstrom, shape (n, 3); its origin can differ from the input's.

    The file is in Bohr (1 Bohr = 0.529177210903 Angstrom).
    """
    return [[number(word) * BOHR for word in atom[2:]] for atom in _atoms(output)]


@reads(_HESS, "stdout", per_atom=True)
def hess_symbols(output: Output) -> list[str]:
    """Elements of the atoms in the .hess file, shape (n,)."""
    return [atom[0] for atom in _atoms(output)]


@reads(_HESS, "stdout", per_atom=True)
def hess_masses(output: Output) -> list[float]:
    """Atomic masses in u with which ORCA computed the frequencies, shape (n,)."""
    return [number(atom[1]) for atom in _atoms(output)]


def file_name(name: str) -> str | None:
    """The name that a job gives to ORCA's file `name`, or None if no parser reads that file."""
    for kind in (".property.json", ".engrad", ".hess"):
        if name.endswith(kind):
            return f"orca{kind}"
    return None


def diagnose_file(output: Output) -> Failure | None:
    """Why this file (.engrad, .hess or .property.json) is invalid, or None if it is complete."""
    kind = FailureClass.TRUNCATED
    try:
        if output.name.endswith(".engrad"):
            energy, gradient, _ = _engrad(output)
            values = [energy, *gradient]
            engrad_geometry(output)
        elif output.name.endswith(".hess"):
            _section(output, "hessian")
            kind = FailureClass.PARSE_ERROR
            values = [value for row in hess_hessian(output) for value in row]
            values += _frequencies(output)
        else:
            property_json(output)
            values = []
    except ParseError as error:
        return Failure(kind, f"ORCA: {error.message}")
    if not all(math.isfinite(value) for value in values):
        return Failure(FailureClass.NOT_FINITE, f"ORCA: a number in {output.name} is not finite")
    return None


@reads(_HESS, "stdout")
def hessian(output: Output) -> list[list[float]]:
    """`hess_hessian` under the name that all programs share, in Eh/Bohr^2, shape (3n, 3n)."""
    found: list[list[float]] = hess_hessian(output)
    return found
