"""Assemble a run from its folder, locks, database, engine, workers, collectors and master."""

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bson import json_util
from bson.errors import BSONError
from pymongo.errors import ExecutionTimeout, OperationFailure, PyMongoError

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import show_command
from wqmaster.database import recipe_guard
from wqmaster.database.base import SearchGoesOn
from wqmaster.database.documents import Counts, Store
from wqmaster.database.private_server import Mongod
from wqmaster.database.reasons import is_about_query, reason
from wqmaster.engines import choosing
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import AddressInvalid, DatabaseError, FolderError, NothingMatches
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import campaign_folder
from wqmaster.run.access_point import why_not_here
from wqmaster.run.collector.pool import Collectors
from wqmaster.run.collector.process import configuration
from wqmaster.run.control import assembling
from wqmaster.run.feed import Feed
from wqmaster.run.gates import Gates
from wqmaster.run.hiring import (
    cores,
    dismiss,
    hire,
    how_to_connect,
    local_count,
    most_slots,
    worker_environment,
)
from wqmaster.run.keeping import Keeping
from wqmaster.run.machine_gates import raise_descriptor_limit
from wqmaster.run.master import Master
from wqmaster.run.meters import meters
from wqmaster.run.other_names import where_else
from wqmaster.run.outward import Outward
from wqmaster.run.programs import check_programs
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.service.running import check_not_served
from wqmaster.run.spool import Spool
from wqmaster.run.staff import Staff
from wqmaster.software import osdf
from wqmaster.system.files import check_writable
from wqmaster.system.locks import FolderLock
from wqmaster.system.log_files import LogFile
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster")

# Time limit for counting the documents. If counting takes longer, the run begins without a total.
_COUNT_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class RunOptions:
    """Options from the command line, in addition to the campaign file."""

    watch: bool = False  # keep waiting for new documents
    limit: int | None = None  # the largest number of documents that this run computes
    grace: float = 60.0  # seconds that running tasks may take to finish after a stop
    stage: str | None = None  # what this run is a part of, for its progress
    exit_on_trouble: bool = False  # end, instead of waiting until trouble is mended
    canary: bool = True  # whether the campaign's canary goes first
    # What replaces settings of the file (`LoadedCampaign.replaced`); None: the recipe is not that
    # of the file, and cannot be read again.
    asked_for: Mapping[str, Any] | None = None


def mongod(loaded: LoadedCampaign) -> Mongod:
    """A campaign's private MongoDB server, whether or not it is running."""
    return Mongod(loaded.mongod_folder)


@contextlib.contextmanager
def opened(loaded: LoadedCampaign, *, existing: bool = False) -> Iterator[Store]:
    """Open the store of a campaign, on its private server if the file names no database.

    With `existing`, no private server is created.

    Raises:
        AddressInvalid: the database's address is not valid.
        CampaignError: the database refused the campaign's query.
        DatabaseError: the database cannot be reached, or fails while the store is in use.
        NothingMatches: there is no private server yet, and `existing` is set.
    """
    with contextlib.ExitStack() as stack:
        uri = loaded.campaign.database.uri
        if uri is None:
            if existing and not mongod(loaded).exists:
                raise NothingMatches(
                    f"the campaign has no database in {loaded.mongod_folder.parent} yet; create "
                    f"one with '{this_command()} import {loaded.typed} FILE', or name your own "
                    "with 'database: {uri: ...}'" + where_else(loaded),
                    code=ErrorCode.DATABASE_NOT_CREATED,
                )
            campaign_folder.prepare(loaded)
            uri = stack.enter_context(mongod(loaded).used())
        try:
            store = Store(uri, loaded.campaign)
        except AddressInvalid as error:
            where = loaded.source.where("database", "uri")
            raise AddressInvalid(f"{where}: {error.message}") from None
        stack.callback(store.close)
        try:
            yield store
        except OperationFailure as error:
            if not is_about_query(error):
                raise DatabaseError(
                    f"the database refused an operation: {reason(error)}",
                    code=ErrorCode.DATABASE_REFUSES,
                ) from error
            message = f"the database refused the query: {reason(error)}"
            raise loaded.source.error(
                message, "submit", "query", code=ErrorCode.QUERY_REFUSED
            ) from error
        except (PyMongoError, BSONError) as error:
            log.debug("the database failed", exc_info=True)
            raise DatabaseError(
                f"the database failed: {reason(error)}", code=ErrorCode.DATABASE_FAILED
            ) from error


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Log to logs/master.log below `folder`, with rotation, for the duration of a `with`."""
    check_writable(folder / "logs")
    form = "%(asctime)s %(levelname)s %(name)s: %(message)s"
    handler = LogFile(folder / "logs" / "master.log", form)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield
    except Exception:
        log.exception("the run failed")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


def _lock_of_service(loaded: LoadedCampaign) -> FolderLock:
    folder = loaded.source.path.parent
    how = f"if it belongs to the service in {folder}, this shows it: {show_command(folder)}"
    return FolderLock(loaded.folder, how)


def _typed_query(store: Store) -> str:
    """The campaign's query in quotes, as JSON, which a YAML file can contain."""
    return f"'{json_util.dumps(store.campaign.submit.query)}'"


