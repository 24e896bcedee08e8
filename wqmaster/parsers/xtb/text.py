"""Readers of xtb's files: numbers, blocks of the printout, XYZ files, xtbout.json."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output

_OVERFLOW = re.compile(r"\*{2,}")
# The symmetry code is written in C and has its own buffer: its lines appear among Fortran's, even
# within a line (seen with 6.7.1 --hess through a pipe).
_SYMMETRY = re.compile(
    r"Molecule has the following symmetry elements: [^\n]{0,200}\n"
    r"|Molecule (?:has|still has) no symmetry elements(?:\.\.\.)?\n"
    r"|It seems to be the [^\n]{1,20} point group\n"
    r"|(?:WARNING: )?These symmetry elements match [^\n]{1,60}\n"
)
# The largest indentation of a block in xtb's printout.
_MAX_INDENT_CHARACTERS = 40
# Lines of xtb's XYZ files are longer than this, which is checked in large files only.
_MIN_XYZ_LINE_CHARACTERS = 25
_LARGE_FILE_BYTES = 1 << 20


def stdout(output: Output) -> str:
    """What xtb printed, without the lines of its symmetry code."""
    text = output.file("stdout") if output.has("stdout") else output.text
    return _without_symmetry(text)


@lru_cache(maxsize=2)
def _without_symmetry(text: str) -> str:
    return _SYMMETRY.sub("", text) if " symmetry elements" in text else text


def real(word: str, what: str) -> float:
    """A number that Fortran printed; ParseError for asterisks and anything else."""
    try:
        return float(word.replace("D", "E").replace("d", "e"))
    except ValueError as error:
        raise ParseError(f"{what} is not a number: {word.strip()[:40]!r}") from error


def whole(word: str, what: str) -> int:
    """A whole number that Fortran printed."""
    try:
        return int(word)
    except ValueError as error:
        raise ParseError(f"{what} is not a whole number: {word.strip()[:40]!r}") from error


def last_line(text: str, start: str) -> str | None:
    """The rest of the last line that begins with `start`, ignoring leading white space."""
    end = len(text)
    while (place := text.rfind(start, 0, end)) >= 0:
        low = max(place - _MAX_INDENT_CHARACTERS, 0)
        begin = text.rfind("\n", low, place) + 1
        if (begin or not low) and not text[begin:place].strip():
            stop = text.find("\n", place)
            return text[place + len(start) : stop if stop >= 0 else len(text)]
        end = place
    return None


def boxed(text: str, label: str) -> float | None:
    """The last value of a box `| LABEL  VALUE UNIT |` or `:: label  VALUE unit ::`.

    Raises:
        ParseError: it is not a number.
    """
    for edge in ("| ", ":: "):
        rest = last_line(text, f"{edge}{label} ")
        if rest is not None:
            words = rest.split()
            if len(words) < 2:
                raise ParseError(f"the value of {label!r} is truncated")
            return real(words[0], label)
    return None


def setup(text: str, label: str) -> str | None:
    """The value of `label` in the last SETUP block, without the closing colon."""
    rest = last_line(text, f":  {label} ")
    return None if rest is None else rest.strip().rstrip(":").strip()


def stated_unpaired(text: str) -> int | None:
    """The number of unpaired electrons in the printout; None if it is not stated.

    Since 6.7 it is in the SETUP block; 6.3 and 6.4 state the spin S above that block, like
    `spin : 0.5` (seen in outputs of 6.3.3, 6.4.0, 6.4.1); 6.5 and 6.6 state neither.

    Raises:
        ParseError: the stated value is not such a number.
    """
    stated = setup(text, "unpaired electrons")
    if stated is not None:
        if not (stated.isascii() and stated.isdecimal() and len(stated) < 10):
            raise ParseError(f"{stated[:40]!r} is not a number of unpaired electrons")
        return int(stated)
    spin = last_line(text, "spin                       :")
    if spin is None:
        return None
    doubled = 2 * real(spin.strip(), "the spin")
    if not 0 <= doubled < 1e9 or not doubled.is_integer():
        raise ParseError(f"{spin.strip()[:40]!r} is not a spin")
    return int(doubled)


def after(text: str, heading: str) -> Iterator[str]:
    """The lines after the last occurrence of `heading`.

    Raises:
        ParseError: there is none.
    """
    place = text.rfind(heading)
    if place < 0:
        raise ParseError(f"the block {heading!r} is missing from stdout")
    place = text.find("\n", place)
    while 0 <= place < len(text):
        end = text.find("\n", place + 1)
        yield text[place + 1 : end if end >= 0 else len(text)]
        place = end


@dataclass(frozen=True)
class Frame:
    """One structure of an XYZ file."""

    comment: str
    symbols: tuple[str, ...]
    coordinates: tuple[tuple[float, float, float], ...]  # Angstrom


def _row(line: str, name: str) -> tuple[str, tuple[float, float, float]]:
    words = line.split()
    if len(words) < 4 or not words[0].isalpha():
        raise ParseError(f"the line {line.strip()[:60]!r} in {name} is not an atom")
    x, y, z = (real(word, f"a coordinate in {name}") for word in words[1:4])
    return words[0], (x, y, z)


def frames(text: str, name: str, more: int = 0) -> Iterator[Frame]:
    """The structures of an XYZ file, each followed by `more` lines per atom.

    Raises:
        ParseError: a structure is cut short, or a line is not an atom.
    """
    if text and not text.endswith("\n"):
        raise ParseError(f"{name} is truncated")
    if len(text) > _LARGE_FILE_BYTES and len(text) < _MIN_XYZ_LINE_CHARACTERS * text.count("\n"):
        raise ParseError(f"{name} is not an XYZ file of xtb")
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    start = 0
    while start < len(lines):
        natoms = whole(lines[start], f"the number of atoms in {name}")
        end = start + 2 + natoms
        if natoms < 1 or end + more * natoms > len(lines):
            raise ParseError(f"{name} is truncated")
        rows = [_row(line, name) for line in lines[start + 2 : end]]
        yield Frame(lines[start + 1], tuple(row[0] for row in rows), tuple(row[1] for row in rows))
        start = end + more * natoms


def stated_energy(frame: Frame, name: str) -> float:
    """The energy (Eh) in the comment line of a structure that xtb wrote."""
    words = frame.comment.split()
    if "energy:" not in words[:-1]:
        raise ParseError(f"a structure in {name} has no energy")
    return real(words[words.index("energy:") + 1], f"the energy in {name}")


def results(output: Output) -> dict[str, Any]:
    """The content of xtbout.json, with NaN for the asterisks of numbers that are too wide."""
    text = _OVERFLOW.sub("NaN", output.file("xtbout.json"))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"xtbout.json is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ParseError("xtbout.json is not a JSON object")
    return found


def entry(found: Mapping[str, Any], key: str) -> Any:
    """One entry in xtbout.json."""
    if key not in found:
        raise ParseError(f"the block '{key}' is missing from xtbout.json")
    return found[key]


def single(found: Mapping[str, Any], key: str) -> float:
    """A number in xtbout.json."""
    value = entry(found, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError(f"'{key}' in xtbout.json is not a number")
    return _float(value)


def numbers(found: Mapping[str, Any], key: str, what: str) -> list[float]:
    """A list of numbers in xtbout.json."""
    values = entry(found, key)
    if not isinstance(values, list) or any(
        isinstance(value, bool) or not isinstance(value, (int, float)) for value in values
    ):
        raise ParseError(f"{what} in xtbout.json does not consist of numbers")
    return [_float(value) for value in values]


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise ParseError("a number in xtbout.json is too large") from error
