"""All access to MongoDB: pages of documents, commits, failures, lock, status, indexes."""

import contextlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bson import encode, json_util
from bson.errors import BSONError
from pymongo import ASCENDING, InsertOne, MongoClient, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, InvalidURI, PyMongoError
from pymongo.write_concern import WriteConcern

from wqmaster.campaign import Campaign
from wqmaster.errors import BadDocument, CampaignLocked, DatabaseError, StructureError
from wqmaster.failures import signature
from wqmaster.lock import alive, boot
from wqmaster.molecule import from_document

# Seconds without a heartbeat after which a master on another machine counts as dead.
LOCK_TIMEOUT = 60
# Seconds in which a server must be found.
_FIND_TIME = 5
# Codes of MongoDB: a field in the way of a path.
_PATH_NOT_VIABLE = 28
# 16 MB is the limit of a document; a result may not fill it alone.
_MAX_RESULT = 15 << 20

Document = dict[str, Any]


def key_of(document_id: Any) -> str:
    """A document's `_id` as a string that is unique over all types."""
    return json_util.dumps(document_id)


def redacted(uri: str) -> str:
    """`uri` without user and password."""
    return re.sub(r"//.*@", "//...@", uri)


@dataclass(frozen=True)
class Result:
    """What is to be stored for one job: per step, the values and `_run`."""

    document: Any
    steps: Mapping[str, Document]


@dataclass(frozen=True)
class Attempt:
    """What is known of a document's failed attempts."""

    last: int  # number of the last attempt
    final: bool  # whether it was given up


@dataclass(frozen=True)
class Counts:
    """Documents of a campaign."""

    done: int
    failed: int
    undone: int  # the query selects them and they have no result; failed ones among them
    failures: Mapping[str, int]  # class -> documents that were given up


