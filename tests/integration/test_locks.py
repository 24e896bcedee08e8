"""The holder of a lock can be a running process, an ended one, or a later one with its PID."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, wait_until
from wqmaster.campaign.loading import load
from wqmaster.database.documents import Store
from wqmaster.doctor.folder import master
from wqmaster.errors import CampaignLocked
from wqmaster.factory import handle
from wqmaster.system import locks
from wqmaster.system.locks import FolderLock, Held, Holder, holder_of
from wqmaster.system.processes import began, boot, command_line


@pytest.fixture
def other() -> Iterator[int]:
    """A wqmaster process that does nothing."""
    words = [sys.executable, "-c", "import sys; sys.stdin.read()", "wqmaster"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        wait_until(lambda: "wqmaster" in command_line(process.pid))
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def noted(pid: int, *, how: str) -> str:
    """The content of a lock file from the process `pid`, or from an earlier one with this PID."""
    since = began(pid)
    assert since is not None
    return {
        "alone": f"{pid}\n",  # as earlier versions wrote it
        "same": f"{pid} {since}\n",
        "earlier": f"{pid} {since - 60}\n",
    }[how]


def is_this_process(holder: Holder | None) -> bool:
    # The kernel states the boot time in whole seconds, and it can shift by one.
    assert holder is not None
    return (holder.pid, holder.began) == (os.getpid(), pytest.approx(began(os.getpid()), abs=2))


def test_others_read_the_holder_from_the_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("7 another 12\n")
    with locks.take(path) as file:
        locks.note(file)
        assert path.read_text().split()[0] == str(os.getpid())
        assert is_this_process(holder_of(path))
        with pytest.raises(Held, match=f"^process {os.getpid()}$"):
            locks.take(path)
    locks.take(path).close()


@pytest.mark.parametrize("text", ["", "\n", "nobody\n", "12 soon\n"])
def test_an_unreadable_lock_file_has_no_holder(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    assert holder_of(path) is None
    path.write_text(text)
    assert holder_of(path) is None
    with locks.take(path), pytest.raises(Held, match=r"^process unknown$"):
        locks.take(path)


@pytest.mark.parametrize("how", ["alone", "same"])
def test_a_folder_whose_master_runs_is_refused_immediately(
    tmp_path: Path, other: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", pytest.fail)
    with locks.take(tmp_path / "lock"):
        (tmp_path / "lock").write_text(noted(other, how=how))
        assert master(tmp_path) == other
        with pytest.raises(CampaignLocked, match=rf"a master \(process {other}\) is already"):
            FolderLock(tmp_path)


def test_a_process_with_the_pid_of_a_dead_master_is_not_mistaken_for_it(
    tmp_path: Path, other: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead master's collectors hold the lock, and release it while a new master waits."""
    collectors = locks.take(tmp_path / "lock")
    (tmp_path / "lock").write_text(noted(other, how="earlier"))
    assert master(tmp_path) is None
    monkeypatch.setattr(time, "sleep", lambda seconds: collectors.close())
    FolderLock(tmp_path).close()
    assert collectors.closed
    assert is_this_process(holder_of(tmp_path / "lock"))


@pytest.mark.parametrize(("how", "runs"), [("alone", True), ("same", True), ("earlier", False)])
def test_a_process_with_the_pid_of_a_dead_supervisor_is_not_a_factory(
    tmp_path: Path, other: int, how: str, *, runs: bool
) -> None:
    handle.folder_of(tmp_path).mkdir()
    since = noted(other, how=how).split()[1:]
    status: dict[str, Any] = {"pid": other, "boot": boot(), "state": "running"}
    status |= {"began": float(since[0])} if since else {}
    (handle.folder_of(tmp_path) / "status.json").write_text(json.dumps(status))
    found = handle.status(tmp_path)
    assert found is not None
    assert found["running"] is runs


@pytest.mark.parametrize(("how", "runs"), [("alone", True), ("same", True), ("earlier", False)])
def test_a_campaign_is_taken_over_from_a_dead_master_whose_pid_is_in_use(
    campaigns: Campaigns, other: int, how: str, *, runs: bool
) -> None:
    campaigns.waters(1)
    campaign = load(campaigns.write()).campaign
    assert campaign.database.uri is not None
    store = Store(campaign.database.uri, campaign)
    entry = store.presence._campaigns
    try:
        store.presence.lock("first", {})
        since: dict[str, Any] = {"$unset": {"lock.began": 1}}
        if how != "alone":
            since = {"$set": {"lock.began": float(noted(other, how=how).split()[1])}}
        entry.update_one({}, {"$set": {"lock.pid": other}})
        entry.update_one({}, since)
        assert (store.presence.published() is not None) is runs
        if runs:
            with pytest.raises(CampaignLocked, match=f"process {other} on "):
                store.presence.lock("second", {})
        else:
            store.presence.lock("second", {})
            lock = (entry.find_one({}) or {})["lock"]
            assert (lock["owner"], lock["pid"]) == ("second", os.getpid())
            assert lock["began"] == pytest.approx(began(os.getpid()), abs=2)
    finally:
        store.close()
