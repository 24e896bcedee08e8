"""A process to which a run writes lines without ever waiting for it.

What it does can hang (a network, a user's program), and must not stop the master.
"""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO, cast

log = logging.getLogger("wqmaster.outlet")

# How many lines wait at most; further ones are dropped.
MAX_WAITING_LINES = 100
# How long a process may take to start.
START_TIMEOUT_SECONDS = 20.0
# Seconds until a process that has died is started again.
_RESTART_SECONDS = 60.0


class Outlet:
    """Runs `python -m MODULE`, whose standard input begins with the line `first`.

    `first` can hold secrets, so it is sent only through the pipe. Errors go to the file `errors`.
    """

    def __init__(self, module: str, first: bytes, errors: Path) -> None:
        self._module = module
        self._first = first
        self._errors = errors
        self._lines: deque[bytes] = deque(maxlen=MAX_WAITING_LINES)
        self._begun = 0.0
        self._start()

    def _start(self) -> None:
        self._begun = time.monotonic()
        with self._errors.open("ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                # Ctrl-C must not end it before it has told of the end.
                start_new_session=True,
            )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        os.set_blocking(self._stdin.fileno(), False)
        self._rest = self._first

    def answer(self) -> str:
        """The first line that the process prints; "" if it prints none in time."""
        ready, _, _ = select.select([self._stdout], [], [], START_TIMEOUT_SECONDS)
        return self._stdout.readline().decode(errors="replace").strip() if ready else ""

    @property
    def process_id(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def is_behind(self) -> bool:
        """Whether lines wait that the process has not received."""
        return bool(self._rest or self._lines)

    def send(self, line: bytes) -> None:
        """Send a line as soon as possible; the oldest one is dropped if too many wait."""
        self._lines.append(line)
        self.tend()

    def tend(self) -> None:
        """Go on with sending, without waiting; start a process again that has died."""
        if self._process.poll() is not None:
            if time.monotonic() < self._begun + _RESTART_SECONDS:
                return
            log.error(
                "%s (process %d) ended; restarting it (see %s)",
                self._module,
                self.process_id,
                self._errors,
            )
            self._shut()
            self._start()
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._rest or self._lines:
                if not self._rest:
                    self._rest = self._lines.popleft()
                # A closed pipe loses this line; whoever has died cannot tell it anyway.
                self._rest = self._rest[os.write(self._stdin.fileno(), self._rest) :]

    def close(self, patience: float) -> None:
        """Let the process do what it was told, and end it after `patience` seconds."""
        deadline = time.monotonic() + patience
        while self.is_behind and self._process.poll() is None and time.monotonic() < deadline:
            self.tend()
            time.sleep(0.02)
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(1.0)
        self._shut()

    def _shut(self) -> None:
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._stdout.close()
