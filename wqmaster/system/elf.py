"""What a program needs of the machine that it is to run on: read from its ELF headers.

Sources: elf(5); the version needs of the GNU extensions, Linux Standard Base Core 5.0, 10.7.
"""

import re
import struct
from dataclasses import dataclass
from pathlib import Path

_DYNAMIC = 2  # PT_DYNAMIC
_LOAD = 1  # PT_LOAD
_NEEDED, _STRTAB, _VERNEED, _VERNEEDNUM = 1, 5, 0x6FFFFFFE, 0x6FFFFFFF
# No program that is sent to workers is larger.
_MOST = 500 << 20
# Entries of a table; a damaged file may claim any number.
_ENTRIES = 10_000


@dataclass(frozen=True)
class Needs:
    """What a program needs."""

    glibc: tuple[int, ...]  # the highest version of a symbol: (2, 38); () if it needs none
    libraries: tuple[str, ...]  # file names of shared libraries


def needs(path: Path) -> Needs | None:
    """What the program at `path` needs; None if it is no 64-bit little-endian ELF file.

    Raises:
        OSError: it cannot be read.
        ValueError: its headers contradict themselves.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return None
        file.seek(0)
        data = file.read(_MOST)
    try:
        return _read(data)
    except (struct.error, IndexError) as error:
        raise ValueError(f"its ELF headers are damaged: {error}") from error


def _read(data: bytes) -> Needs:
    start, size, count = struct.unpack_from("<Q14xHH", data, 32)
    segments = []
    for number in range(count):
        kind, _, offset, address, _, length = struct.unpack_from(
            "<IIQQQQ", data, start + number * size
        )
        segments.append((kind, offset, address, length))

    def place(address: int) -> int:
        for kind, offset, begins, length in segments:
            if kind == _LOAD and begins <= address < begins + length:
                return int(offset + address - begins)
        raise IndexError(f"no segment has the address {address:#x}")

    tags: list[tuple[int, int]] = []
    for kind, offset, _, length in segments:
        if kind == _DYNAMIC:
            for entry in range(offset, offset + min(length, 16 * _ENTRIES), 16):
                tag, value = struct.unpack_from("<QQ", data, entry)
                if tag == 0:
                    break
                tags.append((tag, value))
    known = dict(tags)
    if _STRTAB not in known:
        return Needs((), ())  # it is linked statically
    strings = place(known[_STRTAB])

    def name(offset: int) -> str:
        begins = strings + offset
        return data[begins : data.index(b"\0", begins)].decode(errors="replace")

    versions: list[tuple[int, ...]] = []
    if _VERNEED in known:
        entry = place(known[_VERNEED])
        for _ in range(min(known.get(_VERNEEDNUM, 0), _ENTRIES)):
            _, several, _, first, following = struct.unpack_from("<HHIII", data, entry)
            needed = entry + first
            for _ in range(several):
                _, _, _, text, further = struct.unpack_from("<IHHII", data, needed)
                found = re.fullmatch(r"GLIBC_([0-9]+(?:\.[0-9]+)+)", name(text))
                if found:
                    versions.append(tuple(map(int, found[1].split("."))))
                if not further:  # the last one, whatever their number is said to be
                    break
                needed += further
            if not following:
                break
            entry += following
    libraries = tuple(name(value) for tag, value in tags if tag == _NEEDED)
    return Needs(max(versions, default=()), libraries)
