"""The master's side of the collectors: hand out tasks, receive verdicts, replace dead collectors.

A collector that crashes or hangs is replaced, and the job that it was judging is tried once more.
If the same happens again, that job alone fails, with the class `collector_crash`. If collectors die
with no job to blame, they are started again after growing pauses; their tasks stay in the spool.
"""

import contextlib
import logging
import os
import selectors
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from wqmaster.run.collector.messages import (
    Begins,
    Collect,
    Commits,
    Configuration,
    Ended,
    FromCollector,
    Refuses,
    Waits,
    message,
)
from wqmaster.system.files import rotate
from wqmaster.system.lines import LineBuffer, last_line
from wqmaster.system.restarts import Pace, Restarts

log = logging.getLogger("wqmaster.collectors")

# How many tasks one collector has at a time.
MAX_TASKS_PER_COLLECTOR = 64
# A collector that has tasks and is silent for this long counts as hung.
HANG_TIMEOUT_SECONDS = float(os.environ.get("WQMASTER_HANG_TIME", "120"))
# How long a new collector may take to import what it needs, on a busy machine.
_START_TIMEOUT_SECONDS = 120.0
# The number of crashes after which a job is left out.
MAX_CRASHES_PER_JOB = 2
# Time limit for all collectors to end when the run ends.
STOP_TIMEOUT_SECONDS = 10.0
# After this many starts without a committed task, collectors are only tried now and then.
PACE = Pace(max_restarts=4)


class _Process:
    """One collector process and the tasks that it has."""

    def __init__(
        self, configuration: Configuration, errors: Path, keep_open: Sequence[int]
    ) -> None:
        self.number = configuration.number
        with errors.open("ab") as stderr:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "wqmaster.run.collector.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                pass_fds=keep_open,
            )
        self.stdin = cast("IO[bytes]", self.popen.stdin)
        self.stdout = cast("IO[bytes]", self.popen.stdout)
        os.set_blocking(self.stdout.fileno(), False)
        self.tasks: dict[str, list[int]] = {}  # task -> jobs to skip
        self.at: tuple[str, int] | None = None  # the task and job being judged; None: no job
        self.since = self.heard = time.monotonic()
        self.has_spoken = False
        self._lines = LineBuffer()
        self.tell(configuration)

    def tell(self, message: Configuration | Collect) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(message.line())
            self.stdin.flush()

    def hear(self) -> tuple[list[FromCollector], bool]:
        """The collector's messages since the last call, and whether it is still alive."""
        chunk: bytes | None = self.stdout.read()
        if chunk is None:
            return [], True
        self.heard = time.monotonic()
        self.has_spoken = True
        messages = []
        for line in self._lines.add(chunk):
            try:
                messages.append(message(line))
            except ValueError:
                log.error("a collector sent an invalid message: %r", line[:200])
        return messages, bool(chunk)

    def end(self, patience: float = 0.0) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.close()
        deadline = time.monotonic() + patience
        while self.popen.poll() is None and time.monotonic() < deadline:
            # A collector whose output nobody reads could block on a full pipe.
            self.stdout.read()
            time.sleep(0.01)
        self.popen.kill()
        self.popen.wait()
        self.stdout.close()


