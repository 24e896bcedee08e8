"""Checks of the database, none of which changes a document."""

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
from wqmaster.database.reasons import AUTHENTICATION_FAILED_CODE, UNAUTHORIZED_CODE, reason
from wqmaster.doctor.finding import Case, Check, Finding, State
from wqmaster.doctor.folder import clocks
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import DatabaseError
from wqmaster.run.opening import mongod
from wqmaster.run.other_names import where_else
from wqmaster.system.programs import ask
from wqmaster.system.this_command import this_command

Document = dict[str, Any]

# The first version with pipeline updates and $$NOW.
_OLDEST_MONGODB = (4, 2)
# How long the server can take for each answer.
_ANSWER_TIMEOUT_SECONDS = 4.0
_UNAUTHORIZED_CODES = (UNAUTHORIZED_CODE, AUTHENTICATION_FAILED_CODE)
_PRIVATE = "database server"
# The collection for test writes, which the check removes afterwards.
_PROBE = "wqmaster.doctor"
# The keys of each index on the ledger -> whether the index is unique.
_INDEXES = {
    ("campaign", "collection", "document", "attempt"): True,
    ("campaign", "collection", "final", "class"): False,
}


def program(case: Case) -> Iterator[Finding]:
    """Check mongod, which a campaign needs if it names no database."""
    needed = case.campaign is not None and case.campaign.database.uri is None
    if case.campaign is not None and not needed:
        return
    try:
        path = find_mongod()
    except DatabaseError as error:
        seen, _, fix = error.message.partition("; ")
        yield Finding("mongod", "wrong" if needed else "warning", seen, fix or None, error.code)
        return
    said = ask([path, "--version"], case.environ)
    line = next((line for line in said.text.splitlines() if "version" in line), "")
    if said.code != 0 or not line:
        fix = f"{path} --version; list missing libraries with: ldd {path}"
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
    """Check the campaign's database, without starting a private server that is stopped."""
    if case.loaded is None:
        return
    uri = case.loaded.campaign.database.uri
    if uri is None:
        server = mongod(case.loaded)
        if server.pid() is None:
            state = "is stopped" if server.exists else "does not exist yet"
            seen = f"the private server in {server.folder} {state}; a run starts it"
            if not server.exists:
                seen += where_else(case.loaded)
            yield Finding("database", "ok", seen)
            return
        uri = server.uri
    try:
        store = Store(uri, case.loaded.campaign)
    except DatabaseError as error:
        seen, fix = error.message, f"correct 'database: {{uri: ...}}' in {case.loaded.source.path}"
        if error.code is ErrorCode.DATABASE_UNREACHABLE:
            seen, _, hint = seen.partition("; ")
            # The address without its password, which no message shows, would not work.
            fix = f'mongosh "$({this_command()} db url {case.loaded.typed})"; {hint or fix}'
        yield Finding("database", "wrong", seen, fix, error.code)
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
        # MongoDB's times are in UTC, even if they state no time zone.
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
    """Report the state of a running master, including its trouble (such as refused workers)."""
    live = store.presence.published()
    if live is None:
        return
    held = live["master"]
    workers = live.get("workers", 0)
    count = "1 worker" if workers == 1 else f"{workers} workers"
    seen = f"process {held['pid']} on {held['host']} is running this campaign with {count}"
    trouble = live.get("trouble")
    if trouble:
        fix = "see the other findings, and logs/master.log in the campaign's folder"
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
            f"{this_command()} import {path} FILE, or name another collection with 'database: "
            "{collection: ...}'"
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
    fix = "mongosh: db.grantRolesToUser(USER, [{role: 'readWrite', db: DATABASE}])"
    if getattr(error, "code", None) not in _UNAUTHORIZED_CODES:
        fix = (
            "read the server's log; check 'database: {uri, name, collection}' in the campaign file"
        )
    return Finding(
        subject, "wrong", f"{what}: {reason(error)}", fix, code=ErrorCode.DATABASE_REFUSES
    )


def _writing(store: Store) -> Iterator[Finding]:
    """Try the kinds of writes that a run makes; among documents, an update that matches none."""
    database, nobody = store.documents.database, f"wqmaster-doctor-{secrets.token_hex(12)}"
    journaled = store.documents.write_concern
    probe: Collection[Document] = database[_PROBE].with_options(write_concern=journaled)
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
        # This needs a separate timeout, since the one above may have expired.
        with contextlib.suppress(PyMongoError), pymongo.timeout(_ANSWER_TIMEOUT_SECONDS):
            probe.drop()
    if read is None:
        seen = f"a document written to {probe.full_name} could not be read back"
        fix = "add readPreference=primary to 'database: {uri: ...}'"
        yield Finding("database, writing", "wrong", seen, fix, code=ErrorCode.DATABASE_REFUSES)
    else:
        yield Finding("database, writing", "ok", f"{database.name} accepts journaled writes")


def _indexes(failures: "Collection[Document]") -> Finding:
    there: dict[tuple[str, ...], Document] = {}
    try:
        for index in failures.list_indexes():
            there[tuple(index["key"])] = dict(index)
    except OperationFailure as error:
        return _refused("indexes", f"the indexes of {failures.full_name} cannot be read", error)
    for keys, unique in _INDEXES.items():
        if keys in there and bool(there[keys].get("unique")) != unique:
            seen = f"{failures.full_name} has a different kind of index on {', '.join(keys)}"
            fix = (
                f"mongosh: use {failures.database.name}; "
                f"db['{failures.name}'].dropIndex('{there[keys]['name']}')"
            )
            return Finding("indexes", "wrong", seen, fix, code=ErrorCode.DATABASE_REFUSES)
    missing = len([keys for keys in _INDEXES if keys not in there])
    if missing:
        seen = (
            f"{missing} of {len(_INDEXES)} indexes missing in {failures.full_name}; a run creates "
            "them"
        )
        return Finding("indexes", "ok", seen)
    return Finding("indexes", "ok", f"{failures.full_name} has all {len(_INDEXES)} indexes")


CHECKS = (Check("mongod", program), Check("database", database))
