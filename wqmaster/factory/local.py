"""Workers as processes of this machine: what they leave, and those that are left."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Any

from wqmaster.campaign import Workers
from wqmaster.factory.folders import Folders
from wqmaster.keeper import descendants

PROGRAMS: tuple[str, ...] = ()
# `exec`, so that the worker itself is told to end when the factory has died.
WRAPPER = ("exec", "sh", "./worker.sh", "-o")
COPIES_ENVIRONMENT = False
# Nothing tells of jobs that wait: the factory's own count is to be asked.
TELLS_IDLE = False


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
        return not _runs(int(worker)), None


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def left(folder: Path) -> list[int]:
    """Processes that work in a factory's scratch folder below `folder`, and what they started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                place = str((entry / "cwd").readlink())
                if place.startswith(f"{folder}/workers-") and _runs(int(entry.name)):
                    found.append(int(entry.name))
    # Tasks, and what serves a worker's files to others, work elsewhere.
    return found + [pid for pid in descendants(*found) if pid not in found] if found else []


def end_left(folder: Path) -> int:
    """Kill them; how many there were."""
    pids = left(folder)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(pids)
