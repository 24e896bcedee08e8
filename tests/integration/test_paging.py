"""The search for documents without a result is interrupted, and finds each of them once."""

from typing import Any

import pytest

from tests.conftest import Campaigns
from wqmaster.database.base import SearchGoesOn
from wqmaster.database.paging import Pages

COUNT = 3000
# Ids of several types, in MongoDB's order; `wanted` ones are few and far between.
WANTED = {0, 1, 700, 701, 2222, COUNT - 1}
# The server takes a millisecond for each document.
SLOW = {"$where": "sleep(1) || this.wanted"}


def test_a_search_among_many_documents_is_interrupted(campaigns: Campaigns) -> None:
    ids: list[Any] = [n if n < 1500 else f"{n:05d}" for n in range(COUNT)]
    campaigns.insert(*({"_id": ids[n], "wanted": n in WANTED} for n in range(COUNT)))
    pages = Pages(campaigns.documents, query_seconds=1.0, first_window=5000)
    found: list[Any] = []
    after: tuple[Any] | None = None
    interruptions = 0
    while True:
        try:
            page = pages.next(SLOW, {"wanted": 1}, after, 2)
        except SearchGoesOn as goes_on:
            interruptions += 1
            after = goes_on.after
            continue
        if not page:
            break
        found += [document["_id"] for document in page]
        after = (page[-1]["_id"],)
    assert found == [ids[n] for n in sorted(WANTED)]
    assert interruptions >= 2


@pytest.mark.parametrize("wanted", [0, 5, 40])
def test_a_quick_search_returns_whole_pages(wanted: int, campaigns: Campaigns) -> None:
    campaigns.insert(*({"_id": n, "wanted": n < wanted} for n in range(50)))
    pages = Pages(campaigns.documents)
    first = pages.next({"wanted": True}, {}, None, 20)
    assert [document["_id"] for document in first] == [*range(min(wanted, 20))]
    if first:
        second = pages.next({"wanted": True}, {}, (first[-1]["_id"],), 20)
        assert [document["_id"] for document in second] == [*range(20, min(wanted, 40))]
