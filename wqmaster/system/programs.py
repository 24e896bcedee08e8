"""Run another program for its output, with a timeout, and end everything that it started."""

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

ANSWER_TIMEOUT_SECONDS = 4.0
_MAX_ANSWER_BYTES = 1 << 20
_READ_SIZE_BYTES = 1 << 16
_MAX_LINE_CHARACTERS = 300
# How long to wait for a killed process, which never ends if it hangs on a network disk.
_KILL_TIMEOUT_SECONDS = 1.0
# The running processes, to be killed at the end: a check that hangs must not outlive the doctor.
_running: "set[subprocess.Popen[bytes]]" = set()
# The threads of checks that timed out. Such a thread continues when its process is killed, and must
# not start another process.
_late: "set[threading.Thread]" = set()
_starting = threading.Lock()

# Standard error is merged into standard output, returned separately, or discarded.
Errors = Literal["merged", "apart", "dropped"]


@dataclass(frozen=True)
class Said:
    """What a program printed, and its exit code."""

    code: int | None  # negative for a signal; None if it did not end in time
    text: str  # standard output
    errors: str = ""  # standard error, if it was read separately

    @property
    def last(self) -> str:
        """The last line of standard error or, if that is empty, of standard output, shortened."""
        line = (last_line(self.errors) or last_line(self.text))[:_MAX_LINE_CHARACTERS]
        if self.code is None:
            return "no answer in time" + (f"; last output: {line}" if line else "")
        return line or "no output"


def start(
    words: Sequence[str], environ: Mapping[str, str], **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a process in a new session, for `end` or `end_all` to end.

    `options` are passed to subprocess.Popen.

    Raises:
        OSError: the process cannot be started, or this thread has timed out (see `end_all`).
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
    """Kill a process and everything in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_KILL_TIMEOUT_SECONDS)
    _running.discard(process)


def end_all(late: Iterable[threading.Thread]) -> None:
    """Kill all running processes, and keep the threads `late` from starting more."""
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
    """Run a program in `folder`, and return its output.

    If the program runs longer than `seconds`, prints more than `max_bytes` to standard output, or
    leaves a process that keeps the output open, everything that it started is killed, and the code
    is None.

    Raises:
        OSError: the program cannot be started.
    """
    with contextlib.ExitStack() as stack:
        error_file = stack.enter_context(tempfile.TemporaryFile()) if errors == "apart" else None
        process = start(
            words,
            environ,
            stdout=subprocess.PIPE,
            stderr=error_file or (subprocess.STDOUT if errors == "merged" else subprocess.DEVNULL),
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
        error_bytes = b""
        if error_file is not None:
            error_file.seek(0)
            error_bytes = error_file.read()
    return Said(code, data.decode(errors="replace"), error_bytes.decode(errors="replace"))


def _read(descriptor: int, deadline: float, max_bytes: int | None) -> tuple[bytes, bool]:
    """At most `max_bytes` read until `deadline`, and whether the end of the output was reached."""
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
