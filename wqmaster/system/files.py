"""Atomic writes, writable folders, and log rotation."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wqmaster.errors import FolderError

LARGEST_LOG_BYTES = 5_000_000
# How much of a path that is too long a message shows.
_MAX_SHOWN_CHARACTERS = 80


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` when the block ends.

    `path` is never half written, even after kill -9. If the block fails, the temporary file is
    removed. Several processes can replace the same file at once, but only one thread in each.
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
    """Create `folder` if necessary, and check that files can be written and renamed in it.

    Raises:
        FolderError: the folder cannot be created, or is not writable.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not folder.stat().st_mode & 0o222:
            raise PermissionError(13, "its mode does not allow writing", str(folder))
        probe.write_bytes(b"x")
        probe.rename(probe.with_suffix(".renamed"))
        probe.with_suffix(".renamed").unlink()
    except OSError as error:
        raise FolderError(why_no_folder(folder, error)) from error


def why_no_folder(folder: Path, error: OSError) -> str:
    """Why a campaign's folder cannot be used, and what to do."""
    if error.errno == errno.ENAMETOOLONG:
        shown = f"{str(folder)[:_MAX_SHOWN_CHARACTERS]}..."
        return (
            f"the path of the folder {shown} is too long; shorten 'campaign:', or name another "
            "folder with 'folder:' in the campaign file"
        )
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        path = next((one for one in (folder, *folder.parents) if os.path.lexists(one)), folder)
        return (
            f"{path} is a file, not a folder; name another folder with 'folder:' in the campaign "
            "file"
        )
    if not folder.exists():
        return (
            f"cannot create the folder {folder} ({error.strerror or error}); name another one with "
            "'folder:' in the campaign file"
        )
    return (
        f"cannot write to the folder {folder} ({error.strerror or error}); make it writable, or "
        "name another one with 'folder:' in the campaign file"
    )


def changed(path: Path | None) -> tuple[int, int] | None:
    """What differs between two versions of a file that is replaced as a whole.

    None if there is no file, or `path` is None.
    """
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns)


def rotate(log: Path, most_bytes: int = LARGEST_LOG_BYTES) -> None:
    """Rename `log` to LOG.1, replacing an earlier LOG.1, if `log` is larger than `most_bytes`."""
    if log.exists() and log.stat().st_size > most_bytes:
        log.rename(log.with_name(f"{log.name}.1"))
