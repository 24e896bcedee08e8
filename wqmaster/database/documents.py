"""A campaign's database: read, count and import documents, and record recipes."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from bson import json_util
from pymongo import ASCENDING, InsertOne, MongoClient
from pymongo.errors import BulkWriteError, ExecutionTimeout, InvalidURI, PyMongoError
from pymongo.write_concern import WriteConcern

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.molecule_fields import REFERENCE_ATOM
from wqmaster.database import address, reference_atoms
from wqmaster.database.address import redacted
from wqmaster.database.attempts import Ledger, key_of
from wqmaster.database.audits import Audits
from wqmaster.database.base import SearchGoesOn
from wqmaster.database.campaign_lock import Presence
from wqmaster.database.commands import Commands
from wqmaster.database.history import ResultHistory
from wqmaster.database.paging import Pages
from wqmaster.database.reasons import AUTHENTICATION_FAILED_CODE, is_about_access, reason
from wqmaster.database.result_reader import ResultReader
from wqmaster.database.results import Results
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import AddressInvalid, BadDocument, DatabaseError, StructureError
from wqmaster.jobs.molecule import Document, from_document

# Time limit for finding the server.
_SERVER_SELECTION_TIMEOUT_SECONDS = 5


@dataclass(frozen=True)
class Counts:
    """How many documents of a campaign are done, failed and undone."""

    done: int
    failed: int
    undone: int  # selected by the query and without a result, including failed ones
    failures: Mapping[str, int]  # class -> failed documents


class Store:
    """The database of one campaign.

    Raises:
        AddressInvalid: the address is not valid.
        DatabaseError: the server cannot be reached.
    """

    def __init__(self, uri: str, campaign: Campaign) -> None:
        self.uri = uri
        self.campaign = campaign
        problem = address.why_not(uri)
        if problem is not None:
            raise AddressInvalid(f"'database: uri:' is not a valid MongoDB URI: {problem}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # warnings quote option values, even secret ones
                self._client: MongoClient[Document] = MongoClient(
                    uri,
                    serverSelectionTimeoutMS=_SERVER_SELECTION_TIMEOUT_SECONDS * 1000,
                    appname="wqmaster",
                    tz_aware=True,
                    # A malformed value from another program must not stop a campaign.
                    datetime_conversion="DATETIME_AUTO",
                    unicode_decode_error_handler="replace",
                )
            self._client.admin.command("ping")
        except (InvalidURI, ValueError):
            # The error can quote part of the password.
            raise AddressInvalid(
                f"'database: uri:' is not a valid MongoDB URI: {redacted(uri)}"
            ) from None
        except PyMongoError as error:
            hint = "check that the server is running, and check 'database: uri:'"
            if getattr(error, "code", None) == AUTHENTICATION_FAILED_CODE:
                hint = (
                    "check user and password in 'database: uri:'; '%' and '+' in a password must "
                    f"be percent-encoded: {address.ENCODER}"
                )
            refused = is_about_access(error)
            raise DatabaseError(
                f"the database {redacted(uri)} cannot be reached: {reason(error)}; {hint}",
                code=ErrorCode.DATABASE_REFUSES if refused else ErrorCode.DATABASE_UNREACHABLE,
            ) from error
        database = self._client[campaign.database.name]
        self.documents = database[campaign.database.collection].with_options(
            write_concern=WriteConcern(w=1, j=True)
        )
        self._pages = Pages(self.documents)
        self.ledger = Ledger(database, campaign)
        self._recipes = database["wqmaster.recipes"]
        self.presence = Presence(database, campaign, self.documents.full_name)
        self.commands = Commands(database, campaign)
        self.results = Results(self.documents, campaign, self._projection())
        self.reader = ResultReader(self.documents, campaign.output_key, self._projection())
        self.history = ResultHistory(database, campaign)
        self.audits = Audits(database, campaign)
        self._paths = [f"{campaign.output_key}.{step.name}" for step in campaign.steps]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def ping(self) -> None:
        """Ask the server whether it answers.

        Raises:
            PyMongoError: it does not.
        """
        self._client.admin.command("ping")

    def prepare(self) -> None:
        """Create the indexes that are missing."""
        self.ledger.prepare()
        self.history.prepare()
        self.commands.prepare()

    # --- documents ---------------------------------------------------------------------------

    def selecting(self, query: Document) -> Document:
        """`query`, which also selects this campaign's reference atoms, but not those of others."""
        mine = self.campaign.campaign if self.campaign.reference_atoms is not None else None
        if mine is None:
            return {"$and": [query, {REFERENCE_ATOM: None}]}
        return {
            "$and": [
                {"$or": [query, {REFERENCE_ATOM: mine}]},
                {REFERENCE_ATOM: {"$in": [None, mine]}},
            ]
        }

    def _undone(self) -> Document:
        missing = [{path: None} for path in self._paths]
        return {"$and": [self.selecting(self.campaign.submit.query), {"$or": missing}]}

    def _done(self) -> Document:
        return {"$and": [{path: {"$ne": None}} for path in self._paths]}

    def _projection(self) -> Document:
        fields = {*self.campaign.molecule.names, *self.campaign.submit.projection}
        # MongoDB refuses a projection that names a field and also one of its subfields.
        return {
            name: 1
            for name in sorted(fields)
            if not any(name.startswith(f"{other}.") for other in fields)
        }

    def page(self, after: tuple[Any] | None, limit: int) -> list[Document]:
        """The next documents without a result, in the order of `_id`: at most `limit` of them.

        They follow the id in `after`, or are the first ones if `after` is None.

        Raises:
            SearchGoesOn: none is found yet, since many documents have a result; see `paging.py`.
        """
        return self._pages.next(self._undone(), self._projection(), after, limit)

    def any_left(self) -> bool:
        """Whether any document that the query selects has no result."""
        after: tuple[Any] | None = None
        while True:
            try:
                return bool(self.page(after, 1))
            except SearchGoesOn as found:
                after = found.after

    def _selected(self) -> Document:
        """What the query selects, and this campaign's reference atoms that have no result."""
        query = self.selecting(self.campaign.submit.query)
        missing = [{path: None} for path in self._paths]
        return {"$and": [query, {"$or": [{REFERENCE_ATOM: None}, *missing]}]}

    def stream(self) -> Iterator[Document]:
        """Yield all documents that the query selects, with or without a result.

        Reference atoms, which the query need not select, are among them if they have no result.
        """
        cursor = self.documents.find(self._selected(), self._projection())
        yield from cursor.hint([("_id", ASCENDING)]).batch_size(1000)

    def candidates(self) -> Iterator[Document]:
        """Yield the documents from which a command can choose an example.

        Documents without a result come first, then all that the query selects, then all that are
        done. A document can occur more than once.
        """
        for query in (self._undone(), self._selected(), self._done()):
            cursor = self.documents.find(query, self._projection())
            yield from cursor.hint([("_id", ASCENDING)])

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """The documents among these that still have no result."""
        query = {"$and": [{"_id": {"$in": list(document_ids)}}, self._undone()]}
        return list(self.documents.find(query, self._projection()))

    def selected(self, query: Document, document_ids: Sequence[Any]) -> list[Any]:
        """The ids among `document_ids` whose documents `query` selects."""
        both = {"$and": [{"_id": {"$in": list(document_ids)}}, query]}
        return [found["_id"] for found in self.documents.find(both, {"_id": 1})]

    def matching(self, query: Document) -> Iterator[Any]:
        """Yield the ids of all documents that `query` selects, whatever the campaign's query."""
        for found in self.documents.find(query, {"_id": 1}):
            yield found["_id"]

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """The current fingerprint of each document's molecule, keyed by `key_of(_id)`.

        The fingerprint is None if the document holds no molecule; deleted documents are left out.
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
        others, key = self.without_results(), self.campaign.output_key
        # A condition on results within $or or the like cannot be separated from the others, so the
        # answer is then False.
        return f"{key}." not in str(others) and self.documents.find_one(others, {"_id": 1}) is None

    def one(self, document_id: Any | None) -> Document | None:
        """The document with this id, or None if there is none.

        Without an id: a document without a result, otherwise any that the query selects, otherwise
        any that is done.
        """
        if document_id is not None:
            return self.documents.find_one({"_id": document_id}, self._projection())
        for query in (self._undone(), self._selected(), self._done()):
            found = self.documents.find_one(query, self._projection())
            if found is not None:
                return found
        return None

    def recipe(self, hash: str) -> Document | None:
        """What the recipe with this hash asked for; None if the database has no record of it."""
        entry = self._recipes.find_one({"_id": hash})
        return entry and json_util.loads(entry["asked"])

    def codes(self, hash: str) -> list[str]:
        """The hashes that the user's task function had when this recipe was run."""
        entry = self._recipes.find_one({"_id": hash})
        return list(entry.get("codes", ())) if entry else []

    def note_recipe(self, hash: str, asked: Mapping[str, Any], code: str | None) -> None:
        """Record what the recipe with this hash asks for, and `code`, the hash of its function."""
        change: dict[str, Any] = {"$setOnInsert": {"asked": json_util.dumps(asked)}}
        if code is not None:
            change["$addToSet"] = {"codes": code}
        self._recipes.update_one({"_id": hash}, change, upsert=True)

    def add_reference_atoms(self, seconds: float) -> int:
        """Insert the campaign's reference atoms that are missing; return how many.

        Raises:
            ExecutionTimeout: listing the elements took more than `seconds` (an error of pymongo).
        """
        asked = self.campaign.reference_atoms
        if asked is None:
            return 0
        elements = asked.elements
        if elements is None:
            # The query's conditions on results would leave out what is done already.
            others = {"$and": [self.without_results(), {REFERENCE_ATOM: None}]}
            fields = self.campaign.molecule
            elements = reference_atoms.elements_of(self.documents, fields, others, seconds)
        atoms = list(reference_atoms.documents_of(self.campaign, asked, elements))
        return reference_atoms.insert(self.documents, atoms)

    def without_results(self) -> Document:
        """The query without its conditions on this campaign's results."""
        key = self.campaign.output_key
        return {
            name: value
            for name, value in self.campaign.submit.query.items()
            if name != key and not name.startswith(f"{key}.")
        }

    def counts(self, seconds: float | None = None) -> Counts:
        """Count the documents that are done, that have failed, and that have no result.

        Raises:
            ExecutionTimeout: a count took more than `seconds` (an error of pymongo).
        """
        bound: dict[str, Any] = {} if seconds is None else {"maxTimeMS": int(seconds * 1000)}
        with ThreadPoolExecutor() as pool:  # each count goes through the whole collection
            done = pool.submit(self.documents.count_documents, self._done(), **bound)
            undone = pool.submit(self.documents.count_documents, self._undone(), **bound)
            failures = self.ledger.by_class()
        return Counts(done.result(), sum(failures.values()), undone.result(), failures)

    def done_up_to(self, count: int, seconds: float) -> int:
        """How many documents are done, counted up to `count`; 0 if that takes too long."""
        bound: dict[str, Any] = {"maxTimeMS": int(seconds * 1000)}
        try:
            return self.documents.count_documents(self._done(), limit=count, **bound)
        except ExecutionTimeout:
            return 0

    def partly_done(self) -> dict[str, int]:
        """For each step, how many documents lack its result but have a result of another step.

        Steps without such documents are left out.
        """
        some = {"$or": [{path: {"$ne": None}} for path in self._paths]}
        counts = {
            step.name: self.documents.count_documents({"$and": [some, {path: None}]})
            for step, path in zip(self.campaign.steps, self._paths, strict=True)
            if len(self._paths) > 1
        }
        return {name: count for name, count in counts.items() if count}

    def warned(self, seconds: float) -> int | None:
        """How many documents have a result about which a check warns.

        None if counting them takes more than `seconds`.
        """
        some = [{f"{path}._run.checks.warned.0": {"$exists": True}} for path in self._paths]
        try:
            return self.documents.count_documents({"$or": some}, maxTimeMS=int(seconds * 1000))
        except ExecutionTimeout:
            return None

    def size(self) -> int:
        """The approximate number of documents in the collection."""
        return self.documents.estimated_document_count()

    def sizes(self, query: Document) -> Iterator[tuple[Any, int]]:
        """Yield `_id` and number of atoms of each document with atoms that `query` selects.

        Reference atoms are left out.
        """
        atoms = f"${self.campaign.molecule.atomic_numbers}"
        count = {"$cond": [{"$isArray": atoms}, {"$size": atoms}, 0]}
        for found in self.documents.aggregate(
            [
                {"$match": {"$and": [query, {REFERENCE_ATOM: None}]}},
                {"$project": {"count": count}},
                {"$match": {"count": {"$gt": 0}}},
            ]
        ):
            yield found["_id"], found["count"]

    def known(self, document_ids: Sequence[Any]) -> dict[str, Document]:
        """The existing documents with these ids, with all fields, keyed by `key_of(_id)`."""
        query = {"_id": {"$in": list(document_ids)}}
        return {key_of(found["_id"]): found for found in self.documents.find(query)}

    def insert(self, documents: Sequence[Document], origin: str) -> int:
        """Insert new documents; return how many. An error message names `origin`, their file.

        Raises:
            StructureError: another process has inserted one of the documents in the meantime.
        """
        writes = [InsertOne(document) for document in documents]
        try:
            return self.documents.bulk_write(writes, ordered=False).inserted_count
        except BulkWriteError as error:
            others = [found for found in error.details["writeErrors"] if found["code"] != 11000]
            if others:
                raise
            raise StructureError(
                f"{origin}: another process inserted documents with the same ids during the "
                "import; import the file again to see which are the same",
                code=ErrorCode.IMPORT_COLLIDED,
            ) from error
