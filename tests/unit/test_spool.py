"""The durable directory between engine and database."""

import hashlib
import io
import json
import os
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, Decimal128, ObjectId

from wqmaster.database.attempts import Rescue, key_of
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.errors import ArchiveError, FolderError
from wqmaster.jobs.job import Asked
from wqmaster.run.spool import INPUTS, OUTPUTS, Spool, read_task
from wqmaster.system.files import check_writable


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    found = Spool(tmp_path / "spool")
    found.prepare()
    return found


def asked(document: Any = 1, attempt: int = 1) -> Asked:
    return Asked(
        document,
        attempt,
        natoms=3,
        charge=-1,
        multiplicity=2,
        molecule="m",
        recipe="abc",
        target="t",
    )


def returned(task_id: str) -> Returned:
    return Returned(task_id, TaskResult.OK, 0, "node1", 1.5, 2.5, "said")


def come_back(spool: Spool, task_id: str, *jobs: Asked, archive: bytes | None = b"tar") -> None:
    """Submit a task with `jobs`, and return it with `archive` (None: without an archive)."""
    folder = spool.submit(task_id, jobs or [asked()], b"inputs")
    if archive is not None:
        (folder / OUTPUTS).write_bytes(archive)
    spool.give_back(returned(task_id))


def test_a_submitted_task_has_its_inputs_and_is_not_waiting(spool: Spool) -> None:
    folder = spool.submit("t-1", [asked()], b"inputs")
    assert (folder / INPUTS).read_bytes() == b"inputs"
    assert list(spool.waiting()) == []
    assert spool.jobs_returned() == 0


def test_a_returned_task_states_the_request_and_how_it_ended(spool: Spool) -> None:
    come_back(spool, "t-1", asked("a"), asked("b", attempt=2))
    assert list(spool.waiting()) == ["t-1"]
    jobs, result, archive = spool.read("t-1")
    assert jobs == [asked("a"), asked("b", attempt=2)]
    assert result == returned("t-1")
    assert archive.read_bytes() == b"tar"
    assert list(spool.running.iterdir()) == []


@pytest.mark.parametrize(
    "document",
    [
        "text",
        7,
        2**62,
        1.5,
        ObjectId("507f1f77bcf86cd799439011"),
        {"set": "a", "number": 3},
        Binary(bytes(range(16)), 4),
        Decimal128("1.10"),
        datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    ],
    ids=repr,
)
def test_an_id_of_any_type_is_restored_unchanged(spool: Spool, document: Any) -> None:
    come_back(spool, "t-1", asked(document))
    [[job], _, _] = spool.read("t-1")
    assert key_of(job.document) == key_of(document)


def test_a_task_without_an_archive_can_be_read(spool: Spool) -> None:
    come_back(spool, "t-1", archive=None)
    assert not spool.read("t-1")[2].exists()


def test_tasks_wait_in_the_order_of_their_ids(spool: Spool) -> None:
    for count in (10, 9, 100):
        come_back(spool, f"t-{count:09d}")
    assert list(spool.waiting()) == ["t-000000009", "t-000000010", "t-000000100"]


def test_a_task_is_not_submitted_twice(spool: Spool) -> None:
    spool.submit("t-1", [asked()], b"")
    with pytest.raises(FileExistsError):
        spool.submit("t-1", [asked()], b"")


def test_a_removed_task_is_gone_and_can_be_removed_again(spool: Spool) -> None:
    come_back(spool, "t-1")
    spool.remove("t-1")
    spool.remove("t-1")
    assert list(spool.waiting()) == []
    with pytest.raises(FileNotFoundError):
        spool.read("t-1")


