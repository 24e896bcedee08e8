"""Assemble a run from its folder, locks, database, engine, workers, collectors and master."""

import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import show_command
from wqmaster.database import recipe_guard
from wqmaster.engines import choosing
from wqmaster.errors import FolderError
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import campaign_folder
from wqmaster.run.access_point import why_not_here
from wqmaster.run.collector.configured import configuration
from wqmaster.run.collector.pool import Collectors
from wqmaster.run.control import assembling
from wqmaster.run.feed import Feed
from wqmaster.run.first_look import add_reference_atoms, check_matches, first_counts
from wqmaster.run.gates import Gates
from wqmaster.run.guard import Guard
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
from wqmaster.run.last_look import LastLook
from wqmaster.run.machine_gates import raise_descriptor_limit
from wqmaster.run.master import Master
from wqmaster.run.meters import meters
from wqmaster.run.opening import logged, mongod, opened
from wqmaster.run.outward import Outward
from wqmaster.run.programs import check_programs
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.service.running import check_not_served
from wqmaster.run.spool import Spool
from wqmaster.run.staff import Staff
from wqmaster.software import osdf
from wqmaster.system.files import check_writable
from wqmaster.system.locks import FolderLock

log = logging.getLogger("wqmaster")


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


def _lock_of_service(loaded: LoadedCampaign) -> FolderLock:
    folder = loaded.source.path.parent
    how = f"if it belongs to the service in {folder}, this shows it: {show_command(folder)}"
    return FolderLock(loaded.folder, how)


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
        is_small = recipe_guard.is_small(store)
        with ThreadPoolExecutor() as pool:
            counting = pool.submit(first_counts, store)
            noted = recipe_guard.check(store, recipe, archived=archived, values=is_small)
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
            many, were = f"{released:,} documents", "were"
            if released == 1:
                many, were = "1 document", "was"
            progress.notes.append(f"{many} that had failed with another recipe {were} queued again")
        for note in progress.notes:
            log.warning(note)
        store.presence.heartbeat(token, progress.published())
        added = add_reference_atoms(store, loaded)
        progress.notes += added
        counts = first_counts(store) if released or added else counting.result()
        store.presence.heartbeat(token, progress.published())
        if counts is not None:
            progress.done_before = counts.done
            progress.failures_before.update(counts.failures)
            progress.total = counts.done + max(counts.undone, counts.failed)
        begun = None
        if not options.watch and not adopted and not any(spool.waiting()):
            begun = Feed(store, lambda key: False, fields=recipe.fields, mended=progress.reopen)
            while not begun.look():
                if begun.exhausted:
                    check_matches(store, counts, loaded)
                    progress.state = RunState.NOTHING_TO_DO
                    return progress
                store.presence.heartbeat(token, progress.published())
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
        configured = configuration(loaded, store.uri, recipe.hash)
        collectors = Collectors(
            staff.collectors if staff else max(1, cores() - 1),
            configured,
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
        last_look = LastLook(store, progress)
        guards = [] if is_small else [stack.enter_context(Guard(loaded, configured, progress))]
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
                [*keeping.gates, control.gate, *guards],
                meters(loaded, store, progress, canary=options.canary),
            ),
            storage=keeping.storage,
            upkeep=keeping.upkeep,
            link=keeping.link,
            control=control,
            watch=options.watch,
            limit=options.limit,
            begun=begun,
            adopted=adopted,
            most_slots=None if staff else most_slots(campaign),
            grace=options.grace,
            show=outward.before(show),
        )
        log.info("engine %s: %s", name, why)
        begins(master, why)
        try:
            master.run()
            last_look.correct()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise FolderError(
                f"the campaign's folder {folder} is unusable: {error.strerror or error}"
            ) from error
        return progress
