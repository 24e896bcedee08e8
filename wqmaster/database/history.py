"""Replaced results, which are moved to a separate collection and never erased."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pymongo import ASCENDING, InsertOne, UpdateOne
from pymongo.database import Database
from pymongo.write_concern import WriteConcern

from wqmaster.campaign.models import Campaign
from wqmaster.database.results import StoredStep
from wqmaster.jobs.molecule import Document


class ResultHistory:
    """The replaced results of one campaign, in the collection `wqmaster.history`.

    Each entry is the result of one step. It has `campaign`, `collection`, `document` (the `_id`),
    `key` (the field that held the result), `step`, `values` (with `_run`), `attempt` and `finished`
    (from `_run`), `replaced` (the time), `why`, and `kept` (the new paths of files that
    `keep_files` had kept).
    """

    def __init__(self, database: Database[Document], campaign: Campaign) -> None:
        self._entries = database["wqmaster.history"].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self._mine = {
            "campaign": campaign.campaign,
            "collection": campaign.database.collection,
            "key": campaign.output_key,
        }

    def prepare(self) -> None:
        """Create the index if it is missing."""
        self._entries.create_index(
            [(name, ASCENDING) for name in ("campaign", "collection", "document", "step")]
        )

    def add(
        self, stored: Sequence[StoredStep], why: str, kept: dict[tuple[Any, str], list[str]]
    ) -> None:
        """Copy results that are about to be removed from their documents.

        `kept` has the new paths of their kept files, keyed by `key_of(_id)` and the step. A
        result that a killed command has already added is not added again.
        """
        now = datetime.now(UTC)
        writes: list[InsertOne[Document] | UpdateOne] = []
        for found in stored:
            entry = {
                **self._mine,
                "document": found.document,
                "step": found.step,
                "attempt": found.run.get("attempt"),
                "finished": found.run.get("finished"),
            }
            rest = {
                "values": found.values,
                "replaced": now,
                "why": why,
                "kept": kept.get((found.key, found.step), []),
            }
            if found.run:
                writes.append(UpdateOne(entry, {"$setOnInsert": rest}, upsert=True))
            else:  # without a `_run`, it cannot be distinguished from another result of this step
                writes.append(InsertOne({**entry, **rest}))
        if writes:
            self._entries.bulk_write(writes, ordered=False)

    def count(self) -> int:
        """The number of replaced results of the campaign."""
        mine = {name: self._mine[name] for name in ("campaign", "collection")}  # as in the index
        return self._entries.count_documents(mine)

    def of(self, document_id: Any) -> list[Document]:
        """The replaced results of a document, oldest first."""
        query = {**self._mine, "document": document_id}
        return list(self._entries.find(query, {"_id": 0}).sort("replaced", ASCENDING))
