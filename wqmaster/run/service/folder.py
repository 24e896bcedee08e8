"""The campaign files of a service: which are there, and which have changed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wqmaster.campaign.service import SERVICE_FILE

SCAN_INTERVAL_SECONDS = 2.0
# A file counts as complete when it has not changed for this long.
SETTLED_SECONDS = 1.0
_SUFFIXES = (".yaml", ".yml")


def is_campaign_file(name: str) -> bool:
    """Whether a file of this name in a service's folder is a campaign; editors' backups are not."""
    if name == SERVICE_FILE or name.startswith((".", "#", "~")):
        return False
    return name.endswith(_SUFFIXES)


# What shows that a file has changed: inode, modification time (nanoseconds since 1970), size.
Stamp = tuple[int, int, int]
# The stamp of a symbolic link to a file that does not exist.
BROKEN_LINK: Stamp = (0, 0, 0)


@dataclass(frozen=True)
class Change:
    """A file that is new, changed, or gone, or a broken link in its place."""

    path: Path
    gone: bool = False
    broken: bool = False


class Files:
    """Watches the campaign files in a folder, or single files.

    `clock` returns the time in seconds, and `found` the stamp of each file that is there.
    """

    def __init__(
        self,
        found: Callable[[], dict[Path, Stamp]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._found = found
        self._clock = clock
        self._known: dict[Path, Stamp] = {}
        # Files that have changed -> their new stamp, and when it was first seen.
        self._changing: dict[Path, tuple[Stamp, float]] = {}
        # Files that were there -> since when they are not.
        self._missing: dict[Path, float] = {}
        self._next = 0.0

    def rescan(self) -> None:
        """Let the next call of `changes` look at the files, whatever the time."""
        self._next = 0.0

    def changes(self) -> list[Change]:
        """The changes since the last call, of files that are complete."""
        now = self._clock()
        times = [*(since for _, since in self._changing.values()), *self._missing.values()]
        settling = any(now >= one + SETTLED_SECONDS for one in times)
        if now < self._next and not settling:
            return []
        self._next = now + SCAN_INTERVAL_SECONDS
        there = self._found()
        # An editor can remove a file before it writes the new one.
        self._missing = {
            path: self._missing.get(path, now) for path in self._known if path not in there
        }
        changes = [
            Change(path, gone=True)
            for path, since in self._missing.items()
            if now >= since + SETTLED_SECONDS
        ]
        for change in changes:
            del self._known[change.path]
        self._changing = {path: one for path, one in self._changing.items() if path in there}
        for path, stamp in there.items():
            if self._known.get(path) == stamp:
                self._changing.pop(path, None)
                continue
            before, since = self._changing.get(path, (None, now))
            if before != stamp:
                self._changing[path] = stamp, now
            elif now >= since + SETTLED_SECONDS:
                del self._changing[path]
                self._known[path] = stamp
                changes.append(Change(path, broken=stamp == BROKEN_LINK))
        return changes


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return BROKEN_LINK if path.is_symlink() else None
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def in_folder(folder: Path) -> Callable[[], dict[Path, Stamp]]:
    """The campaign files in `folder`.

    While the folder cannot be read, for example because a remote file system does not respond, it
    has the files that it had before.
    """
    last: dict[Path, Stamp] = {}

    def found() -> dict[Path, Stamp]:
        nonlocal last
        try:
            names = sorted(path for path in folder.iterdir() if is_campaign_file(path.name))
        except OSError:
            return last
        stamps = {path: _stamp(path) for path in names}
        last = {
            path: stamp
            for path, stamp in stamps.items()
            if stamp and (stamp == BROKEN_LINK or path.is_file())
        }
        return last

    return found


def single(paths: Sequence[Path]) -> Callable[[], dict[Path, Stamp]]:
    """These files, as far as they exist."""
    return lambda: {path: stamp for path in paths if (stamp := _stamp(path))}
