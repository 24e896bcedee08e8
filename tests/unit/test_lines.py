"""Lines of program output."""

import pytest

from wqmaster.system.lines import LineBuffer, last_line


@pytest.mark.parametrize(
    ("text", "last"),
    [("", ""), (" \n\n", ""), ("one", "one"), ("one\n  two \r\n\n \n", "two")],
)
def test_the_last_line_is_the_last_nonempty_one(text: str, last: str) -> None:
    assert last_line(text) == last


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_lines_do_not_depend_on_how_they_arrive(size: int) -> None:
    text = b"first\n\nthird\r\n\xff\nthe rest"
    lines = LineBuffer()
    found = []
    for begin in range(0, len(text), size):
        found += lines.add(text[begin : begin + size])
    assert found == [b"first", b"", b"third\r", b"\xff"]
    assert lines.rest == b"the rest"
    assert lines.add(b"") == []
    assert lines.add(b" ends\n") == [b"the rest ends"]
