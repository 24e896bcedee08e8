"""Parsers for simple formats that any program can print: JSON, a number, text, a table.

For other formats, write a function next to the campaign file and refer to it as `module.function`.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output, reads

VERSION = "1"
# The longest word that is read as a number; no program prints a longer one.
_MAX_NUMBER_CHARACTERS = 400
# The largest number of entries in a table: a MongoDB document holds at most 16 MB, and a number in
# a list takes at least 11 bytes.
_MAX_NUMBERS = 1_000_000


def to_number(word: str) -> float | None:
    """The number that C, Fortran or Python printed as `word`, or None if it is not a number.

    NaN and infinity are accepted here and refused later. An exponent can begin with E or D.
    """
    if len(word) > _MAX_NUMBER_CHARACTERS or not word.isascii() or "_" in word:
        return None
    lower = word.lower()
    try:
        return float(lower if "n" in lower else lower.replace("d", "e"))
    except ValueError:
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("it contains a name twice")
    return found


@reads("stdout")
def json_value(output: Output) -> Any:
    """The whole file, read as JSON; a key that occurs twice in an object is an error."""
    try:
        return json.loads(output.text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{output.name} is not valid JSON: {error}") from error


@reads("stdout")
def number(output: Output) -> float:
    """The number that is the file's only content; anything else is an error."""
    found = output.text.split(maxsplit=1)
    value = to_number(found[0].strip()) if len(found) == 1 else None
    if value is None:
        raise ParseError(f"{output.name} is not a single number")
    return value


@reads("stdout")
def text(output: Output) -> str:
    """The file, unchanged."""
    return output.text


def _row(words: list[str]) -> list[float]:
    found = []
    for word in words:
        value = to_number(word)
        if value is None:
            raise ValueError(f"{word[:40]!r} is not a number")
        found.append(value)
    return found


def _place(lines: list[str], nth: int) -> int:
    """The line number (from 1) of the non-empty line with index `nth` (from 0)."""
    numbers = (number for number, line in enumerate(lines, start=1) if line)
    return next(itertools.islice(numbers, nth, None))


@reads("stdout")
def table(output: Output) -> list[list[float]]:
    """The rows of a table of numbers whose columns are separated by blanks.

    Each row must have the same number of columns. Empty lines and lines that begin with # are
    skipped.
    """
    rows: list[list[float]] = []
    count = 0
    text = output.text
    # `float` also accepts non-ASCII digits and underscores, which no program prints.
    is_plain = text.isascii() and "_" not in text
    has_d = "D" in text or "d" in text
    lines = text.splitlines()
    for nth, line in enumerate(filter(None, lines)):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        count += len(words)
        if count > _MAX_NUMBERS:
            raise ParseError(f"{output.name} holds more numbers than fit into a document")
        as_float = words
        if has_d and "n" not in (lower := line.lower()):
            as_float = lower.replace("d", "e").split()
        try:
            row = list(map(float, as_float)) if is_plain else _row(words)
        except ValueError:
            try:
                row = _row(words)
            except ValueError as error:
                place = f"{output.name}, line {_place(lines, nth)}"
                raise ParseError(f"{place}: {error}") from error
        if rows and len(row) != len(rows[0]):
            place = f"{output.name}, line {_place(lines, nth)}"
            raise ParseError(
                f"{place}: the number of columns is {len(row)}, but was {len(rows[0])} above"
            )
        rows.append(row)
    if not rows:
        raise ParseError(f"{output.name} holds no numbers")
    return rows


def diagnose(
    output: Output, asked: Asked | None, options: Mapping[str, Any] | None
) -> Failure | None:
    """A failure if the standard output is missing, since nothing else is known about the program.

    Exit codes and missing files are judged elsewhere, in the same way for every program.
    """
    if asked is not None and not output.has("stdout"):
        return Failure(FailureClass.MISSING_OUTPUT, "the standard output is missing")
    return None


def program_version(output: Output) -> str | None:
    """None, since it is unknown where an arbitrary program states its version."""
    return None
