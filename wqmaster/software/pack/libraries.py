"""The shared libraries that a program loads on this machine."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.system import elf
from wqmaster.system.programs import ask

# The libraries that belong to glibc, which must match the worker's loader. Source: `dpkg -L libc6`.
_GLIBC = re.compile(
    r"(ld-linux|ld64|ld-musl|linux-vdso|linux-gate|libc|libm|libmvec|libpthread|libdl|librt|libutil"
    r"|libresolv|libanl|libnsl|libthread_db|libBrokenLocale|libnss_[a-z]+|libc_malloc_debug)"
    r"([-.].*)?\.so(\..*)?"
)
_LINE = re.compile(r"\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$")
_LDD_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Loaded:
    """The libraries that programs load, except those of glibc."""

    found: dict[str, Path]  # path of each library, by name
    missing: dict[str, list[str]]  # programs that need each missing library, by its name


def of_glibc(name: str) -> bool:
    """Whether the library belongs to glibc, which every worker has in its own version."""
    return bool(_GLIBC.fullmatch(name))


def brings_glibc(places: Iterable[str]) -> bool:
    """Whether an archive with these files has a glibc with its loader, in one folder."""
    names: dict[str, set[str]] = {}
    for place in places:
        folder, _, name = place.rpartition("/")
        names.setdefault(folder, set()).add(name)
    return any(
        "libc.so.6" in found and any(name.startswith(("ld-linux", "ld64")) for name in found)
        for found in names.values()
    )


def is_elf(path: Path) -> bool:
    """Whether the file is an ELF program or library.

    Raises:
        WqmasterError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError as error:
        raise WqmasterError(
            f"cannot read {path}: {error.strerror}", code=ErrorCode.SOFTWARE_NOT_PACKED
        ) from error


def glibc_needed(paths: Iterable[Path]) -> tuple[tuple[int, ...], list[str]]:
    """The glibc version that the files need, such as (2, 38), or () if they need none, and notes.

    The notes name files that look damaged. They are not an error, since separate debug information
    and test data can look damaged.

    Raises:
        WqmasterError: a file cannot be read.
    """
    highest: tuple[int, ...] = ()
    notes: list[str] = []
    for path in paths:
        try:
            needs = elf.needs(path)
        except ValueError as error:
            notes.append(f"the glibc version that {path} needs is unknown: {error}")
            continue
        except OSError as error:
            raise WqmasterError(
                f"cannot read {path}: {error.strerror}", code=ErrorCode.SOFTWARE_NOT_PACKED
            ) from error
        if needs is not None:
            highest = max(highest, needs.glibc)
    return highest, notes


def library_folders(folder: Path, command: str) -> list[Path]:
    """The folders in which workers search for libraries after they unpack an archive to `folder`.

    They must be the same as in the function `surroundings` in software.sh.
    """
    beside = (folder / command).parent
    prefix = beside.parent if beside.name == "bin" else beside
    places = [beside, *(top / name for top in (prefix, folder) for name in ("lib", "lib64"))]
    return [place.resolve() for place in places if place.is_dir()]


def loaded(programs: Sequence[Path], beside: Sequence[Path] = ()) -> Loaded:
    """The libraries that `programs` load if the folders `beside` are searched first.

    Raises:
        WqmasterError: `ldd` is missing or does not end in time.
    """
    found: dict[str, Path] = {}
    missing: dict[str, list[str]] = {}
    places = [*map(str, beside), os.environ.get("LD_LIBRARY_PATH", "")]
    environ = {**os.environ, "LC_ALL": "C", "LD_LIBRARY_PATH": ":".join(filter(None, places))}
    for program in programs:
        try:
            words = ["ldd", str(program)]
            said = ask(words, environ, seconds=_LDD_TIMEOUT_SECONDS, errors="dropped")
        except FileNotFoundError:
            raise WqmasterError(
                "'ldd', which finds the libraries of a program, is not on the PATH",
                code=ErrorCode.PROGRAM_MISSING,
            ) from None
        if said.code is None:
            raise WqmasterError(
                f"ldd {program} did not end within {_LDD_TIMEOUT_SECONDS} s",
                code=ErrorCode.SOFTWARE_NOT_PACKED,
            )
        for line in said.text.splitlines():
            match = _LINE.match(line)
            if match is None or of_glibc(match[1]):
                continue
            if match[2] == "not found":
                missing.setdefault(match[1], []).append(program.name)
            elif match[2].startswith("/"):
                found.setdefault(match[1], Path(match[2]))
    return Loaded(found, missing)
