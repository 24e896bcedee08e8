"""A run that only fails is held, and a task that hangs is named."""

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli, wait_until

CANARY = 10


def status(cli: Cli, path: Path, *options: str) -> Any:
    return json.loads(cli("status", path, *options, "--json"))


def held(cli: Cli, path: Path) -> Any:
    """The status of a run that is held for another reason than normal work, or None."""
    found = status(cli, path)
    hold = (found["master"] or {}).get("hold")
    return found if hold and not hold["is_routine"] else None


@pytest.mark.parametrize("engine", ["local", "taskvine"])
def test_a_program_that_is_broken_everywhere_fails_a_few_documents_only(
    campaigns: Campaigns, cli: Cli, engine: str
) -> None:
    """The program does nothing, like /bin/true, until it is mended."""
    program = campaigns.folder / "some-xtb"
    mended = campaigns.folder / "mended"
    program.write_text(
        f'#!/bin/sh\n[ -e "{mended}" ] || [ "$1" = --version ] || exit 0\n'
        f'exec "{shutil.which("xtb")}" "$@"\n'
    )
    program.chmod(0o755)
    campaigns.waters(60)
    path = campaigns.write(
        engine=engine, software={"xtb": str(program)}, canary={"jobs": CANARY, "stop_share": 0.8}
    )
    master = cli.start("run", path)
    found = wait_until(lambda: held(cli, path))
    hold = found["master"]["hold"]
    assert hold["kind"] == "canary"
    assert hold["command"] == f"wqmaster resume {path}"
    assert "1 host" in hold["reason"]
    assert [one["code"] for one in found["problems"]] == ["campaign-held"]
    [kind] = found["failures"]
    assert f"documents failed with {kind}" in hold["reason"]
    wait_until(lambda: status(cli, path)["failed"] == CANARY)
    # Nothing more is sent, however long it takes.
    beats = status(cli, path)["master"]["jobs_per_second"]
    wait_until(lambda: status(cli, path)["master"]["jobs_per_second"] <= beats)
    assert campaigns.failures.count_documents({}) <= 3 * CANARY
    assert f"held      {CANARY}" in cli("status", path)

    master.send_signal(signal.SIGINT)
    output, _ = master.communicate(timeout=60)
    assert f"documents failed with {kind}" in output
    assert f"to go on: wqmaster resume {path}" in output
    mended.touch()
    # The canary would pass now; the user knows that, and does not wait for it.
    cli("run", path, "--no-canary", code=1)
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 60 - CANARY
    cli("failures", path, "--retry", kind)
    cli("run", path)
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 60


def test_a_program_that_breaks_later_holds_the_run_until_it_is_mended(
    campaigns: Campaigns, cli: Cli
) -> None:
    """The run pauses, tries a few documents from time to time, and goes on by itself."""
    program, broken = campaigns.folder / "some-xtb", campaigns.folder / "broken"
    program.write_text(
        f'#!/bin/sh\n[ -e "{broken}" ] && [ "$1" != --version ] && exit 0\n'
        f'exec "{shutil.which("xtb")}" "$@"\n'
    )
    program.chmod(0o755)
    campaigns.waters(120)
    path = campaigns.write(
        engine="taskvine",
        software={"xtb": str(program)},
        bundle=1,  # a task that is on a worker fails as a whole, however few documents are left
        canary={"jobs": 5},
        breaker={
            "infrastructure": {"verdicts": 20, "stop_share": 0.8},
            "pause": 2,
            "probe": 3,
        },
    )
    master = cli.start("run", path)
    wait_until(lambda: campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) >= 30)
    broken.touch()
    found = wait_until(lambda: held(cli, path))
    assert found["master"]["hold"]["kind"] == "breaker"
    assert "truncated" in found["master"]["hold"]["reason"]
    broken.unlink()
    output, _ = master.communicate(timeout=120)
    done = campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}})
    failed = campaigns.failures.count_documents({"final": True})
    assert done + failed == 120
    assert failed < 60
    assert "test: finished" in output


def test_a_campaign_that_is_smaller_than_the_canary_ends(campaigns: Campaigns, cli: Cli) -> None:
    program = campaigns.folder / "some-xtb"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {shutil.which("xtb")} "$@"\n')
    program.chmod(0o755)
    campaigns.waters(5)
    path = campaigns.write(software={"xtb": str(program)})
    assert "failed               5" in cli("run", path, code=1)


def test_a_held_run_that_is_not_to_wait_names_a_run_that_goes_on(
    campaigns: Campaigns, cli: Cli
) -> None:
    """Once, it named `resume`, which had no run to resume, and the next run was held again."""
    program = campaigns.folder / "some-xtb"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {shutil.which("xtb")} "$@"\n')
    program.chmod(0o755)
    campaigns.waters(20)
    path = campaigns.write(software={"xtb": str(program)}, canary={"jobs": 5})
    cli("run", path, "--exit-on-trouble", code=3)
    assert cli.errors.endswith(f"wqmaster run {path} --no-canary\n")
    assert "resume" not in cli.errors
    assert "failed               20" in cli("run", path, "--no-canary", code=1)


@pytest.mark.parametrize("engine", ["local", "work_queue", "taskvine"])
def test_a_task_that_hangs_is_named(campaigns: Campaigns, cli: Cli, engine: str) -> None:
    """xtb hangs at the only molecule with sulfur until the test lets it go."""
    program, gate = campaigns.folder / "held-xtb", campaigns.folder / "gate"
    program.write_text(
        "#!/bin/sh\n"
        "if grep -q '^ *S' molecule.xyz 2> /dev/null; then\n"
        f'    while [ ! -e "{gate}" ]; do sleep 0.05; done\n'
        "fi\n"
        f'exec "{shutil.which("xtb")}" "$@"\n'
    )
    program.chmod(0o755)
    campaigns.waters(20)
    campaigns.insert(
        {
            "_id": "hangs",
            "atomic_numbers": [16, 1, 1],
            "coordinates": [[0.0, 0.0, 0.1], [0.0, 0.97, -0.8], [0.0, -0.97, -0.83]],
        }
    )
    settings = campaigns.settings(engine=engine, software={"xtb": str(program)})
    settings["campaign_config"]["job_timeout"] = 3600
    path = campaigns.write(**settings)
    master = cli.start("run", path)

    def slow() -> Any:
        found = status(cli, path, "--slow")
        return found if found["master"] and found["master"]["slow"]["count"] else None

    found = wait_until(slow, 120)
    assert found["done"] == 20
    [listed] = found["master"]["slow"]["listed"]
    assert listed["document"] == '"hangs"'
    assert listed["host"] == os.uname().nodename
    assert listed["running_for"] > 3 * listed["expected"]
    assert [one["code"] for one in found["problems"]] == ["tasks-slow"]
    assert '"hangs" on' in cli("status", path, "--slow")
    assert "much slower than expected" in cli("status", path)
    hosts = status(cli, path, "--hosts")["master"]["hosts"]
    assert [one["host"] for one in hosts["listed"]] == [os.uname().nodename]
    assert hosts["listed"][0]["done"] == 20
    assert "1 host, 0 blocked" in cli("status", path, "--hosts")
    gate.touch()
    output, _ = master.communicate(timeout=60)
    assert master.returncode == 0
    assert 'slow: document "hangs" on' in output
    assert "is not running" in cli("status", path, "--slow")
