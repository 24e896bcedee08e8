"""The broker's side of the pipes to a process, neither of which ever makes the broker wait."""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from wqmaster.system.files import rotate
from wqmaster.system.lines import LineBuffer

# How much a process may have left unread, and how long a line from it may be.
_MAX_UNREAD_BYTES = 64 << 20
_MAX_LINE_BYTES = 64 << 20
# How much is read from a process at a time, so that none keeps the broker from the others.
_CHUNK_BYTES = 1 << 20
_PIPE_BYTES = 1 << 20


class Flooded(Exception):
    """A process does not read its messages, or sends a line without an end."""


class Child:
    """A process `python -m MODULE` with pipes of lines to and from it.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, module: str, errors: Path, keep_open: Sequence[int] = ()) -> None:
        rotate(errors)
        with errors.open("ab") as stderr:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
                pass_fds=keep_open,
            )
        self._stdin = cast("IO[bytes]", self.popen.stdin)
        self._stdout = cast("IO[bytes]", self.popen.stdout)
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)
            with contextlib.suppress(OSError):  # the user's limit for pipes is reached
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._lines = LineBuffer()
        self._unsent = bytearray()
        self._read_at = time.monotonic()

    def fileno(self) -> int:
        """The descriptor on which its messages arrive."""
        return self._stdout.fileno()

    def tell(self, line: bytes) -> None:
        """Send a line, now or when the process reads.

        Raises:
            Flooded: too much is unread.
        """
        if not self._unsent:
            self._read_at = time.monotonic()
        self._unsent += line
        self.flush()
        if len(self._unsent) > _MAX_UNREAD_BYTES:
            raise Flooded("it does not read its messages")

    def flush(self) -> None:
        """Send what was not sent before, as far as the process reads it."""
        while self._unsent:
            try:
                sent = os.write(self._stdin.fileno(), self._unsent[:_PIPE_BYTES])
            except BlockingIOError:
                return
            except (BrokenPipeError, ValueError):  # it has ended, or its input is closed
                self._unsent.clear()
                return
            self._read_at = time.monotonic()
            del self._unsent[:sent]

    @property
    def unread_seconds(self) -> float:
        """For how long it has not read anything although there is something to read."""
        return time.monotonic() - self._read_at if self._unsent else 0.0

    def hear(self) -> tuple[list[bytes], bool]:
        """The lines that have arrived, and whether more can come.

        Raises:
            Flooded: a line is too long.
        """
        try:
            chunk = os.read(self._stdout.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return [], True
        lines = self._lines.add(chunk)
        if len(self._lines.rest) > _MAX_LINE_BYTES:
            raise Flooded("it sends a line without an end")
        return lines, bool(chunk)

    def leave(self) -> None:
        """Close its input, on which it ends, or would end if it were not hung."""
        self.flush()
        with contextlib.suppress(OSError):
            self._stdin.close()

    def kill(self) -> None:
        """End it at once; its last messages can still be read."""
        self.popen.kill()

    def close(self) -> int:
        """End it, if it has not ended, and return its exit code."""
        with contextlib.suppress(OSError):
            self._stdin.close()
        self.popen.kill()
        code = self.popen.wait()
        self._stdout.close()
        return code
