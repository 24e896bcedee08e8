"""One master per folder. (The lock with a heartbeat is in database/campaign_lock.py.)

The lock is the kernel's (flock(2)), gone with the last process that has it. Collectors
inherit it, so that a new master waits until those of a killed one have committed what they began.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from wqmaster.errors import CampaignLocked, FolderError
from wqmaster.system.processes import alive

# Seconds to wait for the collectors of a master that was killed.
COLLECTORS_TIMEOUT_SECONDS = 60.0


class FolderLock:
    """The lock on a campaign's folder.

    Raises:
        CampaignLocked: a living master has it.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._file: IO[str] = (folder / "lock").open("a+")
        except OSError as error:
            raise FolderError(f"the lock of {folder} cannot be opened: {error}") from error
        deadline = time.monotonic() + COLLECTORS_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                self._file.seek(0)
                holder = self._file.read().strip()
                pid = int(holder) if holder.isdigit() else 0
                if alive(pid) or time.monotonic() > deadline:
                    self._file.close()
                    raise CampaignLocked(
                        f"another master (process {holder or 'unknown'}) is running in {folder}; "
                        "see 'wqmaster status', or stop that one first"
                    ) from None
                time.sleep(0.05)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def fileno(self) -> int:
        """The descriptor that collectors inherit."""
        return self._file.fileno()

    def close(self) -> None:
        """Give the folder free, once the collectors have ended as well."""
        self._file.close()
