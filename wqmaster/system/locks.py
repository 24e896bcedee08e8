"""Locks on files, and who holds them.

The lock with a heartbeat is in database/campaign_lock.py.

A lock is the kernel's (flock(2)), gone with the last process that has it. In the file stands who
holds it: "PID BEGAN", `began` of processes.py. Earlier versions noted the pid alone. To them a
holder with both looks dead: they wait, and are refused the lock all the same.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from wqmaster.errors import CampaignLocked, FolderError
from wqmaster.system.processes import alive, began

# Its name in the folder that it is of: a campaign's, or that of its factory.
LOCK_FILE = "lock"
# Seconds to wait for the collectors of a master that was killed.
COLLECTORS_TIMEOUT_SECONDS = 60.0
_RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Holder:
    """The process that took a lock last; it may have ended since."""

    pid: int
    began: float | None  # seconds after the boot; None: not known

    def __str__(self) -> str:
        return f"process {self.pid}"

    def lives(self) -> bool:
        """Whether it runs on this machine."""
        return alive(self.pid, self.began)


class Held(Exception):
    """Another process has the lock."""

    def __init__(self, holder: Holder | None) -> None:
        self.holder = holder
        super().__init__(str(holder or "process unknown"))


def holder_of(path: Path) -> Holder | None:
    """Who is noted in the lock file at `path`; None if nobody is."""
    try:
        words = path.read_text(errors="replace").split()
        return Holder(int(words[0]), float(words[1]) if len(words) > 1 else None)
    except (OSError, ValueError, IndexError):
        return None  # there is no such file, or its holder is about to note itself


def take(path: Path) -> IO[str]:
    """Lock the file at `path`, as long as what is returned is open. `note` says whose it is.

    Raises:
        Held: another process has it.
        OSError: the file cannot be opened, or its file system has no locks.
    """
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if isinstance(error, BlockingIOError):
            raise Held(holder_of(path)) from None
        raise
    return file


def note(file: IO[str]) -> None:
    """Note this process as the holder of a lock that it took."""
    pid = os.getpid()
    since = began(pid)
    file.truncate(0)
    file.write(f"{pid}\n" if since is None else f"{pid} {since}\n")
    file.flush()


class FolderLock:
    """The lock on a campaign's folder: one master at a time.

    Collectors inherit it, so that a new master waits until those of a killed one have committed
    what they began.

    Raises:
        CampaignLocked: a living master has it.
        FolderError: the lock file cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        deadline = time.monotonic() + COLLECTORS_TIMEOUT_SECONDS
        while True:
            try:
                self._file = take(folder / LOCK_FILE)
                break
            except OSError as error:
                raise FolderError(f"the lock of {folder} cannot be opened: {error}") from error
            except Held as held:
                lives = held.holder is not None and held.holder.lives()
                if lives or time.monotonic() > deadline:
                    raise CampaignLocked(
                        f"another master ({held}) is running in {folder}; "
                        "see 'wqmaster status', or stop that one first"
                    ) from None
                time.sleep(_RETRY_SECONDS)
        note(self._file)

    def fileno(self) -> int:
        """The descriptor that collectors inherit."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the folder free, once the collectors have ended as well."""
        self._file.close()