class Collectors:
    """A pool of `count` collector processes.

    With `waits`, they are started when the first task has returned.
    """

    def __init__(
        self,
        count: int,
        configuration: Configuration,
        logs: Path,
        *,
        keep_open: Sequence[int] = (),
        hang_time: float = HANG_TIMEOUT_SECONDS,
        waits: bool = False,
    ) -> None:
        self._count = count
        self._configuration = configuration
        self._errors = logs / "collector.err"
        rotate(self._errors)
        self._keep_open = keep_open
        self._hang_time = hang_time
        self._backlog: deque[tuple[str, list[int]]] = deque()
        self._strikes: Counter[tuple[str, int]] = Counter()
        self._selector = selectors.DefaultSelector()
        self._restarts = Restarts(PACE)
        # The numbers of collectors that do not run, and why the last one of them ended.
        self._down: list[int] = []
        self._why = self._next_start = ""
        # What a collector is waiting for, such as a database that cannot be reached.
        self._waits: Waits | None = None
        self._refusal: str | None = None
        self._processes: list[_Process] = []
        if not waits:
            self._start()

    def _start(self) -> None:
        self._processes = [self._begin(number) for number in range(1, self._count + 1)]

    def _begin(self, number: int) -> _Process:
        configuration = self._configuration.model_copy(update={"number": number})
        process = _Process(configuration, self._errors, self._keep_open)
        self._selector.register(process.stdout, selectors.EVENT_READ, process)
        return process

    def reconfigure(self, configuration: Configuration) -> None:
        """Judge the tasks that are handed over from now on by another configuration."""
        self._configuration = configuration
        for number, process in enumerate(self._processes, start=1):
            process.tell(configuration.model_copy(update={"number": number}))

    @property
    def trouble(self) -> str | None:
        """What collectors wait for, or why they do not run; None if they work."""
        if not self._down:
            return self._waits.reason if self._waits else None
        many = "no collector is running" if not self._processes else "a collector has ended"
        return (
            f"{many}: {self._refusal or self._why} (log: {self._errors}); returned jobs stay in "
            f"the spool, and collectors are started again at {self._next_start}"
        )

    @property
    def lasts(self) -> bool:
        """Whether somebody has to mend the trouble."""
        if self._down:
            return self._restarts.exhausted and not self._processes
        return self._waits is not None and self._waits.lasts

    @property
    def refusal(self) -> str | None:
        """Why no collector may judge jobs any more; None if one may."""
        return self._refusal if self._down and not self._processes else None

    @property
    def busy(self) -> int:
        """The number of tasks that are not yet committed."""
        return len(self._backlog) + sum(len(process.tasks) for process in self._processes)

    def collect(self, task: str) -> None:
        """Hand over the returned `task`."""
        if not self._processes:
            self._start()
        self._backlog.append((task, []))
        self._hand_out()

    def _hand_out(self) -> None:
        while self._backlog and self._processes:
            process = min(self._processes, key=lambda process: len(process.tasks))
            if len(process.tasks) >= MAX_TASKS_PER_COLLECTOR:
                return
            task, skip = self._backlog.popleft()
            if not process.tasks:
                process.heard = time.monotonic()
            process.tasks[task] = skip
            process.tell(Collect(task=task, skip=tuple(skip)))

    def listen(self, seconds: float) -> Iterator[Ended]:
        """Wait at most `seconds` for tasks to be committed, and yield them."""
        for key, _ in self._selector.select(seconds):
            process = cast("_Process", key.data)
            messages, alive = process.hear()
            for heard in messages:
                match heard:
                    case Begins(task=task, job=job):
                        process.at = task, job
                    case Commits():
                        process.at = None
                    case Waits():
                        self._waits = heard
                    case Refuses(reason=reason):
                        self._refusal = reason
                    case Ended(task=task):
                        self._waits = self._refusal = None
                        self._restarts.recovered()
                        process.tasks.pop(task, None)
                        yield heard
            if not alive:
                self._replace(process, f"ended with exit code {process.popen.wait()}")
        for process in list(self._processes):
            limit = self._hang_time
            if not process.has_spoken:
                limit = max(limit, _START_TIMEOUT_SECONDS)
            if process.tasks and time.monotonic() > process.heard + limit:
                self._replace(process, f"was silent for {limit:.0f} s")
        self._start_again()
        self._hand_out()

    def _replace(self, process: _Process, why: str) -> None:
        self._selector.unregister(process.stdout)
        process.end()
        self._processes.remove(process)
        log.error("a collector %s (last job: %s); see %s", why, process.at, self._errors)
        for task, skip in process.tasks.items():
            if process.at is not None and process.at[0] == task:
                self._strikes[process.at] += 1
                if self._strikes[process.at] >= MAX_CRASHES_PER_JOB:
                    skip.append(process.at[1])
                    del self._strikes[process.at]
            self._backlog.appendleft((task, skip))
        if process.at is not None:
            # The job is to blame, and a job costs no more than a few collectors.
            with contextlib.suppress(OSError):
                self._processes.append(self._begin(process.number))
                return
        self._down.append(process.number)
        last = ""
        with contextlib.suppress(OSError):
            last = last_line(self._errors.read_text(errors="replace"))
        self._rest(f"it {why}{f': {last}' if last else ''}", process.since)

    def _rest(self, why: str, since: float) -> None:
        """Plan the next start of collectors that ended, or could not be started, for a reason."""
        self._why = why
        now = time.monotonic()
        if self._restarts.due is None:  # collectors that die together count once
            due = self._restarts.died(now, now - since)
            self._next_start = time.strftime("%H:%M:%S", time.localtime(time.time() + due - now))

    def _start_again(self) -> None:
        """Start the collectors that do not run, if their pause is over."""
        now = time.monotonic()
        if not self._down or not self._restarts.may_start(now):
            return
        self._restarts.started(now)
        while self._down:
            try:
                self._processes.append(self._begin(self._down[0]))
            except OSError as error:
                self._rest(f"it cannot be started: {error.strerror or error}", now)
                return
            self._down.pop(0)

    def close(self) -> None:
        """End the processes after they have finished the tasks that they began.

        Processes that are waiting for the database cannot finish. They are killed, and their tasks
        stay in the spool.
        """
        deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        for process in self._processes:
            process.end(max(0.0, deadline - time.monotonic()))
        self._selector.close()