class Store:
    """The database of one campaign.

    Raises:
        DatabaseError: it cannot be reached.
    """

    def __init__(self, uri: str, campaign: Campaign) -> None:
        self.uri = uri
        self.campaign = campaign
        try:
            self._client: MongoClient[Document] = MongoClient(
                uri,
                serverSelectionTimeoutMS=_FIND_TIME * 1000,
                appname="wqmaster",
                tz_aware=True,
                # A document that somebody else wrote badly must not stop a campaign.
                datetime_conversion="DATETIME_AUTO",
                unicode_decode_error_handler="replace",
            )
            self._client.admin.command("ping")
        except (InvalidURI, ValueError):
            # What they say may quote a part of the password.
            raise DatabaseError(
                f"'{redacted(uri)}' is no address of a MongoDB server (database: uri: in the "
                "campaign file); in user and password, the characters /:?#[]@ must be written as "
                "%2F and so on"
            ) from None
        except PyMongoError as error:
            raise DatabaseError(
                f"the database {redacted(uri)} cannot be reached: {_short(error)}; is the server "
                "up, and are 'database: uri:', user and password right?"
            ) from error
        database = self._client[campaign.database.name]
        self.documents = database[campaign.database.collection].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self.failures = database["wqmaster.failures"].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self._campaigns = database["wqmaster.campaigns"]
        self._mine = {
            "campaign": campaign.campaign,
            "collection": campaign.database.collection,
        }
        self._paths = [f"{campaign.output_key}.{step.name}" for step in campaign.steps]

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def prepare(self) -> None:
        """Make the indexes that are missing."""
        self.failures.create_index(
            [(name, ASCENDING) for name in (*self._mine, "document", "attempt")], unique=True
        )
        self.failures.create_index([(name, ASCENDING) for name in (*self._mine, "final", "class")])

    # --- documents ---------------------------------------------------------------------------

    def _undone(self) -> Document:
        missing = [{path: None} for path in self._paths]
        return {"$and": [self.campaign.submit.query, {"$or": missing}]}

    def _done(self) -> Document:
        return {"$and": [{path: {"$ne": None}} for path in self._paths]}

    def _projection(self) -> Document:
        fields = {*self.campaign.molecule.model_dump().values(), *self.campaign.submit.projection}
        # MongoDB refuses a field together with one below it.
        return {
            name: 1
            for name in sorted(fields)
            if not any(name.startswith(f"{other}.") for other in fields)
        }

    def page(self, after: tuple[Any] | None, limit: int) -> list[Document]:
        """The next documents without a result, in the order of `_id`, after the id in `after`.

        `min` on the index of `_id` is used, since `{_id: {$gt: x}}` sees ids of x's type only.
        """
        cursor = (
            self.documents.find(self._undone(), self._projection())
            .sort("_id", ASCENDING)
            .hint([("_id", ASCENDING)])
            .limit(limit + 1)
        )
        if after is not None:
            cursor = cursor.min([("_id", after[0])])
        page = list(cursor)
        if page and after is not None and page[0]["_id"] == after[0]:
            del page[0]
        return page[:limit]

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """Those of the documents that still have no result."""
        query = {"$and": [{"_id": {"$in": list(document_ids)}}, self._undone()]}
        return list(self.documents.find(query, self._projection()))

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """By `key_of` the document: the fingerprint of its molecule as it is now.

        None where it holds no molecule; documents that are gone are left out.
        """
        found: dict[str, str | None] = {}
        query = {"_id": {"$in": list(document_ids)}}
        for document in self.documents.find(query, self._projection()):
            try:
                molecule = from_document(document, self.campaign.molecule)
            except BadDocument:
                found[key_of(document["_id"])] = None
            else:
                found[key_of(document["_id"])] = molecule.fingerprint
        return found

    def selects_nothing(self) -> bool:
        """Whether the query would select no document even if none had a result."""
        key = self.campaign.output_key
        others = {
            name: value
            for name, value in self.campaign.submit.query.items()
            if name != key and not name.startswith(f"{key}.")
        }
        # A condition on results within $or and the like cannot be told from the others.
        return f"{key}." not in str(others) and self.documents.find_one(others, {"_id": 1}) is None

    def one(self, document_id: Any | None) -> Document | None:
        """The document of this id; or the first one without a result, else any that has one."""
        if document_id is not None:
            return self.documents.find_one({"_id": document_id}, self._projection())
        for query in (self._undone(), self.campaign.submit.query, self._done()):
            found = self.documents.find_one(query, self._projection())
            if found is not None:
                return found
        return None

    def counts(self, seconds: float | None = None) -> Counts:
        """Documents done, failed and without a result, as the database has them now.

        Raises:
            ExecutionTimeout: (of pymongo) a count took more than `seconds`.
        """
        bound: dict[str, Any] = {} if seconds is None else {"maxTimeMS": int(seconds * 1000)}
        done = self.documents.count_documents(self._done(), **bound)
        classes = self.failures.aggregate(
            [
                {"$match": {**self._mine, "final": True}},
                {"$group": {"_id": "$class", "count": {"$sum": 1}}},
                {"$sort": {"count": -1, "_id": 1}},
            ]
        )
        failures = {entry["_id"]: entry["count"] for entry in classes}
        undone = self.documents.count_documents(self._undone(), **bound)
        return Counts(done, sum(failures.values()), undone, failures)

    def size(self) -> int:
        """About how many documents the collection has."""
        return self.documents.estimated_document_count()

    def add_documents(self, documents: Sequence[Document], origin: str) -> int:
        """Insert those that are not there yet; how many those were. An error names `origin`.

        Raises:
            StructureError: another document has the same `_id`.
        """
        ids = set()
        for document in documents:
            if key_of(document["_id"]) in ids:
                raise StructureError(
                    f"{origin}: two documents have the _id {document['_id']!r}; nothing of this "
                    "part was imported"
                )
            ids.add(key_of(document["_id"]))
        known = {
            key_of(entry["_id"]): entry
            for entry in self.documents.find({"_id": {"$in": [d["_id"] for d in documents]}})
        }
        for document in documents:
            other = known.get(key_of(document["_id"]), document)
            for name, value in document.items():
                if encode({"v": other.get(name)}) != encode({"v": value}):
                    raise StructureError(
                        f"{origin}: the collection {self.documents.full_name} has another document "
                        f"{document['_id']!r} already ('{name}' differs); nothing of this part was "
                        "imported: choose other ids with --prefix"
                    )
        new = [
            InsertOne(document) for document in documents if key_of(document["_id"]) not in known
        ]
        if new:
            self.documents.bulk_write(new, ordered=False)
        return len(new)

    # --- results -----------------------------------------------------------------------------

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store `results`, each only where there is still none; acknowledged by the journal.

        Returns:
            by `key_of` the document, why its result was refused for good (not in it: stored, now
            or before).

        Raises:
            PyMongoError: the database is not to be reached; nothing is known.
        """
        refused: dict[str, str] = {}
        updates: list[tuple[Result, str, Document]] = []
        for result in results:
            try:
                if len(encode(dict(result.steps))) > _MAX_RESULT:
                    raise ValueError("the result is too large for a document of 16 MB")
            except (BSONError, ValueError, OverflowError, TypeError) as error:
                refused[key_of(result.document)] = str(error)
                continue
            updates += [(result, name, values) for name, values in result.steps.items()]
        if not updates:
            return refused
        try:
            matched = self.documents.bulk_write(
                [self._update(*update) for update in updates], ordered=False
            ).matched_count
        except BulkWriteError as error:
            matched = error.details.get("nMatched", 0)
            for found in error.details.get("writeErrors", []):
                update = updates[found["index"]]
                if found.get("code") != _PATH_NOT_VIABLE or not self._in_place_of_null(*update):
                    refused[key_of(update[0].document)] = str(found.get("errmsg"))[:500]
        if matched < len(updates):
            refused |= self._gone(results, refused)
        return refused

    def _update(self, result: Result, step: str, values: Document) -> UpdateOne:
        path = f"{self.campaign.output_key}.{step}"
        return UpdateOne({"_id": result.document, path: None}, {"$set": {path: values}})

    def _in_place_of_null(self, result: Result, step: str, values: Document) -> bool:
        """Store below a field that is null, which MongoDB does not do by itself."""
        names = [*self.campaign.output_key.split("."), step]
        for depth in range(1, len(names)):
            path, nested = ".".join(names[:depth]), values
            for name in reversed(names[depth:]):
                nested = {name: nested}
            if self.documents.update_one(
                {"_id": result.document, path: {"$type": "null"}}, {"$set": {path: nested}}
            ).matched_count:
                return True
        try:
            update = self._update(result, step, values)
            self.documents.bulk_write([update])
        except BulkWriteError:
            return False
        return True

    def _gone(self, results: Sequence[Result], refused: Mapping[str, str]) -> dict[str, str]:
        """Results whose documents were removed in the meantime."""
        wanted = {key_of(r.document): r.document for r in results}
        there = self.documents.find({"_id": {"$in": list(wanted.values())}}, {"_id": 1})
        missing = set(wanted) - {key_of(entry["_id"]) for entry in there} - set(refused)
        return dict.fromkeys(missing, "the document is no longer in the collection")

    # --- failures ----------------------------------------------------------------------------

    def attempts(self, document_ids: Sequence[Any]) -> dict[str, Attempt]:
        """What failed before, by `key_of` the document."""
        found: dict[str, Attempt] = {}
        query = {**self._mine, "document": {"$in": list(document_ids)}}
        for entry in self.failures.find(query, {"document": 1, "attempt": 1, "final": 1}):
            key = key_of(entry["document"])
            known = found.get(key, Attempt(0, False))
            found[key] = Attempt(
                max(known.last, entry["attempt"]), known.final or entry.get("final", False)
            )
        return found

    def record_failures(self, records: Sequence[Document]) -> None:
        """Note failed attempts; those that were noted before are left as they are."""
        if not records:
            return
        now = datetime.now(UTC)
        inserts = [
            InsertOne(
                {
                    **self._mine,
                    **record,
                    "signature": signature(record["message"]),
                    "recorded": now,
                }
            )
            for record in records
        ]
        try:
            self.failures.bulk_write(inserts, ordered=False)
        except BulkWriteError as error:
            others = [e for e in error.details.get("writeErrors", []) if e.get("code") != 11000]
            if others:
                raise

    def failure_groups(self) -> list[Document]:
        """Given-up documents by class and signature: `class`, `signature`, `count`, `example`."""
        return list(
            self.failures.aggregate(
                [
                    {"$match": {**self._mine, "final": True}},
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

    def failures_of(self, document_id: Any) -> list[Document]:
        """All failed attempts of a document, the first one first."""
        query = {**self._mine, "document": document_id}
        return list(self.failures.find(query, {"_id": 0}).sort("attempt", ASCENDING))

    def retry(self, *, kind: str | None = None, document: Any = None) -> int:
        """Let given-up documents run again: those of a class, or one; how many they are."""
        query: Document = {**self._mine, "final": True}
        query |= {"class": kind} if kind is not None else {"document": document}
        update = {"$set": {"final": False, "retried": datetime.now(UTC)}}
        return self.failures.update_many(query, update).modified_count

    # --- lock and status ---------------------------------------------------------------------

    def lock(self, token: str, status: Mapping[str, Any]) -> None:
        """Take the campaign for the master `token`, and publish its first status.

        Raises:
            CampaignLocked: a living master has it.
        """
        name = self.campaign.campaign
        mine = {"owner": token, "host": socket.gethostname(), "pid": os.getpid(), "boot": boot()}
        with contextlib.suppress(DuplicateKeyError):
            self._campaigns.update_one({"_id": name}, {"$setOnInsert": {"lock": None}}, upsert=True)
        free: list[Document] = [
            {"lock": None},
            {
                "$expr": {
                    "$lt": [
                        "$lock.heartbeat",
                        {"$subtract": ["$$NOW", LOCK_TIMEOUT * 1000]},
                    ]
                }
            },
        ]
        holder = ((self._campaigns.find_one({"_id": name}) or {}).get("lock")) or {}
        if holder and holder.get("boot") == mine["boot"] and not alive(holder.get("pid", 0)):
            free.append({"lock.owner": holder["owner"]})
        taken = self._campaigns.update_one(
            {"_id": name, "$or": free},
            [
                {
                    "$set": {
                        "lock": {**mine, "heartbeat": "$$NOW"},
                        "status": {"$literal": dict(status)},
                    }
                }
            ],
        )
        if not taken.matched_count:
            raise CampaignLocked(
                f"another master (process {holder.get('pid')} on {holder.get('host')}) is running "
                f"the campaign '{name}' on {self.documents.full_name}; see 'wqmaster status', stop "
                f"that one first, or wait {LOCK_TIMEOUT} s if its machine is gone"
            )

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Keep the lock, and publish the master's counts.

        Raises:
            CampaignLocked: another master has taken it.
        """
        kept = self._campaigns.update_one(
            {"_id": self.campaign.campaign, "lock.owner": token},
            [{"$set": {"lock.heartbeat": "$$NOW", "status": {"$literal": dict(status)}}}],
        )
        if not kept.matched_count:
            raise CampaignLocked(
                f"another master has taken the campaign '{self.campaign.campaign}' from this one; "
                "this one stops, what it has spooled is kept"
            )

    def unlock(self, token: str) -> None:
        """Give the campaign free."""
        self._campaigns.update_one(
            {"_id": self.campaign.campaign, "lock.owner": token}, {"$set": {"lock": None}}
        )

    def published(self) -> Document | None:
        """What a living master last published, with `master` (host, pid); None if there is none."""
        entry = self._campaigns.find_one(
            {
                "_id": self.campaign.campaign,
                "$expr": {
                    "$gt": ["$lock.heartbeat", {"$subtract": ["$$NOW", LOCK_TIMEOUT * 1000]}]
                },
            }
        )
        if entry is None or not entry.get("lock"):
            return None
        lock = entry["lock"]
        if lock.get("boot") == boot() and not alive(lock.get("pid", 0)):
            return None
        return {**entry.get("status", {}), "master": {"host": lock["host"], "pid": lock["pid"]}}


def _short(error: Exception) -> str:
    """The first words of an error of pymongo, which tells its whole topology."""
    return re.split(r", Timeout: |, Topology Description", str(error))[0][:300]
