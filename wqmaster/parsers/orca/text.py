"""Functions that find blocks in ORCA's text by a heading that is alone on its line.

A heading within another line (the echoed input, a comment) does not count. The run time of every
function is linear in the length of the text.
"""

import re
from collections.abc import Iterator

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output

# Lines between a table's heading and its first row begin with these.
_BEFORE_ROWS = ("-", "WARNING", "Warning")
_MAX_LINES_BEFORE_ROWS = 8
# An atom's number and symbol without a blank between them, as in tables with narrow columns.
_GLUED = re.compile(r"([0-9]{1,9})([A-Z][A-Za-z]?)")


def number(word: str) -> float:
    """Convert `word` to a number.

    Raises:
        ParseError: `word` is not a number, like the asterisks that ORCA prints if a number is too
            wide for its field.
    """
    try:
        value = float(word)
    except ValueError:
        try:
            value = float(word.lower().replace("d", "e"))
        except ValueError:
            raise ParseError(f"{word[:40]!r} is not a number") from None
    # float() also accepts 1_000 and non-ASCII digits, which ORCA never writes.
    if "_" in word or not word.isascii():
        raise ParseError(f"{word[:40]!r} is not a number")
    return value


def numbers(words: list[str]) -> list[float]:
    """Convert all `words` to numbers, like `number` but faster for many words.

    Raises:
        ParseError: one of them is not a number.
    """
    joined = "".join(words)
    # As in `number`, reject the forms that float() accepts but ORCA never writes.
    if joined.isascii() and "_" not in joined:
        try:
            return [float(word) for word in words]
        except ValueError:
            pass
    return [number(word) for word in words]


def line_start(text: str, position: int) -> int:
    """The position at which the line at `position` starts."""
    return text.rfind("\n", 0, position) + 1


def line_end(text: str, position: int) -> int:
    """The position at which the line at `position` ends: its newline, or the end of the text."""
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def line_of(text: str, position: int) -> str:
    """The line at `position`, without its newline."""
    return text[line_start(text, position) : line_end(text, position)]


def _alone(text: str, position: int, length: int) -> bool:
    before = text[line_start(text, position) : position]
    after = text[position + length : line_end(text, position)]
    return not before.strip() and not after.strip()


def last(text: str, heading: str, start: int = 0, end: int | None = None) -> int:
    """The position of the last `heading` that is alone on its line, or -1 if there is none.

    Only the text from `start` to `end` is searched.
    """
    position = text.rfind(heading, start, end)
    while position >= 0 and not _alone(text, position, len(heading)):
        position = text.rfind(heading, start, max(start, line_start(text, position)))
    return position


def last_of(text: str, *headings: str) -> int:
    """The position of whichever of `headings` comes last, or -1 if none occurs."""
    position = -1
    absent: tuple[str, ...] = ()
    for heading in headings:
        # A heading that begins with an absent heading is absent, too.
        if heading.startswith(absent):
            continue
        start = max(position, 0)
        place = text.rfind(heading, start)
        if place < 0:
            absent += (heading,)
        else:
            position = max(position, last(text, heading, start, place + len(heading)))
    return position


def every(text: str, heading: str) -> Iterator[int]:
    """The positions of every `heading` that is alone on its line, in order."""
    position = text.find(heading)
    while position >= 0:
        end = line_end(text, position)
        if _alone(text, position, len(heading)):
            yield position
        position = text.find(heading, end)


def _begins(text: str, position: int) -> bool:
    return not text[line_start(text, position) : position].strip()


def last_beginning(text: str, words: str, start: int = 0, end: int | None = None) -> int:
    """The position of `words` in the last line that begins with them (after blanks), or -1."""
    position = text.rfind(words, start, end)
    while position >= 0 and not _begins(text, position):
        position = text.rfind(words, start, max(start, line_start(text, position)))
    return position


def every_beginning(text: str, words: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """The positions of `words` in all lines that begin with them (after blanks), in order."""
    position = text.find(words, start, end)
    while position >= 0:
        if _begins(text, position):
            yield position
        position = text.find(words, line_end(text, position), end)


def lines(text: str, position: int) -> Iterator[str]:
    """The lines after the one at `position`, one by one."""
    start = line_end(text, position) + 1
    size = len(text)
    while start < size:
        end = text.find("\n", start)
        if end < 0:
            end = size
        yield text[start:end]
        start = end + 1


def whole_line(text: str, position: int) -> str:
    """The rest of the line from `position` on.

    Raises:
        ParseError: the text ends before the line does.
    """
    end = text.find("\n", position)
    if end < 0:
        raise ParseError(f"the line {text[position : position + 40]!r} is truncated")
    return text[position:end]


def block(output: Output, *headings: str) -> Iterator[str]:
    """The lines after whichever of `headings` comes last in the text.

    Raises:
        ParseError: none of the headings occurs.
    """
    position = last_of(output.text, *headings)
    if position < 0:
        raise output.missing(" or ".join(f"'{heading}'" for heading in headings))
    return lines(output.text, position)


def _no_row(line: str, found: bool, what: str, ends: tuple[str, ...]) -> bool:
    """Whether a line that is not a row ends the table, rather than preceding its first row.

    Raises:
        ParseError: the line does not belong at this place.
    """
    stripped = line.strip()
    if found and (not stripped or stripped.startswith(ends)):
        return True
    if found or (stripped and not stripped.startswith(_BEFORE_ROWS)):
        raise ParseError(f"the line {stripped[:60]!r} is not a row of {what}")
    return False


def atom_rows(
    rows: Iterator[str], what: str, ends: tuple[str, ...] = ()
) -> tuple[list[list[float]], str]:
    """The numbers in a table with a row `index symbol : numbers` for each atom, and its last line.

    The symbol or the colon can be missing. Atoms are counted from 0 or from 1. The table ends with
    an empty line or one that begins with one of `ends`. That line, stripped, is returned as well.

    Raises:
        ParseError: the table is empty or truncated, an atom is missing, rows have different numbers
            of columns, or a number cannot be read.
    """
    found: list[list[float]] = []
    expected = 0
    skipped = 0
    for line in rows:
        head, colon, tail = line.rpartition(":")
        words = (head if colon else tail).split()
        if words and not words[0].isdecimal() and (glued := _GLUED.fullmatch(words[0])):
            words[:1] = glued.groups()
        if not words or not words[0].isdecimal() or not words[0].isascii():
            if _no_row(line, bool(found), what, ends):
                return found, line.strip()
            skipped += 1
            if skipped > _MAX_LINES_BEFORE_ROWS:
                break
            continue
        index = int(words[0][:9])
        if not found and index == 1:
            expected = 1
        if index != expected:
            raise ParseError(f"atom {len(found) + 1} is missing from {what}")
        values = numbers(tail.split() if colon else words[2:])
        if not values or (found and len(values) != len(found[0])):
            place = len(found) + 1
            raise ParseError(f"the row of atom {place} in {what} has {len(values)} numbers")
        found.append(values)
        expected += 1
    raise ParseError(f"{what} is truncated")
