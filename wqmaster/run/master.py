"""The master's loop: feed the engine, wait for it, spool returned tasks, receive the verdicts.

The master never parses and never writes results. It is single-threaded, because ndcctools holds
Python's lock inside `wait`. A fatal error in the C library ends the process.
"""

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any

from pymongo.errors import OperationFailure, PyMongoError

from wqmaster.database.base import CampaignStore
from wqmaster.engines.base import Engine, Returned
from wqmaster.factory import Demand, Handle, Trouble
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.base import CollectorPool
from wqmaster.run.collector.messages import Ended
from wqmaster.run.control.control import Control
from wqmaster.run.control.steering import Steering
from wqmaster.run.feed import Fed, Feed
from wqmaster.run.flights import Flights
from wqmaster.run.guards import Guards
from wqmaster.run.host_blocklist import BLOCK_SECONDS, Hosts
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.sending import Sender
from wqmaster.run.spool import Spool

log = logging.getLogger("wqmaster.master")

# Seconds between two heartbeats.
HEARTBEAT_INTERVAL_SECONDS = 3.0
# Seconds between two updates of the displayed counts.
SHOW_INTERVAL_SECONDS = 0.25
# Time limit for feeding, because the heartbeat, Ctrl-C and returned tasks wait meanwhile.
_FEEDING_SECONDS = 1.0
# Seconds between two attempts to reach a database that does not respond.
_DATABASE_RETRY_SECONDS = 2.0
# How many notes a run shows at its end; further problems with workers appear only in the log.
_MAX_NOTES = 10


