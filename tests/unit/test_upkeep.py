"""What ends a run with --exit-on-trouble, and what holds a run before something breaks."""

import errno
import os
import resource
from pathlib import Path

import pytest
from bson.errors import InvalidDocument
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DocumentTooLarge,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import RunTroubled
from wqmaster.run import storage
from wqmaster.run.collector.refusals import can_be_about_data, is_about_data
from wqmaster.run.database_link import DatabaseLink
from wqmaster.run.gates import SpoolGate
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.machine_gates import DescriptorGate, DiskGate, raise_descriptor_limit
from wqmaster.run.progress import Progress
from wqmaster.run.storage import StorageGate
from wqmaster.run.upkeep import RunTrouble, Upkeep
from wqmaster.system.locks import LOCK_FILE
from wqmaster.system.passing import can_pass

PASSING = RunTrouble("the database cannot be reached", ErrorCode.DATABASE_UNREACHABLE)
LASTING = RunTrouble("the factory fails", ErrorCode.FACTORY_FAILED, lasts=True)


def test_a_run_waits_unless_it_is_told_not_to() -> None:
    Upkeep().look([PASSING, LASTING], None, now=1e9)


def test_trouble_that_somebody_must_mend_ends_an_impatient_run_at_once() -> None:
    upkeep = Upkeep(exits_on_trouble=True)
    upkeep.look([], None, now=0.0)
    with pytest.raises(RunTroubled) as found:
        upkeep.look([PASSING, LASTING], None, now=1.0)
    assert found.value.code is ErrorCode.FACTORY_FAILED
    assert found.value.exit_code == 3


def test_trouble_that_can_pass_ends_an_impatient_run_only_if_it_lasts() -> None:
    upkeep = Upkeep(exits_on_trouble=True, patience_seconds=100.0)
    for now in (0.0, 99.0):
        upkeep.look([PASSING], None, now=now)
    upkeep.look([], None, now=100.0)
    upkeep.look([PASSING], None, now=101.0)
    upkeep.look([PASSING], None, now=200.0)
    with pytest.raises(RunTroubled) as found:
        upkeep.look([PASSING], None, now=201.0)
    assert found.value.code is ErrorCode.DATABASE_UNREACHABLE


def test_a_hold_with_a_command_ends_an_impatient_run() -> None:
    upkeep = Upkeep(exits_on_trouble=True)
    upkeep.look([], Hold(HoldKind.SPOOL, "full", is_routine=True), now=0.0)
    upkeep.look([], Hold(HoldKind.DISK, "nearly full"), now=1.0)
    hold = Hold(
        HoldKind.BREAKER,
        "all fail",
        "wqmaster resume c.yaml",
        then="trying again in 60 s",
        afterwards="run again",
    )
    assert str(hold).endswith("trying again in 60 s; to go on: wqmaster resume c.yaml")
    with pytest.raises(RunTroubled, match="all fail") as found:
        upkeep.look([], hold, now=2.0)
    assert found.value.code is ErrorCode.RUN_HELD
    # No run is left that could try again or be resumed.
    assert "try" not in found.value.message
    assert "resume" not in found.value.message
    assert found.value.message.endswith("; run again")


def test_a_large_spool_holds_the_run_and_says_so() -> None:
    progress = Progress("test", "memory")
    gate = SpoolGate(progress, max_jobs=10, max_size=5)
    progress.spooled, progress.spooled_bytes = 10, 5 << 20
    assert gate.hold() is None
    progress.spooled_bytes += 1 << 20
    found = gate.hold()
    assert found is not None
    assert (found.kind, found.is_routine) == (HoldKind.SPOOL, False)


def test_while_collectors_are_in_trouble_only_the_size_of_the_spool_counts() -> None:
    progress = Progress("test", "memory")
    trouble = False
    gate = SpoolGate(progress, lambda: trouble, max_jobs=10, max_size=5)
    progress.spooled = 11
    found = gate.hold()
    assert found is not None
    assert found.is_routine
    trouble = True
    assert gate.hold() is None


def test_a_disk_with_too_little_space_holds_the_run(tmp_path: Path) -> None:
    assert DiskGate(tmp_path, 1).hold() is None
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize >> 20
    found = DiskGate(tmp_path, 2 * free).hold()
    assert found is not None
    assert (found.kind, found.command) == (HoldKind.DISK, None)


