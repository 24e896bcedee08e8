"""Which file of a folder is which file of a run."""

import gzip
from pathlib import Path

import pytest

from wqmaster.errors import StructureError
from wqmaster.offline.run_files import files_at
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called


@pytest.fixture
def orca() -> Program:
    found = program_called("orca")
    assert found is not None
    return found


def write(folder: Path, **contents: str) -> None:
    """Write files; __ in a name stands for a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", ".")
        is_compressed = path.suffix == ".gz"
        path.write_bytes(gzip.compress(content.encode()) if is_compressed else content.encode())


def test_compressed_files_of_a_folder_have_the_names_of_a_job(
    tmp_path: Path, orca: Program
) -> None:
    write(tmp_path, job__out__gz="printed", job__engrad__gz="gradient", notes__txt="x")
    found, main = files_at(tmp_path, orca)
    assert main == "stdout"
    assert found == {"stdout": b"printed", "orca.engrad": b"gradient", "notes.txt": b"x"}
    # As the message about several outputs advises.
    write(tmp_path, other__out="other", stdout__gz="the right one")
    assert files_at(tmp_path, orca)[0]["stdout"] == b"the right one"


def test_a_file_named_like_the_printed_output_is_preferred(tmp_path: Path, orca: Program) -> None:
    write(tmp_path, job__out="printed", job__engrad="its own", job_1__engrad="of a step")
    assert files_at(tmp_path, orca)[0]["orca.engrad"] == b"its own"
    write(tmp_path, orca__engrad="renamed")
    assert files_at(tmp_path, orca)[0]["orca.engrad"] == b"renamed"


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"a__out": "1", "b__out__gz": "2"}, "may be the standard output (a.out, b.out.gz)"),
        # Otherwise the energy of one run would be stored with the gradient of another.
        (
            {"stdout": "1", "a__engrad": "1", "b__engrad": "2"},
            "may be 'orca.engrad' (a.engrad, b.engrad); rename the right one to 'orca.engrad'",
        ),
        ({"c__out": "1", "a__hess": "1", "b__hess": "2"}, "may be 'orca.hess' (a.hess, b.hess)"),
    ],
)
def test_a_folder_in_which_files_cannot_be_told_apart_is_refused(
    contents: dict[str, str], said: str, tmp_path: Path, orca: Program
) -> None:
    write(tmp_path, **contents)
    with pytest.raises(StructureError) as caught:
        files_at(tmp_path, orca)
    assert said in caught.value.message
