"""Results of two recipes never share a key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import ExecutionTimeout

from tests.conftest import Campaigns, Cli
from wqmaster.campaign.loading import load
from wqmaster.database import recipe_guard
from wqmaster.database.documents import Store
from wqmaster.database.results import StatedRecipe
from wqmaster.errors import RecipeMismatch
from wqmaster.recipe.resolving import resolve


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """A campaign with five results from other recipes; the first four share a recipe."""
    campaigns.waters(5)
    for number in range(1, 6):
        run = {"recipe": "other" if number < 5 else "last"}
        campaigns.documents.update_one({"_id": number}, {"$set": {"xtb.gfn2": {"_run": run}}})
    return campaigns.write()


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    loaded = load(path)
    uri = loaded.campaign.database.uri
    assert uri is not None
    found = Store(uri, loaded.campaign)
    yield found
    found.close()


def test_recipes_are_counted_in_all_results_or_in_the_first_ones(store: Store) -> None:
    other, last = StatedRecipe("other", old=True), StatedRecipe("last", old=True)
    assert store.results.recipes(20.0) == {"gfn2": {other: 4, last: 1}}
    assert store.results.recipes(20.0, 2) == {"gfn2": {other: 2}}


def test_if_there_are_too_many_results_the_first_ones_are_compared(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = store.results.recipes

    def slow(seconds: float, first: int | None = None) -> dict[str, dict[StatedRecipe, int]]:
        if first is None:
            raise ExecutionTimeout("too slow")
        return recipes(seconds, first)

    monkeypatch.setattr(store.results, "recipes", slow)
    monkeypatch.setattr(recipe_guard, "_FIRST_RESULTS", 3)
    with pytest.raises(RecipeMismatch, match=r"3 results were made with another recipe \(other"):
        recipe_guard.check(store, resolve(load(path)))


def test_all_results_of_other_recipes_are_counted(store: Store, path: Path) -> None:
    said = r"5 results were made with 2 other recipes, mostly \(other, now"
    with pytest.raises(RecipeMismatch, match=said):
        recipe_guard.check(store, resolve(load(path)))


def test_results_that_do_not_state_their_recipe_are_reported(
    store: Store, path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.documents.update_many({"_id": {"$ne": 5}}, {"$set": {"xtb.gfn2": {"energy": -5.0}}})
    campaigns.documents.update_one({"_id": 5}, {"$set": {"xtb": None}})
    notes = recipe_guard.check(store, resolve(load(path)))
    assert [note.code for note in notes] == ["results-undeclared", "results-incomplete"]
    note, lacking = map(str, notes)
    assert note.endswith("xtb.gfn2: no recipe is recorded for 4 results")
    assert "4 of 4 results of step gfn2 lack 'gradient'" in lacking
    assert note in cli("run", path)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"a": 1}, {"a": 2}, ["a: 1 before, 2 now"]),
        ({"a": 1}, {"a": 1.0}, ["a: 1 before, 1.0 now"]),
        ({"a": 1}, {"a": True}, ["a: 1 before, True now"]),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, ["a[0].c: None before, 2 now"]),
        ({"a": "! PBE\nx"}, {"a": "! BP86\nx"}, ["a: '-! PBE'; '+! BP86'"]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_differences_are_reported(before: Any, now: Any, expected: list[str]) -> None:
    assert list(recipe_guard.differences(before, now)) == expected


def test_a_difference_names_its_step(store: Store, path: Path, campaigns: Campaigns) -> None:
    recipe_guard.note(store, resolve(load(path)))
    stated = resolve(load(path)).steps[-1].hash
    key = "xtb.gfn2._run.recipe"
    campaigns.documents.update_many({"_id": {"$lt": 5}}, {"$set": {key: stated}})
    path.write_text(path.read_text().replace("- name: gfn2", "- name: gfn2\n    gfn: 1"))
    with pytest.raises(RecipeMismatch, match=r"\n  step 'gfn2', gfn: 2 before, 1 now\n"):
        recipe_guard.check(store, resolve(load(path)))


def test_suggested_commands_contain_the_path_of_the_campaign(
    store: Store, path: Path, campaigns: Campaigns
) -> None:
    """Once, a word was replaced in the whole sentence, even within a path such as 'themes'."""
    moved = path.parent / "themes" / "campaign.yaml"
    moved.parent.mkdir()
    moved.write_text(path.read_text())
    notes = recipe_guard.check_parsers(store, resolve(load(moved)), archived=True)
    assert notes
    for note in map(str, notes):
        assert f"wqmaster reparse {moved} --write" in note
        assert f"those without an archive again: wqmaster rerun {moved} --query" in note
