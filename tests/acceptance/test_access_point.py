"""A machine with the name of an OSG access point, and submit files from the command line."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli
from wqmaster.factory.submit_file import MARK

NAME = "ap40.uw.osg-htc.org"
CONDOR = {"type": "condor", "walltime": "9h", "project": "P", "host": "127.0.0.1"}


def on_access_point(cli: Cli, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run `wqmaster WORDS...` where the host has this name."""
    become = f'hostname {NAME} && exec "$@"'
    return subprocess.run(
        ["unshare", "--uts", "sh", "-c", become, "sh", sys.executable, "-m", "wqmaster", *words],
        cwd=cli.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def named() -> None:
    """Skip the test unless this process may give a host another name."""
    done = subprocess.run(
        ["unshare", "--uts", "sh", "-c", f"hostname {NAME} && [ $(hostname) = {NAME} ]"],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("a host cannot be given another name here, which needs root")


@pytest.mark.usefixtures("named")
def test_a_master_on_an_access_point_warns_with_the_reason_and_the_way(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine="local")
    done = on_access_point(cli, "run", path)
    assert done.returncode == 0, done.stderr
    assert f"this is {NAME}, an OSG access point" in done.stdout + done.stderr
    assert "--submit-file" in done.stdout + done.stderr
    found = json.loads(on_access_point(cli, "doctor", "--json", path).stdout)["findings"]
    (one,) = [one for one in found if one["subject"] == "access point"]
    assert (one["state"], one["code"]) == ("warning", "access-point-policy")
    elsewhere = json.loads(cli("doctor", "--json", path, code=(0, 3)))["findings"]
    assert "access point" not in [one["subject"] for one in elsewhere]


def refused(cli: Cli, *words: str | Path, code: int = 2) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("factory", "--json", *words, code=code))
    return found


@pytest.mark.skipif(shutil.which("work_queue_worker") is None, reason="ndcctools is not installed")
def test_a_submit_file_is_written_and_written_again_but_replaces_no_other_file(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine={"type": "work_queue", "port": 9123}, workers=CONDOR)
    made = json.loads(cli("factory", path, "--json", "--submit-file"))
    file = campaigns.folder / "workers.sub"
    assert made["file"] == str(file)
    assert file.read_text().startswith(MARK)
    password = Path(made["files"][-1])
    assert password.read_text().strip() not in file.read_text()
    assert "cannot reach 127.0.0.1, a loopback address" in cli.errors
    cli("factory", path, "--submit-file")
    said = cli("factory", path, "--submit-file", "other.sub")
    assert "condor_submit other.sub" in said
    # Without a FILE, the option takes the campaign's.
    before = path.read_bytes()
    assert refused(cli, path, "--submit-file", path, code=1)["code"] == "file-exists"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("workers", "code"),
    [
        ({**CONDOR, "walltime": "21h"}, "ospool-rule"),
        ({"type": "condor", "host": "127.0.0.1"}, "ospool-rule"),
        ({**CONDOR, "max": 20_000}, "ospool-rule"),
        ({"type": "slurm", "host": "127.0.0.1"}, "campaign-invalid"),
    ],
)
@pytest.mark.skipif(shutil.which("work_queue_worker") is None, reason="ndcctools is not installed")
def test_what_the_rules_do_not_admit_is_refused_and_nothing_is_written(
    campaigns: Campaigns, cli: Cli, workers: dict[str, Any], code: str
) -> None:
    campaigns.waters(1)
    path = campaigns.write(engine={"type": "work_queue", "port": 9123}, workers=workers)
    assert refused(cli, path, "--submit-file")["code"] == code
    assert not (campaigns.folder / "workers.sub").exists()


@pytest.mark.skipif(shutil.which("work_queue_worker") is None, reason="ndcctools is not installed")
def test_a_name_on_osdf_with_changed_content_is_refused(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)

    def write(name: str, digit: str) -> Path:
        url = f"osdf:///ospool/ap40/data/me/{name}"
        xtb = {"command": "bin/xtb", "url": url, "sha256": digit * 64}
        return campaigns.write(
            engine={"type": "work_queue", "port": 9123}, workers=CONDOR, software={"xtb": xtb}
        )

    cli("factory", write("xtb-1.tar.gz", "a"), "--submit-file")
    path = write("xtb-1.tar.gz", "b")
    assert refused(cli, path, "--submit-file")["code"] == "osdf-name-reused"
    found = json.loads(cli("doctor", "--json", path, code=3))["findings"]
    (one,) = [one for one in found if one["subject"] == "OSDF names"]
    assert one["state"] == "wrong"
    cli("factory", write("xtb-2.tar.gz", "b"), "--submit-file")


@pytest.mark.skipif(shutil.which("work_queue_worker") is None, reason="ndcctools is not installed")
def test_a_worker_without_tls_is_wrong_for_a_campaign_with_it(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    engine = {"type": "work_queue", "port": 9123, "ssl": True}
    real = shutil.which("work_queue_worker") or ""
    # A worker that was built without OpenSSL ends if it is given --ssl.
    plain = tmp_path / "plain"
    plain.write_text(f'#!/bin/sh\n[ "$1" != --ssl ] || exit 1\nexec {real} "$@"\n')
    plain.chmod(0o755)
    for worker, state in ((real, "ok"), (str(plain), "wrong")):
        path = campaigns.write(engine=engine, workers={**CONDOR, "worker": worker})
        found = json.loads(cli("doctor", "--json", path, code=(0, 3)))["findings"]
        (one,) = [one for one in found if one["subject"] == "worker's TLS"]
        assert one["state"] == state, one
        assert os.access(worker, os.X_OK)
