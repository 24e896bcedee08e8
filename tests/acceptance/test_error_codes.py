"""With --json, an error is an object with a stable code; the message stays on standard error."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli
from wqmaster.engines.choosing import why_not

WORDS = ["code", "message"]


def error(cli: Cli, *words: str | Path, code: int = 2) -> dict[str, Any]:
    """The error that `wqmaster WORDS... --json` prints; standard error must have its message."""
    found: dict[str, Any] = json.loads(cli(*words, "--json", code=code))
    assert found["message"] in cli.errors
    return found


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "campaign-not-found"),
        ("a: [", "campaign-not-yaml"),
        ("- a", "campaign-not-yaml"),
        ("campaign: ${WQMASTER_TEST_UNSET}", "variable-not-set"),
        ("campaign: water", "campaign-invalid"),
    ],
)
def test_errors_of_the_campaign_file_have_codes(
    tmp_path: Path, cli: Cli, text: str | None, code: str
) -> None:
    if text is not None:
        (tmp_path / "campaign.yaml").write_text(text)
    found = error(cli, "status")
    assert list(found) == WORDS
    assert found["code"] == code


@pytest.mark.parametrize("wrong", [{"xc": "b3lpy"}, {"basis": "def2-spv"}, {"solvent": "watr"}])
def test_a_name_that_pyscf_does_not_know_is_refused_before_anything_runs(
    campaigns: Campaigns, cli: Cli, wrong: dict[str, str]
) -> None:
    campaigns.waters(1)
    step = {"name": "dft", "xc": "b3lyp", "basis": "def2-svp", "parsers": ["energy"], **wrong}
    config = {"func_name": "wqmaster.tasks.pyscf.singlepoint", "args": [step]}
    path = campaigns.write(campaign_config=config, submit={"query": {"test.dft": None}})
    assert error(cli, "check", path)["code"] == "campaign-invalid"
    assert "did you mean" in cli.errors
    cli("run", path, code=2)
    assert campaigns.failures.count_documents({}) == 0


def test_errors_of_the_command_line_have_codes(cli: Cli) -> None:
    assert error(cli, "status", "--nonsense")["code"] == "usage"
    assert error(cli, "rerun")["code"] == "usage"
    assert cli("status", "--nonsense", code=2) == ""


def test_errors_of_documents_have_codes(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write()
    assert error(cli, "check", path)["code"] == "collection-empty"
    campaigns.insert({"_id": "water", **WATER})
    assert error(cli, "smoke", path, "--id", "nobody")["code"] == "document-not-found"
    assert error(cli, "rerun", path, "--id", "nobody")["code"] == "document-not-found"
    assert error(cli, "rerun", path, "--query", '{"$bad": 1}')["code"] == "query-refused"
    assert error(cli, "failures", path, "--retry", "nothing")["code"] == "failure-not-found"
    for words in (["failures", path, "--retry", "water"], ["retry", path, "water"]):
        assert json.loads(cli(*words, "--json"))["retried"] == 0
    assert error(cli, "retry", path, "nothing")["code"] == "document-not-found"
    assert error(cli, "failures", path, "--discard", "nothing")["code"] == "archive-not-kept"
    assert error(cli, "db", "stop", path)["code"] == "database-not-private"
    path = campaigns.write(submit={"query": {"_id": "nobody"}})
    assert error(cli, "check", path)["code"] == "nothing-matches"


def test_a_result_contains_the_error_that_ends_the_command(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({"_id": "bad"})
    found = json.loads(cli("check", campaigns.write(), "--json", code=1))
    assert found["molecules"]["usable"] == 0
    assert found["error"]["code"] == "document-unusable"
    assert found["error"]["message"] in cli.errors


def test_errors_of_files_have_codes(campaigns: Campaigns, cli: Cli) -> None:
    path = campaigns.write()
    assert error(cli, "import", path, "nothing.xyz")["code"] == "structures-not-found"
    (cli.folder / "a.nonsense").write_text("")
    assert error(cli, "import", path, "a.nonsense")["code"] == "format-unknown"
    found = error(cli, "parse", "nothing.out", "--program", "xtb")
    assert (found["code"], found["file"]) == ("output-unreadable", "nothing.out")
    assert error(cli, "parse", "x", "--program", "xbt")["code"] == "program-unknown"


def test_findings_of_the_doctor_have_codes(tmp_path: Path, cli: Cli) -> None:
    findings = json.loads(cli("doctor", "nothing.yaml", "--json", code=2))["findings"]
    assert findings[0]["code"] == "campaign-not-found"
    assert all((finding["code"] is None) == (finding["state"] == "ok") for finding in findings)


@pytest.mark.skipif(why_not("work_queue") is not None, reason="ndcctools is not installed")
def test_a_port_in_use_has_a_code(campaigns: Campaigns, cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        path = campaigns.write(engine={"type": "work_queue", "port": taken.getsockname()[1]})
        found = json.loads(cli("doctor", path, "--json", code=3))["findings"]
    (port,) = [finding for finding in found if finding["subject"] == "port"]
    assert port["code"] == "port-in-use"
