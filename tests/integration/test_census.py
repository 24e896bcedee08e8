"""The census of a campaign's documents in a real database."""

import tracemalloc

import pytest

from tests.conftest import WATER, Campaigns
from wqmaster.campaign.loading import load
from wqmaster.database.documents import Store
from wqmaster.errors import Defect
from wqmaster.offline.census import survey
from wqmaster.recipe.resolving import resolve


def ignored(number: int) -> None:
    """Ignore the progress."""


def test_ctrl_c_ends_the_count_with_the_documents_read_so_far(campaigns: Campaigns) -> None:
    campaigns.documents.insert_many([{"_id": n, **WATER} for n in range(2500)])
    recipe = resolve(load(campaigns.write()))
    store = Store(campaigns.uri, recipe.loaded.campaign)

    def interrupted(number: int) -> None:
        if number == 2000:
            raise KeyboardInterrupt

    census = survey(store, recipe, interrupted)
    store.close()
    assert (census.selected, census.usable, census.complete) == (2000, 2000, False)


@pytest.mark.parametrize("query", [{}, {"xtb.gfn2": None}])
def test_documents_with_a_result_count_if_the_query_selects_them(
    query: dict[str, None], campaigns: Campaigns
) -> None:
    campaigns.insert(
        {"_id": 1, **WATER, "xtb": {"gfn2": {"energy": -5.0}}},
        {"_id": "two", **WATER, "charge": 11},
        {"_id": 3.5, **WATER, "charge": 0.5},
        {"_id": 4, **WATER, "coordinates": [[0.0, 0.0, 0.0]] * 2 + [[0.0, 0.0, 1.0]]},
    )
    recipe = resolve(load(campaigns.write(submit={"query": query})))
    store = Store(campaigns.uri, recipe.loaded.campaign)
    census = survey(store, recipe, ignored)
    store.close()
    assert census.complete
    assert census.usable == (0 if query else 1)
    assert {defect: found.example for defect, found in census.unusable.items()} == {
        Defect.TOO_FEW_ELECTRONS: "two",
        Defect.NOT_WHOLE: 3.5,
        Defect.COINCIDENT_ATOMS: 4,
    }


def test_memory_does_not_grow_with_the_number_of_documents(campaigns: Campaigns) -> None:
    """Only one example of each kind of bad document is kept."""
    bad = [{"_id": f"{n:0100}", "atomic_numbers": [0] * 50} for n in range(20_000)]
    campaigns.documents.insert_many(bad)
    del bad
    recipe = resolve(load(campaigns.write()))
    store = Store(campaigns.uri, recipe.loaded.campaign)
    sizes = []
    tracemalloc.start()
    survey(store, recipe, lambda number: sizes.append(tracemalloc.get_traced_memory()[0]))
    tracemalloc.stop()
    store.close()
    assert len(sizes) == 20
    assert max(sizes[10:]) < 2 * max(sizes[:5])
