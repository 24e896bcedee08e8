"""Run a command, and end it and all its descendants when standard input closes.

    python -m wqmaster.system.supervise LOG COMMAND...

The master holds the other end of the pipe, so a factory and its workers end with the master, even
after kill -9. (When work_queue_factory is told to stop, it ends only the shells around its local
workers.) This process is a "child subreaper" (prctl(2)): orphaned descendants become its children,
so none is missed. The command's output goes to LOG, which is rotated.
"""

import contextlib
import ctypes
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, cast

from wqmaster.system.lines import LineBuffer
from wqmaster.system.log_files import LogFile
from wqmaster.system.processes import descendants

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# How long processes have to end after the first signal, before they get SIGKILL.
STOP_TIMEOUT_SECONDS = 5.0
# The time between two signals to the same process.
SIGNAL_INTERVAL_SECONDS = 0.5


def _reap() -> bool:
    """Reap children that have ended; return whether any are left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_all(first: int = signal.SIGTERM) -> None:
    """Send every descendant the signal `first`, and later SIGKILL, until none is left."""
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    again = 0.0
    while _reap():
        now = time.monotonic()
        if now > again:
            # Repeat the signal, because a factory that has just started can miss it (F22).
            again = now + SIGNAL_INTERVAL_SECONDS
            for pid in descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, first if now < deadline else signal.SIGKILL)
        time.sleep(0.02)


def rotating(log: Path | str) -> logging.Logger:
    """A logger that writes to the file `log`, and rotates it at 5 MB."""
    logger = logging.getLogger("keeper")
    logger.addHandler(LogFile(log, "%(asctime)s %(message)s"))
    logger.setLevel(logging.INFO)
    return logger


def keep(
    command: Sequence[str],
    said: Callable[[str], None],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bool = True,
    tick: Callable[[], bool] = lambda: False,
) -> int | None:
    """Run `command` and return its exit code, or None if this function returns before it exits.

    The function returns early on a signal, when `tick` (called at least once a second or so)
    returns True, and, with `stdin`, when our standard input closes. `said` gets each line of the
    output. The command and its descendants can still be running afterwards: see `end_all`.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    stop, stopping = os.pipe()
    os.set_blocking(stopping, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: _write(stopping))
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environ,
        cwd=cwd,
    )
    output = cast("IO[bytes]", child.stdout)
    os.set_blocking(output.fileno(), False)
    with selectors.DefaultSelector() as selector:
        for source in (*((sys.stdin.buffer,) if stdin else ()), stop, output):
            selector.register(source, selectors.EVENT_READ)
        ended, lines = False, LineBuffer()
        while not ended:
            for key, _ in selector.select(1.0):
                if key.fileobj is not output:
                    # Nothing writes to standard input, so it becomes readable only when it closes.
                    ended = True
                    continue
                text = output.read()
                if text == b"":
                    selector.unregister(output)
                for line in lines.add(text or b""):
                    said(line.decode(errors="replace"))
            ended = ended or child.poll() is not None or tick()
    code = child.poll()
    if code is not None:
        # This is the output from just before the command exited.
        for line in (lines.rest + (output.read() or b"")).splitlines():
            said(line.decode(errors="replace"))
    return code


def _write(stopping: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(stopping, b"x")


def main(log: str, command: list[str]) -> int:
    """Run `command` until it exits or standard input closes; return its exit code."""
    logger = rotating(log)
    logger.info("%s", " ".join(command))
    code = keep(command, lambda line: logger.info("%s", line))
    if code is not None:
        logger.info("exited with code %d", code)
    end_all()
    return code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
