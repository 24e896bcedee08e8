"""The reader of XYZ files that programs write."""

import pytest

from wqmaster.errors import ParseError
from wqmaster.parsers.xyz import Frame, frames

HYDROGEN = "2\nenergy: -1.0\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n"
READ = Frame("energy: -1.0", ("H", "H"), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.74)))


@pytest.mark.parametrize(
    "text", [HYDROGEN, f"{HYDROGEN}\n \n", HYDROGEN.replace("\n", "\r\n"), f" {HYDROGEN}"]
)
def test_a_structure_has_a_comment_symbols_and_coordinates(text: str) -> None:
    assert list(frames(text, "x")) == [READ]


def test_further_lines_of_a_structure_are_skipped() -> None:
    velocities = "0.1 0.2 0.3\n" * 2
    assert list(frames((HYDROGEN + velocities) * 3, "x", 1)) == [READ] * 3


def test_a_large_file_of_short_lines_is_read() -> None:
    """Once, a file above 1 MB was refused if its lines were shorter than those of xtb."""
    assert sum(1 for _ in frames(HYDROGEN * 30_000, "x")) == 30_000


def test_a_file_without_structures_has_none() -> None:
    assert list(frames("", "x")) == list(frames("\n\n", "x")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HYDROGEN[:-1], "truncated"),
        (HYDROGEN + "2\n", "truncated"),
        (HYDROGEN.replace("2", "3", 1), "truncated"),
        (HYDROGEN.replace("2", "9" * 30, 1), "truncated"),
        (HYDROGEN.replace("2", "0", 1), "truncated"),
        (HYDROGEN.replace("2", "-1", 1), "truncated"),
        (HYDROGEN.replace("2", "two", 1), "the number of atoms in x is not a whole number: 'two'"),
        (HYDROGEN.replace("0.74", "****"), r"a coordinate in x is not a number: '\*\*\*\*'"),
        (HYDROGEN.replace("H 0.0 0.0 0.74", "1 0.0 0.0 0.74"), "is not an atom"),
        ("\n" + HYDROGEN, "the number of atoms in x"),
    ],
)
def test_a_damaged_file_is_a_parse_error(text: str, said: str) -> None:
    with pytest.raises(ParseError, match=said):
        list(frames(text, "x"))
