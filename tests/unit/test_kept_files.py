"""The names of kept files, which contain the document's `_id`."""

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from wqmaster.errors import ArchiveError
from wqmaster.run.kept_files import KeptFiles, safe_name

OID = ObjectId("0123456789abcdef01234567")
IDS: list[Any] = [5, "5", OID, str(OID), "", "\0", "\0\0", "%00", "%C0%80", "À", 1.5, "1.5", True]
IDS += [{"a": 1}, '\0{"a": 1}', "\0" + "0" * 64, "x" * 300, "x" * 301]


def test_ids_that_print_alike_have_different_names() -> None:
    """Once, an empty id and one of a NUL character had the same name."""
    for one, other in combinations(IDS, 2):
        assert safe_name(one) != safe_name(other), (one, other)


@given(st.text(min_size=1, max_size=15))
def test_the_name_of_a_short_string_never_contains_a_quoted_nul(text: str) -> None:
    assert "%00" not in safe_name(text)


def test_a_kept_file_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    kept, mine = tmp_path / "kept", tmp_path / "mine"
    kept.mkdir()
    mine.write_text("mine")
    for name in ("1.out", f".{os.getpid()}:part"):
        (kept / name).symlink_to(mine)
    with KeptFiles(kept).replacing("1.out") as file:
        file.write(b"kept")
    assert mine.read_text() == "mine"
    assert [(path.name, path.read_bytes()) for path in kept.iterdir()] == [("1.out", b"kept")]
    assert not (kept / "1.out").is_symlink()


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "a/b", "..", ".", "", "a\0b"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "kept").mkdir()
    with pytest.raises(ValueError, match="is not the name of a file"):
        KeptFiles(tmp_path / "kept").replacing(name).__enter__()
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "1.out").write_text("earlier")

    def write() -> None:
        with KeptFiles(tmp_path).replacing("1.out") as file:
            file.write(b"half")
            raise ArchiveError("wrong checksum")

    with pytest.raises(ArchiveError):
        write()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["earlier"]
