"""Files are written completely or not at all."""

from pathlib import Path

import pytest

from wqmaster.errors import FolderError
from wqmaster.system.files import check_writable, replacing


def test_a_file_is_replaced_once_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "note"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as part:
            part.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file", "file is a file, not a folder"),
        ("file/below", "file is a file, not a folder"),
        ("n" * 300, "is too long; shorten 'campaign:'"),
        ("/proc/none", "cannot create the folder /proc/none"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_with_advice_that_fits(
    tmp_path: Path, name: str, words: str
) -> None:
    """Once, the advice was always to make it writable."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=words) as caught:
        check_writable(tmp_path / name)
    assert "make it writable" not in caught.value.message
    assert "'folder:'" in caught.value.message
    assert len(caught.value.message) < 400
