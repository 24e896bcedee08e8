"""Who may read the files of a campaign."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.system.private import (
    NOTE,
    Access,
    access_of,
    make_folder,
    open_private,
    set_mode,
    write_private,
)


@pytest.fixture(autouse=True)
def careless() -> Iterator[None]:
    """The umask of a careless user."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def filled(folder: Path) -> Path:
    """A folder as an earlier version left it, readable by everyone."""
    for name in ("spool/returned/t-1", "kept", "mongod/data", "logs"):
        (folder / name).mkdir(parents=True)
    for name in ("lock", "password", "spool/returned/t-1/outputs.tar", "kept/1.out"):
        (folder / name).write_text("x")
    (folder / "logs" / "master.log").write_text("x")
    return folder


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): mode(path) for path in sorted(folder.rglob("*"))}


def test_a_new_folder_is_private_whatever_the_umask(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "new.run", Access(), default=True)
    assert mode(tmp_path / "a" / "new.run") == 0o700
    assert mode(tmp_path / "a" / "new.run" / NOTE) == 0o600


def test_the_folder_of_an_earlier_version_is_tightened(tmp_path: Path) -> None:
    folder = filled(tmp_path / "test.run")
    (folder / "kept" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("mine")
    make_folder(folder, Access(), default=True)
    assert mode(folder) == 0o700
    found = modes(folder)
    assert found.pop("kept/link") == 0o777
    assert {value for value in found.values() if not value & 0o077} == set(found.values())
    assert found["spool/returned/t-1/outputs.tar"] == 0o600
    assert mode(tmp_path / "elsewhere") == 0o666


def test_a_folder_that_the_user_made_keeps_its_mode_but_not_what_wqmaster_made_in_it(
    tmp_path: Path,
) -> None:
    folder = filled(tmp_path / "shared")
    (folder / "thesis").mkdir()
    (folder / "logs" / "master.log").rename(folder / "logs" / "mine.log")
    make_folder(folder, Access(), default=False)
    assert mode(folder) == 0o777
    assert mode(folder / "thesis") == 0o777
    assert mode(folder / "logs") == 0o777
    assert mode(folder / "spool") == 0o700
    assert mode(folder / "spool" / "returned" / "t-1" / "outputs.tar") == 0o600
    assert mode(folder / "mongod") == 0o700
    # Later runs do not look at each file again.
    (folder / "spool").chmod(0o755)
    make_folder(folder, Access(), default=False)
    assert mode(folder / "spool") == 0o755


def test_a_folder_that_was_opened_again_is_tightened_again(tmp_path: Path) -> None:
    folder = tmp_path / "new.run"
    make_folder(folder, Access(), default=True)
    folder.chmod(0o755)
    make_folder(folder, Access(), default=True)
    assert mode(folder) == 0o700


def test_a_group_can_read_results_but_no_secret(tmp_path: Path) -> None:
    folder = filled(tmp_path / "test.run")
    make_folder(folder, Access(os.getegid()), default=True)
    assert mode(folder) == 0o2750
    found = modes(folder)
    assert found["kept/1.out"] == found["logs/master.log"] == 0o640
    assert found["kept"] == found["spool/returned/t-1"] == 0o2750
    assert found["password"] == found["lock"] == 0o600
    assert found["mongod"] == found["mongod/data"] == 0o700
    make_folder(folder, Access(), default=True)
    assert mode(folder) == 0o700
    assert not any(value & 0o077 for value in modes(folder).values())


def test_a_group_that_does_not_exist_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    text = (
        "campaign: test\ngroup: no-such-group-here\ncampaign_config:\n"
        "  func_name: wqmaster.tasks.xtb.singlepoint\n  args: [{name: a}]\n"
    )
    path.write_text(text)
    with pytest.raises(CampaignError) as caught:
        load(path, {})
    assert caught.value.message.startswith(f"{path}:2: there is no group 'no-such-group-here'")


def test_a_group_of_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getgroups", list)
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    with pytest.raises(ValueError, match="you are not in the group 'root'"):
        access_of("root")
    assert access_of(None).umask == 0o077


def test_secrets_and_locks_are_private_whatever_the_umask(tmp_path: Path) -> None:
    write_private(tmp_path / "password", "secret")
    with open_private(tmp_path / "lock", "a+"):
        assert mode(tmp_path / "lock") == mode(tmp_path / "password") == 0o600


def test_the_mode_of_what_a_worker_sent_is_set_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "sent").write_text("x")
    os.umask(0o077)
    for name in ("link", "pipe", "sent", "missing"):
        set_mode(tmp_path / name)
    assert mode(tmp_path / "mine") == 0o666
    assert mode(tmp_path / "sent") == 0o600
