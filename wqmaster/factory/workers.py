"""The workers of a factory, as batch systems report them, and their problems. No I/O."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from wqmaster.factory.trouble import Trouble, TroubleKind

# A worker that ends earlier than this has done no work.
QUICK_END_SECONDS = 60.0
# After this many quick ends in a row, the factory submits only one worker at a time. If many
# workers are connected, the limit is 1/SLOW_PART_OF_CONNECTED of their number, since a single bad
# host can end several workers in a minute.
SLOW_AFTER_QUICK_ENDS = 5
SLOW_PART_OF_CONNECTED = 20
# After this many quick ends in a row, more workers would be useless.
STOP_AFTER_QUICK_ENDS = 8
# How long a running worker can take to connect before it counts as absent.
CONNECTION_TIMEOUT_SECONDS = 90.0
# How long all workers can wait in the queue before the supervisor reports the problem.
QUEUE_TIMEOUT_SECONDS = 900.0
# If some workers have connected, the supervisor reports those that have not once there are at least
# this many, and at least 1/ABSENT_PART_OF_RUNNING of the running workers.
ABSENT_WORKERS = 5
ABSENT_PART_OF_RUNNING = 4
# How many ended workers are remembered.
_REMEMBERED_WORKERS = 50

# The exit codes of worker.sh and of the shells around it.
EXIT_CODES = {
    80: "worker.sh was called with wrong arguments",
    81: "no scratch space on its host",
    82: "a program is missing on its host or does not run",
    83: "its host's clock is wrong",
    84: "the worker program does not start on its host",
    126: "the worker cannot be executed",
    127: "the worker or its wrapper was not found",
    137: "killed by SIGKILL",
    143: "ended by SIGTERM",
}


@dataclass(frozen=True)
class Worker:
    """One worker, as the batch system reports it."""

    id: str  # the job id, or the process id
    state: str  # idle, running, held, ended, removed
    started: float | None = None  # seconds since 1970
    ended: float | None = None  # likewise
    code: int | None = None  # exit code; None if it is unknown
    signal: int | None = None  # the signal that ended the worker, if one did
    host: str = ""
    why: str = ""  # the reason why the worker is held, or its last output

    def words(self) -> str:
        """A description of how the worker ended, or why it is held."""
        if self.state == "held":
            return f"held: {self.why}" if self.why else "held"
        said = f": {self.why}" if self.why else ""
        if self.signal is not None:
            return f"ended by signal {self.signal}{said}"
        if self.code is None:
            return f"ended{said}"
        meaning = EXIT_CODES.get(self.code)
        return f"exit code {self.code}{f' ({meaning})' if meaning else ''}{said}"


@dataclass
class Census:
    """All workers of a factory, and how they ended; `see` takes the news."""

    quick_end_seconds: float = QUICK_END_SECONDS
    connection_timeout_seconds: float = CONNECTION_TIMEOUT_SECONDS
    met: bool = False  # whether any worker has ever connected
    now: dict[str, Worker] = field(default_factory=dict)  # workers that have not ended
    ended: int = 0  # how many have ended
    # The last workers that ended, and the number of quick ends in a row.
    last: deque[Worker] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_WORKERS))
    quick: int = 0
    # The hosts on which the quick ends in a row happened.
    quick_hosts: set[str] = field(default_factory=set)
    held: Worker | None = None  # the worker that was held last
    waiting: int = 0  # jobs in the queue, if only the factory reports them
    good: set[str] = field(default_factory=set)  # running workers that had no quick end
    queued: float | None = None  # when all began to wait in the queue, in seconds since 1970

    def see(self, workers: Iterable[Worker]) -> None:
        """Take the workers whose state has changed; each change and each end must come once."""
        for worker in workers:
            if worker.state == "held":
                self.held = worker
            if worker.state not in ("ended", "removed"):
                self.now[worker.id] = worker
                continue
            self.now.pop(worker.id, None)
            self.good.discard(worker.id)
            self.ended += 1
            if worker.state == "removed":
                continue
            self.last.append(worker)
            if self._quick(worker):
                self.quick += 1
                self.quick_hosts.add(worker.host)
            else:
                self.works()

    def settle(self, now: float) -> None:
        """Note which workers have run for a while, and since when all have been in the queue."""
        none_begins = self.idle and not self.count("running")
        self.queued = (self.queued or now) if none_begins else None
        for worker in self.now.values():
            if worker.state != "running" or worker.started is None or worker.id in self.good:
                continue
            if now - worker.started >= self.quick_end_seconds:
                self.good.add(worker.id)
                self.works()

    def _quick(self, worker: Worker) -> bool:
        """Whether a worker failed before it could have done any work."""
        if worker.started is None or worker.ended is None:
            return False
        return worker.code != 0 and worker.ended - worker.started < self.quick_end_seconds

    def works(self) -> None:
        """Forget earlier failures, because a worker works."""
        self.quick = 0
        self.quick_hosts.clear()
        self.held = None

    def count(self, state: str) -> int:
        """How many workers are in `state` now."""
        return sum(worker.state == state for worker in self.now.values())

    @property
    def idle(self) -> int:
        """How many workers wait in the queue."""
        return self.waiting or self.count("idle")

    def longest(self, now: float) -> float:
        """Seconds since the first of the running workers started; 0 if none runs."""
        since = [w.started for w in self.now.values() if w.state == "running" and w.started]
        return now - min(since) if since else 0.0

    def absent(self, connected: int, now: float) -> int:
        """How many workers, at least, have run long enough to connect but have not."""
        long = sum(
            worker.state == "running"
            and worker.started is not None
            and now - worker.started > self.connection_timeout_seconds
            for worker in self.now.values()
        )
        return max(0, long - connected)

    def slow(self, connected: int) -> bool:
        """Whether only one worker at a time should be submitted."""
        return self.quick >= max(SLOW_AFTER_QUICK_ENDS, connected // SLOW_PART_OF_CONNECTED)

    def hopeless(self, connected: int) -> bool:
        """Whether more workers would be useless, because all exit immediately on every host.

        A single bad host can take job after job. So there is hope while other workers wait in the
        queue, or while more workers run, and can still connect, than have ended quickly in a row.
        """
        running = self.count("running")
        if connected or self.quick < max(STOP_AFTER_QUICK_ENDS, running):
            return False
        return len(self.quick_hosts) > 1 or not (self.idle or running)


def _code(census: Census) -> str:
    """The exit code of the worker that ended last."""
    return str(census.last[-1].code)


def trouble(
    census: Census, connected: int, now: float, where: str, ask: str = ""
) -> Trouble | None:
    """A known problem with the workers; None if there is none.

    `connected` is the number of workers that the master has, `where` the address or name that they
    connect to, and `ask` a hint at how to find out why jobs do not start.
    """
    if census.hopeless(connected):
        text = (
            f"{census.quick} workers in a row exited immediately; no more will be submitted; the "
            f"last: {census.last[-1].words()}"
        )
        return Trouble(TroubleKind.ALL_END_AT_ONCE, text, _code(census))
    if census.slow(connected):
        text = (
            f"{census.quick} workers in a row exited immediately; now submitting one at a time; "
            f"the last: {census.last[-1].words()}"
        )
        return Trouble(TroubleKind.SENT_SLOWLY, text, _code(census))
    running = census.count("running")
    if connected:
        absent = census.absent(connected, now)
        if absent < max(ABSENT_WORKERS, running // ABSENT_PART_OF_RUNNING):
            return None
        text = (
            f"{absent} of {running} running workers have not connected; check that all hosts can "
            f"reach {where}"
        )
        return Trouble(TroubleKind.SOME_ABSENT, text)
    waited = census.longest(now)
    if running and waited > census.connection_timeout_seconds:
        text = (
            f"no worker has connected ({running} running, the first for {waited:.0f} s); check "
            f"that their hosts can reach {where}"
        )
        return Trouble(TroubleKind.ALL_ABSENT, text)
    if census.quick:
        text = (
            f"workers that exited immediately: {census.quick}; the last: {census.last[-1].words()}"
        )
        return Trouble(TroubleKind.END_AT_ONCE, text, _code(census))
    if census.last and not census.met:
        text = (
            f"workers that ended without connecting to {where}: {len(census.last)}; the last: "
            f"{census.last[-1].words()}"
        )
        return Trouble(TroubleKind.NONE_CONNECTED, text, _code(census))
    if census.held is not None and not running:
        text = f"a worker's job is on hold: {census.held.why or 'no reason given'}"
        return Trouble(TroubleKind.HELD, text)
    if census.queued is not None and now - census.queued > QUEUE_TIMEOUT_SECONDS:
        minutes = (now - census.queued) // 60
        text = f"all workers ({census.idle}) have been in the queue for {minutes:.0f} min; {ask}"
        return Trouble(TroubleKind.QUEUED, text)
    return None
