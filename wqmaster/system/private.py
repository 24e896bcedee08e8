"""Who may read the files of a campaign: their owner alone or, with `group:`, a group too.

New files get their modes from the umask, which holds for all code and for all programs that are
started. Files that exist already are tightened once, which a note in the folder records.
"""

import contextlib
import grp
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

# The note in a campaign's folder: whether wqmaster made the folder, and for which group its files
# were tightened.
NOTE = ".wqmaster"
# What a group may read. Everything else stays the owner's alone: secrets (password, ssl.key,
# mongod/), locks, and programs whose licenses forbid copies (cache/).
_SHARED = ("spool", "logs", "kept", "factory", "audit")
# Folders in a campaign's folder, each with an entry that shows that wqmaster made it. They are
# tightened even if the user made the campaign's folder.
_MADE = {
    "spool": "returned",
    "logs": "master.log",
    "mongod": "data",
    "factory": "id",
    "cache": "archives",
}


@dataclass(frozen=True)
class Access:
    """Who may read: the owner or, if `gid` is given, the owner and that group."""

    gid: int | None = None

    @property
    def umask(self) -> int:
        """The umask for new files and folders."""
        return 0o077 if self.gid is None else 0o027


def access_of(group: str | None) -> Access:
    """The access for a campaign with this `group:`; None: no group.

    Raises:
        ValueError: there is no such group, or this user is not in it.
    """
    if group is None:
        return Access()
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise ValueError(f"there is no group '{group}' on this machine") from None
    if gid not in (os.getegid(), *os.getgroups()):
        raise ValueError(f"you are not in the group '{group}'; 'id -Gn' lists your groups")
    return Access(gid)


def make_folder(folder: Path, access: Access, *, default: bool) -> None:
    """Create a campaign's folder if necessary, and tighten what wqmaster made in it.

    A folder that the user made keeps its mode. `default` states that wqmaster chose the folder's
    name itself; then an earlier version, which wrote no note, made it if it holds files of a run.

    Raises:
        OSError: the folder cannot be created, or the note cannot be written.
    """
    made = False
    with contextlib.suppress(FileExistsError):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
        made = True
    note = _read_note(folder)
    made = made or bool(note.get("made"))
    if not note and default:
        made = made or any((folder / name).exists() for name in ("lock", *_MADE))
    wanted = {"made": made, "gid": access.gid}
    if note == wanted and not (made and folder.stat().st_mode & access.umask):
        return
    if made:
        _tighten(folder, access, shared=True)
    for entry in sorted(folder.iterdir()):
        shows = _MADE.get(entry.name)
        if made or (shows is not None and (entry / shows).exists()):
            _tighten_tree(entry, access, shared=entry.name in _SHARED)
    write_private(folder / NOTE, json.dumps(wanted) + "\n")


def write_private(path: Path, text: str) -> None:
    """Write a file in one step that only its owner can read, whatever the umask."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with open_private(part, "x") as file:
            file.write(text)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def open_private(path: Path, mode: str) -> IO[str]:
    """Open a text file; if it is created, only its owner can read it, whatever the umask."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, 0o600)

    return open(path, mode, encoding="utf-8", opener=opener)  # Path.open takes none


def is_plain_file(path: Path) -> bool:
    """Whether `path` is a file, and not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def set_mode(path: Path) -> None:
    """Give a file that another program made the mode of a new file of this process.

    Anything else than a regular file, which a worker may have sent, stays as it is.
    """
    with contextlib.suppress(OSError):
        # A link is not followed, and a named pipe does not block.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(number).st_mode):
                os.fchmod(number, 0o666 & ~_umask())
        finally:
            os.close(number)


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _read_note(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tighten_tree(path: Path, access: Access, *, shared: bool) -> None:
    for found in _below(path):
        _tighten(found, access, shared=shared)


def _below(path: Path) -> Iterator[Path]:
    """`path` and everything below it, without following links."""
    yield path
    if not path.is_symlink() and path.is_dir():
        with contextlib.suppress(OSError):  # a running factory can remove it meanwhile
            for entry in path.iterdir():
                yield from _below(entry)


def _tighten(path: Path, access: Access, *, shared: bool) -> None:
    """Let only those read `path` who may; links, sockets and files of other users stay."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        is_folder = stat.S_ISDIR(found.st_mode)
        if found.st_uid != os.geteuid() or not (is_folder or stat.S_ISREG(found.st_mode)):
            return
        mode = stat.S_IMODE(found.st_mode) & 0o700
        if shared and access.gid is not None and not _is_secret(path):
            mode |= (mode & 0o500) >> 3
            mode |= stat.S_ISGID if is_folder else 0
            if found.st_gid != access.gid:
                os.chown(path, -1, access.gid, follow_symlinks=False)
        if mode != stat.S_IMODE(found.st_mode):
            path.chmod(mode)


def _is_secret(path: Path) -> bool:
    return path.name in ("pwfile", "password", "ssl.key")
