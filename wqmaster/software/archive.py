"""Inspect a software archive before it is sent to workers.

The archive must be complete, must not unpack anything outside its folder, and must contain the
programs that jobs call. The inspection neither writes anything from it to disk nor runs it.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from wqmaster.campaign.models import nearest
from wqmaster.system.files import replacing
from wqmaster.system.this_command import this_command

_BLOCK_BYTES = 1 << 20
# The number of links in one path after which they are taken for a loop.
_MAX_LINKS = 40
# The version of the cached notes. A new version invalidates all earlier notes.
_LOOK_VERSION = 2
# The first bytes of each kind of compressed file, and the function that decompresses it.
_UNPACKERS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError, ValueError)


class BadArchive(ValueError):
    """The archive is broken or unsafe to unpack; the message gives the reason."""


@dataclass(frozen=True)
class Contents:
    """The results of an archive's inspection."""

    sha256: str  # hash of the archive file
    size: int  # bytes after unpacking
    files: int
    # For each command: None if the archive has this program, otherwise the reason why it does not.
    programs: Mapping[str, str | None]


class _Counted(io.RawIOBase):
    """A stream that counts and hashes the bytes read from it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0
        self.sum = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        self.count += len(content)
        self.sum.update(content)
        return len(content)

    def drain(self) -> None:
        """Read the stream to its end."""
        while self.read(_BLOCK_BYTES):
            pass


class _Tree:
    """The members of an archive, which can resolve links as they will be on disk."""

    def __init__(self) -> None:
        self.modes: dict[str, int] = {}  # modes of the files
        self.links: dict[str, str] = {}
        self.size = 0

    def add(self, member: tarfile.TarInfo) -> None:
        """Add a member.

        Raises:
            BadArchive: the member would be unsafe to unpack.
        """
        shown = repr(member.name)
        if member.name.startswith("/"):
            raise BadArchive(f"it contains {shown}, an absolute path")
        name = posixpath.normpath(member.name)
        if name.startswith("../") or name == "..":
            raise BadArchive(f"it contains {shown}, which is outside its folder")
        if member.isdir():
            return
        if name in self.links or (name in self.modes and member.issym()):
            raise BadArchive(f"it contains {shown} twice, once as a link")
        if member.issym():
            self.links[name] = member.linkname
        elif member.islnk():
            target = posixpath.normpath(member.linkname)
            if target.startswith(("/", "../")) or target == "..":
                raise BadArchive(f"the link {shown} leads out of it, to {member.linkname!r}")
            if target not in self.modes:
                raise BadArchive(f"the link {shown} refers to a file that is not in it")
            self.modes[name] = self.modes[target]
        elif member.isreg():
            self.modes[name] = member.mode
            self.size += member.size
        else:
            raise BadArchive(f"it contains {shown}, which is not a file, folder or link")

    def check(self) -> None:
        """Check that no link leads out of the archive, either directly or through other links.

        Raises:
            BadArchive: a link leads out of it.
        """
        for name, target in self.links.items():
            self.resolve(name, f"the link {name!r} leads out of it, to {target!r}")

    def resolve(self, path: str, refusal: str) -> str:
        """`path` with all links resolved.

        Raises:
            BadArchive: it leads out of the archive; the message is `refusal`.
        """
        left = list(reversed(path.split("/")))
        at: list[str] = []
        followed = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not at:
                    raise BadArchive(refusal)
                at.pop()
                continue
            at.append(part)
            target = self.links.get("/".join(at))
            if target is not None:
                followed += 1
                if followed > _MAX_LINKS:
                    break  # a loop: harmless, since it leads nowhere
                if target.startswith("/"):
                    raise BadArchive(refusal)
                at.pop()
                left += reversed(target.split("/"))
        return "/".join(at)

    def why_no_program(self, command: str) -> str | None:
        """Why `command` is not a program in the archive, or None if it is."""
        mode = self.modes.get(self.resolve(command, f"'{command}' leads out of it"))
        if mode is None:
            ends = posixpath.basename(command)
            same = [name for name in self.modes if posixpath.basename(name) == ends]
            programs = [name for name, mode in self.modes.items() if mode & stat.S_IXUSR]
            hint = nearest(command, same or programs[:2000])
            return f"there is no file '{command}' in it; {hint if len(hint) < 300 else ''}"
        if not mode & stat.S_IXUSR:
            return f"'{command}' in it is not executable: its mode is {mode & 0o777:o}"
        return None


def _members(stream: _Counted) -> _Tree:
    tree = _Tree()
    with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|", bufsize=10240) as tar:
        for member in tar:
            tree.add(member)
        end = tar.offset
    stream.drain()
    if stream.count <= end:
        raise BadArchive("it is truncated: the end-of-archive marker is missing")
    tree.check()
    return tree


def _stated(path: Path) -> os.stat_result:
    """The status of the file at `path`.

    Raises:
        BadArchive: it cannot be read or is not a regular file. Other kinds of files can be endless.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise BadArchive(f"it cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise BadArchive(f"it is not a file; '{this_command()} software pack' packs a folder")
    return found


def look(path: Path, commands: Iterable[str]) -> Contents:
    """Inspect the archive at `path`, and check whether it has the programs `commands`.

    Raises:
        BadArchive: it is unreadable or truncated, or a member or link leads out of it.
    """
    _stated(path)
    try:
        with path.open("rb") as raw:
            head = raw.read(8)
            raw.seek(0)
            file = _Counted(raw)
            buffered = io.BufferedReader(file, _BLOCK_BYTES)
            unpacker = next((take for mark, take in _UNPACKERS if head.startswith(mark)), None)
            if unpacker is None and head[:4] == b"\x28\xb5\x2f\xfd":
                raise BadArchive("it is compressed with zstd; use gzip, bzip2 or xz")
            if unpacker is None:
                tree = _members(_Counted(cast("IO[bytes]", buffered)))
            else:
                with unpacker(buffered) as plain:
                    tree = _members(_Counted(plain))
            while buffered.read(_BLOCK_BYTES):
                pass
    except BadArchive:
        raise
    except OSError as error:
        raise BadArchive(f"it cannot be read: {error.strerror or error}") from error
    except _BROKEN as error:
        raise BadArchive(f"it is not a complete tar archive: {error}") from error
    programs = {command: tree.why_no_program(command) for command in commands}
    return Contents(file.sum.hexdigest(), tree.size, len(tree.modes), programs)


def noted_look(path: Path, commands: Iterable[str], notes: Path) -> Contents:
    """Inspect an archive like `look`, with a cache in the folder `notes`.

    The cache is valid as long as the file does not change. Collectors and commands read a campaign
    often, and each inspection of an archive takes seconds.
    """
    commands = sorted(set(commands))
    found = _stated(path)
    stated = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
    text = json.dumps([_LOOK_VERSION, str(path.absolute()), stated, commands])
    note = notes / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    try:
        return Contents(**json.loads(note.read_text()))
    except (OSError, ValueError, TypeError):
        contents = look(path, commands)
    try:
        notes.mkdir(parents=True, exist_ok=True)
        with replacing(note) as part:
            part.write_text(json.dumps(asdict(contents)))
    except OSError:
        pass  # without write permission in the folder, the next call inspects the file again
    return contents
