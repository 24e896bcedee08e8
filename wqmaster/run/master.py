"""The master's loop: feed the engine, wait for it, spool returned tasks, receive the verdicts.

The master never parses and never writes results. It is single-threaded, because ndcctools holds
Python's lock inside `wait`. A fatal error in the C library ends the process.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from wqmaster.database.attempts import key_of
from wqmaster.database.base import CampaignStore
from wqmaster.engines.base import Engine, Returned, TaskResult
from wqmaster.factory import Handle
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.bundling import Bundling
from wqmaster.run.collector.base import CollectorPool
from wqmaster.run.collector.messages import Ended
from wqmaster.run.control.control import Control
from wqmaster.run.control.steering import Steering
from wqmaster.run.database_link import DatabaseLink
from wqmaster.run.feed import Fed, Feed
from wqmaster.run.flights import Flights
from wqmaster.run.gates import Gates
from wqmaster.run.hosts import Hosts
from wqmaster.run.inheritance import adopt, inherit
from wqmaster.run.progress import Progress, RunState
from wqmaster.run.sending import Sender
from wqmaster.run.spool import Spool
from wqmaster.run.storage import StorageGate
from wqmaster.run.stragglers import Stragglers
from wqmaster.run.troubles import Troubles
from wqmaster.run.unbuilt import Unbuilt
from wqmaster.run.upkeep import Upkeep
from wqmaster.run.workers import Workers

log = logging.getLogger("wqmaster.master")

# Seconds between two heartbeats.
HEARTBEAT_INTERVAL_SECONDS = 3.0
# Seconds between two updates of the displayed counts.
SHOW_INTERVAL_SECONDS = 0.25
# Time limit for feeding, because the heartbeat, Ctrl-C and returned tasks wait meanwhile.
_FEEDING_SECONDS = 1.0


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
        gates: Gates | None = None,
        storage: StorageGate | None = None,
        upkeep: Upkeep | None = None,
        link: DatabaseLink | None = None,
        control: Control | None = None,
        watch: bool = False,
        limit: int | None = None,
        begun: Feed | None = None,
        adopted: Sequence[str] = (),
        most_slots: int | None = None,
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
        self.progress = progress
        self._workers = Workers(factory, progress)
        self._watch = watch
        self._limit = limit
        self._adopted = adopted
        self._grace = grace
        self._show = show
        self._gates = gates or Gates()
        self._storage = storage or StorageGate(spool.root)
        self._upkeep = upkeep or Upkeep()
        self._link = link or DatabaseLink()
        self.hosts = Hosts(engine.block_host, engine.unblock_host)
        progress.hosts = self.hosts.published
        self._stragglers = Stragglers(
            self._campaign.campaign_config.job_timeout,
            has_software=any(one.archive or one.url for one in self._campaign.software.values()),
        )
        self._flights = Flights(progress, lambda document: self._feed.again(document), spool.size)
        self._feed = Feed(
            store,
            self._flights.__contains__,
            watch=watch,
            limit=limit,
            fields=recipe.fields,
            begun=begun,
            mended=progress.reopen,
        )
        self._bundling = Bundling(self._stragglers.times, most_slots, self._campaign.walltime)
        self._sender = Sender(token, recipe, spool, engine, self._flights, self._bundling)
        progress.memory = self._sender.memory.published
        self._unbuilt = Unbuilt(store.ledger, self._link, self._gates, progress)
        self._troubles = Troubles(
            progress, self._link, collectors, engine, self._upkeep, self._workers
        )
        self._control = control
        self._steering = Steering(
            store=store,
            spool=spool,
            engine=engine,
            hosts=self.hosts,
            flights=self._flights,
            feed=self._feed,
            gates=self._gates,
            progress=progress,
            drain=self.drain,
            follow=self._follow,
        )
        self._stopping_since: float | None = None
        self._at_once = False
        self._beat = 0.0
        self._shown = 0.0
        # Tasks that the engine has returned and that are not yet in the spool.
        self._returning: deque[Returned] = deque()

    # --- called from outside -----------------------------------------------------------------

    def stop(self, grace: float | None = None) -> None:
        """Stop feeding, and let running tasks finish within the grace period.

        `grace`, in seconds, replaces the period that was set before. A second call stops at once.
        Signal handlers call this method.
        """
        if grace is not None:
            self._grace = grace
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
            RunTroubled: something is wrong, and the run is not to wait.
        """
        inherit(self._recipe, self._spool, self._flights, self._collectors)
        adopt(self._adopted, self._recipe, self._spool, self._flights, self._engine)
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
            self._unbuilt.record()
            if not self._flights.any_sent and self._ended() and not self._awaits_collectors():
                break
            self._wait()
            for message in self._collectors.listen(0.0 if self._flights.any_sent else 0.2):
                self._hear(message)
            self._beat_if_due()
            self._steer()
        self._show(self.progress)
        self.progress.state = RunState.STOPPED if self.stopping else RunState.FINISHED
        with self._link.bounded():
            self._store.presence.heartbeat(self.token, self.progress.published())

    def _steer(self) -> None:
        """Carry out the commands of users."""
        if self._control is not None and self._link.usable():
            with self._link.bounded():
                self._control.tend(self._steering)

    def _follow(self, recipe: Recipe) -> None:
        """Use another form of the recipe from now on."""
        self._recipe = recipe
        self._campaign = recipe.loaded.campaign
        self._sender.follow(recipe)

    def _ended(self) -> bool:
        steered = self._control is not None and self._control.is_busy
        return self.stopping or (self._feed.exhausted and not self._unbuilt.waiting and not steered)

    def _awaits_collectors(self) -> bool:
        """Whether to wait until what has returned is committed.

        After a stop, this takes no longer than the grace period if collectors are in trouble.
        """
        given_up = self._overdue() and self._collectors.trouble is not None
        return bool(self._collectors.busy) and not given_up

    # --- feeding -----------------------------------------------------------------------------

    def _fill(self) -> None:
        stored = self._storage.hold()
        if stored is not None:
            self.progress.hold = stored
            return
        is_there = self._link.usable()
        if not self._flights.any_sent and not self._collectors.busy:
            self._gates.idle()
        hungry = self._engine.hungry()
        until = time.monotonic() + _FEEDING_SECONDS
        while hungry > 0 and time.monotonic() < until and not self.stopping:
            room = self._gates.room()
            slots = self.progress.stats.cores // self._campaign.resources.cores
            size = self._bundling.count(self._campaign.bundle, self.progress.unsent, slots)
            fed = [] if room.is_full else self._fed(room.size(size), room.new, is_there)
            self.progress.limit_left = self._feed.left
            if not fed:
                break
            hungry -= self._send(fed)
            if self._storage.hold() is not None:
                break
        self._look_at_holds(is_there)

    def _fed(self, count: int, new: int | None, is_there: bool) -> list[Fed]:
        """The next documents; those that were fetched before if the database is not there."""
        if not is_there:
            return self._feed.fetched(count if new is None else min(count, new))
        fed: list[Fed] = []
        with self._link.bounded():
            fed += self._feed.take(count, new)
        return fed

    def _look_at_holds(self, is_there: bool) -> None:
        """Publish why documents are held back, unless there are none."""
        hold = self._gates.hold()
        if hold is not None:
            if is_there:
                with self._link.bounded():
                    self._feed.look()
            if self._feed.no_new if hold.retries_go_on else self._feed.exhausted:
                hold = None
        before, self.progress.hold = self.progress.hold, hold
        if hold is not None and not hold.is_routine and (before is None or before.is_routine):
            log.warning("%s", hold)

    def _send(self, fed: list[Fed]) -> int:
        """Send tasks for `fed`; return how many."""
        self._gates.sent([key_of(one.document) for one in fed])
        sent = self._sender.send(fed)
        if sent.tasks:
            self._storage.wrote()
        if sent.error is not None:
            if not self._storage.struck(sent.error):
                raise sent.error
            log.warning("a job cannot be written; trying again later: %s", sent.error)
            self._feed.put_back(sent.postponed)
        self._unbuilt.give_up(sent.bad)
        return sent.tasks

    # --- returned tasks ----------------------------------------------------------------------

    def _wait(self) -> None:
        """Wait at most a second for the engine, and take back the tasks that have returned."""
        if not self._flights.any_sent:
            if not self._collectors.busy:
                time.sleep(0.1)  # with --watch, or while the database does not respond
            return
        returned = self._engine.wait(1)
        while returned is not None:
            self._returning.append(returned)
            returned = self._engine.wait(0)
        while self._returning and self._take_back(self._returning[0]):
            self._returning.popleft()

    def _take_back(self, returned: Returned) -> bool:
        """Move a task to the spool; return False if that has to be tried again later."""
        task = returned.task_id
        sent = self._flights.sent(task)
        if sent is None:
            return True
        if returned.result is not TaskResult.OK and len(sent[0]) > 1:
            self._bundling.failed(sent[0], returned)
            self._flights.lose(task)
            self._spool.drop(task)
            return True
        try:
            self._spool.give_back(returned)
        except OSError as error:
            if self._storage.struck(error):
                log.warning("task %s cannot be spooled; trying again later: %s", task, error)
                return False
            if not isinstance(error, FileNotFoundError):
                raise
            log.error("the files of task %s are gone; its jobs will run again", task)
            self._flights.lose(task)
            return True
        self._sender.returned(*self._flights.take_back(task), returned.receiving)
        self._collectors.collect(task)
        return True

    def _hear(self, ended: Ended) -> None:
        self._flights.commit(ended.task, (job.key for job in ended.jobs))
        self._gates.ended(ended)
        self.hosts.ended(ended)
        self._stragglers.ended(ended)
        self._sender.ended(ended)
        for job in ended.jobs:
            failure = job.failure
            self._flights.land(job.key, again=failure is not None and not failure.final)
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
            self._troubles.note()
            self._show(self.progress)
            self._troubles.look()
        if now < self._beat + HEARTBEAT_INTERVAL_SECONDS:
            return
        self._beat = now
        self._workers.look(self._wanted(), is_needed=not self.stopping)
        self._upkeep.tend()
        running = self._engine.running()
        self.progress.hosts_running = len({task.host for task in running} - {""})
        self.progress.slow = self._stragglers.slow(running, self._flights.sent)
        if self._link.usable():
            with self._link.bounded():
                self._store.presence.heartbeat(self.token, self.progress.published())

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
