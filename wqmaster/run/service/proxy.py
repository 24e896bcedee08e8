"""Engine and factory as a campaign's process sees them: messages to and from the broker."""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from wqmaster.engines.base import EngineStats, Returned, RunningTask
from wqmaster.factory import Demand, Numbers, Trouble
from wqmaster.jobs.job import Task
from wqmaster.run.progress import Progress
from wqmaster.run.service.messages import (
    Back,
    BlockHost,
    Cancel,
    Canceled,
    CancelWaiting,
    Room,
    Running,
    Start,
    State,
    Stop,
    Submit,
    Taken,
    UnblockHost,
    Wants,
    to_campaign,
)
from wqmaster.run.spool import Spool
from wqmaster.system.lines import LineBuffer

_CHUNK_BYTES = 1 << 16
# How long a campaign waits for the broker's answer, which takes a second if the broker is busy.
_ANSWER_TIMEOUT_SECONDS = 10.0


class BrokerGone(SystemExit):
    """The broker has ended, or no longer wants this process. What is in the spool stays there."""


class Link:
    """The two pipes between a campaign's process and the broker.

    Reading never blocks longer than asked. Writing waits until the broker reads.
    """

    def __init__(self, reads: int, writes: int) -> None:
        self._reads = reads
        self._writes = writes
        self._lines = LineBuffer()
        self._unread: list[bytes] = []

    def tell(self, line: bytes) -> None:
        """Send a complete line.

        Raises:
            BrokerGone: the broker has closed the pipe.
        """
        try:
            while line:
                line = line[os.write(self._writes, line) :]
        except BrokenPipeError:
            raise BrokerGone(0) from None

    def first(self, seconds: float) -> bytes | None:
        """The first line, if it arrives within `seconds`; `hear` returns the lines after it.

        Raises:
            BrokerGone: the broker has closed the pipe.
        """
        found = self.hear(seconds)
        self._unread = found[1:]
        return found[0] if found else None

    def hear(self, seconds: float) -> list[bytes]:
        """The lines that have arrived, or that arrive first within `seconds`.

        Raises:
            BrokerGone: the broker has closed the pipe.
        """
        deadline = time.monotonic() + seconds
        found, self._unread = self._unread, []
        while True:
            left = 0.0 if found else max(0.0, deadline - time.monotonic())
            if not select.select([self._reads], [], [], left)[0]:
                return found
            chunk = os.read(self._reads, _CHUNK_BYTES)
            if not chunk:
                raise BrokerGone(0)
            found += self._lines.add(chunk)


class ProxyFactory:
    """Passes on how many jobs are left; the broker keeps the factory itself."""

    def __init__(self, link: Link, bundle: int) -> None:
        self._link = link
        self._bundle = bundle
        self._told: Wants | None = None
        self.awaits = False

    def check(self) -> None:
        """Do nothing, since the broker starts the factory again if it has ended."""

    def awaited(self) -> bool:
        """Whether the user still has to start workers or their factory."""
        return self.awaits

    def tell(self, wanted: Demand) -> None:
        """Report the campaign's current demand, if it has changed."""
        wants = Wants(tasks=wanted.workers(self._bundle, 1))
        if wants != self._told:
            self._told = wants
            self._link.tell(wants.line())

    def resize(self, numbers: Numbers) -> None:
        """Do nothing, since `workers:` belongs to the service."""

    def trouble(self) -> Trouble | None:
        """None, since the engine's trouble includes that of the workers."""
        return None

    def last(self) -> list[str]:
        """No lines, since the broker logs them."""
        return []

    def close(self) -> str | None:
        """Do nothing, since the factory belongs to the broker."""
        return None


