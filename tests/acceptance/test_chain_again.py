"""`wqmaster reparse` and `rerun` with chains, and geometries that other writers pass on."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_chain import OPT, chain, results
from tests.conftest import Campaigns, Cli

# A user's parsers, which the tests edit: `first` reads the step before the last one.
OWN = """
from wqmaster.errors import ParseError

def first(output):
    {first}

def last(output):
    {last}
"""
LENGTH = "return len(output.text)"
REFUSE = 'raise ParseError("refused")'
MIDDLE = {
    "name": "middle",
    "func_name": "wqmaster.tasks.command.run",
    "geometry": "opt",
    "command": "cat opt.xyz",
    "parsers": ["own.first"],
}
LAST = {**MIDDLE, "name": "last", "parsers": ["own.last"]}


def edit(campaigns: Campaigns, first: str = LENGTH, last: str = LENGTH) -> None:
    (campaigns.folder / "own.py").write_text(OWN.format(first=first, last=last))


def counts(cli: Cli, *words: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("reparse", *words, "--json"))
    return {name: count for name, count in found["counts"].items() if count}


def stored(campaigns: Campaigns) -> list[list[str]]:
    """The steps with a result, for each document."""
    return [sorted(name for name in one if one[name]) for one in results(campaigns).values()]


def reparsed(campaigns: Campaigns, commit: str = "step") -> Path:
    return chain(campaigns, OPT, MIDDLE, LAST, commit=commit, archive={"keep": "all"})


@pytest.mark.parametrize("commit", ["job", "step"])
def test_reparse_cures_the_step_that_failed(campaigns: Campaigns, cli: Cli, commit: str) -> None:
    campaigns.waters(2)
    edit(campaigns, last=REFUSE)
    path = reparsed(campaigns, commit)
    cli("run", path, code=1)
    before = results(campaigns)
    assert stored(campaigns) == ([["middle", "opt"]] * 2 if commit == "step" else [[]] * 2)
    assert counts(cli, path, "--write") == {"still failed": 2}
    assert results(campaigns) == before
    edit(campaigns)
    assert counts(cli, path, "--write") == {"cured": 2}
    assert stored(campaigns) == [["last", "middle", "opt"]] * 2
    assert "no failures" in cli("failures", path)
    assert counts(cli, path) == {"same": 2}


def test_reparse_stores_a_step_that_passes_now_though_a_later_one_still_fails(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    edit(campaigns, first=REFUSE, last=REFUSE)
    path = reparsed(campaigns)
    cli("run", path, code=1)
    assert stored(campaigns) == [["opt"]] * 2
    edit(campaigns, last=REFUSE)
    assert counts(cli, path, "--write") == {"new": 2}
    assert stored(campaigns) == [["middle", "opt"]] * 2
    assert campaigns.failures.count_documents({"final": True}) == 2
    assert counts(cli, path) == {"still failed": 2}


def test_reparse_stores_the_first_step_though_nothing_was_stored(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({"_id": 1})
    edit(campaigns, first=REFUSE, last=REFUSE)
    steps = [{**step, "command": "echo 1"} for step in (MIDDLE, LAST)]
    for step in steps:
        del step["geometry"]
    path = chain(campaigns, *steps, commit="step", archive={"keep": "all"})
    cli("run", path, code=1)
    assert stored(campaigns) == [[]]
    edit(campaigns, last=REFUSE)
    assert counts(cli, path, "--write") == {"new": 1}
    assert stored(campaigns) == [["middle"]]
    edit(campaigns)
    assert counts(cli, path, "--write") == {"cured": 1}
    assert stored(campaigns) == [["last", "middle"]]


def test_reparse_removes_only_what_is_refused_now_with_commit_step(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(2)
    edit(campaigns)
    path = reparsed(campaigns)
    cli("run", path)
    edit(campaigns, first=REFUSE)
    assert counts(cli, path, "--write") == {"now failing": 2}
    assert stored(campaigns) == [["opt"]] * 2
    assert campaigns.failures.count_documents({"step": "middle", "final": True}) == 2
    edit(campaigns)
    assert counts(cli, path, "--write") == {"cured": 2}
    assert stored(campaigns) == [["last", "middle", "opt"]] * 2


def test_a_cured_chain_also_has_its_changed_values(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    edit(campaigns, last=REFUSE)
    path = reparsed(campaigns)
    cli("run", path, code=1)
    [before] = results(campaigns).values()
    edit(campaigns, first="return len(output.text) + 1000")
    assert counts(cli, path, "--write") == {"cured": 1}
    [after] = results(campaigns).values()
    assert after["middle"]["first"] == before["middle"]["first"] + 1000
    assert after["last"]["last"] == before["middle"]["first"]
    assert counts(cli, path) == {"same": 1}


def test_rerun_computes_every_step_of_a_chain_again(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(3)
    edit(campaigns)
    path = chain(campaigns, OPT, MIDDLE, LAST)
    cli("run", path)
    before = results(campaigns)
    cli("rerun", path, "--id", "2")
    assert stored(campaigns) == [["last", "middle", "opt"], [], ["last", "middle", "opt"]]
    moved = list(campaigns.history.find())
    assert sorted(entry["step"] for entry in moved) == ["last", "middle", "opt"]
    assert {entry["document"] for entry in moved} == {2}
    cli("run", path)
    after = results(campaigns)
    assert (after[1], after[3]) == (before[1], before[3])
    for step in ("opt", "middle", "last"):
        assert after[2][step]["_run"]["finished"] > before[2][step]["_run"]["finished"]
    assert after[2]["opt"]["energy"] == pytest.approx(before[2]["opt"]["energy"], abs=1e-9)


def test_a_document_that_has_changed_is_stale_in_every_step(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(2)
    edit(campaigns)
    path = chain(campaigns, OPT, MIDDLE)
    cli("run", path)
    before = results(campaigns)
    campaigns.documents.update_one({"_id": 1}, {"$set": {"coordinates.1.2": 1.2}})
    cli("rerun", path, "--stale")
    assert stored(campaigns) == [[], ["middle", "opt"]]
    cli("run", path)
    after = results(campaigns)
    assert after[2] == before[2]
    assert after[1]["opt"]["_run"]["molecule"] != before[1]["opt"]["_run"]["molecule"]
