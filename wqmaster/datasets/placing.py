"""The files of an export: written in a hidden folder, and moved to their places when complete."""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import FolderError, UsageError, WqmasterError

# An export holds a lock on this file in its hidden folder, so that the next one recognizes a folder
# that a killed export left.
_LOCK = "wqmaster-export.lock"


class Placing:
    """The places of the files of one export.

    With parts (`--splits`), the file of each part is named STEM-PART.SUFFIX. No file is at its
    place before `place` moves it there by a rename. With `force`, an earlier data set of this name
    is replaced as a whole: files that only the earlier one had, such as a further part, are
    removed, since their molecules may be in another part now. Messages suggest a name with
    `suffix`.

    Raises:
        WqmasterError: a file exists and `force` is not set (code `file-exists`).
        UsageError: the path does not end with a name.
        FolderError: the folder does not exist, or is not writable.
    """

    def __init__(self, path: Path, parts: Sequence[str], *, force: bool, suffix: str = "") -> None:
        self._suggested = f"data{suffix}"
        if not path.name:
            raise UsageError(
                f"-o: '{path}' is not the name of a file; name one, such as -o {self._suggested}"
            )
        self._path = path
        self._force = force
        self._moves: dict[Path, Path] = {}  # draft -> place
        self._cards = [path.with_name(f"{path.name}.card.{kind}") for kind in ("json", "md")]
        for place in (*map(self.final, parts), *self._cards):
            self._refuse_existing(place)
        self._earlier = _files_of(self._cards[0]) if force else []
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            self._lock = _locked(self.folder / _LOCK)
        except OSError as error:
            raise FolderError(
                f"cannot write to the folder {path.parent.absolute()}: {error.strerror or error}"
            ) from error
        for other in path.parent.glob(f".{glob.escape(path.name)}.*/{_LOCK}"):
            _remove_leftover(other)

    def __enter__(self) -> "Placing":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()

    def final(self, part: str = "") -> Path:
        """Where the file of a part will be."""
        if not part:
            return self._path
        return self._path.with_name(f"{self._path.stem}-{part}{self._path.suffix}")

    def draft(self, part: str = "") -> Path:
        """Where the file of a part is written."""
        draft = self.folder / self.final(part).name
        self._moves[draft] = self.final(part)
        return draft

    def worded(self, message: str) -> str:
        """A message about drafts with the places that the files would have had."""
        for draft, place in self._moves.items():
            message = message.replace(str(draft), str(place))
        return message

    def check_beside(self, name: str) -> None:
        """Check that another file with this name could be placed.

        Raises:
            WqmasterError: it exists and `force` is not set (code `file-exists`).
        """
        self._refuse_existing(self._path.with_name(name))

    def drop(self, draft: Path) -> None:
        """Leave this file out of what `place` moves."""
        del self._moves[draft]

    def beside(self, draft: Path) -> Path:
        """Have `place` also move another file of the hidden folder, and return where it will be.

        Raises:
            WqmasterError: it exists and `force` is not set (code `file-exists`).
        """
        place = self._path.with_name(draft.name)
        self._refuse_existing(place)
        self._moves[draft] = place
        return place

    def place(self) -> list[Path]:
        """Move all files to their places, in the order in which they were named.

        Returns the files of the earlier data set that were removed.

        Raises:
            WqmasterError: another process has made one of the files (code `file-exists`).
        """
        for place in self._moves.values():
            self._refuse_existing(place)
        removed = [path for path in self._earlier if path not in self._moves.values()]
        # A data card vouches for complete files, so it disappears before they change.
        for path in (*(self._cards if self._force else ()), *removed):
            path.unlink(missing_ok=True)
        for draft, place in self._moves.items():
            draft.replace(place)
        return removed

    def _refuse_existing(self, path: Path) -> None:
        if path.is_dir():
            raise WqmasterError(
                f"{path} is a folder; name a file, such as -o {path / self._suggested}",
                code=ErrorCode.FILE_EXISTS,
            )
        if not self._force and os.path.lexists(path):
            raise WqmasterError(
                f"{path} exists already; name another file with -o, or replace it with --force",
                code=ErrorCode.FILE_EXISTS,
            )


def _locked(path: Path) -> IO[bytes]:
    """Open a file, and hold a lock on it until it is closed.

    Raises:
        OSError: the file cannot be opened, or another process holds the lock.
    """
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file


def _remove_leftover(lock: Path) -> None:
    """Remove the folder of a killed export, which no process locks."""
    with contextlib.suppress(OSError), _locked(lock):
        shutil.rmtree(lock.parent, ignore_errors=True)


def _files_of(card: Path) -> list[Path]:
    """The files that a data card names, if they are beside it and have the size it states."""
    try:
        named = json.loads(card.read_text(encoding="utf-8"))["files"]
        stated = {str(one["name"]): one["bytes"] for one in named}
    except (OSError, ValueError, TypeError, KeyError):
        return []
    return [
        path
        for name, size in stated.items()
        if Path(name).name == name
        and (path := card.with_name(name)).is_file()
        and path.stat().st_size == size
    ]
