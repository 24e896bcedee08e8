"""What a program needs of the machine that it runs on, read from its ELF headers.

Sources: elf(5); the version needs of the GNU extensions, Linux Standard Base Core 5.0, 10.7.
Section headers may have been stripped: like the loader, this goes by the program headers.
"""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from elftools.construct.lib.container import Container
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

# A damaged file may claim any number of entries.
_MAX_ENTRIES = 10_000
_GLIBC_VERSION = re.compile(r"GLIBC_([0-9]+(?:\.[0-9]+)+)")


@dataclass(frozen=True)
class Needs:
    """What a program needs."""

    glibc: tuple[int, ...]  # the highest version of a symbol: (2, 38); () if it needs none
    libraries: tuple[str, ...]  # file names of shared libraries


def needs(path: Path) -> Needs | None:
    """What the program at `path` needs; None if it is not a 64-bit little-endian ELF file.

    Raises:
        OSError: it cannot be read.
        ValueError: its headers contradict themselves.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return None
        try:
            return _read(file)
        except Exception as error:  # pyelftools does not check what it follows: any can come of it
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # of seek(2): no place
                raise
            raise ValueError(f"its ELF headers are damaged: {error}") from error


def _read(file: IO[bytes]) -> Needs:
    elf = ELFFile(file)
    dynamic = next((one for one in elf.iter_segments() if isinstance(one, DynamicSegment)), None)
    if dynamic is None:
        return Needs((), ())  # it is linked statically
    libraries = tuple(str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED"))
    found = filter(None, map(_GLIBC_VERSION.fullmatch, _versions(elf, dynamic)))
    versions = (tuple(map(int, match[1].split("."))) for match in found)
    return Needs(max(versions, default=()), libraries)


def _versions(elf: ELFFile, dynamic: DynamicSegment) -> Iterator[str]:
    """The versions that its symbols ask of libraries: GLIBC_2.38, GCC_3.0."""
    address, offset = dynamic.get_table_offset("DT_VERNEED")
    if address is None:
        return
    if offset is None:
        raise ValueError(f"no segment has the address {address:#x}")
    count = next(dynamic.iter_tags("DT_VERNEEDNUM"))["d_val"]
    # What the dynamic tags say, in the words of the header of a section.
    header = Container(
        sh_offset=offset, sh_info=min(count, _MAX_ENTRIES), sh_flags=0, sh_size=0, sh_addralign=0
    )
    strings: Any = dynamic._get_stringtable()  # the public API has it for those with sections alone
    for _, needed in GNUVerNeedSection(header, "", elf, strings).iter_versions():
        for version in needed:
            yield version.name