class ProxyEngine:
    """The broker's engine, as far as it has tasks of this campaign.

    `stop` is called when the broker asks the campaign to stop, with the grace period in seconds.
    """

    def __init__(
        self, link: Link, start: Start, factory: ProxyFactory, stop: Callable[[float], None]
    ) -> None:
        self.name = start.engine
        self.port = start.port
        self._link = link
        self._start = start
        self._factory = factory
        self._stop = stop
        self._room = 0
        self._back: deque[Returned] = deque()
        # The task that `wait` returned last; it is spooled when `wait` is called again.
        self._last: str | None = None
        self._canceled: list[str] = []
        self._asked_to_cancel = False
        self._running: list[RunningTask] = []
        self._state = State(stats=EngineStats(), waits_for_workers=False)

    def submit(self, task: Task, folder: Path) -> None:
        """Pass `task` to the broker."""
        self._room -= 1
        self._link.tell(Submit(task=task, folder=str(folder)).line())

    def wait(self, seconds: float) -> Returned | None:
        """The next task that ends; None if none ends, or if there is room for more tasks."""
        self.taken()
        if not self._back:
            self._hear(seconds)
        if not self._back:
            return None
        returned = self._back.popleft()
        self._last = returned.task_id
        return returned

    def taken(self) -> None:
        """Report that the last returned task is spooled."""
        if self._last is not None:
            self._link.tell(Taken(task=self._last).line())
            self._last = None

    def _hear(self, seconds: float) -> None:
        for line in self._link.hear(seconds):
            match to_campaign(line):
                case Back(returned=returned):
                    self._back.append(returned)
                case Room(tasks=tasks):
                    self._room += tasks
                case State() as state:
                    self._state = state
                    self._factory.awaits = state.waits_for_workers
                case Running(tasks=running):
                    self._running = list(running)
                case Canceled(tasks=tasks):
                    self._canceled += tasks
                    self._asked_to_cancel = False
                case Stop(grace=grace):
                    self._stop(float("inf") if grace is None else grace)

    def hungry(self, priority: int | None = None) -> int:
        """How many more tasks the broker takes."""
        self._hear(0.0)
        return max(0, self._room)

    def waiting(self) -> list[str]:
        """No tasks, since only the broker knows which of them wait."""
        return []

    def cancel(self, task_id: str) -> None:
        """End the task, and never return it."""
        self._back = deque(one for one in self._back if one.task_id != task_id)
        self._link.tell(Cancel(task=task_id).line())

    def cancel_waiting(self) -> list[str]:
        """Let the broker cancel waiting tasks, and return them.

        It answers within a second. If it does not for long, the next call returns them.
        """
        deadline = time.monotonic() + _ANSWER_TIMEOUT_SECONDS
        if not self._asked_to_cancel:
            self._asked_to_cancel = True
            self._link.tell(CancelWaiting().line())
        while self._asked_to_cancel and time.monotonic() < deadline:
            self._hear(max(0.0, deadline - time.monotonic()))
        canceled, self._canceled = self._canceled, []
        return canceled

    def block_host(self, host: str, seconds: float) -> None:
        """Send no tasks to `host` for `seconds`, of whichever campaign."""
        self._link.tell(BlockHost(host=host, seconds=seconds).line())

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` as to any other."""
        self._link.tell(UnblockHost(host=host).line())

    def running(self) -> list[RunningTask]:
        """The campaign's tasks on workers, as the broker reported them last."""
        return self._running

    def stats(self) -> EngineStats:
        """The counts that the broker reported last."""
        return self._state.stats

    def trouble(self) -> str | None:
        """The trouble of engine and workers."""
        return self._state.trouble

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker for this engine."""
        return self._start.how_to_connect

    def close(self) -> None:
        """Report that the last returned task is spooled; the engine belongs to the broker."""
        self.taken()


class ProxyStaff:
    """Engine and factory of a campaign in a service; see `wqmaster.run.staff.Staff`."""

    def __init__(
        self, link: Link, start: Start, bundle: int, stop: Callable[[float], None]
    ) -> None:
        self._start = start
        self._link = link
        self.why = start.why
        self.collectors = start.collectors
        self.follows_file = start.follows_file
        self.files = start.files
        self.held = frozenset(start.held)
        self.factory = ProxyFactory(link, bundle)
        self.engine = ProxyEngine(link, start, self.factory, stop)

    def adopt(self, spool: Spool) -> list[str]:
        """Give up the held tasks that are not in the spool, and return the others."""
        adopted = []
        for task in sorted(self.held):
            if (spool.running / task).is_dir():
                adopted.append(task)
            elif (spool.returned / task).is_dir():
                self._link.tell(Taken(task=task).line())
            else:
                self._link.tell(Cancel(task=task).line())
        return adopted

    def describe(self, progress: Progress) -> None:
        """Note in `progress` how workers connect."""
        progress.port, progress.host = self._start.port, self._start.host
        progress.how_to_connect = self._start.how_to_connect
        progress.workers_of = self._start.workers_of
