"""Workers as batch systems report them; what is wrong with them, in words. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from wqmaster.factory.trouble import Trouble, TroubleKind

# A worker that ends before has not come to work.
QUICK_END_SECONDS = 60.0
# So many quick ends, one after another, and the factory sends only one worker at a time; of many
# workers, a part of those that are connected: one host may spoil as many in a minute.
SLOW_AFTER_QUICK_ENDS = 5
SLOW_PART_OF_CONNECTED = 20
# So many, and it is of no use to go on.
STOP_AFTER_QUICK_ENDS = 8
# In which a worker that runs should have connected.
CONNECTION_TIMEOUT_SECONDS = 90.0
# In which one of those in the queue should have begun.
QUEUE_TIMEOUT_SECONDS = 900.0
# Workers that have not connected, while others have, before it is reported: so many, this part.
ABSENT_WORKERS = 5
ABSENT_PART_OF_RUNNING = 4
# Ended workers that are remembered.
_REMEMBERED_WORKERS = 50

# Exit codes of worker.sh, and of the shells around it.
EXIT_CODES = {
    80: "worker.sh was called wrongly",
    81: "no scratch space on its host",
    82: "a program is missing on its host, or does not run",
    83: "its host's clock is wrong",
    84: "the worker program does not start on its host",
    126: "the worker cannot be executed",
    127: "the worker, or its wrapper, was not found",
    137: "it was killed (SIGKILL)",
    143: "it was ended (SIGTERM)",
}


@dataclass(frozen=True)
class Worker:
    """One worker, as the batch system reports it."""

    id: str  # of its job
    state: str  # idle, running, held, ended, removed
    started: float | None = None  # seconds since 1970
    ended: float | None = None
    code: int | None = None  # exit code; None where it is not known
    signal: int | None = None
    host: str = ""
    why: str = ""  # why it is held; what it said at its end

    def words(self) -> str:
        """How it ended, or why it is held."""
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
    """All workers of a factory. `see` takes what is new."""

    quick_end_seconds: float = QUICK_END_SECONDS
    connection_timeout_seconds: float = CONNECTION_TIMEOUT_SECONDS
    met: bool = False  # whether any worker has ever connected
    now: dict[str, Worker] = field(default_factory=dict)  # that have not ended
    ended: int = 0
    # The last that ended, and how many of them quickly, one after another.
    last: deque[Worker] = field(default_factory=lambda: deque(maxlen=_REMEMBERED_WORKERS))
    quick: int = 0
    quick_hosts: set[str] = field(default_factory=set)
    held: Worker | None = None  # the last that was
    waiting: int = 0  # jobs in the queue, where only the factory reports them
    good: set[str] = field(default_factory=set)  # that have run for a while
    queued: float | None = None  # seconds since 1970 since when all of them wait in the queue

    def see(self, workers: Iterable[Worker]) -> None:
        """Take the news: each worker once a state, an ended one once."""
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
        """Workers that have run for a while do work; when none does, and some wait."""
        none_begins = self.idle and not self.count("running")
        self.queued = (self.queued or now) if none_begins else None
        for worker in self.now.values():
            if worker.state != "running" or worker.started is None or worker.id in self.good:
                continue
            if now - worker.started >= self.quick_end_seconds:
                self.good.add(worker.id)
                self.works()

    def _quick(self, worker: Worker) -> bool:
        """Whether it ended by itself before it could have done any work."""
        if worker.started is None or worker.ended is None:
            return False
        return worker.code != 0 and worker.ended - worker.started < self.quick_end_seconds

    def works(self) -> None:
        """A worker did come to work: what was before is forgiven."""
        self.quick = 0
        self.quick_hosts.clear()
        self.held = None

    def count(self, state: str) -> int:
        """How many are in this state now."""
        return sum(worker.state == state for worker in self.now.values())

    @property
    def idle(self) -> int:
        """How many wait in the queue."""
        return self.waiting or self.count("idle")

    def longest(self, now: float) -> float:
        """Seconds since the first of those that run has started."""
        since = [w.started for w in self.now.values() if w.state == "running" and w.started]
        return now - min(since) if since else 0.0

    def absent(self, connected: int, now: float) -> int:
        """How many at least have run for long enough to connect, and have not."""
        long = sum(
            worker.state == "running"
            and worker.started is not None
            and now - worker.started > self.connection_timeout_seconds
            for worker in self.now.values()
        )
        return max(0, long - connected)

    def slow(self, connected: int) -> bool:
        """Whether only one worker at a time should be sent."""
        return self.quick >= max(SLOW_AFTER_QUICK_ENDS, connected // SLOW_PART_OF_CONNECTED)

    def hopeless(self, connected: int) -> bool:
        """Whether sending more is of no use: all end at once, wherever they are.

        One bad host that takes job after job is not all hosts: while others wait for theirs,
        there is hope. So there is while more run, and may yet connect, than have ended.
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
    """What is wrong with the workers, if anything is known to be.

    `connected`: how many the master has; `where`: what they connect to; `ask`: what reports why
    jobs do not begin.
    """
    if census.hopeless(connected):
        text = (
            f"{census.quick} workers ended as soon as they began, one after another; no more are "
            f"sent: {census.last[-1].words()}"
        )
        return Trouble(TroubleKind.ALL_END_AT_ONCE, text, _code(census))
    if census.slow(connected):
        text = (
            f"{census.quick} workers ended as soon as they began; they are sent one at a time: "
            f"{census.last[-1].words()}"
        )
        return Trouble(TroubleKind.SENT_SLOWLY, text, _code(census))
    running = census.count("running")
    if connected:
        absent = census.absent(connected, now)
        if absent < max(ABSENT_WORKERS, running // ABSENT_PART_OF_RUNNING):
            return None
        text = (
            f"{absent} of {running} workers that run have not connected: can all of their hosts "
            f"reach {where}?"
        )
        return Trouble(TroubleKind.SOME_ABSENT, text)
    waited = census.longest(now)
    if running and waited > census.connection_timeout_seconds:
        text = (
            f"{running} workers run, the first since {waited:.0f} s, and none has connected: can "
            f"their hosts reach {where}?"
        )
        return Trouble(TroubleKind.ALL_ABSENT, text)
    if census.quick:
        text = f"{census.quick} workers ended as soon as they began: {census.last[-1].words()}"
        return Trouble(TroubleKind.END_AT_ONCE, text, _code(census))
    if census.last and not census.met:
        text = (
            f"{len(census.last)} workers came and went, and none has connected to {where}: "
            f"{census.last[-1].words()}"
        )
        return Trouble(TroubleKind.NONE_CONNECTED, text, _code(census))
    if census.held is not None and not running:
        text = f"a worker's job was put on hold: {census.held.why or 'no reason is given'}"
        return Trouble(TroubleKind.HELD, text)
    if census.queued is not None and now - census.queued > QUEUE_TIMEOUT_SECONDS:
        minutes = (now - census.queued) // 60
        text = f"all {census.idle} workers wait in the queue, since {minutes:.0f} min: {ask}"
        return Trouble(TroubleKind.QUEUED, text)
    return None
