"""A campaign as the broker sees it: its process, its waiting tasks, and those in flight."""

import logging
import math
import os
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wqmaster.engines.base import Returned
from wqmaster.jobs.job import Task
from wqmaster.run.service.messages import Back, Begun, Finished, Report, Room, Start, State, Stop
from wqmaster.run.service.pipes import Child, Flooded
from wqmaster.run.service.seat_state import SeatState
from wqmaster.run.service.shares import Pick

log = logging.getLogger("wqmaster.service")

PROCESS = "wqmaster.run.service.campaign_process"
# A process that reads nothing, or says nothing, for this long counts as hung.
HANG_TIMEOUT_SECONDS = float(os.environ.get("WQMASTER_CAMPAIGN_HANG_TIME", "300"))
# How long a process may take to begin: a large private database recovers slowly after a kill.
BEGIN_TIMEOUT_SECONDS = 1800.0
# How long a process may take to end after it was asked to make room for its successor.
LEAVE_TIMEOUT_SECONDS = 30.0
# The pause before a dead process is started again; it doubles with each death, up to the longest.
_FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
# A process that has lived for this long has recovered from the deaths before it.
_RECOVERED_SECONDS = 600.0
# Over which time the cores of a campaign are averaged, since a few cores change hands all the time.
_AVERAGED_SECONDS = 60.0


@dataclass(frozen=True)
class Order:
    """A campaign that the broker is to run."""

    name: str
    path: str  # the campaign file's path, as it was given
    text: str = field(repr=False)  # the file's text, which can hold secrets
    service: tuple[str, str] | None = field(default=None, repr=False)  # see `Start.service`
    settings: dict[str, Any] = field(default_factory=dict)  # see `Start.settings`
    priority: int = 0
    weight: float = 1.0
    limit: int | None = None
    watch: bool = False
    canary: bool = True
    exit_on_trouble: bool = False
    follows_file: bool = False  # see `Start.follows_file`
    files: tuple[str, ...] = ()  # see `Start.files`


@dataclass
class Waiting:
    """A task that waits at the broker, and how often the broker has sent it before."""

    task: Task
    folder: Path
    times_sent: int = 0


@dataclass(frozen=True)
class Sent:
    """A task in the engine."""

    seat: "Seat"
    waiting: Waiting
    alias: str  # the task's id in the engine
    pick: Pick


