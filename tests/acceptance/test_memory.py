"""`resources: {memory: auto}`: jobs that need more than they have are ended and run again."""

import json
import shutil
import signal
import sys
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli, wait_until

# Computes with xtb, then holds 40 MB for each atom for two seconds.
HUNGRY = """#!/bin/sh
[ "$1" = --version ] && exec {xtb} "$@"
read -r atoms < molecule.xyz
{xtb} "$@" || exit
{python} -c "import time; held = b'x' * (40 * $atoms << 20); time.sleep(2)"
"""
WATER = [[0.0, 0.0, 0.1], [0.0, 0.76, -0.5], [0.0, -0.76, -0.5]]


def hungry_xtb(campaigns: Campaigns) -> dict[str, str]:
    """The `software:` key of a campaign that uses this xtb."""
    program = campaigns.folder / "hungry-xtb"
    program.write_text(HUNGRY.format(xtb=shutil.which("xtb"), python=sys.executable))
    program.chmod(0o755)
    return {"xtb": str(program)}


def insert_waters(campaigns: Campaigns, name: str, count: int) -> None:
    """A document with a row of water molecules."""
    campaigns.insert(
        {
            "_id": name,
            "atomic_numbers": [8, 1, 1] * count,
            "coordinates": [[x + 3.0 * place, y, z] for place in range(count) for x, y, z in WATER],
        }
    )


@pytest.mark.parametrize("engine", ["local", "work_queue", "taskvine"])
def test_a_job_that_needs_more_memory_is_ended_and_gets_more(
    campaigns: Campaigns, cli: Cli, engine: str
) -> None:
    for number in range(3):
        insert_waters(campaigns, f"small-{number}", 1)
    insert_waters(campaigns, "large", 3)  # needs 360 MB
    path = campaigns.write(
        engine=engine,
        software=hungry_xtb(campaigns),
        resources={"memory": {"first": "200MB"}},
    )
    master = cli.start("run", path, "--watch")

    def status() -> Any:
        return json.loads(cli("status", path, "--json"))

    found = wait_until(lambda: (one := status())["done"] == 4 and one, 120)
    assert (found["failed"], found["master"]["memory"]["killed"]) == (0, 1)
    assert 1 < found["master"]["memory"]["asked_by_used"] < 2
    said = cli("status", path)
    assert "memory    1 job needed more than it had, tasks ask for 1." in said
    master.send_signal(signal.SIGINT)
    master.communicate(timeout=60)
    [failed] = campaigns.failures.find()
    assert (failed["document"], failed["class"], failed["final"]) == ("large", "memory", False)
    assert failed["memory"] == 200
    run = campaigns.documents.find_one({"_id": "large"})["xtb"]["gfn2"]["_run"]
    assert run["remedy"] == "memory_2x"


def test_a_job_that_always_needs_more_fails_after_a_few_attempts(
    campaigns: Campaigns, cli: Cli
) -> None:
    insert_waters(campaigns, "large", 4)  # needs 480 MB
    path = campaigns.write(
        engine="local",
        software=hungry_xtb(campaigns),
        resources={"memory": {"min": 50, "first": 110, "max": 300}},
    )
    cli("run", path, code=1)
    failed = list(campaigns.failures.find().sort("attempt", 1))
    assert [one["class"] for one in failed] == ["memory"] * 3
    assert [one["memory"] for one in failed] == [110, 220, 300]
    assert [one["final"] for one in failed] == [False, False, True]
    assert "more than the 300 MB that it had" in failed[-1]["message"]


def test_a_fixed_number_ends_nothing_unless_that_is_asked_for(
    campaigns: Campaigns, cli: Cli
) -> None:
    insert_waters(campaigns, "large", 3)
    settings = {"engine": "local", "software": hungry_xtb(campaigns), "remedies": False}
    path = campaigns.write(**settings, resources={"memory": {"size": 100, "enforce": True}})
    cli("run", path, code=1)
    assert [one["class"] for one in campaigns.failures.find()] == ["memory"]
    path = campaigns.write(**settings, resources={"memory": 100})
    cli("failures", path, "--retry", "memory")
    cli("run", path)
    assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 1
