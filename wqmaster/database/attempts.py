"""The ledger of failed attempts: how each attempt ended, and which documents have failed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import json_util
from pymongo import ASCENDING, InsertOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError
from pymongo.write_concern import WriteConcern

from wqmaster.campaign.models import Campaign
from wqmaster.jobs.failures import FailureClass, signature
from wqmaster.jobs.molecule import Document, Molecule, differences, hash_of_fields
from wqmaster.recipe.retry import Past, plan_of

# Names of the document fields, besides the molecule's, that affect the result; None: all fetched
# fields.
Fields = Sequence[str] | None
# How many archives are removed between two updates of the ledger.
_ARCHIVES_AT_ONCE = 100


def key_of(document_id: Any) -> str:
    """A document's `_id` as a string; ids of different types never give the same string."""
    return json_util.dumps(document_id)


@dataclass(frozen=True)
class Rescue:
    """The outputs of a failed attempt, from which a later attempt can continue."""

    archive: str  # path of the failed attempt's outputs.tar
    number: int  # the job's number within its task
    step: str
    molecule: str  # the molecule's fingerprint
    recipe: str  # the recipe's hash


@dataclass(frozen=True)
class Final:
    """An attempt after which its document counted as failed."""

    kind: str  # label of the failure class
    computed: Document  # `molecule` (the fingerprint or None) and `computed` (its parts)
    unusable: str | None = None  # if there was no molecule: hash of the fields that should hold it
    recipe: str | None = None  # the recipe's hash

    def is_of(
        self, document: Document, molecule: Molecule | None, campaign: Campaign, fields: Fields
    ) -> bool:
        """Whether the document still has the molecule of this attempt, or still has none.

        Early versions recorded no hash of unusable fields; any document without a molecule matches
        their entries.
        """
        if molecule is not None:
            known = self.computed["molecule"] is not None
            return known and not any(differences(self.computed, molecule, fields))
        if self.computed["molecule"] is not None:
            return False
        return self.unusable in (None, hash_of_fields(document, campaign.molecule))


@dataclass(frozen=True)
class History:
    """A document's failed attempts."""

    past: tuple[Past, ...] = ()  # all failed attempts, in order
    finals: tuple[Final, ...] = ()  # the final attempts; () if the document has not failed
    # Maps each step to the last attempt that failed in it and whose archive is kept.
    rescues: Mapping[str, Rescue] = field(default_factory=dict)
    archives: Mapping[int, str] = field(default_factory=dict)  # attempt -> path; "" if not kept

    @property
    def attempts(self) -> int:
        """The number of the last failed attempt; 0 if there is none."""
        return self.past[-1].attempt if self.past else 0

    def of(self, recipe: str, molecule: str) -> list[Past]:
        """The attempts with this recipe (a hash) and this molecule (a fingerprint).

        Infrastructure failures are not the molecule's fault, so they count for any molecule.
        """
        return [
            past
            for past in self.past
            if past.recipe == recipe
            and (past.molecule in (None, molecule) or (past.kind is not None and past.kind.again))
        ]


def histories_of(entries: Iterable[Document]) -> dict[str, History]:
    """Each document's history, keyed by `key_of(_id)`; `entries` are in order of attempts."""
    found: dict[str, History] = {}
    for entry in entries:
        key = key_of(entry["document"])
        known = found.get(key, History())
        found[key] = History(
            (*known.past, _past(entry)),
            (*known.finals, _final(entry)) if entry.get("final") else known.finals,
            {**known.rescues, **_rescue(entry)},
            {**known.archives, entry["attempt"]: entry.get("archive") or ""},
        )
    return found