class Seat:
    """The place of one campaign at the broker. It outlives the campaign's processes."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.successor: Order | None = None  # replaces `order` when the process has ended
        self.child: Child | None = None
        self.buffer: deque[Waiting] = deque()
        self.flying: dict[str, Sent] = {}
        # Tasks that the process has not yet spooled.
        self.returned: dict[str, Returned] = {}
        self.begun: Begun | None = None
        self.finished: Finished | None = None
        self.stops: Stop | None = None  # what the process must be told, once it has begun
        self.wants: int | None = None  # the tasks that are left; None: unknown
        self.report: Report | None = None
        self.error: str | None = None  # why the last process ended
        self.deaths = 0
        self.restart_at = 0.0
        # The cores that its tasks use, averaged over the last minute or so.
        self.cores = 0.0
        self._cores_noted: float | None = None
        self._granted = 0
        self._heard = self._started = time.monotonic()
        self._leaves_by: float | None = None
        self._earlier = Report(campaign=order.name, engine="", state="")
        self._limit = order.limit  # how many documents the process may still feed
        self._sent_since_report = 0
        self._state: State | None = None

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.order.name

    @property
    def held(self) -> tuple[str, ...]:
        """The campaign's tasks that the broker has."""
        return (*(one.task.id for one in self.buffer), *self.flying, *self.returned)

    @property
    def ended(self) -> bool:
        """Whether the campaign has come to its end, without another attempt to follow."""
        return self.finished is not None

    @property
    def drained(self) -> str | None:
        """The pause that remains after a drain, with the command that ends it; else None."""
        return None if self.finished is None else self.finished.drained

    @property
    def state(self) -> SeatState:
        """What the campaign is doing."""
        if self.finished is not None:
            if self.finished.message is not None:
                return SeatState.FAILED
            stopped = self.stops is not None or self.finished.stopped
            return SeatState.STOPPED if stopped else SeatState.FINISHED
        if self.child is None:
            return SeatState.RESTARTING if self.deaths else SeatState.STARTING
        if self.begun is None:
            return SeatState.STARTING
        return SeatState.RUNNING if self.stops is None else SeatState.STOPPING

    # --- the process -------------------------------------------------------------------------

    def start(self, start: Start, errors: Path) -> None:
        """Start the campaign's process."""
        self.begun = None
        self._granted = 0
        self._state = None
        self._leaves_by = None
        self._heard = self._started = time.monotonic()
        self._limit, self._sent_since_report = start.limit, 0
        self.child = Child(PROCESS, errors)
        self.child.tell(start.line())
        for returned in self.returned.values():
            self.child.tell(Back(returned=returned).line())

    def leave(self) -> None:
        """Ask the process to end, without the campaign's tasks."""
        if self.child is not None and self._leaves_by is None:
            self._leaves_by = time.monotonic() + LEAVE_TIMEOUT_SECONDS
            self.child.leave()

    def watch(self) -> None:
        """End the process if it is hung."""
        child, now = self.child, time.monotonic()
        if child is None:
            return
        if self._leaves_by is not None:
            if now > self._leaves_by:
                child.kill()
            return
        why = None
        if self.begun is None and now > self._started + BEGIN_TIMEOUT_SECONDS:
            why = f"did not begin within {BEGIN_TIMEOUT_SECONDS:.0f} s"
        elif child.unread_seconds > HANG_TIMEOUT_SECONDS:
            why = f"read nothing for {HANG_TIMEOUT_SECONDS:.0f} s"
        elif self.begun is not None and now > self._heard + HANG_TIMEOUT_SECONDS:
            why = f"was silent for {HANG_TIMEOUT_SECONDS:.0f} s"
        if why is not None:
            self.kill(why)

    def kill(self, why: str) -> None:
        """End the process, which is faulty."""
        if self.child is not None:
            log.error("%s: its process %s; the service is restarting it", self.name, why)
            self.error = f"its process {why}"
            self.child.kill()
            self._leaves_by = time.monotonic()

    def died(self, code: int) -> None:
        """Note that the process has ended without having finished."""
        self.child = None
        self._keep_counts()
        if self.successor is not None or (self._leaves_by is not None and self.error is None):
            self.restart_at = 0.0
            return
        if time.monotonic() > self._started + _RECOVERED_SECONDS:
            self.deaths = 0
        self.deaths += 1
        pause = min(MAX_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(self.deaths - 1, 10))
        self.restart_at = time.monotonic() + pause
        how = f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"
        self.error = self.error or f"its process {how}"
        log.error("%s: %s; next attempt in %.0f s", self.name, self.error, pause)

    def not_started(self, error: OSError) -> None:
        """Note that no process could be started, for example because there are too many."""
        self.error = f"its process cannot be started: {error}"
        self.died(0)

    def hear(self) -> tuple[list[bytes], bool]:
        """The process's messages since the last call, and whether more can come."""
        if self.child is None:
            return [], False
        try:
            lines, alive = self.child.hear()
        except Flooded as error:
            self.kill(str(error))
            return [], True
        if lines:
            self._heard = time.monotonic()
        return lines, alive

    def tell(self, message: Back | Room | State | Stop | Any) -> None:
        """Send a message, if the process reads messages."""
        if self.child is None or self._leaves_by is not None:
            return
        try:
            self.child.tell(message.line())
        except Flooded as error:
            self.kill(str(error))

    # --- tasks -------------------------------------------------------------------------------

    def grant(self, size: int) -> None:
        """Let the campaign keep `size` tasks waiting at the broker."""
        room = size - len(self.buffer) - self._granted
        if room > 0 and self.begun is not None and self.stops is None:
            self._granted += room
            self.tell(Room(tasks=room))

    def submitted(self, task: Task, folder: Path) -> None:
        """Note that the campaign has submitted a task."""
        self._granted = max(0, self._granted - 1)
        self._sent_since_report += task.jobs
        self.buffer.append(Waiting(task, folder))

    def back(self, returned: Returned) -> None:
        """Pass on a task that the engine has returned."""
        self.returned[returned.task_id] = returned
        self.tell(Back(returned=returned))

    def tell_state(self, state: State) -> None:
        """Pass on the state of the engine, if it has changed."""
        if self.begun is not None and state != self._state:
            self._state = state
            self.tell(state)

    # --- progress ----------------------------------------------------------------------------

    def use(self, cores: int, now: float) -> None:
        """Note how many cores the campaign's tasks use at the time `now`."""
        if self._cores_noted is not None:
            newest = 1 - math.exp((self._cores_noted - now) / _AVERAGED_SECONDS)
            self.cores += newest * (cores - self.cores)
        self._cores_noted = now

    def reported(self, report: Report) -> None:
        """Note the campaign's progress, to which earlier processes of this run have contributed."""
        self.report = report
        if report.limit_left is not None:
            self._limit = report.limit_left
            self._sent_since_report = 0

    @property
    def limit_left(self) -> int | None:
        """How many documents a new process may feed; None: as many as there are."""
        return None if self._limit is None else max(0, self._limit - self._sent_since_report)

    def _keep_counts(self) -> None:
        if self.report is not None:
            self._earlier = self.total_report()
            self.report = None

    def total_report(self) -> Report:
        """The progress of this run, over all processes of the campaign."""
        report, earlier = self.report, self._earlier
        if report is None:
            return earlier
        failures = Counter(report.failures) + Counter(earlier.failures)
        before = Counter(report.failures_before) - Counter(earlier.failures)
        return report.model_copy(
            update={
                "done": report.done + earlier.done,
                "done_before": max(0, report.done_before - earlier.done),
                "warned": report.warned + earlier.warned,
                "failures": dict(failures),
                "failures_before": dict(before),
                "attempts_failed": report.attempts_failed + earlier.attempts_failed,
                "requeued": report.requeued + earlier.requeued,
                "mended": report.mended + earlier.mended,
                "seconds": report.seconds + earlier.seconds,
            }
        )
