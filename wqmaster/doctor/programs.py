"""Other programs, asked what they are: with a time-out, and with all that they start ended."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Seconds that a program may take to answer; bytes of it that are read.
PATIENCE = 8.0
_MOST = 1 << 20


@dataclass(frozen=True)
class Said:
    """What a program said."""

    code: int | None  # its exit code; None if it did not end in time
    text: str

    @property
    def last(self) -> str:
        """The last line that is not empty."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1][:300] if lines else "it said nothing"


def end(process: "subprocess.Popen[bytes]") -> None:
    """End a process that leads a session, with all that it started in it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def ask(
    words: Sequence[str],
    environ: Mapping[str, str],
    *,
    seconds: float = PATIENCE,
    errors: bool = True,
    folder: Path | None = None,
) -> Said:
    """What the program says, with what it says on standard error if `errors`.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
        env=dict(environ),
        cwd=folder,
        start_new_session=True,
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        with process.stdout or contextlib.nullcontext() as output:
            data = output.read(_MOST) if output else b""
        if len(data) == _MOST:
            stop()
        code = process.wait()
    finally:
        timer.cancel()
        end(process)
    return Said(None if late.is_set() else code, data.decode(errors="replace"))
