"""Files of an adoption: the list of refused outputs, and the contents that were seen."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wqmaster.system.files import replacing


@contextlib.contextmanager
def kept(path: Path) -> Iterator[Path]:
    """A file to write to that replaces `path`, even if an error stops the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stopped: BaseException | None = None
    with replacing(path) as part:
        try:
            yield part
        except BaseException as error:
            stopped = error
    if stopped is not None:
        raise stopped


class Seen:
    """The contents of earlier outputs, kept on disk so that memory does not grow with them."""

    def __init__(self, scratch: Path | None) -> None:
        with tempfile.NamedTemporaryFile(dir=scratch, delete=False) as table:
            self._connection = sqlite3.connect(table.name)
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute(
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, path TEXT) WITHOUT ROWID"
        )
        Path(table.name).unlink()  # the file stays open; if the process is killed, nothing remains

    def add(self, digest: bytes, path: str) -> str | None:
        """Add the digest of an output's content; returns the path of an earlier output, or None."""
        found = self._connection.execute(
            "SELECT path FROM seen WHERE digest = ?", (digest,)
        ).fetchone()
        if found is not None:
            return str(found[0])
        self._connection.execute("INSERT INTO seen VALUES (?, ?)", (digest, path))
        return None

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._connection.close()
