"""Other programs that are run for their answer: with a time-out, and with all they start ended."""

import contextlib
import errno
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, cast

from wqmaster.system.lines import last_line

# Seconds that a program may take to answer; bytes of it that are read.
ANSWER_TIMEOUT_SECONDS = 4.0
_MAX_ANSWER_BYTES = 1 << 20
_READ_SIZE_BYTES = 1 << 16
_MAX_LINE_CHARACTERS = 300
# Seconds in which a process that was killed is gone; of a hung network disk, never.
_KILL_TIMEOUT_SECONDS = 1.0
# Those that run now: what a check that hangs has started must not outlive the doctor.
_running: "set[subprocess.Popen[bytes]]" = set()
# Checks that were late: they go on when what they wait for is ended, and are to start nothing more.
_late: "set[threading.Thread]" = set()
_starting = threading.Lock()

# What becomes of standard error: it comes in one text with standard output, or beside it.
Errors = Literal["merged", "apart", "dropped"]


@dataclass(frozen=True)
class Said:
    """What a program said."""

    code: int | None  # its exit code, negative for a signal; None if it did not end in time
    text: str
    errors: str = ""  # of standard error, where that was kept apart

    @property
    def last(self) -> str:
        """Its last words: of standard error where that has any, at most 300 characters."""
        line = (last_line(self.errors) or last_line(self.text))[:_MAX_LINE_CHARACTERS]
        if self.code is None:
            return "no answer in time" + (f"; last words: {line}" if line else "")
        return line or "it said nothing"


def start(
    words: Sequence[str], environ: Mapping[str, str], **options: Any
) -> "subprocess.Popen[bytes]":
    """A process that leads a session of its own, and ends with `end` or `end_all`.

    `options` are those of subprocess.Popen.

    Raises:
        OSError: it cannot be started, or this thread is one that was late.
    """
    with _starting:
        if threading.current_thread() in _late:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, env=dict(environ), start_new_session=True, **options
        )
        _running.add(process)
    return process


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with all that it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
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


def ask(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    seconds: float = ANSWER_TIMEOUT_SECONDS,
    max_bytes: int | None = _MAX_ANSWER_BYTES,
    errors: Errors = "merged",
    folder: Path | None = None,
    umask: int = -1,
) -> Said:
    """Run a program to its end, in `folder`; what it says.

    One that has not ended after `seconds`, that says more than `max_bytes` on standard output, or
    that left something that holds its output is ended with all that it started, and has no exit
    code.

    Raises:
        OSError: it cannot be started.
    """
    with contextlib.ExitStack() as stack:
        apart = stack.enter_context(tempfile.TemporaryFile()) if errors == "apart" else None
        process = start(
            words,
            environ,
            stdout=subprocess.PIPE,
            stderr=apart or (subprocess.STDOUT if errors == "merged" else subprocess.DEVNULL),
            cwd=folder,
            umask=umask,
        )
        stack.callback(end, process)
        output = stack.enter_context(cast("IO[bytes]", process.stdout))
        deadline = time.monotonic() + seconds
        data, whole = _read(output.fileno(), deadline, max_bytes)
        code: int | None = None
        if whole:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(max(0.0, deadline - time.monotonic()))
        beside = b""
        if apart is not None:
            apart.seek(0)
            beside = apart.read()
    return Said(code, data.decode(errors="replace"), beside.decode(errors="replace"))


def _read(descriptor: int, deadline: float, max_bytes: int | None) -> tuple[bytes, bool]:
    """What can be read until `deadline`, at most `max_bytes`; whether that was all of it."""
    data = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            part = os.read(descriptor, _READ_SIZE_BYTES)
            data += part
            if not part:
                return bytes(data), True
            if max_bytes is not None and len(data) > max_bytes:
                return bytes(data[:max_bytes]), False
    return bytes(data), False