def test_descriptors_that_run_out_hold_the_run() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
        found = DescriptorGate().hold()
        resource.setrlimit(resource.RLIMIT_NOFILE, (used * 3 + 200, hard))
        assert DescriptorGate().hold() is None
        assert found is not None
        assert found.kind is HoldKind.DESCRIPTORS
        assert raise_descriptor_limit() >= min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_folder_that_is_gone_or_replaced_holds_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / LOCK_FILE).open("w") as lock:
        gone = FileNotFoundError(errno.ENOENT, "no such file", "x")
        gate = StorageGate(folder, "campaign.yaml", lock.fileno())
        assert gate.hold() is None
        assert not gate.struck(gone)  # the folder is there, so something else is wrong
        away = folder.rename(tmp_path / "away")
        assert gate.struck(gone)
        assert "cannot be used" in str(gate.hold())
        folder.mkdir()
        (folder / LOCK_FILE).touch()
        gate = StorageGate(folder, "campaign.yaml", lock.fileno())
        found = gate.hold()
        assert found is not None
        assert found.command is not None
        (folder / LOCK_FILE).unlink()
        folder.rmdir()
        away.rename(folder)
        assert StorageGate(folder, "campaign.yaml", lock.fileno()).hold() is None


def test_a_run_goes_on_as_soon_as_its_folder_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_LOOK_INTERVAL_SECONDS", 0.0)
    folder = tmp_path / "folder"
    folder.mkdir()
    gate = StorageGate(folder)
    away = folder.rename(tmp_path / "away")
    for _ in range(9):
        assert gate.struck(FileNotFoundError(errno.ENOENT, "no such file", "x"))
    assert gate.hold() is not None
    away.rename(folder)
    assert gate.hold() is None


def test_only_repeated_failures_to_write_hold_the_run(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "no space left", "inputs.tar")
    gate = StorageGate(tmp_path)
    assert gate.struck(full)
    assert gate.hold() is None
    assert gate.struck(full)
    found = gate.hold()
    assert found is not None
    assert "no space left" in found.reason
    assert not can_pass(OSError(errno.ENOENT, "no such file"))
    assert not can_pass(ValueError())


def refused(code: int) -> OperationFailure:
    return OperationFailure("refused", code)


def bulk(*codes: int) -> BulkWriteError:
    return BulkWriteError({"writeErrors": [{"index": 0, "code": code} for code in codes]})


@pytest.mark.parametrize(
    ("error", "sure", "possible"),
    [
        (DocumentTooLarge("17 MB"), True, True),
        (InvalidDocument("a key"), True, True),
        (bulk(121), True, True),
        (refused(10334), True, True),
        (refused(99_999), False, True),
        (refused(13), False, False),
        (refused(18), False, False),
        (refused(11600), False, False),
        (refused(14031), False, False),
        (AutoReconnect("lost"), False, False),
        (ServerSelectionTimeoutError("none"), False, False),
        (OSError(errno.ENOSPC, "full"), False, False),
    ],
)
def test_data_is_told_from_a_database_that_is_away(
    error: Exception, sure: bool, possible: bool
) -> None:
    assert (is_about_data(error), can_be_about_data(error)) == (sure, possible)


def test_a_link_notes_why_the_database_cannot_be_used() -> None:
    answers: list[PyMongoError | None] = [AutoReconnect("still away"), None]

    def ping() -> None:
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    link = DatabaseLink(ping)
    assert link.usable()
    with link.bounded():
        raise AutoReconnect("lost")
    trouble = link.trouble()
    assert trouble is not None
    assert (trouble.code, trouble.lasts) == (ErrorCode.DATABASE_UNREACHABLE, False)
    assert not link.usable()  # it is asked only after a pause
    assert len(answers) == 2
    with link.bounded():
        raise refused(13)
    trouble = link.trouble()
    assert trouble is not None
    assert (trouble.code, trouble.lasts) == (ErrorCode.DATABASE_REFUSES, True)
    with link.bounded():
        pass
    assert link.trouble() is None
    with pytest.raises(OperationFailure), link.bounded():
        raise refused(2)  # the query; asking again gives the same answer
