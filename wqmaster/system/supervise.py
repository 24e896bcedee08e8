"""Runs a command, and ends it with all its descendants when its own standard input closes.

    python -m wqmaster.system.supervise LOG COMMAND...

The master holds the other end of that pipe, so that factory and workers end with the master, also
after kill -9. (work_queue_factory, asked to end, ends only the shells of its local workers.)
Orphans come to the keeper, which is a "child subreaper" (prctl(2)), so that none is missed. What
the command prints goes to LOG, which is rotated.
"""

import contextlib
import ctypes
import logging
import logging.handlers
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
from wqmaster.system.processes import descendants

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# Seconds that the processes have to end by themselves, after SIGTERM.
STOP_TIMEOUT_SECONDS = 5.0
# Seconds between two signals to the same process.
SIGNAL_INTERVAL_SECONDS = 0.5


def _reap() -> bool:
    """Collect what has ended; whether there are children left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def end_all(first: int = signal.SIGTERM) -> None:
    """End every descendant: the signal `first`, then SIGKILL, until none is left."""
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    again = 0.0
    while _reap():
        now = time.monotonic()
        if now > again:
            # More than once: a factory that has just begun misses the first (F22).
            again = now + SIGNAL_INTERVAL_SECONDS
            for pid in descendants():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, first if now < deadline else signal.SIGKILL)
        time.sleep(0.02)


def rotating(log: Path | str) -> logging.Logger:
    """A logger whose lines go to the file `log`, which is rotated."""
    logger = logging.getLogger("keeper")
    handler = logging.handlers.RotatingFileHandler(log, maxBytes=5_000_000, backupCount=3)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
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
    """Run `command` until it ends by itself: its exit code, or None if it was to end before.

    It is to end when a signal says so, when `tick`, called once a second or so, returns True, or
    (`stdin`) when our standard input closes. `said` gets each line that it prints. The command and
    what it has started may still run afterwards: see `end_all`.
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
                    # Nothing more is ever written to our input: it is readable when it has closed.
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
        # What it said last has come with its end.
        for line in (lines.rest + (output.read() or b"")).splitlines():
            said(line.decode(errors="replace"))
    return code


def _write(stopping: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.write(stopping, b"x")


def main(log: str, command: list[str]) -> int:
    """Keep `command` until standard input closes or it ends by itself; its exit code."""
    logger = rotating(log)
    logger.info("%s", " ".join(command))
    code = keep(command, lambda line: logger.info("%s", line))
    if code is not None:
        logger.info("ended by itself with exit code %d", code)
    end_all()
    return code or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