def check_matches(store: Store, counts: Counts | None, loaded: LoadedCampaign) -> None:
    """Check that there are documents to compute, or that all of them have results.

    Raises:
        NothingMatches: the query selects no document, and none has a result.
    """
    try:
        any_left = bool(store.page(None, 1))
    except SearchGoesOn:
        return  # so many are done that the search takes a while
    if any_left or (counts and counts.done and not store.selects_nothing()):
        return
    place = store.documents.full_name
    if store.size() == 0:
        raise NothingMatches(
            f"the collection {place} is empty: fill it with "
            f"'{this_command()} import {loaded.typed} FILE', or name another one with "
            "'database: {name: ..., collection: ...}'" + where_else(loaded),
            code=ErrorCode.COLLECTION_EMPTY,
        )
    for step, count in store.partly_done().items():
        path = f"{store.campaign.output_key}.{step}"
        raise NothingMatches(
            f"the query {_typed_query(store)} does not select the documents of {place} "
            f"that have results of other steps but not of '{step}' ({count:,} in total); select "
            f"them with 'submit: {{query: {{{path}: null}}}}', which changes no existing results",
            code=ErrorCode.STEP_NOT_SELECTED,
        )
    raise NothingMatches(
        f"the query {_typed_query(store)} selects none of the documents of {place} "
        f"({store.size():,} in total); correct 'submit: query:', then: {this_command()} check "
        f"{loaded.typed}"
    )


def first_counts(store: Store) -> Counts | None:
    """The counts at the start of a run; None if counting takes too long."""
    try:
        return store.counts(_COUNT_TIMEOUT_SECONDS)
    except ExecutionTimeout:
        log.warning(
            "counting took more than %d s; the run continues without a total",
            _COUNT_TIMEOUT_SECONDS,
        )
        return None


def add_reference_atoms(store: Store, loaded: LoadedCampaign) -> list[str]:
    """Insert the reference atoms that are missing; return a note about them.

    Raises:
        CampaignError: the ground state of an element is not known, and no multiplicity is stated.
    """
    try:
        added = store.add_reference_atoms(_COUNT_TIMEOUT_SECONDS)
    except ExecutionTimeout:
        where = loaded.source.where("reference_atoms")
        return [
            f"{where}: listing the elements of all documents takes too long, so no reference atoms "
            "are computed; list them: 'reference_atoms: [H, C, N, O]'"
        ]
    except ValueError as error:
        raise loaded.source.error(str(error), "reference_atoms") from error
    if not added:
        return []
    return [f"{added} reference atom{'s' if added > 1 else ''} added to the documents"]


