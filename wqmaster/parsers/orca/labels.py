"""Functions that read lines with a label and a number, such as `E(TOT)   ...   -76.241`.

A label that is also the beginning of another label must include the blank after it.
"""

import re

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.text import last_beginning, number, whole_line

_MARKS = re.compile(r"^[\s.:=]*")


def words_after(output: Output, position: int, label: str) -> list[str]:
    """The words after `label` at `position`, without the dots or colon that follow the label.

    Raises:
        ParseError: the file ends in this line, so the last number may be incomplete.
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
        ParseError: there is no such line, or it has no number.
    """
    position = last_beginning(output.text, label)
    if position < 0:
        raise output.missing(f"'{label.strip()}'")
    return value_at(output, position, label)
