"""Folders that can be written, and logs that do not grow for ever."""

import os
from pathlib import Path

from wqmaster.errors import FolderError

LARGEST_LOG_BYTES = 5_000_000


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
