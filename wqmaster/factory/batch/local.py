"""Workers as processes of this machine: what they leave, and those that are left."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import Workers
from wqmaster.factory.folders import Folders
from wqmaster.system.supervise import descendants

PROGRAMS: tuple[str, ...] = ()
# `exec`, so that the worker itself is told to end when the factory has died.
WRAPPER = ("exec", "sh", "./worker.sh", "-o")
COPIES_ENVIRONMENT = False
# Nothing tells of jobs that wait: the factory's own count is to be asked.
TELLS_IDLE = False
ASK = "see the factory's log"

# Seconds for processes that were killed to be gone.
_PATIENCE = 10.0
_MARK = "WQMASTER_FACTORY"


def batch_options(workers: Workers, factory: str, campaign: str) -> str:
    """What goes to `-B`: nothing."""
    return ""


def configuration(workers: Workers) -> dict[str, Any]:
    """What only this machine has, for `-C`: nothing."""
    return {}


class Events(Folders):
    """Reads what the workers leave in the scratch folder."""

    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended; of those that worker.sh has refused, the exit code."""
        with contextlib.suppress(OSError, ValueError):
            return True, int((folder / "code").read_text())
        return not (worker.isdecimal() and _runs(int(worker))), None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def marked(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """`environ` with what the workers of the factory in `folder` are known by."""
    return {**environ, _MARK: str(folder.resolve())}


def left(folder: Path) -> list[int]:
    """Processes of the factory that keeps its files in `folder`, and what they have started."""
    # The campaign may be named by another path than before.
    folder = folder.resolve()
    mark = f"{_MARK}={folder}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                place = str((entry / "cwd").readlink())
                environ = (entry / "environ").read_bytes().split(b"\0")
                # A factory works in its scratch folder, a worker elsewhere.
                if (mark in environ or place.startswith(f"{folder}/workers-")) and _runs(
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
    deadline = time.monotonic() + _PATIENCE
    while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return len(pids)
