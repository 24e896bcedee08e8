"""Files that are written whole, folders that can be written, logs that do not grow for ever."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wqmaster.errors import FolderError

LARGEST_LOG_BYTES = 5_000_000


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` that is to be written, and takes its place once it is.

    So `path` is never half written, also not by a kill. What is left of one that failed is removed.
    Processes do not get into each other's way; only one thread of each may write `path`.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        yield part
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def check_writable(folder: Path) -> None:
    """Make `folder` if need be, and see that files can be written and renamed in it.

    Raises:
        FolderError: they cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & 0o222:
            raise PermissionError(13, "its mode allows no writing", str(folder))
        probe.write_bytes(b"x")
        probe.rename(probe.with_suffix(".renamed"))
        probe.with_suffix(".renamed").unlink()
    except OSError as error:
        raise FolderError(
            f"the folder {folder} cannot be written ({error.strerror or error}); make it writable, "
            "or name another one with 'folder:' in the campaign file"
        ) from error


def rotate(log: Path, most_bytes: int = LARGEST_LOG_BYTES) -> None:
    """Put a log that has become large out of the way, in the place of the one before it."""
    if log.exists() and log.stat().st_size > most_bytes:
        log.rename(log.with_name(f"{log.name}.1"))
