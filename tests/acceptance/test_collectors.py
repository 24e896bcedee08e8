"""A bad output costs one job; a database outage costs none."""

import json
from pathlib import Path

import pytest

from tests.conftest import Campaigns, Cli, wait_until
from wqmaster.database.private_server import Mongod


def parsed_by(campaigns: Campaigns, source: str, **changes: object) -> Path:
    """A campaign file that uses a custom parser with this source."""
    (campaigns.folder / "own.py").write_text(source)
    settings = campaigns.settings(**changes)
    settings["campaign_config"]["args"][0]["parsers"] = {"molecule.engrad": ["own.value"]}
    return campaigns.write(**settings)


def trouble(cli: Cli) -> str | None:
    """What the running master reports to be wrong."""
    live = json.loads(cli("status", "--json"))["master"]
    return live["trouble"] if live else None


def test_a_parser_that_kills_its_collector_costs_one_job(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(30)
    path = parsed_by(
        campaigns,
        "import os, signal\n"
        "def value(output):\n"
        # 0.96017 Angstrom in Bohr: only water 17 has this bond length.
        "    if '1.8144583' in output.text: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return 1\n",
        bundle={"size": 4},
    )
    cli("run", path, code=1)
    status = json.loads(cli("status", "--json"))
    assert (status["done"], status["failed"]) == (29, 1)
    assert status["failures"] == {"collector_crash": 1}
    assert campaigns.failures.find_one()["document"] == 17
    assert Path(campaigns.failures.find_one()["archive"]).exists()


def test_a_parser_that_hangs_costs_one_job(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(6)
    path = parsed_by(
        campaigns,
        "import re\n"
        "def value(output):\n"
        "    if '1.8141938' in output.text: re.match('(a+)+b', 'a' * 60)\n"
        "    return 1\n",
    )
    cli("run", path, code=1, env={"WQMASTER_HANG_TIME": "2"})
    assert campaigns.failures.distinct("class") == ["collector_crash"]
    assert campaigns.documents.count_documents({"xtb.gfn2.value": 1}) == 5


def test_a_run_waits_for_collectors_that_cannot_start_and_goes_on_by_itself(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = parsed_by(
        campaigns,
        "import pathlib, sys\n"
        "broken = pathlib.Path(__file__).with_name('broken').exists()\n"
        "if broken and 'wqmaster.run.collector' in ' '.join(sys.orig_argv): sys.exit('not here')\n"
        "def value(output): return 1\n",
    )
    broken = campaigns.folder / "broken"
    broken.touch()
    process = cli.start("run", path, "--quiet")
    wait_until(lambda: "not here" in (trouble(cli) or "") or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    broken.unlink()
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, (output, errors)
    assert campaigns.documents.count_documents({"xtb.gfn2.value": 1}) == 3


def test_collectors_that_cannot_start_end_a_run_that_is_not_to_wait(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(3)
    path = parsed_by(
        campaigns,
        "import sys\n"
        "if 'wqmaster.run.collector' in ' '.join(sys.orig_argv): sys.exit('not here')\n"
        "def value(output): return 1\n",
    )
    cli("run", path, "--exit-on-trouble", code=3)
    assert "no collector is running" in cli.errors
    assert "not here" in cli.errors
    assert len(list((campaigns.folder / "test.run/spool/returned").iterdir())) == 3


def test_a_failed_attempt_that_the_database_refuses_fails_alone(
    campaigns: Campaigns, cli: Cli
) -> None:
    """A validator of the collection refuses one record, and MongoDB the batch as a whole."""
    campaigns.waters(6)
    campaigns.failures.database.create_collection(
        "wqmaster.failures", validator={"message": {"$not": {"$regex": "RuntimeError: bad"}}}
    )
    path = parsed_by(
        campaigns,
        "def value(output):\n"
        "    if '1.8141938' in output.text: raise RuntimeError('bad')\n"
        "    if '1.8141749' in output.text: raise RuntimeError('worse')\n"
        "    return 1\n",
    )
    cli("run", path, code=1)
    assert json.loads(cli("status", "--json"))["failures"] == {"not_stored": 1, "parse_error": 1}
    assert "failed validation" in campaigns.failures.find_one({"class": "not_stored"})["message"]


def test_a_parser_that_prints_does_no_harm(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    path = parsed_by(
        campaigns,
        "import os\nprint('imported', flush=True)\n"
        "def value(output):\n"
        "    print('{\"ended\": 1}', flush=True); os.write(1, b'raw\\n')\n"
        "    return 1\n",
    )
    cli("run", path)
    assert campaigns.documents.count_documents({"xtb.gfn2.value": 1}) == 3


def test_a_parser_that_raises_fails_alone(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    path = parsed_by(
        campaigns,
        "def value(output):\n"
        "    if '1.8141938' in output.text: return {}['block']\n"
        "    return {'a.b': float('nan')} if '1.8141749' in output.text else [1, 2]\n",
    )
    cli("run", path, code=1)
    classes = json.loads(cli("status", "--json"))["failures"]
    assert classes == {"parse_error": 1, "not_finite": 1}


def test_a_result_too_large_for_a_document_fails_alone(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    path = parsed_by(
        campaigns,
        "def value(output):\n    return 'x' * (17 << 20 if '1.8141938' in output.text else 5)\n",
    )
    cli("run", path, code=1)
    assert json.loads(cli("status", "--json"))["failures"] == {"not_stored": 1}


def test_a_result_below_a_field_that_is_null_is_stored(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(4)
    campaigns.documents.update_one({"_id": 2}, {"$set": {"xtb": None}})
    campaigns.documents.update_one({"_id": 3}, {"$set": {"xtb": {"gfn2": None, "other": 7}}})
    campaigns.documents.update_one({"_id": 4}, {"$set": {"xtb": "in the way"}})
    cli("run", campaigns.write(), code=1)
    found = {d["_id"]: d["xtb"] for d in campaigns.documents.find()}
    assert all(found[number]["gfn2"]["energy"] < -5 for number in (1, 2, 3))
    assert found[3]["other"] == 7
    assert found[4] == "in the way"
    assert json.loads(cli("status", "--json"))["failures"] == {"not_stored": 1}


def test_a_database_outage_costs_nothing(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    own = Mongod(tmp_path / "own")
    own.start()
    try:
        other = Campaigns(tmp_path, own.uri)
        other.waters(150)
        master = cli.start("run", other.write(), "--quiet")
        done = {"xtb.gfn2": {"$ne": None}}
        wait_until(lambda: other.documents.count_documents(done) > 20)
        log = tmp_path / "test.run" / "logs" / "master.log"
        own.stop()
        wait_until(lambda: "cannot be reached" in log.read_text())
        own.start()
        output, errors = master.communicate(timeout=120)
        assert master.returncode == 0, (output, errors)
        assert other.documents.count_documents(done) == 150
        assert other.failures.count_documents({}) == 0
        other.close()
    finally:
        own.stop()


def test_secrets_of_the_environment_reach_neither_workers_nor_logs(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    leaked = campaigns.folder / "leaked"
    program = campaigns.folder / "spying-xtb"
    program.write_text(f'#!/bin/sh\nenv >> {leaked}\nexec xtb "$@"\n')
    program.chmod(0o755)
    path = campaigns.write(
        database={"uri": "${SECRET_URI}", "name": campaigns.database},
        software={"xtb": str(program)},
        engine="work_queue",
    )
    secret = campaigns.uri.replace("directConnection=true", "directConnection=true&appName=hush")
    cli("run", path, env={"SECRET_URI": secret})
    assert "HOME=" in leaked.read_text()
    for file in [leaked, *(campaigns.folder / "test.run").rglob("*")]:
        if file.is_file():
            assert b"hush" not in file.read_bytes(), file


@pytest.mark.parametrize("engine", ["local", "work_queue"])
def test_a_program_missing_on_the_workers_is_retried(
    campaigns: Campaigns, cli: Cli, engine: str
) -> None:
    """The run finds `env` at its start, but `env` does not find the program that it should call."""
    campaigns.waters(1)
    path = campaigns.write(engine=engine, software={"xtb": "env /nowhere/xtb"})
    cli("run", path, code=1)
    attempts = list(campaigns.failures.find().sort("attempt"))
    assert [entry["attempt"] for entry in attempts] == [1, 2, 3]
    assert [entry["final"] for entry in attempts] == [False, False, True]
    assert {entry["class"] for entry in attempts} == {"program_missing"}
    assert "/nowhere/xtb" in attempts[0]["message"]
