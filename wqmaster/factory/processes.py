"""Find and end the processes of a factory and of its workers on this machine."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from wqmaster.system.processes import descendants, is_running, with_variable

# How long killed processes can take to disappear.
_KILL_TIMEOUT_SECONDS = 10.0
_MARK_VARIABLE = "WQMASTER_FACTORY"


def marked(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environ` with the variable that marks the workers of the factory in `folder`."""
    return {**environ, _MARK_VARIABLE: str(folder.resolve())}


def left(folder: Path) -> list[int]:
    """The pids of the factory with its files in `folder`, its workers, and their descendants."""
    # The user can give the campaign by a different path than before.
    folder = folder.resolve()
    # The working directory of a factory of this campaign is a scratch folder in `folder`. The mark
    # finds its workers, which run elsewhere.
    found = with_variable(_MARK_VARIABLE, str(folder), folder / "workers-")
    return found + [pid for pid in descendants(*found) if pid not in found] if found else []


def end_helpers(errors: Path) -> int:
    """Kill the processes whose standard error is the file of a dead worker; return how many.

    They are the worker's own: its tasks have files of their own.
    """
    count = 0
    with contextlib.suppress(FileNotFoundError):
        file = errors.lstat()
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.path.samestat(file, Path(f"/proc/{process.pid}/fd/2").stat()):
                    os.kill(process.pid, signal.SIGKILL)
                    count += 1
    return count


def end_left(folder: Path) -> int:
    """Kill the processes that `left` finds, and wait until they are gone; return how many."""
    pids = left(folder)
    # Stopped first, so that no runner or worker takes the end of a program for a failure.
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
    deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(pids)