class Ledger:
    """The failed attempts of one campaign, in the collection `wqmaster.failures`."""

    def __init__(self, database: Database[Document], campaign: Campaign) -> None:
        self._failures = database["wqmaster.failures"].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self._mine = {
            "campaign": campaign.campaign,
            "collection": campaign.database.collection,
        }

    def prepare(self) -> None:
        """Create the indexes that are missing."""
        self._failures.create_index(
            [(name, ASCENDING) for name in (*self._mine, "document", "attempt")], unique=True
        )
        self._failures.create_index([(name, ASCENDING) for name in (*self._mine, "final", "class")])

    def by_class(self) -> dict[str, int]:
        """The number of failed documents in each failure class, the largest class first."""
        classes = self._failures.aggregate(
            [
                {"$match": {**self._mine, "final": True}},
                {"$group": {"_id": "$class", "count": {"$sum": 1}}},
                {"$sort": {"count": -1, "_id": 1}},
            ]
        )
        return {entry["_id"]: entry["count"] for entry in classes}

    def failed_otherwise(self, recipe: str) -> int:
        """How many documents failed with another recipe: those that `release` would release."""
        return self._failures.count_documents(self._of_others(recipe))

    def _of_others(self, recipe: str) -> Document:
        return {**self._mine, "final": True, "recipe": {"$ne": recipe}}

    def histories(self, document_ids: Sequence[Any]) -> dict[str, History]:
        """The history of each document that has failed attempts, keyed by `key_of(_id)`."""
        query = {**self._mine, "document": {"$in": list(document_ids)}}
        fields = dict.fromkeys(_OF_HISTORY, 1)
        return histories_of(self._failures.find(query, fields).sort("attempt", ASCENDING))

    def record(self, records: Sequence[Document]) -> None:
        """Record failed attempts; those that are already recorded stay as they are."""
        if not records:
            return
        inserts = [InsertOne({**self._mine, **_dated(record)}) for record in records]
        try:
            self._failures.bulk_write(inserts, ordered=False)
        except BulkWriteError as error:
            others = [e for e in error.details.get("writeErrors", []) if e.get("code") != 11000]
            if others:
                raise

    def give_up(self, record: Document) -> None:
        """Record a failed attempt, in place of an earlier entry for it that is marked as cured.

        The document's other attempts are no longer final, since failed documents are counted by
        their final attempt.
        """
        mine = {**self._mine, "document": record["document"]}
        one = {**mine, "attempt": record["attempt"]}
        self._failures.update_one(
            one, {"$set": {**one, **_dated(record)}, "$unset": {"cured": ""}}, upsert=True
        )
        others = {**mine, "attempt": {"$ne": record["attempt"]}, "final": True}
        self._failures.update_many(others, {"$set": {"final": False}})

    def groups(self, kind: str | None = None) -> list[Document]:
        """The failed documents, grouped by failure class and signature, the largest group first.

        Each group has `class`, `signature`, `count`, `example` (an `_id`) and `message`. With
        `kind`, only documents that failed with this class are counted.
        """
        query: Document = {**self._mine, "final": True}
        if kind is not None:
            query["class"] = kind
        return list(
            self._failures.aggregate(
                [
                    {"$match": query},
                    {
                        "$group": {
                            "_id": {"class": "$class", "signature": "$signature"},
                            "count": {"$sum": 1},
                            "example": {"$min": "$document"},
                            "message": {"$first": "$message"},
                        }
                    },
                    {"$sort": {"count": -1, "_id": 1}},
                    {
                        "$project": {
                            "_id": 0,
                            "class": "$_id.class",
                            "signature": "$_id.signature",
                            "count": 1,
                            "example": 1,
                            "message": 1,
                        }
                    },
                ]
            )
        )

    def of(self, document_id: Any) -> list[Document]:
        """All failed attempts of a document, in order."""
        query = {**self._mine, "document": document_id}
        return list(self._failures.find(query, {"_id": 0}).sort("attempt", ASCENDING))

    def finals(
        self, kinds: Sequence[str], recipe: str, documents: Sequence[Any] | None = None
    ) -> Iterator[Document]:
        """Yield the final attempts that failed with one of these classes and with this recipe.

        `documents` limits this to some documents.
        """
        query: Document = {**self._mine, "final": True, "class": {"$in": list(kinds)}}
        query["recipe"] = recipe
        if documents is not None:
            query["document"] = {"$in": list(documents)}
        yield from self._failures.find(query, {"tail": 0})

    def reopen(self, documents: Sequence[Any]) -> None:
        """Mark these documents as no longer failed, because they were changed."""
        query = {**self._mine, "document": {"$in": list(documents)}, "final": True}
        update = {"$set": {"final": False, "mended": datetime.now(UTC)}}
        self._failures.update_many(query, update)

    def release(self, recipe: str) -> int:
        """Mark documents that failed with another recipe as no longer failed; return how many."""
        update = {"$set": {"final": False, "released": datetime.now(UTC)}}
        return self._failures.update_many(self._of_others(recipe), update).modified_count

    def cured(self, document: Any) -> None:
        """Mark a document as no longer failed, because it now has a result."""
        self._failures.update_many(
            {**self._mine, "document": document, "final": True},
            {"$set": {"final": False, "cured": datetime.now(UTC)}},
        )

    def discard(
        self, remove: Callable[[str], bool], *, kind: str | None = None, document: Any = None
    ) -> int:
        """Remove kept archives and clear their ledger entries; return how many were removed.

        `kind` and `document` limit this to one failure class or one document. `remove` removes an
        archive and returns whether it existed. An entry is cleared only after its archive has been
        removed, so an archive that is left behind by a kill can still be discarded.
        """
        query: Document = {**self._mine, "archive": {"$ne": None}}
        if kind is not None:
            query["class"] = kind
        if document is not None:
            query["document"] = document
        count = 0
        entries = list(self._failures.find(query, {"archive": 1}))
        for start in range(0, len(entries), _ARCHIVES_AT_ONCE):
            part = entries[start : start + _ARCHIVES_AT_ONCE]
            count += sum(remove(entry["archive"]) for entry in part)
            these = {"_id": {"$in": [entry["_id"] for entry in part]}}
            forgotten = {"archive": None, "discarded": datetime.now(UTC)}
            self._failures.update_many(these, {"$set": forgotten})
        return count

    def retry(self, *, kind: str | None = None, document: Any = None) -> int:
        """Let one failed document, or all of a failure class, run again; return how many."""
        query: Document = {**self._mine, "final": True}
        query |= {"class": kind} if kind is not None else {"document": document}
        return self._failures.update_many(query, _retried()).modified_count

    def retry_all(self, documents: Sequence[Any]) -> int:
        """Let the failed ones among these documents run again; return how many."""
        query: Document = {**self._mine, "final": True, "document": {"$in": list(documents)}}
        return self._failures.update_many(query, _retried()).modified_count

    def failed(self, kind: str | None = None) -> Iterator[Any]:
        """Yield the ids of all failed documents, or of those that failed with the class `kind`."""
        query: Document = {**self._mine, "final": True}
        if kind is not None:
            query["class"] = kind
        for entry in self._failures.find(query, {"document": 1}):
            yield entry["document"]

    def attempted(self, kind: str) -> Iterator[Any]:
        """Yield the ids of documents of which an attempt failed with the class `kind`.

        The document itself has not failed by this attempt; ids can occur more than once.
        """
        query: Document = {**self._mine, "final": False, "class": kind}
        for entry in self._failures.find(query, {"document": 1}):
            yield entry["document"]


