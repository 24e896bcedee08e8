"""Functions that read xtb's files: numbers, blocks in the printout, xtbout.json."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.xyz import Frame

_OVERFLOW = re.compile(r"\*{2,}")
# xtb's symmetry code is written in C and has its own output buffer, so its lines can appear between
# Fortran's lines and even within one (seen when 6.7.1 --hess prints to a pipe).
_SYMMETRY = re.compile(
    r"Molecule has the following symmetry elements: [^\n]{0,200}\n"
    r"|Molecule (?:has|still has) no symmetry elements(?:\.\.\.)?\n"
    r"|It seems to be the [^\n]{1,20} point group\n"
    r"|(?:WARNING: )?These symmetry elements match [^\n]{1,60}\n"
)
# The largest indentation of a block in xtb's printout.
_MAX_INDENT_CHARACTERS = 40


def stdout(output: Output) -> str:
    """The text that xtb printed, without the lines from its symmetry code."""
    text = output.file("stdout") if output.has("stdout") else output.text
    return _without_symmetry(text)


@lru_cache(maxsize=2)
def _without_symmetry(text: str) -> str:
    return _SYMMETRY.sub("", text) if " symmetry elements" in text else text


def real(word: str, what: str) -> float:
    """Convert a number that Fortran printed.

    Raises:
        ParseError: `word` is not a number, for instance asterisks; the message names `what`.
    """
    try:
        return float(word.replace("D", "E").replace("d", "e"))
    except ValueError as error:
        raise ParseError(f"{what} is not a number: {word.strip()[:40]!r}") from error


def whole(word: str, what: str) -> int:
    """Convert a whole number that Fortran printed.

    Raises:
        ParseError: `word` is not a whole number; the message names `what`.
    """
    try:
        return int(word)
    except ValueError as error:
        raise ParseError(f"{what} is not a whole number: {word.strip()[:40]!r}") from error


def last_line(text: str, start: str) -> str | None:
    """The rest of the last line that begins with `start` after any blanks; None if none does."""
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
    """The last value in a box, `| LABEL  VALUE UNIT |` or `:: label  VALUE unit ::`, or None.

    Raises:
        ParseError: the value is not a number, or the line is truncated.
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
    """The value of `label` in the last SETUP block, without the closing colon; None if missing."""
    rest = last_line(text, f":  {label} ")
    return None if rest is None else rest.strip().rstrip(":").strip()


def stated_unpaired(text: str) -> int | None:
    """The number of unpaired electrons in the printout, or None if it is not stated.

    Since 6.7, xtb prints it in the SETUP block. Versions 6.3 and 6.4 print the spin S above that
    block, as in `spin : 0.5` (seen in outputs of 6.3.3, 6.4.0, 6.4.1). Versions 6.5 and 6.6 print
    neither.

    Raises:
        ParseError: the stated value is impossible.
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
        ParseError: the heading is missing.
    """
    place = text.rfind(heading)
    if place < 0:
        raise ParseError(f"the block {heading!r} is missing from stdout")
    place = text.find("\n", place)
    while 0 <= place < len(text):
        end = text.find("\n", place + 1)
        yield text[place + 1 : end if end >= 0 else len(text)]
        place = end


def stated_energy(frame: Frame, name: str) -> float:
    """The energy (Eh) in the comment line of a structure that xtb wrote.

    Raises:
        ParseError: the comment line has no energy.
    """
    words = frame.comment.split()
    if "energy:" not in words[:-1]:
        raise ParseError(f"a structure in {name} has no energy")
    return real(words[words.index("energy:") + 1], f"the energy in {name}")


@lru_cache(maxsize=1)
def _loaded(text: str) -> Any:
    """The content of xtbout.json; all parsers of a step read the same text."""
    return json.loads(_OVERFLOW.sub("NaN", text))


def results(output: Output) -> dict[str, Any]:
    """The content of xtbout.json, with NaN for each number that was too wide to print (asterisks).

    Raises:
        ParseError: the file is missing or is not a JSON object.
    """
    try:
        found = _loaded(output.file("xtbout.json"))
    except (ValueError, RecursionError) as error:
        raise ParseError(f"xtbout.json is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ParseError("xtbout.json is not a JSON object")
    return found


# Keys of xtbout.json since xtb 6.7 -> the same keys up to 6.6, in the same units (xtb,
# src/main/json.f90 of 6.2.3 to 6.6.1).
_FORMER_KEYS = {
    "HOMO-LUMO gap / eV": "HOMO-LUMO gap/eV",
    "dipole / a.u.": "dipole",
    "orbital energies / eV": "orbital energies/eV",
}


def entry(found: Mapping[str, Any], key: str) -> Any:
    """An entry in xtbout.json, also under its former key; ParseError if it is missing."""
    name = key if key in found else _FORMER_KEYS.get(key, key)
    if name not in found:
        raise ParseError(f"the block '{key}' is missing from xtbout.json")
    return found[name]


def single(found: Mapping[str, Any], key: str) -> float:
    """A number in xtbout.json; ParseError if it is missing or not a number."""
    value = entry(found, key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError(f"'{key}' in xtbout.json is not a number")
    return _float(value)


def numbers(found: Mapping[str, Any], key: str, what: str) -> list[float]:
    """A list of numbers in xtbout.json; ParseError if it is missing or has other entries."""
    values = entry(found, key)
    if not isinstance(values, list) or any(
        isinstance(value, bool) or not isinstance(value, (int, float)) for value in values
    ):
        raise ParseError(f"{what} in xtbout.json does not consist of numbers")
    return [_float(value) for value in values]


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:  # a whole number with hundreds of digits
        raise ParseError("a number in xtbout.json is too large") from error
