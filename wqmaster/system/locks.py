"""File locks and their holders.

The database's lock, which has a heartbeat, is in database/campaign_lock.py.

The kernel keeps a lock (flock(2)) until the last process that holds it ends. The lock file names
the holder as "PID BEGAN" (`began` in processes.py). Earlier versions wrote only the pid. They
mistake a holder with both numbers for dead, and so wait, but they do not get the lock.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wqmaster.errors import CampaignLocked, FolderError
from wqmaster.system.private import open_private
from wqmaster.system.processes import alive, began

# The name of the lock file in a campaign's folder and in its factory's folder.
LOCK_FILE = "lock"
# How long a new master waits for a killed master's collectors.
COLLECTORS_TIMEOUT_SECONDS = 60.0
_RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Holder:
    """The process that last took a lock. It can have ended since."""

    pid: int
    began: float | None  # seconds since boot; None: unknown

    def __str__(self) -> str:
        return f"process {self.pid}"

    def lives(self) -> bool:
        """Whether the holder is running on this machine."""
        return alive(self.pid, self.began)


class Held(Exception):
    """Another process holds the lock."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(str(holder or "process unknown"))


def holder_of(path: Path) -> Holder | None:
    """The holder that the lock file `path` names; None if it names none, or does not exist."""
    try:
        words = path.read_text(errors="replace").split()
        return Holder(int(words[0]), float(words[1]) if len(words) > 1 else None)
    except (OSError, ValueError, IndexError):
        return None  # there is no such file, or the holder has not written to it yet


def take(path: Path) -> IO[str]:
    """Lock the file at `path` until the returned file is closed; `note` then records the holder.

    Raises:
        Held: another process holds the lock.
        OSError: the file cannot be opened, or its file system does not support locks.
    """
    # Whoever can open the file can hold the lock, even a group that may read the folder.
    file = open_private(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise Held(holder_of(path)) from None
        raise
    return file


def note(file: IO[str]) -> None:
    """Record this process as the holder of the lock on `file`."""
    pid = os.getpid()
    since = began(pid)
    file.truncate(0)
    file.write(f"{pid}\n" if since is None else f"{pid} {since}\n")
    file.flush()


class FolderLock:
    """The lock on a campaign's folder, which admits one master at a time.

    Collectors inherit the lock, so a new master waits until a killed master's collectors have
    committed their current work. `what` and `how` begin and end the message if a running process
    holds the lock.

    Raises:
        CampaignLocked: a running master holds the lock.
        FolderError: the lock file cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        how: str = "stop it first, with Ctrl-C or 'kill'",
        what: str = "a master",
    ) -> None:
        deadline = time.monotonic() + COLLECTORS_TIMEOUT_SECONDS
        while True:
            try:
                self._file = take(folder / LOCK_FILE)
                break
            except OSError as error:
                raise FolderError(
                    f"cannot open the lock of {folder}: {error.strerror or error}"
                ) from error
            except Held as held:
                lives = held.holder is not None and held.holder.lives()
                if lives or time.monotonic() > deadline:
                    raise CampaignLocked(
                        f"{what} ({held}) is already running in {folder}; {how}"
                    ) from None
                time.sleep(_RETRY_SECONDS)
        note(self._file)

    def fileno(self) -> int:
        """The lock's file descriptor, which collectors inherit."""
        return self._file.fileno()

    def close(self) -> None:
        """Release the lock. The folder becomes free only when the collectors have ended, too."""
        self._file.close()