_OF_HISTORY = (
    *("document", "attempt", "final", "class", "step", "remedy", "retried"),
    *("archive", "number", "molecule", "recipe", "computed", "unusable", "mended", "memory"),
)


def _retried() -> Document:
    return {"$set": {"final": False, "retried": datetime.now(UTC)}}


def _dated(record: Document) -> Document:
    return {**record, "signature": signature(record["message"]), "recorded": datetime.now(UTC)}


def _past(entry: Document) -> Past:
    try:
        kind = FailureClass.of(entry.get("class", ""))
    except KeyError:  # another version of wqmaster has recorded a class that this one lacks
        kind = None
    return Past(
        attempt=entry["attempt"],
        kind=kind,
        step=entry.get("step"),
        remedy=plan_of(entry.get("remedy")),
        retried="retried" in entry or "mended" in entry,
        recipe=entry.get("recipe"),
        molecule=entry.get("molecule"),
        memory=entry.get("memory"),
    )


def _final(entry: Document) -> Final:
    computed = {"molecule": entry.get("molecule"), "computed": entry.get("computed")}
    return Final(entry.get("class", ""), computed, entry.get("unusable"), entry.get("recipe"))


def _rescue(entry: Document) -> dict[str, Rescue]:
    step, archive = entry.get("step"), entry.get("archive")
    if not step or not archive or "number" not in entry:
        return {}
    made_of = (entry.get(name) or "" for name in ("molecule", "recipe"))
    return {step: Rescue(archive, entry["number"], step, *made_of)}
