"""A run on a large collection compares results with their documents while it computes."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli, wait_until
from wqmaster.campaign.loading import load
from wqmaster.recipe.resolving import resolve
from wqmaster.run.collector.configured import configuration
from wqmaster.run.guard import Guard
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.progress import Progress

# More documents than are compared before a run begins.
COUNT = 10_050


@pytest.fixture
def path(campaigns: Campaigns, cli: Cli) -> Path:
    """A campaign in which the result of one water molecule is that of `COUNT` documents."""
    campaigns.insert({**WATER, "_id": 0})
    found = campaigns.write()
    cli("run", found)
    document = campaigns.documents.find_one({"_id": 0})
    assert document is not None
    campaigns.insert(*({**document, "_id": number} for number in range(1, COUNT)))
    return found


def edit(campaigns: Campaigns, document: int) -> None:
    """Change a document after its result was computed."""
    campaigns.documents.update_one({"_id": document}, {"$set": {"charge": 1, "multiplicity": 2}})


def status(cli: Cli, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", path, "--json"))
    return found


def guard(path: Path, uri: str | None = None) -> tuple[Guard, Progress]:
    recipe = resolve(load(path))
    loaded = recipe.loaded
    progress = Progress("test", "local")
    uri = uri or loaded.campaign.database.uri
    assert uri is not None
    return Guard(loaded, configuration(loaded, uri, recipe.hash), progress), progress


def test_a_run_is_held_once_stale_results_are_found(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    edit(campaigns, COUNT - 1)
    assert status(cli, path)["stale"] is None
    assert f"stale     not compared ('wqmaster check {path}'" in cli("status", path)
    process = cli.start("run", path, "--watch")
    held = wait_until(lambda: (status(cli, path)["master"] or {}).get("hold"))
    assert held["kind"] == "stale"
    text = cli("status", path)
    assert "1 of the first 10,050 documents was changed after the results in xtb" in text
    assert f"for example document {COUNT - 1}: charge: 0 when computed, 1 now; " in text
    assert f"wqmaster rerun {path} --stale; to go on: wqmaster resume {path}" in text
    found = status(cli, path)
    assert (found["stale"], found["stale_survey"]["checked"]) == (1, COUNT)
    assert "campaign-held" in [problem["code"] for problem in found["problems"]]

    cli("rerun", path, "--stale")
    assert "resumed: the hold 'stale' has ended" in cli("resume", path)
    new = {"_id": COUNT - 1, "xtb.gfn2._run.computed.charge": 1}
    wait_until(lambda: campaigns.documents.find_one(new))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    # The next run finds nothing.
    with guard(path)[0] as again:
        wait_until(lambda: again.hold() is None and again.is_over)
    assert again.hold() is None


def test_a_run_that_ends_first_reports_what_it_has_not_compared(path: Path) -> None:
    begun, progress = guard(path)
    with begun:
        pass
    [note] = progress.notes
    assert note == (
        "the results were not compared with their documents: the run ended first; to compare all: "
        f"wqmaster check {path}"
    )


def test_a_guard_that_cannot_work_is_reported(path: Path) -> None:
    begun, progress = guard(path, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100")
    with begun:
        wait_until(lambda: begun.hold() is None and progress.notes)
    [note] = progress.notes
    assert note.startswith("the results were not compared with their documents: the process that")
    assert "127.0.0.1:1" in note
    assert "guard.err" in note


def test_values_that_results_lack_are_reported(path: Path, campaigns: Campaigns) -> None:
    campaigns.documents.update_one({"_id": 7}, {"$unset": {"xtb.gfn2.gradient": ""}})
    begun, progress = guard(path)
    with begun:
        wait_until(lambda: begun.hold() is None and progress.notes)
    [note] = progress.notes
    assert note.startswith(f"1 of {COUNT:,} results of step gfn2 lacks 'gradient'")


def test_a_hold_is_released_only_after_it_was_seen(path: Path, campaigns: Campaigns) -> None:
    edit(campaigns, 1)
    begun, _ = guard(path)
    with begun:
        begun.release()
        hold: Hold = wait_until(begun.hold)
        assert hold.kind is HoldKind.STALE
        assert hold.reason.startswith("1 of the first ")
        begun.release()
        assert begun.hold() is None


def test_stale_results_that_nobody_mended_are_reported_at_the_end(
    path: Path, campaigns: Campaigns
) -> None:
    edit(campaigns, 1)
    begun, progress = guard(path)
    with begun:
        wait_until(begun.hold)
    assert "was changed after the results in xtb were computed" in progress.notes[-1]
