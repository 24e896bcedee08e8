"""No one else can read the files of a campaign, and no secret is where others can see it."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import processes_of
from tests.conftest import WATER, Campaigns, Cli, wait_until


@pytest.fixture
def careless() -> Iterator[None]:
    """The umask of a careless user, for the commands that the test starts."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    """What others could read or change below `folder`, links and sockets aside."""
    found = []
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and mode & 0o077:
            found.append(f"{path.relative_to(folder)} {stat.S_IMODE(mode):o}")
    return found


def holding(folder: Path, secret: str) -> list[str]:
    """The files below `folder` that contain `secret`."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return [str(path.relative_to(folder)) for path in files if secret.encode() in path.read_bytes()]


def test_a_run_leaves_no_file_open_and_no_secret_in_sight(
    campaigns: Campaigns, cli: Cli, careless: None
) -> None:
    step = {"name": "gfn2", "parsers": ["energy"], "keep_files": {"stdout": "{id}.out"}}
    config = {"func_name": "wqmaster.tasks.xtb.singlepoint", "args": [step]}
    path = campaigns.write(campaign_config=config, database={}, submit={}, engine="taskvine")
    (cli.folder / "two.extxyz").write_text(
        "1\nProperties=species:S:1:pos:R:3 multiplicity=2\nH 0 0 0\n"
        "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 0.74\n"
    )
    folder = cli.folder / "test.run"
    said = [cli("import", path, "two.extxyz")]
    secret = (folder / "mongod" / "secret").read_text().strip()
    running = cli.start("run", path)
    seen: set[str] = set()

    def ended() -> bool:
        seen.update(processes_of(cli.folder).values())
        return running.poll() is not None

    wait_until(ended)
    said += running.communicate()
    assert running.returncode in (0, 1)
    assert any("vine_worker" in line for line in seen)
    said += [cli("status", path), cli("view", path, code=(0, 2)), cli("failures", path)]
    said.append(cli("doctor", path, "--json", code=(0, 1, 2, 3)))
    password = (folder / "password").read_text()
    for hidden in (secret, password):
        assert not [line for line in seen if hidden in line]
        assert not [text for text in said if hidden in text]
    assert open_to_others(folder) == []
    assert len(list((folder / "kept").iterdir())) == 2
    assert set(holding(folder, secret)) == {"mongod/secret"}
    assert set(holding(folder, password)) == {"password"}
    cli("db", "start", path)
    try:
        address = json.loads(cli("db", "url", path, "--json"))["uri"]
        assert secret in address
    finally:
        cli("db", "stop", path)


@pytest.mark.parametrize("verb", ["run", "serve"])
def test_several_campaigns_leave_no_file_open(
    campaigns: Campaigns, cli: Cli, careless: None, verb: str
) -> None:
    campaigns.insert({"_id": 1, **WATER})
    step = {"name": "one", "command": "echo 1", "parsers": ["number"]}
    config = {"func_name": "wqmaster.tasks.command.run", "args": [step]}
    folder = cli.folder
    for name in ("a", "b"):
        shared = {"campaign": name, "campaign_config": config, "engine": "taskvine"}
        submit = {"query": {f"{name}.one": None}}
        text = campaigns.write(**shared, submit=submit, workers={"count": 1}).read_text()
        (folder / f"{name}.yaml").write_text(text)
    files = [folder / "a.yaml", folder / "b.yaml"]
    if verb == "run":
        cli("run", *files)
    else:
        serving = cli.start("serve", *files)
        wait_until(
            lambda: all(campaigns.documents.find_one({f"{n}.one": {"$ne": None}}) for n in "ab")
        )
        serving.send_signal(signal.SIGTERM)
        said = serving.communicate(timeout=120)
        assert serving.returncode == 0, said[1]
    assert (folder / "a.run" / "service" / "logs").is_dir()
    assert open_to_others(folder / "a.run") == open_to_others(folder / "b.run") == []
