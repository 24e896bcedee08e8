"""What programs need, from ELF files made by hand and from those of this machine."""

import shutil
import struct
from pathlib import Path

import pytest

from wqmaster.system import elf

# From elf.h.
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_STRSZ = 0, 1, 5, 10
DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFE, 0x6FFFFFFF
X86_64, AARCH64 = 62, 183


def handmade(
    path: Path,
    *,
    loader: str | None = None,
    needed: tuple[str, ...] = (),
    versions: tuple[str, ...] = (),
    dynamic: bool = True,
    machine: int = X86_64,
) -> Path:
    """A 64-bit ELF file of headers only (elf(5)), without section headers.

    `versions` are required from the first library in `needed`.
    """
    strings = b"\0"
    places = {}
    for text in (*needed, *versions):
        places[text] = len(strings)
        strings += text.encode() + b"\0"
    segments = 1 + dynamic + (loader is not None)
    content = bytes(64 + 56 * segments)
    headers = []

    def add(kind: int, data: bytes) -> int:
        nonlocal content
        start = len(content)
        content += data
        headers.append(struct.pack("<IIQQQQQQ", kind, 4, start, start, start, *[len(data)] * 2, 1))
        return start

    if loader is not None:
        add(PT_INTERP, loader.encode() + b"\0")
    if dynamic:
        strings_at = len(content)
        content += strings
        need_at = len(content)
        if versions:
            content += struct.pack("<HHIII", 1, len(versions), places[needed[0]], 16, 0)
            for number, version in enumerate(versions):
                following = 16 if number + 1 < len(versions) else 0
                content += struct.pack("<IHHII", 0, 0, 2 + number, places[version], following)
        tags = [(DT_NEEDED, places[name]) for name in needed]
        tags += [(DT_STRTAB, strings_at), (DT_STRSZ, len(strings))]
        tags += [(DT_VERNEED, need_at), (DT_VERNEEDNUM, 1)] if versions else []
        add(PT_DYNAMIC, b"".join(struct.pack("<QQ", *tag) for tag in (*tags, (DT_NULL, 0))))
    size = len(content)
    headers.append(struct.pack("<IIQQQQQQ", PT_LOAD, 5, 0, 0, 0, size, size, 0x1000))
    begin = b"\x7fELF\x02\x01\x01" + bytes(9)
    begin += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 64, 0, 0, 64, 56, segments, 64, 0, 0)
    path.write_bytes(begin + b"".join(headers) + content[64 + 56 * segments :])
    return path


def test_a_static_program_needs_nothing(tmp_path: Path) -> None:
    needs = elf.needs(handmade(tmp_path / "static", dynamic=False))
    assert needs == elf.Needs((), (), None, "x86_64")
    assert needs.static


def test_a_static_pie_is_static_although_it_has_a_dynamic_section(tmp_path: Path) -> None:
    needs = elf.needs(handmade(tmp_path / "pie"))
    assert needs is not None
    assert needs.static


def test_a_dynamic_program_needs_loader_libraries_and_the_newest_version(tmp_path: Path) -> None:
    path = handmade(
        tmp_path / "dynamic",
        loader="/lib64/ld-linux-x86-64.so.2",
        needed=("libc.so.6", "libssl.so.3"),
        versions=("GLIBC_2.9", "GLIBC_2.17", "GLIBC_PRIVATE", "GLIBC_2.2.5"),
    )
    assert elf.needs(path) == elf.Needs(
        (2, 17), ("libc.so.6", "libssl.so.3"), "/lib64/ld-linux-x86-64.so.2", "x86_64"
    )


def test_a_program_for_musl_is_dynamic_without_glibc(tmp_path: Path) -> None:
    loader, library = "/lib/ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1"
    needs = elf.needs(handmade(tmp_path / "musl", loader=loader, needed=(library,)))
    assert needs == elf.Needs((), (library,), loader, "x86_64")
    assert not needs.static


def test_a_program_for_another_processor_is_recognized(tmp_path: Path) -> None:
    needs = elf.needs(handmade(tmp_path / "arm", dynamic=False, machine=AARCH64))
    assert needs is not None
    assert needs.machine == "aarch64"
    unknown = elf.needs(handmade(tmp_path / "odd", dynamic=False, machine=0x9999))
    assert unknown is not None
    assert unknown.machine == str(0x9999)


@pytest.mark.parametrize("name", ["work_queue_worker", "vine_worker", "sh"])
def test_a_program_of_this_machine_is_dynamic(name: str) -> None:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    needs = elf.needs(Path(path).resolve())
    assert needs is not None
    assert not needs.static
    assert needs.loader is not None
    assert Path(needs.loader).exists()


def test_a_static_program_of_this_machine_is_static() -> None:
    path = shutil.which("ldconfig", path="/sbin:/usr/sbin")
    needs = elf.needs(Path(path)) if path else None
    if needs is None:
        pytest.skip("there is no ldconfig, which Debian links statically")
    assert needs.static
    assert needs.glibc == ()


def test_each_truncation_of_a_file_is_read_or_refused(tmp_path: Path) -> None:
    whole = handmade(
        tmp_path / "whole", loader="/lib/ld.so", needed=("libc.so.6",), versions=("GLIBC_2.17",)
    ).read_bytes()
    part = tmp_path / "part"
    for end in range(6, len(whole)):
        part.write_bytes(whole[:end])
        try:
            elf.needs(part)
        except ValueError:  # any other exception fails the test
            continue
