"""The version, charge, multiplicity and basis that ORCA states in its output (3 to 6.1)."""

import math
import re
from collections import deque
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import described, final
from wqmaster.parsers.orca.roots import Spin, root_of
from wqmaster.parsers.orca.text import (
    every_beginning,
    last_beginning,
    line_end,
    number,
    whole_line,
)

_VERSION = "Program Version"
_CHARGE = "Total Charge           Charge"
_MULTIPLICITY = "Multiplicity           Mult"
_ELECTRONS = "Number of Electrons    NEL"
# ORCA prints this with <S**2> after an unrestricted SCF. The S is that of the determinant, so it
# also holds for broken symmetry, for which the settings state the high spin that the calculation
# starts from.
_SPIN = "Ideal value S*(S+1) for S="
_ORBITAL_BASIS = "----- Orbital basis set information -----"
_BASIS = "Your calculation utilizes the basis:"
# The line that starts the coordinates in the echoed input: | 14> * xyz 0 1
_COORDINATES = re.compile(
    r"\n\|[ \d]{1,9}>\s{0,40}\*[ \t]{0,40}(?:xyz|int|internal|gzmt|xyzfile|gzmtfile|pdbfile)"
    r"[ \t]{1,40}([-+]?\d{1,6})[ \t]{1,40}(\d{1,6})(?=\s)",
    re.IGNORECASE,
)


def _integer(line: str) -> int:
    word = line.rpartition("....")[2].strip()
    digits = word.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10):
        raise ParseError(f"there is no integer in the line {line.strip()[:60]!r}")
    return int(word)


def _places(
    text: str, label: str, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, int]]:
    for position in every_beginning(text, label, start, end):
        yield position, _integer(whole_line(text, position))


def _stated(text: str, label: str, start: int, end: int | None) -> Iterator[int]:
    for _, value in _places(text, label, start, end):
        yield value


def places_of_charge(text: str) -> list[tuple[int, int]]:
    """The position and value of each total charge (e) in the SCF settings."""
    return list(_places(text, _CHARGE))


def _places_of_spin(text: str, end: int | None = None) -> Iterator[tuple[int, int]]:
    """Positions of the spins S stated with <S**2>, and 2 S + 1 if that is a whole number."""
    for position in every_beginning(text, _SPIN, 0, end):
        words = whole_line(text, position)[len(_SPIN) :].split()
        found = 2 * number(words[0].rstrip(":")) + 1 if words else math.nan
        if math.isfinite(found) and found == round(found):
            yield position, round(found)


def places_of_multiplicity(text: str, end: int | None = None) -> list[tuple[int, int]]:
    """Positions and values of the multiplicities in SCF settings and after SCFs, in order."""
    return sorted([*_places(text, _MULTIPLICITY, 0, end), *_places_of_spin(text, end)])


def stated_charges(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """All total charges (e) in the SCF settings between `start` and `end`."""
    return list(_stated(text, _CHARGE, start, end))


def stated_multiplicities(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """All multiplicities in the SCF settings between `start` and `end`."""
    return list(_stated(text, _MULTIPLICITY, start, end))


def stated_electrons(text: str, start: int = 0, end: int | None = None) -> list[int]:
    """All numbers of electrons between `start` and `end`, excluding electrons in ECPs."""
    return list(_stated(text, _ELECTRONS, start, end))


def echoed_state(text: str) -> tuple[int, int] | None:
    """Charge (e) and multiplicity of the last coordinates in the echoed input, or None."""
    found = deque(_COORDINATES.finditer(text), maxlen=1)
    return (int(found[0][1]), int(found[0][2])) if found else None


def _end(text: str) -> int | None:
    """The position of the final energy; any later text belongs to an unfinished calculation."""
    energies = final(text).energies
    return energies[-1] if energies else None


def _echoed(output: Output, label: str, group: int) -> int:
    echoed = echoed_state(output.text)
    if echoed is None:
        raise output.missing(f"'{label.split('  ')[0]}'")
    return echoed[group]


def _not_of_a_layer(text: str, what: str) -> None:
    last = final(text)
    if last.layers:
        raise ParseError(
            f"the energy of {described(text, last)} is that of all layers of the system, but the"
            f" {what} in the output is that of one layer"
        )


@reads("stdout")
def charge(output: Output) -> int:
    """Total charge of the final evaluation in e, from the SCF settings that ORCA printed last.

    Without an SCF, it is that of the echoed input.

    Raises:
        ParseError: it is not stated, or is that of one layer of the system.
    """
    text = output.text
    _not_of_a_layer(text, "charge")
    position = last_beginning(text, _CHARGE, 0, _end(text))
    if position < 0:
        return _echoed(output, _CHARGE, 0)
    return _integer(whole_line(text, position))


@reads("stdout")
def multiplicity(output: Output) -> int:
    """Multiplicity 2 S + 1 of the final evaluation, as ORCA stated it last before the energy.

    ORCA states it in the SCF settings and, after an unrestricted SCF, with <S**2>. With broken
    symmetry it is that of the final determinant (S = Ms), not of the high-spin one. Without an SCF,
    it is that of the echoed input.

    Raises:
        ParseError: it is not stated or is that of one layer of the system, or the final energy is
            that of an excited triplet or a spin-orbit state, while the stated multiplicity is that
            of the SCF state.
    """
    text = output.text
    _not_of_a_layer(text, "multiplicity")
    last = final(text)
    root = root_of(text, last)
    if root is not None and root.spin is not Spin.SCF:
        raise ParseError(
            f"the multiplicity in the output is that of the SCF state, but the energy of"
            f" {described(text, last)} is that of {root}"
        )
    stated = places_of_multiplicity(text, _end(text))
    return stated[-1][1] if stated else _echoed(output, _MULTIPLICITY, 1)


@reads("stdout")
def basis(output: Output) -> str:
    """The name of the orbital basis of the final evaluation, as stated in the output.

    Raises:
        ParseError: ORCA prints no name, as for a basis that the input defines.
    """
    text = output.text
    # After a compound job ORCA repeats the basis of the script, which no calculation used.
    end = _end(text)
    start = max(last_beginning(text, label, 0, end) for label in (_ORBITAL_BASIS, _VERSION))
    # The auxiliary bases follow, and a CABS in exactly the same words.
    position = next(every_beginning(text, _BASIS, max(start, 0), end), -1)
    name = whole_line(text, position)[len(_BASIS) :].strip() if position >= 0 else ""
    if not name:
        raise output.missing(f"'{_BASIS}'")
    return name


def program_version(output: Output) -> str | None:
    """The version of ORCA that the output states, or None if it states none."""
    text = output.text
    position = next(every_beginning(text, _VERSION), -1)
    words = (
        text[position + len(_VERSION) : line_end(text, position)].split() if position >= 0 else []
    )
    return words[0][:40] if words else None


@reads("stdout")
def version(output: Output) -> str:
    """The version of ORCA, such as "6.1.0"."""
    found = program_version(output)
    if found is None:
        raise output.missing(f"'{_VERSION}'")
    return found
