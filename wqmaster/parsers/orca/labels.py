"""Lines that consist of a label and a number: `E(TOT)   ...   -76.241`.

If a label is also the beginning of another one, it must include the blank after it.
"""

import re

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.text import last_beginning, number, whole_line

_MARKS = re.compile(r"^[\s.:=]*")


def words_after(output: Output, position: int, label: str) -> list[str]:
    """The words after `label` at `position`, without the dots or colon in between.

    Raises:
        ParseError: the file ends in this line, so a number in it may be incomplete.
    """
    line = whole_line(output.text, position)
    return _MARKS.sub("", line[len(label) :]).split()


def value_at(output: Output, position: int, label: str) -> float:
    """The number after `label` at `position`.

    Raises:
        ParseError: there is no number, or the file ends in this line.
    """
    words = words_after(output, position, label)
    if not words:
        raise ParseError(f"there is no number after '{label.strip()}' in {output.name}")
    return number(words[0])


def last_value(output: Output, label: str) -> float:
    """The number on the last line that begins with `label`.

    Raises:
        ParseError: there is no such line, or no number on it.
    """
    position = last_beginning(output.text, label)
    if position < 0:
        raise output.missing(f"'{label.strip()}'")
    return value_at(output, position, label)
