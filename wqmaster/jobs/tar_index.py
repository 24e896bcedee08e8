"""The index of an archive that a worker sent: which files it holds, and where.

Python's tarfile follows what an archive says: it reads headers of any length into memory, and knows
links, devices and sparse files. A runner's archive needs none of these, so this module reads only
what tar writes for plain files and folders (POSIX.1-1988 "ustar", GNU tar's long names, and the
names in POSIX.1-2001 headers; formats: "Basic Tar Format" in GNU tar's manual, "pax" in POSIX).
Anything else is refused. Memory is bounded by the number of files, time by the size of the archive.
"""

import re
from typing import IO, NamedTuple

_BLOCK_BYTES = 512
# A bundle has at most 1,000 jobs, each of which returns a few dozen files.
MAX_MEMBERS = 60_000
# A name is JOB.STEP/FILE. The file system of the worker permits 255 bytes in STEP and FILE.
MAX_NAME_BYTES = 1_000
# A header that only extends the next one; it holds a name and a few numbers.
_MAX_EXTENSION_BYTES = 16_384
_ZEROS = bytes(_BLOCK_BYTES)
_OCTAL = re.compile(rb" *([0-7]*)[ \0]*")
_FILES, _FOLDER, _LONG_NAME, _PAX, _GLOBAL_PAX = (b"0", b"\0"), b"5", b"L", b"x", b"g"
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a named pipe",
    b"S": "a sparse file",
    b"K": "a link with a long name",
}


class Member(NamedTuple):
    """A file in an archive: the place of its first byte, and its size in bytes."""

    offset: int
    size: int


def read_index(file: IO[bytes], total: int) -> dict[str, Member]:
    """The files of the archive `file`, which has `total` bytes: name -> place.

    Names are as written, without "./" at the start.

    Raises:
        ValueError: the archive is truncated, or holds something other than files and folders.
        OSError: it cannot be read.
    """
    members: dict[str, Member] = {}
    place = count = 0
    name: bytes | None = None
    size: int | None = None
    while True:
        count += 1
        if count > MAX_MEMBERS:
            raise ValueError(f"it has more than {MAX_MEMBERS:,} entries")
        file.seek(place)
        header = file.read(_BLOCK_BYTES)
        if header == _ZEROS:
            return members
        if len(header) < _BLOCK_BYTES:
            raise ValueError("it ends in the middle")
        if _number(header[148:156]) != sum(header[:148]) + 256 + sum(header[156:]):
            raise ValueError("the checksum of a header is wrong")
        kind = header[156:157]
        start, length = place + _BLOCK_BYTES, _number(header[124:136])
        if kind in (_LONG_NAME, _PAX, _GLOBAL_PAX):
            extension = _extension(file, length)
            if kind == _LONG_NAME:
                name = extension.rstrip(b"\0")
            elif kind == _PAX:
                found = _records(extension)
                name = found.get(b"path", name)
                size = _decimal(found[b"size"]) if b"size" in found else size
            elif _records(extension).keys() & {b"path", b"size"}:
                raise ValueError("it gives all files the same name or size")
        else:
            length = length if size is None else size
            if kind in _FILES:
                _add(members, _text(_name(header) if name is None else name), start, length, total)
            elif kind != _FOLDER or length:
                raise ValueError(f"it holds {_KINDS.get(kind, 'something unknown')}, not a file")
            name = size = None
        place = start + (length + _BLOCK_BYTES - 1) // _BLOCK_BYTES * _BLOCK_BYTES


def _add(members: dict[str, Member], name: str, offset: int, size: int, total: int) -> None:
    if offset + size > total:
        raise ValueError(f"'{name[:200]}' is truncated")
    if name in members:
        raise ValueError(f"it holds two files '{name[:200]}'")
    members[name] = Member(offset, size)


def _name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    # Only POSIX's own format has the first part of a long name here; GNU tar stores times.
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _text(name: bytes) -> str:
    if not name or len(name) > MAX_NAME_BYTES or b"\0" in name:
        raise ValueError("the name of a file is empty, too long or contains NUL")
    return name.decode("ascii").removeprefix("./")


def _number(field: bytes) -> int:
    """A number in octal digits or, if its first bit is set, in GNU tar's binary format."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    found = _OCTAL.fullmatch(field)
    if found is None:
        raise ValueError("a number in a header is wrong")
    return int(found[1] or b"0", 8)


def _decimal(value: bytes) -> int:
    if not value.isdigit() or len(value) > 15:
        raise ValueError("the size of a file is wrong")
    return int(value)


def _extension(file: IO[bytes], length: int) -> bytes:
    if length > _MAX_EXTENSION_BYTES:
        raise ValueError("a header is too long")
    content = file.read(length)
    if len(content) < length:
        raise ValueError("it ends in the middle")
    return content


def _records(extension: bytes) -> dict[bytes, bytes]:
    """The records of a POSIX.1-2001 header, each "LENGTH KEY=VALUE" and a newline."""
    found: dict[bytes, bytes] = {}
    while extension:
        digits, _, _ = extension[:8].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record, extension = extension[:length], extension[length:]
        key, mark, value = record[len(digits) + 1 : -1].partition(b"=")
        if not mark or len(record) != length or record[-1:] != b"\n":
            raise ValueError("a header has a wrong record")
        if key.startswith(b"GNU.sparse"):
            raise ValueError("it holds a sparse file")
        found[key] = value
    return found
