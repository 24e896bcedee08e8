"""Processes of a factory and of its workers on this machine: found by where they run, and ended."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from wqmaster.system.supervise import descendants

# For processes that were killed to be gone.
_KILL_TIMEOUT_SECONDS = 10.0
_MARK_VARIABLE = "WQMASTER_FACTORY"


def runs(pid: int) -> bool:
    """Whether a process is there, and is more than an exit code that nobody has read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def marked(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environ` with what the workers of the factory in `folder` are known by."""
    return {**environ, _MARK_VARIABLE: str(folder.resolve())}


def left(folder: Path) -> list[int]:
    """Processes of the factory that keeps its files in `folder`, and what they have started."""
    # The campaign may be named by another path than before.
    folder = folder.resolve()
    mark = f"{_MARK_VARIABLE}={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                place = str((entry / "cwd").readlink())
                environ = (entry / "environ").read_bytes().split(b"\0")
                # A factory works in its scratch folder, a worker elsewhere.
                if (mark in environ or place.startswith(f"{folder}/workers-")) and runs(
                    int(entry.name)
                ):
                    found.append(int(entry.name))
    return found + [pid for pid in descendants(*found) if pid not in found] if found else []


def end_left(folder: Path) -> int:
    """Kill them, and wait until they are gone; how many there were."""
    pids = left(folder)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_TIMEOUT_SECONDS
    while any(runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(pids)
