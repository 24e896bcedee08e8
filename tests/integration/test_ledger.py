"""The ledger of failed attempts, and the files from which the next attempt starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns
from wqmaster.campaign.loading import load
from wqmaster.database.attempts import Ledger, Rescue
from wqmaster.database.documents import Store
from wqmaster.jobs.molecule import from_document
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.recipe.retry import remedies
from wqmaster.run.building import Builder
from wqmaster.run.feed import Fed
from wqmaster.run.memory_needs import MemoryNeeds
from wqmaster.run.spool import Spool

ONE = {"document": 1, "final": False, "class": "opt_not_converged", "message": "not converged"}


@pytest.fixture
def recipe(campaigns: Campaigns) -> Recipe:
    campaigns.waters(1)
    settings = campaigns.settings()
    settings["campaign_config"]["func_name"] = "wqmaster.tasks.xtb.optimize"
    settings["campaign_config"]["args"] = [{"name": "a"}, {"name": "b"}]
    return resolve(load(campaigns.write(**settings)))


@pytest.fixture
def store(recipe: Recipe) -> Iterator[Store]:
    campaign = recipe.loaded.campaign
    assert campaign.database.uri is not None
    found = Store(campaign.database.uri, campaign)
    found.prepare()
    yield found
    found.close()


def attempt(number: int, step: str | None, **more: Any) -> dict[str, Any]:
    place = {"archive": f"/there/failed/1.{number}/outputs.tar", "number": 0, "step": step}
    return {**ONE, "attempt": number, **place, "molecule": "m", "recipe": "r", **more}


def left(ledger: Ledger) -> dict[str, str]:
    return {step: one.archive[-13] for step, one in ledger.histories([1])["1"].rescues.items()}


def test_each_step_is_rescued_from_the_last_attempt_that_failed_in_it(store: Store) -> None:
    store.ledger.record([attempt(1, "a"), attempt(2, "a"), attempt(3, "b"), attempt(4, None)])
    assert left(store.ledger) == {"a": "2", "b": "3"}


def test_an_archive_is_forgotten_after_its_removal(store: Store) -> None:
    store.ledger.record([attempt(1, "a"), attempt(2, "b")])

    def killed(path: str) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.ledger.discard(killed)
    assert left(store.ledger) == {"a": "1", "b": "2"}
    assert store.ledger.discard(lambda path: "1.1" in path) == 1
    assert left(store.ledger) == {}


def test_a_document_can_fail_again_after_its_attempt_was_cured(store: Store) -> None:
    record = attempt(1, "a", final=True)
    store.ledger.give_up(record)
    store.ledger.cured(1)
    assert store.ledger.by_class() == {}
    store.ledger.give_up({**record, "message": "worse"})
    assert store.ledger.by_class() == {"opt_not_converged": 1}
    [found] = store.ledger.of(1)
    assert (found["message"], "cured" in found) == ("worse", False)


def test_a_failed_document_has_one_final_attempt(store: Store) -> None:
    """A document's steps can be from two attempts; `reparse` can withdraw the results of both."""
    store.ledger.give_up(attempt(2, "a", final=True))
    store.ledger.give_up({**attempt(1, "b", final=True), "class": "parse_error"})
    store.ledger.give_up({**attempt(1, "b", final=True), "document": 2})
    assert store.ledger.by_class() == {"opt_not_converged": 1, "parse_error": 1}
    assert sorted(store.ledger.failed()) == [1, 2]


@pytest.mark.parametrize(
    ("changed", "rescued"),
    [({}, {"a": "1", "b": "2"}), ({"molecule": "other"}, {}), ({"recipe": "other"}, {})],
)
def test_remedies_of_all_steps_start_from_earlier_files_of_the_same_job(
    changed: dict[str, str],
    rescued: dict[str, str],
    recipe: Recipe,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """In the first attempt step a failed; in the second, with a remedy for a, step b failed."""
    [document] = store.get([1])
    molecule = from_document(document, store.campaign.molecule)
    made_of = {"molecule": molecule.fingerprint, "recipe": recipe.hash, **changed}
    store.ledger.record([attempt(1, "a", **made_of), attempt(2, "b", **made_of)])
    spool = Spool(tmp_path)

    def files(one: Rescue) -> dict[str, bytes]:
        return {"from": one.archive[-13].encode()}

    monkeypatch.setattr(spool, "rescued", files)
    entry = Fed(1, 3, molecule, history=store.ledger.histories([1])["1"])
    taken = remedies(recipe.ladders, {"a": ("restart",), "b": ("restart",)})
    found = Builder(recipe, spool, MemoryNeeds(recipe.loaded.campaign)).rescued(
        entry, molecule, taken
    )
    assert {step: left["from"].decode() for step, left in found.items()} == rescued