def run(
    recipe: Recipe,
    options: RunOptions,
    *,
    begins: Callable[[Master, str], None],
    show: Callable[[Progress], None],
    staff: Staff | None = None,
) -> Progress:
    """Run a campaign to its end.

    `begins` receives the master and the reason for the choice of the engine. `show` receives the
    progress several times a second. `staff` has engine and workers, if the run shares them.

    Raises:
        WqmasterError: the run cannot begin, or had to end early; the message states why.
    """
    loaded, campaign = recipe.loaded, recipe.loaded.campaign
    name, why = (staff.engine.name, staff.why) if staff else choosing.choose(campaign)
    if name == "local" or campaign.workers.on_this_machine:
        check_programs(recipe)
    folder = loaded.folder
    if staff is None:
        check_not_served(loaded)
    campaign_folder.enter(loaded)
    raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        lock = FolderLock(folder) if loaded.service is None else _lock_of_service(loaded)
        stack.callback(lock.close)
        check_writable(folder / "kept")
        spool = Spool(folder / "spool", campaign.archive.most_bytes)
        spool.prepare(staff.held if staff else ())
        adopted = staff.adopt(spool) if staff else []
        stack.enter_context(logged(folder))
        store = stack.enter_context(opened(loaded))
        token = secrets.token_hex(4)
        progress = Progress(campaign.campaign, name, stage=options.stage)
        store.presence.lock(token, progress.published())
        stack.callback(store.presence.unlock, token)
        store.prepare()
        archived = spool.keeps_results
        noted = recipe_guard.check(store, recipe, archived=archived)
        progress.notes = [*recipe.warnings, *filter(None, [recipe.ignored]), *map(str, noted)]
        forbidden = why_not_here("the master")
        if forbidden is not None:
            progress.notes.append(forbidden)
        supplies = recipe.software.supplies
        progress.notes += [one.words for one in osdf.reused(supplies, folder)]
        osdf.note(supplies, folder)
        recipe_guard.note(store, recipe)
        released = store.ledger.release(recipe.hash)
        if released:
            many = "1 document" if released == 1 else f"{released:,} documents"
            progress.notes.append(f"{many} that failed with another recipe will be computed again")
        for note in progress.notes:
            log.warning(note)
        store.presence.heartbeat(token, progress.published())
        progress.notes += add_reference_atoms(store, loaded)
        counts = first_counts(store)
        store.presence.heartbeat(token, progress.published())
        if counts is not None:
            progress.done_before = counts.done
            progress.failures_before.update(counts.failures)
            progress.total = counts.done + max(counts.undone, counts.failed)
        after = None
        if not options.watch and not adopted and not any(spool.waiting()):
            check_matches(store, counts, loaded)
            first = Feed(store, lambda key: False, fields=recipe.fields, mended=progress.reopen)
            while not first.take(1):
                if first.exhausted:
                    progress.state = RunState.NOTHING_TO_DO
                    return progress
                store.presence.heartbeat(token, progress.published())
            after = first.passed
        recipe = recipe.prepared()
        outward = stack.enter_context(Outward(loaded, progress))
        if staff is None:
            environ = worker_environment(loaded)
            engine = choosing.create(name, loaded, local_count(campaign), environ)
            progress.how_to_connect = how_to_connect(loaded, engine)
        else:
            engine = staff.engine
            staff.describe(progress)
        stack.callback(engine.close)
        progress.waits_for_workers = (
            not campaign.workers.managed and progress.how_to_connect is not None
        )
        workforce = staff.factory if staff else hire(recipe, name, engine, progress)
        if workforce is not None:
            stack.callback(dismiss, workforce, progress)
        collectors = Collectors(
            staff.collectors if staff else max(1, cores() - 1),
            configuration(loaded, store.uri, recipe.hash),
            folder / "logs",
            keep_open=[lock.fileno()],
            waits=staff is not None,
        )
        stack.callback(collectors.close)
        keeping = Keeping(
            loaded,
            store,
            collectors,
            progress,
            lock,
            mongod=mongod(loaded) if campaign.database.uri is None else None,
            exits_on_trouble=options.exit_on_trouble,
        )
        stack.callback(keeping.close)
        control = assembling.control(
            recipe,
            options.asked_for,
            token,
            store,
            engine=engine,
            collectors=collectors,
            workforce=workforce,
            local_count=local_count,
            count=first_counts,
            also={"notify": outward.notify},
            staff=staff,
        )
        master = Master(
            token=token,
            recipe=recipe,
            store=store,
            spool=spool,
            engine=engine,
            collectors=collectors,
            factory=workforce,
            progress=progress,
            gates=Gates(
                [*keeping.gates, control.gate],
                meters(loaded, store, progress, canary=options.canary),
            ),
            storage=keeping.storage,
            upkeep=keeping.upkeep,
            link=keeping.link,
            control=control,
            watch=options.watch,
            limit=options.limit,
            after=after,
            adopted=adopted,
            most_slots=None if staff else most_slots(campaign),
            grace=options.grace,
            show=outward.before(show),
        )
        log.info("engine %s: %s", name, why)
        begins(master, why)
        try:
            master.run()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise FolderError(
                f"the campaign's folder {folder} is unusable: {error.strerror or error}"
            ) from error
        return progress
