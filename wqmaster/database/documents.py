"""The database of a campaign: pages of its documents, counts, recipes, imports."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import json_util
from pymongo import ASCENDING, InsertOne, MongoClient
from pymongo.errors import BulkWriteError, InvalidURI, PyMongoError
from pymongo.write_concern import WriteConcern

from wqmaster.campaign.models import Campaign
from wqmaster.database import address
from wqmaster.database.address import redacted
from wqmaster.database.attempts import Ledger, key_of
from wqmaster.database.campaign_lock import Presence
from wqmaster.database.history import ResultHistory
from wqmaster.database.results import Results
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import BadDocument, DatabaseError, StructureError
from wqmaster.jobs.molecule import Document, from_document

# Seconds in which a server must be found.
_SERVER_SELECTION_TIMEOUT_SECONDS = 5
_AUTHENTICATION_FAILED_CODE = 18  # of MongoDB


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
        problem = address.why_not(uri)
        if problem is not None:
            raise DatabaseError(
                f"'database: uri:' is not an address of a MongoDB server: {problem}",
                code=ErrorCode.DATABASE_ADDRESS_INVALID,
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they quote values of options
                self._client: MongoClient[Document] = MongoClient(
                    uri,
                    serverSelectionTimeoutMS=_SERVER_SELECTION_TIMEOUT_SECONDS * 1000,
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
                f"'database: uri:' is not an address of a MongoDB server: {redacted(uri)}",
                code=ErrorCode.DATABASE_ADDRESS_INVALID,
            ) from None
        except PyMongoError as error:
            hint = ""
            if getattr(error, "code", None) == _AUTHENTICATION_FAILED_CODE:
                hint = f" A '%' or '+' in a password must be percent-encoded: {address.ENCODER}"
            raise DatabaseError(
                f"the database {redacted(uri)} cannot be reached: {_short(error)}; is the server "
                f"up, and are 'database: uri:', user and password right?{hint}"
            ) from error
        database = self._client[campaign.database.name]
        self.documents = database[campaign.database.collection].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self.ledger = Ledger(database, campaign)
        self._recipes = database["wqmaster.recipes"]
        self.presence = Presence(database, campaign, self.documents.full_name)
        self.results = Results(self.documents, campaign, self._projection())
        self.history = ResultHistory(database, campaign)
        self._paths = [f"{campaign.output_key}.{step.name}" for step in campaign.steps]

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def prepare(self) -> None:
        """Make the indexes that are missing."""
        self.ledger.prepare()
        self.history.prepare()

    # --- documents ---------------------------------------------------------------------------

    def _undone(self) -> Document:
        missing = [{path: None} for path in self._paths]
        return {"$and": [self.campaign.submit.query, {"$or": missing}]}

    def _done(self) -> Document:
        return {"$and": [{path: {"$ne": None}} for path in self._paths]}

    def _projection(self) -> Document:
        fields = {*self.campaign.molecule.names, *self.campaign.submit.projection}
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

    def stream(self) -> Iterator[Document]:
        """All documents that the query selects, with a result or without, as they are fetched."""
        cursor = self.documents.find(self.campaign.submit.query, self._projection())
        yield from cursor.hint([("_id", ASCENDING)]).batch_size(1000)

    def candidates(self) -> Iterator[Document]:
        """Documents to show: those without a result, then those that the query selects, then any.

        A document may come more than once.
        """
        for query in (self._undone(), self.campaign.submit.query, self._done()):
            cursor = self.documents.find(query, self._projection())
            yield from cursor.hint([("_id", ASCENDING)])

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """Those of the documents that still have no result."""
        query = {"$and": [{"_id": {"$in": list(document_ids)}}, self._undone()]}
        return list(self.documents.find(query, self._projection()))

    def selected(self, query: Document, document_ids: Sequence[Any]) -> list[Any]:
        """Those of the ids whose documents `query` selects."""
        both = {"$and": [{"_id": {"$in": list(document_ids)}}, query]}
        return [found["_id"] for found in self.documents.find(both, {"_id": 1})]

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

    def recipe(self, hash: str) -> Document | None:
        """What the recipe of this hash asked for, if it was noted here."""
        entry = self._recipes.find_one({"_id": hash})
        return entry and json_util.loads(entry["asked"])

    def codes(self, hash: str) -> list[str]:
        """The hashes of a user's task function with which the recipe of this hash was run."""
        entry = self._recipes.find_one({"_id": hash})
        return list(entry.get("codes", ())) if entry else []

    def note_recipe(self, hash: str, asked: Mapping[str, Any], code: str | None) -> None:
        """Keep what the recipe of this hash asks for, and the hash of its task function's file."""
        change: dict[str, Any] = {"$setOnInsert": {"asked": json_util.dumps(asked)}}
        if code is not None:
            change["$addToSet"] = {"codes": code}
        self._recipes.update_one({"_id": hash}, change, upsert=True)

    def counts(self, seconds: float | None = None) -> Counts:
        """Documents done, failed and without a result, as the database has them now.

        Raises:
            ExecutionTimeout: (of pymongo) a count took more than `seconds`.
        """
        bound: dict[str, Any] = {} if seconds is None else {"maxTimeMS": int(seconds * 1000)}
        done = self.documents.count_documents(self._done(), **bound)
        failures = self.ledger.by_class()
        undone = self.documents.count_documents(self._undone(), **bound)
        return Counts(done, sum(failures.values()), undone, failures)

    def partly_done(self) -> dict[str, int]:
        """By step without a result: how many documents have a result of another step."""
        some = {"$or": [{path: {"$ne": None}} for path in self._paths]}
        counts = {
            step.name: self.documents.count_documents({"$and": [some, {path: None}]})
            for step, path in zip(self.campaign.steps, self._paths, strict=True)
            if len(self._paths) > 1
        }
        return {name: count for name, count in counts.items() if count}

    def size(self) -> int:
        """About how many documents the collection has."""
        return self.documents.estimated_document_count()

    def known(self, document_ids: Sequence[Any]) -> dict[str, Document]:
        """By `key_of` the document: those of the ids that are in the collection, whole."""
        query = {"_id": {"$in": list(document_ids)}}
        return {key_of(found["_id"]): found for found in self.documents.find(query)}

    def insert(self, documents: Sequence[Document], origin: str) -> int:
        """Insert documents that are not there yet; how many. An error names `origin`.

        Raises:
            StructureError: somebody else has inserted one of them in the meantime.
        """
        writes = [InsertOne(document) for document in documents]
        try:
            return self.documents.bulk_write(writes, ordered=False).inserted_count
        except BulkWriteError as error:
            others = [found for found in error.details["writeErrors"] if found["code"] != 11000]
            if others:
                raise
            raise StructureError(
                f"{origin}: while it was imported, somebody else inserted documents with the same "
                "ids; import it again to see which are the same",
                code=ErrorCode.IMPORT_COLLIDED,
            ) from error


def _short(error: Exception) -> str:
    """The first words of an error of pymongo, which tells its whole topology."""
    return re.split(r", Timeout: |, Topology Description", str(error))[0][:300]