def test_an_interrupted_removal_leaves_nothing_to_judge(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A committed task that had lost its archive would be recorded as truncated."""
    come_back(spool, "t-1")

    def killed(folder: Path, **_: Any) -> None:
        (folder / OUTPUTS).unlink()

    monkeypatch.setattr("shutil.rmtree", killed)
    spool.remove("t-1")
    with pytest.raises(FileNotFoundError):
        spool.read("t-1")


def test_a_dropped_task_leaves_nothing(spool: Spool) -> None:
    spool.submit("t-1", [asked()], b"")
    spool.drop("t-1")
    assert list(spool.running.iterdir()) == []


@pytest.mark.parametrize("name", ["jobs.json", "result.json"])
@pytest.mark.parametrize("left", [0, 1, 10])
def test_truncated_records_are_a_value_error(spool: Spool, name: str, left: int) -> None:
    come_back(spool, "t-1")
    record = spool.returned / "t-1" / name
    record.write_text(record.read_text()[:left])
    with pytest.raises(ValueError, match=r".*"):
        spool.read("t-1")


def test_a_task_with_truncated_records_counts_as_a_job(spool: Spool) -> None:
    come_back(spool, "t-1", asked(1), asked(2))
    come_back(spool, "t-2")
    (spool.returned / "t-2" / "jobs.json").write_text("")
    assert spool.jobs_returned() == 3


def test_set_aside_moves_a_whole_task_out_of_the_way(spool: Spool) -> None:
    come_back(spool, "t-1")
    place = spool.set_aside("t-1")
    assert list(spool.waiting()) == []
    assert (place / OUTPUTS).read_bytes() == b"tar"
    assert json.loads((place / "result.json").read_text())["host"] == "node1"


def test_the_archive_of_a_failure_outlives_its_task(spool: Spool) -> None:
    come_back(spool, "t-1")
    kept = spool.keep_failed("t-1", "7.1")
    spool.remove("t-1")
    assert kept == spool.failed / "7.1" / "outputs.tar"
    assert kept.read_bytes() == b"tar"
    assert [folder.name for folder in spool.archived()] == ["7.1"]


def test_the_request_is_kept_next_to_the_archive(spool: Spool) -> None:
    come_back(spool, "t-1")
    asked = spool.read("t-1")[0]
    kept = spool.keep_failed("t-1", "7.1")
    spool.remove("t-1")
    assert kept is not None
    assert read_task(kept.parent)[0] == asked


def test_an_archive_is_discarded_but_nothing_outside_the_spool(
    spool: Spool, tmp_path: Path
) -> None:
    come_back(spool, "t-1")
    kept = spool.keep_failed("t-1", "7.1")
    other = tmp_path / "mine" / "outputs.tar"
    other.parent.mkdir()
    other.touch()
    above = spool.failed / ".." / "outputs.tar"
    places = [str(place) for place in (kept, kept, other, above)]
    assert [spool.discard(place) for place in places] == [True, False, False, False]
    assert other.exists()
    assert list(spool.failed.iterdir()) == []


def test_an_archive_is_found_after_its_folder_moved(spool: Spool, tmp_path: Path) -> None:
    come_back(spool, "t-1")
    kept = str(spool.keep_failed("t-1", "7.1"))
    spool.root.rename(tmp_path / "moved")
    assert Spool(tmp_path / "moved").discard(kept)


def archive(*files: tuple[str, bytes]) -> bytes:
    """An outputs.tar from one job with one step, `a`."""
    lines = b"wqmaster 1\nhost node1\ninputs %s\n" % hashlib.sha256(b"inputs").hexdigest().encode()
    lines += b"step 0 a 1 100 0\n"
    for name, content in files:
        lines += b"size %d 0/a/%s\n" % (len(content), name.encode())
        lines += b"%s  0/a/%s\n" % (hashlib.sha256(content).hexdigest().encode(), name.encode())
    lines += b"end " + hashlib.sha256(lines).hexdigest().encode() + b"\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in [("manifest", lines), *((f"0/a/{n}", c) for n, c in files)]:
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_the_files_of_a_failed_attempt_are_rescued(spool: Spool) -> None:
    come_back(spool, "t-1", archive=archive(("orca.gbw", b"orbitals")))
    kept = str(spool.keep_failed("t-1", "7.1"))
    left = Rescue(kept, 0, "a", "m", "abc")
    assert spool.rescued(left) == {"orca.gbw": b"orbitals"}
    assert spool.rescued(replace(left, step="b")) == {}
    assert spool.rescued(replace(left, number=1)) == {}
    spool.discard(kept)
    assert spool.rescued(left) == {}


@pytest.mark.parametrize("is_result", [False, True])
def test_a_failed_attempt_is_read_from_where_its_archive_is_kept(
    spool: Spool, is_result: bool
) -> None:
    """A result that was refused later is among the kept archives of results."""
    come_back(spool, "t-1", archive=archive(("orca.gbw", b"orbitals")))
    if is_result:
        spool.remove("t-1", keep=True)
        kept = str(spool.archive / "t-1" / OUTPUTS)
    else:
        kept = str(spool.keep_failed("t-1", "7.1"))
    found = spool.attempt(kept, 0)
    assert found is not None
    job, returned, outcome = found
    assert (job, returned.task_id) == (asked(), "t-1")
    assert [dict(step.files) for step in outcome.steps] == [{"orca.gbw": b"orbitals"}]
    assert spool.attempt(kept, 1) is None
    Path(kept).write_bytes(b"damaged")
    assert spool.attempt(kept, 0) is None
    assert spool.attempt(str(spool.archive / ".." / OUTPUTS), 0) is None


@pytest.mark.parametrize("other", [{"molecule": "other"}, {"recipe": "other"}])
def test_nothing_is_rescued_from_the_archive_of_another_job(
    spool: Spool, other: dict[str, str]
) -> None:
    """The other job belongs to a document with the same id in another collection."""
    job = replace(asked(), **other)  # type: ignore[arg-type]
    come_back(spool, "t-1", job, archive=archive(("orca.gbw", b"orbitals of another")))
    kept = str(spool.keep_failed("t-1", "7.1"))
    assert spool.rescued(Rescue(kept, 0, "a", "m", "abc")) == {}


def test_all_returned_archives_are_kept_on_request(spool: Spool) -> None:
    come_back(spool, "t-1")
    spool.remove("t-1", keep=True)
    assert not list(spool.waiting())
    [folder] = spool.archived()
    assert (folder / "outputs.tar").read_bytes() == b"tar"


def test_a_failure_without_an_archive_keeps_nothing(spool: Spool) -> None:
    come_back(spool, "t-1", archive=None)
    assert spool.keep_failed("t-1", "7.1") is None
    assert list(spool.failed.iterdir()) == []


def test_a_kept_archive_is_replaced_by_a_newer_one_of_the_same_name(spool: Spool) -> None:
    come_back(spool, "t-1", archive=b"old")
    come_back(spool, "t-2", archive=b"new")
    spool.keep_failed("t-1", "7.1")
    kept = spool.keep_failed("t-2", "7.1")
    assert kept is not None
    assert kept.read_bytes() == b"new"
    assert spool.read("t-1")[2].read_bytes() == b"old"


def test_a_new_master_forgets_running_tasks_and_keeps_returned_ones(spool: Spool) -> None:
    come_back(spool, "t-1")
    spool.submit("t-2", [asked()], b"")
    spool.set_aside("t-1")
    come_back(spool, "t-3")
    again = Spool(spool.root)
    again.prepare()
    assert list(again.running.iterdir()) == []
    assert list(again.waiting()) == ["t-3"]
    assert (again.root / "set-aside" / "t-1").is_dir()


def test_a_spool_that_was_never_prepared_has_nothing_waiting(tmp_path: Path) -> None:
    assert list(Spool(tmp_path / "none").waiting()) == []


def test_checking_a_folder_creates_it_and_leaves_it_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("inner", ["", "running", "returned", "failed"])
def test_a_read_only_folder_is_refused(tmp_path: Path, inner: str) -> None:
    spool = Spool(tmp_path / "spool")
    spool.prepare()
    folder = spool.root / inner
    folder.chmod(0o555)
    with pytest.raises(FolderError, match=r"cannot write to .*'folder:'") as caught:
        spool.prepare()
    folder.chmod(0o755)
    assert f"the folder {folder} (" in caught.value.message
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("below", ["file", "file/spool"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(FolderError, match="file is a file, not a folder"):
        Spool(tmp_path / below).prepare()
    assert (tmp_path / "file").read_text() == "precious"


def test_an_archive_of_another_task_is_refused(spool: Spool) -> None:
    folder = spool.submit("t-1", [asked()], b"other inputs")
    (folder / OUTPUTS).write_bytes(archive(("orca.gbw", b"orbitals")))
    spool.give_back(returned("t-1"))
    _, result, path = spool.read("t-1")
    with pytest.raises(ArchiveError, match="belongs to another task"):
        spool.opened(path, result)


def test_a_task_that_another_process_submitted_knows_its_inputs(spool: Spool) -> None:
    spool.submit("t-1", [asked()], b"inputs")
    (spool.running / "t-1" / OUTPUTS).write_bytes(archive(("orca.gbw", b"orbitals")))
    later = Spool(spool.root)
    later.give_back(returned("t-1"))
    _, result, path = later.read("t-1")
    with later.opened(path, result) as opened:
        assert opened.outcome(0).steps[0].files == {"orca.gbw": b"orbitals"}


def test_the_spool_of_an_earlier_version_is_read(spool: Spool) -> None:
    come_back(spool, "t-1", archive=archive(("orca.gbw", b"orbitals")))
    record = spool.returned / "t-1" / "result.json"
    found = json.loads(record.read_text())
    del found["inputs"]
    record.write_text(json.dumps(found))
    _, result, path = spool.read("t-1")
    with spool.opened(path, result) as opened:
        assert opened.outcome(0).steps[0].exit_code == 1


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_something_else_than_a_file_is_not_kept_as_an_archive(
    spool: Spool, tmp_path: Path, kind: str
) -> None:
    """A worker can send a link or a folder of this name."""
    folder = spool.submit("t-1", [asked()], b"inputs")
    if kind == "link":
        (tmp_path / "secret").write_text("secret")
        (folder / OUTPUTS).symlink_to(tmp_path / "secret")
    elif kind == "folder":
        (folder / OUTPUTS).mkdir()
    else:
        os.mkfifo(folder / OUTPUTS)
    spool.give_back(returned("t-1"))
    _, result, path = spool.read("t-1")
    with pytest.raises(ArchiveError):
        spool.opened(path, result)
    assert spool.keep_failed("t-1", "7.1") is None
    spool.remove("t-1")
    assert not any(spool.waiting())


def test_a_link_in_place_of_a_kept_archive_is_replaced(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (spool.failed / "7.1").symlink_to(tmp_path / "elsewhere")
    come_back(spool, "t-1")
    assert spool.keep_failed("t-1", "7.1") is not None
    assert list((tmp_path / "elsewhere").iterdir()) == []
