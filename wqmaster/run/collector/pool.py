"""The master's side of the collectors: hand out tasks, receive verdicts, replace dead collectors.

A collector that crashes or hangs is replaced, and the job that it was judging is tried once more.
If the same happens again, that job alone fails, with the class `collector_crash`.
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

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ServiceError
from wqmaster.run.collector.messages import (
    Begins,
    Collect,
    Commits,
    Configuration,
    Ended,
    Waits,
    message,
)
from wqmaster.system.files import rotate
from wqmaster.system.lines import LineBuffer, last_line

log = logging.getLogger("wqmaster.collectors")

# How many tasks one collector has at a time.
MAX_TASKS_PER_COLLECTOR = 64
# A collector that has tasks and is silent for this long counts as hung.
HANG_TIMEOUT_SECONDS = float(os.environ.get("WQMASTER_HANG_TIME", "120"))
# The number of crashes after which a job is left out.
MAX_CRASHES_PER_JOB = 2
# Time limit for all collectors to end when the run ends.
STOP_TIMEOUT_SECONDS = 10.0
# How many collectors may die in a row with no job to blame; one more ends the run.
MAX_DEATHS_IN_A_ROW = 3


class _Process:
    """One collector process and the tasks that it has."""

    def __init__(
        self, configuration: Configuration, errors: Path, keep_open: Sequence[int]
    ) -> None:
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
        self.heard = time.monotonic()
        self._lines = LineBuffer()
        self.tell(configuration)

    def tell(self, message: Configuration | Collect) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(message.line())
            self.stdin.flush()

    def hear(self) -> tuple[list[Begins | Commits | Waits | Ended], bool]:
        """The collector's messages since the last call, and whether it is still alive."""
        chunk: bytes | None = self.stdout.read()
        if chunk is None:
            return [], True
        self.heard = time.monotonic()
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
    """A pool of `count` collector processes."""

    def __init__(
        self,
        count: int,
        configuration: Configuration,
        logs: Path,
        *,
        keep_open: Sequence[int] = (),
        hang_time: float = HANG_TIMEOUT_SECONDS,
    ) -> None:
        self._configuration = configuration
        self._errors = logs / "collector.err"
        rotate(self._errors)
        self._keep_open = keep_open
        self._hang_time = hang_time
        self._backlog: deque[tuple[str, list[int]]] = deque()
        self._strikes: Counter[tuple[str, int]] = Counter()
        self._selector = selectors.DefaultSelector()
        self._processes = [self._begin(number) for number in range(1, count + 1)]
        self._deaths = 0
        # The reason why a collector is waiting, such as an unreachable database.
        self.trouble: str | None = None

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
    def busy(self) -> int:
        """The number of tasks that are not yet committed."""
        return len(self._backlog) + sum(len(process.tasks) for process in self._processes)

    def collect(self, task: str) -> None:
        """Hand over the returned `task`."""
        self._backlog.append((task, []))
        self._hand_out()

    def _hand_out(self) -> None:
        while self._backlog:
            process = min(self._processes, key=lambda process: len(process.tasks))
            if len(process.tasks) >= MAX_TASKS_PER_COLLECTOR:
                return
            task, skip = self._backlog.popleft()
            if not process.tasks:
                process.heard = time.monotonic()
            process.tasks[task] = skip
            process.tell(Collect(task=task, skip=tuple(skip)))

    def listen(self, seconds: float) -> Iterator[Ended]:
        """Wait at most `seconds` for tasks to be committed, and yield them.

        Raises:
            ServiceError: collectors die one after another, with no job to blame.
        """
        for key, _ in self._selector.select(seconds):
            process = cast("_Process", key.data)
            messages, alive = process.hear()
            for heard in messages:
                match heard:
                    case Begins(task=task, job=job):
                        process.at = task, job
                    case Commits():
                        process.at = None
                    case Waits(reason=reason):
                        self.trouble = reason
                    case Ended(task=task):
                        self.trouble = None
                        self._deaths = 0
                        process.tasks.pop(task, None)
                        yield heard
            if not alive:
                self._replace(process, f"ended with exit code {process.popen.wait()}")
        for process in list(self._processes):
            if process.tasks and time.monotonic() > process.heard + self._hang_time:
                self._replace(process, f"was silent for {self._hang_time:.0f} s")
        self._hand_out()

    def _replace(self, process: _Process, why: str) -> None:
        self._selector.unregister(process.stdout)
        process.end()
        self._deaths = self._deaths + 1 if process.at is None else 0
        if self._deaths > MAX_DEATHS_IN_A_ROW:
            last = last_line(self._errors.read_text(errors="replace"))
            raise ServiceError(
                f"collectors cannot be started, or cannot commit: {last} (log: {self._errors})",
                code=ErrorCode.COLLECTORS_FAILED,
            )
        log.error("a collector %s (last job: %s); see %s", why, process.at, self._errors)
        for task, skip in process.tasks.items():
            if process.at is not None and process.at[0] == task:
                self._strikes[process.at] += 1
                if self._strikes[process.at] >= MAX_CRASHES_PER_JOB:
                    skip.append(process.at[1])
                    del self._strikes[process.at]
            self._backlog.appendleft((task, skip))
        place = self._processes.index(process)
        self._processes[place] = self._begin(place + 1)

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
