"""Hold a run while its folder cannot be used."""

import os
import time
from pathlib import Path

from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.system.descriptors import is_open_at
from wqmaster.system.locks import LOCK_FILE
from wqmaster.system.passing import can_pass

# Pauses after failures to write in a row: the second one, and the longest. The first failure after
# a success can be that of one document alone, and holds nothing.
SECOND_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 2.0, 30.0
# Seconds between two looks at the folder.
_LOOK_INTERVAL_SECONDS = 1.0


class StorageGate:
    """Holds a run while its folder is gone or read-only, and for a while after a failed write.

    `again` is the command that begins the run again. `lock` is the descriptor of the folder's lock,
    if this process holds it: a folder in whose place there is another one is not the run's folder
    any more.
    """

    def __init__(
        self, folder: Path, again: str = "wqmaster run CAMPAIGN", lock: int | None = None
    ) -> None:
        self._folder = folder
        self._again = again
        self._lock = lock
        self._looked = 0.0
        self._found: Hold | None = None
        self._pause = 0.0
        self._until = 0.0
        self._error = ""

    def struck(self, error: OSError) -> bool:
        """Note that a write failed; return whether to try it again later."""
        now = time.monotonic()
        self._looked = 0.0
        if self._look(now) is not None:
            return True  # no pause, since the run can go on as soon as the folder is back
        if not can_pass(error):
            return False
        where = f"{error.filename}: " if error.filename else ""
        self._error = f"{where}{error.strerror or error}"
        self._until = now + self._pause
        self._pause = min(max(2 * self._pause, SECOND_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        return True

    def wrote(self) -> None:
        """Note that a write succeeded."""
        self._pause = 0.0

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while the folder cannot be used."""
        now = time.monotonic()
        found = self._look(now)
        if found is not None:
            return found
        if now < self._until:
            reason = f"a job cannot be written ({self._error}); trying again"
            return Hold(HoldKind.FOLDER, reason)
        return None

    def _look(self, now: float) -> Hold | None:
        if now >= self._looked + _LOOK_INTERVAL_SECONDS:
            self._looked = now
            self._found = self._state()
        return self._found

    def _state(self) -> Hold | None:
        folder = self._folder
        try:
            folder.stat()
            read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        except OSError as error:
            reason = f"the campaign's folder {folder} cannot be used: {error.strerror or error}"
            return Hold(HoldKind.FOLDER, reason)
        if read_only or not os.access(folder, os.W_OK | os.X_OK):
            return Hold(HoldKind.FOLDER, f"the campaign's folder {folder} is read-only")
        if self._lock is not None and not is_open_at(self._lock, folder / LOCK_FILE):
            return Hold(
                HoldKind.FOLDER,
                f"another folder has taken the place of the campaign's folder {folder}",
                command="move it away and put the former one back, or stop this run and start "
                f"it again: {self._again}",
            )
        return None
