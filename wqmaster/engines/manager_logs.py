"""The logs of a manager: one folder per run, in which each log has a limited size."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from wqmaster.errors import EngineError
from wqmaster.system.descriptors import is_open_at, open_descriptors

# The debug log is rotated at this size; the previous one is kept as debug.old.
DEBUG_LOG_SIZE_BYTES = 10_000_000
# The other logs are rotated at this size. A task adds about 1 KB to the log of transactions.
LOG_SIZE_BYTES = 100_000_000
# How many log folders are kept, including the current run's.
KEPT_LOG_FOLDERS = 5


def log_folder(logs: Path) -> Path:
    """Create a folder for this run in `logs`, and remove the folders of the oldest runs.

    Raises:
        EngineError: ten runs have already started in this second.
    """
    logs.mkdir(parents=True, exist_ok=True)
    earlier = sorted(path for path in logs.glob("[0-9]*") if path.is_dir())
    for old in earlier[: max(0, len(earlier) - KEPT_LOG_FOLDERS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    # TaskVine accepts at most 19 characters (vine_runtime_directory_create), suffix included.
    name = time.strftime("%Y-%m-%dT%H%M%S")
    # The suffix distinguishes runs that start in the same second.
    for suffix in ("", *(f"-{count}" for count in range(1, 10))):
        with contextlib.suppress(FileExistsError):
            (logs / f"{name}{suffix}").mkdir()
            return logs / f"{name}{suffix}"
    raise EngineError(f"ten folders {logs / name}* exist already; try again in a second")


class GrowingLog:
    """A log that the library appends to without limit.

    A log of `size_bytes` is renamed to NAME.old, and `reopen` makes the library begin a new one.
    The library does not close the renamed file, which would occupy disk space even after it is
    removed, so its descriptor is redirected to /dev/null.
    """

    def __init__(
        self, path: Path, reopen: Callable[[], object], size_bytes: int = LOG_SIZE_BYTES
    ) -> None:
        self._path = path
        self._reopen = reopen
        self._size_bytes = size_bytes

    def bound(self) -> None:
        """Rotate the log if it is too large."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size < self._size_bytes:
                return
            old = self._path.with_name(f"{self._path.name}.old")
            self._path.rename(old)
            left = [number for number in open_descriptors() if is_open_at(number, old)]
            self._reopen()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in left:
                os.dup2(nowhere, number, inheritable=False)
            os.close(nowhere)
