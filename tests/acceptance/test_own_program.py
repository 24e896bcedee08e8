"""A program of the user, beside the campaign file, is known everywhere as one of ours is.

The module is that of the guide, docs/adding-a-program.md.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli

# What it computes: a number for each atom. It says when it did not converge, and needs `calm`.
PROGRAM = """\
#!/bin/sh
[ "$1" = --version ] && { echo 'tally version 2.1'; exit 0; }
echo 'TALLY 2.1'
[ "$2" = restless ] && [ ! -e calm ] && { echo 'TALLY: NOT CONVERGED'; exit 0; }
echo "energy: -$(wc -l < "$1")"
echo 'TALLY ENDED'
"""
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-program.md"
MODULE = GUIDE.read_text().partition("```python\n")[2].partition("```")[0]


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """A campaign of a program of the user's, with three molecules."""
    campaigns.waters(3)
    program = campaigns.folder / "tally"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (campaigns.folder / "tallying.py").write_text(MODULE)
    return campaigns.write(**settings(campaigns, "tallying.count"))


def settings(campaigns: Campaigns, function: str, *parsers: str) -> dict[str, Any]:
    found = campaigns.settings(submit={"query": {"tally.first": None}})
    found["campaign_config"] = {
        "func_name": function,
        "args": [{"name": "first", "parsers": list(parsers or ("energy",))}],
        "kwargs": {"mongo_output_key": "tally"},
    }
    found["software"] = {"tally": str(campaigns.folder / "tally")}
    return found


def test_it_is_run_judged_parsed_and_remedied(path: Path, campaigns: Campaigns, cli: Cli) -> None:
    cli("run", path)
    found = [campaigns.documents.find_one({"_id": n})["tally"]["first"] for n in (1, 2, 3)]
    assert [result["energy"] for result in found] == [-5.0, -5.0, -5.0]
    run = found[1]["_run"]
    assert (run["program"], run["program_version"], run["parser_version"]) == ("tally", "2.1", "1")
    assert run["remedy"] == "calm"
    (failure,) = campaigns.failures.find()
    assert (failure["document"], failure["class"]) == (2, "scf_not_converged")


def test_check_smoke_doctor_parse_and_failures_know_it(
    path: Path, campaigns: Campaigns, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("check", path)
    assert "tally 2.1" in cli("smoke", path)
    assert "tally version 2.1" in cli("doctor", path)
    output = campaigns.folder / "a.out"
    output.write_text("TALLY 2.1\nenergy: -5\nTALLY: NOT CONVERGED\n")
    monkeypatch.chdir(campaigns.folder)
    said = cli("parse", "--program", "tallying", output)
    assert "scf_not_converged: tally: it did not converge" in said
    assert "energy" in cli("parse", "--program", "tallying", "--list")
    cli("run", path)
    assert "tally: it did not converge" in cli("failures", path, "--show", "2")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (MODULE.replace("program=PROGRAM", 'program="tally"'), "no program 'tally' is known"),
        (MODULE.replace("def diagnose", "def judge"), "lacks diagnose"),
        (MODULE.replace('VERSION = "1"', ""), "lacks VERSION"),
        (
            MODULE.replace("sys.modules[__name__]", '"no_such_parsers"'),
            "'no_such_parsers' fails to import",
        ),
    ],
)
def test_a_program_that_cannot_be_judged_is_an_error_of_the_campaign_file(
    path: Path, campaigns: Campaigns, cli: Cli, module: str, said: str
) -> None:
    """It passed `check`, and then ended one collector after another."""
    (campaigns.folder / "tallying.py").write_text(module)
    for verb in ("check", "run"):
        cli(verb, path, code=2)
        assert said in cli.errors
        assert f"{path.name}:" in cli.errors


def test_its_parsers_are_its_own(path: Path, campaigns: Campaigns, cli: Cli) -> None:
    for name, said in (
        ("energie", "did you mean"),
        ("wqmaster.parsers.xtb.energy", "it is a parser of xtb, and this step runs tally"),
    ):
        cli("check", campaigns.write(**settings(campaigns, "tallying.count", name)), code=2)
        assert said in cli.errors
