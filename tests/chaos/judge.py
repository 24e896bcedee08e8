"""Judges a run by what the database recorded, without any code of wqmaster."""

import contextlib
import datetime
import operator
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pymongo.errors import PyMongoError

from tests.chaos.database import Client
from tests.chaos.work import Campaign, right_value, stored_value

COLLECTION = "molecules"


@dataclass
class Verdict:
    """What is wrong with the results; everything is empty if nothing is."""

    lost: list[str] = field(default_factory=list)  # documents without a result
    doubled: list[str] = field(default_factory=list)  # documents whose result was written again
    wrong: list[str] = field(default_factory=list)  # documents with another value
    failed: Counter[str] = field(default_factory=Counter)  # failed attempts by class


class Writes(Protocol):
    """Counts how many times each document's result was written."""

    def look(self) -> None:
        """Take note of new writes."""

    def after(self, moment: float) -> list[float]:
        """When results were committed after `moment`, in order."""

    def counts(self) -> Mapping[str, int]:
        """How many times each document's result was written."""


class Oplog:
    """Counts writes in the oplog of a replica set, no matter what the clients were told."""

    def __init__(self, client: Client, campaigns: Sequence[Campaign]) -> None:
        self._oplog = client["local"]["oplog.rs"]
        self._keys = {one.name: f"{one.database}.{COLLECTION}" for one in campaigns}

    def _query(self, moment: float = 0.0) -> dict[str, Any]:
        since = datetime.datetime.fromtimestamp(moment, datetime.UTC)
        places = {"$in": sorted(set(self._keys.values()))}
        return {"ns": places, "op": "u", "wall": {"$gt": since}}

    def look(self) -> None:
        """Do nothing, since the oplog keeps all writes."""

    def after(self, moment: float) -> list[float]:
        found = self._oplog.find(self._query(moment), sort=[("$natural", 1)])
        return [entry["wall"].timestamp() for entry in found if self._is_result(entry)]

    def _is_result(self, entry: dict[str, Any]) -> bool:
        name = str(entry["o2"]["_id"]).partition("-")[0]
        return touches(entry["o"], name)

    def counts(self) -> Mapping[str, int]:
        found = self._oplog.find(self._query())
        return Counter(str(entry["o2"]["_id"]) for entry in found if self._is_result(entry))


def touches(change: Mapping[str, Any], key: str) -> bool:
    """Whether an entry of the oplog sets or removes something in the field `key`.

    Format: version 2 of MongoDB's update entries (db/update/document_diff_serialization.h), in
    which `u`, `i` and `d` hold updated, inserted and deleted fields, and `sNAME` the changes
    within a field. An entry of another form replaces the whole document.
    """
    diff = change.get("diff")
    if diff is None:
        return True
    fields = {name for kind in ("u", "i", "d") for name in diff.get(kind, ())}
    return key in fields or f"s{key}" in diff


class Watch:
    """Counts changes of results by looking at the documents again and again.

    It serves servers without an oplog. A second write between two looks is seen only if it
    changed something; each result has the time of its job, so that a second job is seen.
    """

    def __init__(self, clients: Mapping[str, Client], campaigns: Sequence[Campaign]) -> None:
        self._clients = clients
        self._campaigns = campaigns
        self._seen: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()
        self._moments: list[float] = []

    def look(self) -> None:
        for campaign in self._campaigns:
            place = self._clients[campaign.name][campaign.database][COLLECTION]
            with contextlib.suppress(PyMongoError):
                for document in place.find(campaign.done):
                    key, result = document["_id"], document[campaign.name]
                    if self._seen.get(key) != result:
                        self._seen[key] = result
                        self._counts[key] += 1
                        self._moments.append(time.time())

    def after(self, moment: float) -> list[float]:
        self.look()
        return [one for one in self._moments if one > moment]

    def counts(self) -> Mapping[str, int]:
        self.look()
        return self._counts


class Judge:
    """Counts results while a run lasts, and judges them at its end."""

    def __init__(
        self,
        campaigns: Sequence[Campaign],
        clients: Mapping[str, Client],
        documents: Mapping[str, Mapping[str, Any]],
        writes: Writes,
    ) -> None:
        self._campaigns = campaigns
        self._clients = clients
        self._documents = documents
        self._writes = writes
        self._done = 0

    def done(self) -> int:
        """How many documents had a result when the database last answered."""
        self._writes.look()
        with contextlib.suppress(PyMongoError):
            self._done = sum(
                self._clients[one.name][one.database][COLLECTION].count_documents(one.done)
                for one in self._campaigns
            )
        return self._done

    @property
    def is_done(self) -> bool:
        """Whether all documents have results."""
        return self.done() >= len(self._documents)

    def recovered(self, moment: float) -> float | None:
        """Seconds from `moment` to the next committed result; None: there is none yet."""
        with contextlib.suppress(PyMongoError):
            found = self._writes.after(moment)
            return found[0] - moment if found else None
        return None

    def longest_pause(self, moment: float, until: float) -> float | None:
        """The longest time without a result between two moments; None if there was no result."""
        found = [one for one in self._writes.after(moment) if one < until]
        return max(map(operator.sub, found, [moment, *found[:-1]])) if found else None

    def verdict(self) -> Verdict:
        """What is wrong with the results."""
        found = Verdict()
        counts = self._writes.counts()
        stored: dict[str, float | None] = defaultdict(lambda: None)
        for campaign in self._campaigns:
            database = self._clients[campaign.name][campaign.database]
            for document in database[COLLECTION].find({"set": campaign.name}):
                stored[document["_id"]] = stored_value(document, campaign)
            for failure in database["wqmaster.failures"].find({"campaign": campaign.name}):
                found.failed[str(failure["class"])] += 1
        for key, asked in self._documents.items():
            value = stored[key]
            if value is None:
                found.lost.append(key)
            elif value != right_value(dict(asked)):
                found.wrong.append(key)
            if counts.get(key, 0) > 1:
                found.doubled.append(key)
            if value is not None and not counts.get(key, 0):
                found.wrong.append(f"{key} (not in the oplog)")
        return found