class Master:
    """Runs one campaign to its end, with an engine, collectors and factory that already run."""

    def __init__(
        self,
        *,
        token: str,
        recipe: Recipe,
        store: CampaignStore,
        spool: Spool,
        engine: Engine,
        collectors: CollectorPool,
        factory: Handle | None,
        progress: Progress,
        guards: Guards | None = None,
        control: Control | None = None,
        watch: bool = False,
        limit: int | None = None,
        after: tuple[Any] | None = None,
        grace: float = 60.0,
        show: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self.token = token
        self._recipe = recipe
        self._campaign = store.campaign
        self._store = store
        self._spool = spool
        self._engine = engine
        self._collectors = collectors
        self._factory = factory
        self.progress = progress
        self._watch = watch
        self._limit = limit
        self._grace = grace
        self._show = show
        self._guards = guards or Guards()
        self._hosts = Hosts()
        self._flights = Flights(progress, lambda document: self._feed.again(document))
        self._feed = Feed(
            store,
            self._flights.__contains__,
            watch=watch,
            limit=limit,
            fields=recipe.fields,
            after=after,
            mended=progress.reopen,
        )
        self._sender = Sender(token, recipe, spool, engine, self._flights)
        self._control = control
        self._steering = Steering(
            store=store,
            spool=spool,
            engine=engine,
            flights=self._flights,
            feed=self._feed,
            guards=self._guards,
            progress=progress,
            drain=self.drain,
            follow=self._follow,
        )
        self._stopping_since: float | None = None
        self._at_once = False
        self._beat = 0.0
        self._shown = 0.0
        self._no_database_until = 0.0
        self._workers_trouble: Trouble | None = None

    # --- called from outside -----------------------------------------------------------------

    def stop(self) -> None:
        """Stop feeding, and let running tasks finish within the grace period.

        A second call stops at once. Signal handlers call this method.
        """
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self.progress.state = RunState.STOPPING
        else:
            self._at_once = True

    def drain(self) -> None:
        """Stop feeding, and let running tasks finish, however long they take."""
        self._grace = math.inf
        if not self.stopping:
            self.stop()

    def reload(self) -> None:
        """Read the campaign file again soon. Signal handlers call this method."""
        if self._control is not None:
            self._control.reload_soon()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping_since is not None

    def run(self) -> None:
        """Run until all jobs from the feed are committed, or until `stop`.

        Raises:
            CampaignLocked: another master took over.
            EngineError: the factory ended.
        """
        self._replay()
        self._steer()
        while True:
            if not self.stopping:
                self._fill()
            else:
                self._drop(self._engine.cancel_waiting())
                if self._at_once or self._overdue():
                    self._cancel_all()
            if self._at_once:
                break
            if not self._flights.any_sent and not self._collectors.busy and self._ended():
                break
            self._wait()
            for message in self._collectors.listen(0.0 if self._flights.any_sent else 0.2):
                self._hear(message)
            self._beat_if_due()
            self._steer()
        self._show(self.progress)
        self.progress.state = RunState.STOPPED if self.stopping else RunState.FINISHED
        self._store.presence.heartbeat(self.token, self.progress.published())

    def _steer(self) -> None:
        """Carry out the commands of users."""
        if self._control is None or time.monotonic() < self._no_database_until:
            return
        try:
            self._control.tend(self._steering)
        except OperationFailure:
            raise  # as in `_fill`
        except PyMongoError as error:
            self._lost_database(error)

    def _follow(self, recipe: Recipe) -> None:
        """Use another form of the recipe from now on."""
        self._recipe = recipe
        self._campaign = recipe.loaded.campaign
        self._sender.follow(recipe)

    def _ended(self) -> bool:
        steered = self._control is not None and self._control.is_busy
        return self.stopping or (self._feed.exhausted and not steered)

    # --- feeding -----------------------------------------------------------------------------

    def _replay(self) -> None:
        """Collect the returned tasks that an earlier master left in the spool."""
        for task in self._spool.waiting():
            try:
                asked, _, _ = self._spool.read(task)
            except (ValueError, TypeError, KeyError, FileNotFoundError):
                asked = []
            mine = (self._recipe.hash, self._recipe.target)
            if any((job.recipe, job.target) != mine for job in asked):
                place = self._spool.set_aside(task)
                log.warning(
                    "task %s belongs to another recipe, or its results to another place; it was "
                    "moved to %s",
                    task,
                    place,
                )
                continue
            self._flights.replay(task, [job.document for job in asked])
            self._collectors.collect(task)

    def _fill(self) -> None:
        size = self._campaign.bundle.size
        if time.monotonic() < self._no_database_until:
            return
        self.progress.hold = self._guards.hold()
        if self.progress.hold is not None:
            return
        hungry = self._engine.hungry()
        until = time.monotonic() + _FEEDING_SECONDS
        try:
            while hungry > 0 and time.monotonic() < until and not self.stopping:
                fed = self._feed.take(size)
                if not fed:
                    break
                hungry -= self._send(fed)
            self._recovered()
        except OperationFailure:
            raise  # the server did answer, and would give the same answer again
        except PyMongoError as error:
            self._lost_database(error)

    def _send(self, fed: list[Fed]) -> int:
        """Send tasks for `fed`; return how many."""
        sent, bad = self._sender.send(fed)
        self._give_up(bad)
        return sent

    def _give_up(self, bad: list[Document]) -> None:
        while bad:
            try:
                self._store.ledger.record(bad)
                break
            except PyMongoError as error:
                self._lost_database(error)
                time.sleep(_DATABASE_RETRY_SECONDS)
        for record in bad:
            log.warning(
                "document %s: %s: %s", record["document"], record["class"], record["message"]
            )
            self.progress.failures[record["class"]] += 1
        self.progress.rate.add(len(bad))

    # --- returned tasks ----------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait at most a second for the engine, and take back the tasks that have returned."""
        if not self._flights.any_sent:
            if not self._collectors.busy:
                time.sleep(0.1)  # with --watch, or while the database does not respond
            return
        returned = self._engine.wait(1)
        while returned is not None:
            self._take_back(returned)
            returned = self._engine.wait(0)

    def _take_back(self, returned: Returned) -> None:
        if self._flights.take_back(returned.task_id):
            self._spool.give_back(returned)
            self._collectors.collect(returned.task_id)

    def _hear(self, ended: Ended) -> None:
        self._flights.commit(ended.task, (job.key for job in ended.jobs))
        for job in ended.jobs:
            failure = job.failure
            self._flights.land(job.key, again=failure is not None and not failure.final)
            self._guards.heard(job)
            if self._hosts.heard(job.host, failure.failure_class if failure else None):
                log.warning(
                    "host %s keeps failing jobs; not using it for %d s", job.host, BLOCK_SECONDS
                )
                self._engine.block_host(job.host, BLOCK_SECONDS)
            if failure is None:
                self.progress.done += 1
                self.progress.warned += job.warned
                self.progress.rate.add(1)
                continue
            log.warning("document %s: %s: %s", job.key, failure.failure_class, failure.message)
            if failure.final:
                self.progress.failures[failure.failure_class] += 1
                self.progress.rate.add(1)
            else:
                self.progress.attempts_failed += 1

    # --- stopping ----------------------------------------------------------------------------

    def _overdue(self) -> bool:
        since = self._stopping_since
        return since is not None and time.monotonic() > since + self._grace

    def _cancel_all(self) -> None:
        for task in self._flights.tasks:
            self._engine.cancel(task)
        self._drop(self._flights.tasks)

    def _drop(self, tasks: list[str]) -> None:
        """Forget tasks that the engine has canceled."""
        self._flights.drop(tasks)
        for task in tasks:
            self._spool.drop(task)

    # --- heartbeat and factory ---------------------------------------------------------------

    def _beat_if_due(self) -> None:
        now = time.monotonic()
        if now > self._shown + SHOW_INTERVAL_SECONDS:
            self._shown = now
            self.progress.stats = self._engine.stats()
            self.progress.trouble = self._trouble()
            self._show(self.progress)
        if now < self._beat + HEARTBEAT_INTERVAL_SECONDS:
            return
        self._beat = now
        self._look_at_factory()
        try:
            self._store.presence.heartbeat(self.token, self.progress.published())
            self._recovered()
        except PyMongoError as error:
            self._lost_database(error)

    def _look_at_factory(self) -> None:
        factory = self._factory
        if factory is None:
            return
        # This comes before `check`, which raises if the factory has ended, so the cause is logged.
        trouble = factory.trouble()
        if trouble and trouble.is_new(self._workers_trouble):
            log.warning("workers: %s", trouble)
            for line in factory.last():
                log.warning("last output of a worker: %s", line)
            if len(self.progress.notes) < _MAX_NOTES:
                self.progress.notes.append(f"workers: {trouble}")
        self._workers_trouble = trouble
        if not self.stopping:
            factory.check()
        self.progress.waits_for_workers = factory.awaited()
        factory.tell(Demand(self._wanted(), self.progress.stats.workers))

    def _wanted(self) -> int | None:
        """The number of jobs that workers have yet to do; None if it is unknown."""
        hold = self.progress.hold
        if self._ended() or (hold is not None and not hold.is_routine):
            return self.progress.sent
        left = self.progress.left
        if left is None:
            return None
        if self._watch and left <= self.progress.sent:
            return None  # documents that were added since the count are unknown
        if self._limit is not None:
            left = min(left, self._limit - self.progress.done - self.progress.failed)
        return max(self.progress.sent, left - self.progress.spooled)

    def _trouble(self) -> str | None:
        if self._no_database_until:
            return "the database cannot be reached"
        hold = self.progress.hold
        held = None if hold is None or hold.is_routine else hold
        all_of_it = (held, self._collectors.trouble, self._engine.trouble(), self._workers_trouble)
        return "; ".join(str(one) for one in all_of_it if one) or None

    def _lost_database(self, error: Exception) -> None:
        if not self._no_database_until:
            log.error("the database cannot be reached: %s", json.dumps(str(error)[:500]))
        self._no_database_until = time.monotonic() + _DATABASE_RETRY_SECONDS

    def _recovered(self) -> None:
        if self._no_database_until:
            log.warning("the database can be reached again")
        self._no_database_until = 0.0
