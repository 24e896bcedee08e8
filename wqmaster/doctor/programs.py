"""Other programs, asked what they are: with a time-out, and with all that they start ended."""

import contextlib
import errno
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Seconds that a program may take to answer; bytes of it that are read.
ANSWER_TIMEOUT_SECONDS = 4.0
_MAX_ANSWER_BYTES = 1 << 20
# Seconds in which a process that was killed is gone; of a hung network disk, never.
_KILL_TIMEOUT_SECONDS = 1.0
# Those that run now: what a check that hangs has started must not outlive the doctor.
_running: "set[subprocess.Popen[bytes]]" = set()
# Checks that were late: they go on when what they wait for is ended, and are to start nothing more.
_late: "set[threading.Thread]" = set()
_starting = threading.Lock()


@dataclass(frozen=True)
class Said:
    """What a program said."""

    code: int | None  # its exit code; None if it did not end in time
    text: str

    @property
    def last(self) -> str:
        """The last line that is not empty."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        if self.code is None:
            return "no answer in time" + (f"; last words: {lines[-1][:300]}" if lines else "")
        return lines[-1][:300] if lines else "it said nothing"


def start(
    words: Sequence[str], environ: Mapping[str, str], **pipes: Any
) -> "subprocess.Popen[bytes]":
    """A process that leads a session of its own, and ends with `end` or `end_all`.

    Raises:
        OSError: it cannot be started, or this thread is one that was late.
    """
    with _starting:
        if threading.current_thread() in _late:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, env=dict(environ), start_new_session=True, **pipes
        )
        _running.add(process)
    return process


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started in its session."""
    _kill(process)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_TIMEOUT_SECONDS)
    _running.discard(process)


def end_all(late: Iterable[threading.Thread]) -> None:
    """End all that still run; the threads `late` start nothing more."""
    with _starting:
        _late.update(late)
        running = list(_running)
    for process in running:
        end(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def ask(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    seconds: float = ANSWER_TIMEOUT_SECONDS,
    errors: bool = True,
    folder: Path | None = None,
) -> Said:
    """What the program says, with what it says on standard error if `errors`.

    Raises:
        OSError: it cannot be started.
    """
    process = start(
        words,
        environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
        cwd=folder,
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with process.stdout or contextlib.nullcontext() as output:
            data = output.read(_MAX_ANSWER_BYTES) if output else b""
        if len(data) == _MAX_ANSWER_BYTES:
            stop()
        code = process.wait()
    finally:
        timer.cancel()
        end(process)
    return Said(None if late.is_set() else code, data.decode(errors="replace"))
