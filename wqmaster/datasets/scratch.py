"""Tables on disk, for data that grow with the number of frames and must not fill the memory."""

import os
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

# Enough for the indexes of some 10^5 frames; larger ones are read through the system's file cache.
_CACHE_KIB = 64_000


def scratch(folder: Path | None = None) -> sqlite3.Connection:
    """A new database in a file without a name, which disappears with the connection.

    Nothing remains of it, even after kill -9.

    Args:
        folder: where to create it (default: the system's folder for temporary files)
    """
    handle, name = tempfile.mkstemp(prefix=".wqmaster-", suffix=".sqlite", dir=folder)
    os.close(handle)
    path = Path(name)
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        for setting in ("synchronous=OFF", "journal_mode=OFF", f"cache_size=-{_CACHE_KIB}"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("BEGIN")  # never committed: nobody else reads it
        connection.execute("CREATE TABLE opened (number INTEGER)")
    finally:
        path.unlink()
    return connection


class OnDisk:
    """Base of what keeps its tables in `scratch`; at its end, a `with` statement removes them."""

    def __init__(self, folder: Path | None = None) -> None:
        self._database = scratch(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the tables."""
        self._database.close()
