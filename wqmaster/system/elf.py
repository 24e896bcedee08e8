"""What a program needs from the system that it runs on, from its ELF headers.

The loader (PT_INTERP), shared libraries (DT_NEEDED), versions of glibc's symbols and the processor
are read from the file, since `ldd` can run the program that it examines (ldd(1), "Security").

Sources: elf(5); Linux Standard Base Core 5.0, section 10.7 (GNU version requirements). Only the
program headers are read, as the loader does, because section headers can be stripped.
"""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

# Imported when a program is read, since that takes 50 ms, and few commands read one.
if TYPE_CHECKING:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile

# A damaged file can claim any number of entries.
_MAX_ENTRIES = 10_000
# The values of e_machine (elf.h) -> the processors' names in `uname -m`.
_MACHINES = {"EM_X86_64": "x86_64", "EM_AARCH64": "aarch64", "EM_PPC64": "ppc64le"}
_GLIBC_VERSION = re.compile(r"GLIBC_([0-9]+(?:\.[0-9]+)+)")


@dataclass(frozen=True)
class Needs:
    """What a program needs from the system that it runs on."""

    glibc: tuple[int, ...]  # the highest symbol version, such as (2, 38); () if there is none
    libraries: tuple[str, ...]  # the file names of shared libraries
    loader: str | None = None  # the path of the dynamic loader; None if the kernel needs none
    machine: str = "x86_64"  # the processor, as `uname -m` names it, or ELF's name for another

    @property
    def static(self) -> bool:
        """Whether the program needs neither a loader nor any library (also a static PIE)."""
        return self.loader is None and not self.libraries


def needs(path: Path) -> Needs | None:
    """The needs of the program at `path`; None if it is not a 64-bit little-endian ELF file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the headers are inconsistent.
    """
    with path.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return None
        try:
            return _read(file)
        except Exception as error:  # pyelftools does not check offsets, so any error can result
            if isinstance(error, OSError) and error.errno != errno.EINVAL:  # seek(2): bad offset
                raise
            raise ValueError(f"its ELF headers are damaged: {error}") from error


def _read(file: IO[bytes]) -> Needs:
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    elf = ELFFile(file)
    machine = _MACHINES.get(elf["e_machine"], str(elf["e_machine"]).removeprefix("EM_"))
    dynamic, loader = None, None
    for segment in islice(elf.iter_segments(), _MAX_ENTRIES):
        if isinstance(segment, DynamicSegment):
            dynamic = dynamic or segment
        elif isinstance(segment, InterpSegment):
            loader = str(segment.get_interp_name())
    if dynamic is None:
        return Needs((), (), loader, machine)
    libraries = tuple(str(vars(tag)["needed"]) for tag in dynamic.iter_tags("DT_NEEDED"))
    found = filter(None, map(_GLIBC_VERSION.fullmatch, _versions(elf, dynamic)))
    versions = (tuple(map(int, match[1].split("."))) for match in found)
    return Needs(max(versions, default=()), libraries, loader, machine)


def _versions(elf: "ELFFile", dynamic: "DynamicSegment") -> Iterator[str]:
    """The versions that the program's symbols require, such as GLIBC_2.38 or GCC_3.0."""
    from elftools.construct.lib.container import Container
    from elftools.elf.gnuversions import GNUVerNeedSection

    address, offset = dynamic.get_table_offset("DT_VERNEED")
    if address is None:
        return
    if offset is None:
        raise ValueError(f"no segment contains the address {address:#x}")
    count = next(dynamic.iter_tags("DT_VERNEEDNUM"))["d_val"]
    # Stands in for the section header, which repeats these dynamic tags.
    header = Container(
        sh_offset=offset, sh_info=min(count, _MAX_ENTRIES), sh_flags=0, sh_size=0, sh_addralign=0
    )
    strings: Any = dynamic._get_stringtable()  # the public method needs section headers
    for _, needed in GNUVerNeedSection(header, "", elf, strings).iter_versions():
        for version in needed:
            yield version.name
