"""The shared libraries that a program loads, as the dynamic loader of this machine finds them."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.system import elf
from wqmaster.system.programs import ask

# What belongs to glibc: it has to be that of the worker's own loader. (`dpkg -L libc6`.)
_GLIBC = re.compile(
    r"(ld-linux|ld64|ld-musl|linux-vdso|linux-gate|libc|libm|libmvec|libpthread|libdl|librt|libutil"
    r"|libresolv|libanl|libnsl|libthread_db|libBrokenLocale|libnss_[a-z]+|libc_malloc_debug)"
    r"([-.].*)?\.so(\..*)?"
)
_LINE = re.compile(r"\s*(\S+) => (.+?)(?: \(0x[0-9a-f]+\))?$")
_LDD_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Loaded:
    """What programs load, beside glibc."""

    found: dict[str, Path]  # name -> where it is
    missing: dict[str, list[str]]  # name -> who needs it


def of_glibc(name: str) -> bool:
    """Whether the library belongs to glibc, which every worker has in its own version."""
    return bool(_GLIBC.fullmatch(name))


def is_elf(path: Path) -> bool:
    """Whether the file is a program or library that a dynamic loader may load."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError as error:
        raise WqmasterError(
            f"{path} cannot be read: {error.strerror}", code=ErrorCode.SOFTWARE_NOT_PACKED
        ) from error


def glibc_needed(paths: Iterable[Path]) -> tuple[tuple[int, ...], list[str]]:
    """The oldest glibc that has all that the files need, (2, 38), () if they need none; notes.

    A file whose headers are damaged is noted: separate debug information and test data are such.
    """
    highest: tuple[int, ...] = ()
    notes: list[str] = []
    for path in paths:
        try:
            needs = elf.needs(path)
        except ValueError as error:
            notes.append(f"what {path} needs is not known: {error}")
            continue
        except OSError as error:
            raise WqmasterError(
                f"{path} cannot be read: {error.strerror}", code=ErrorCode.SOFTWARE_NOT_PACKED
            ) from error
        if needs is not None:
            highest = max(highest, needs.glibc)
    return highest, notes


def library_folders(folder: Path, command: str) -> list[Path]:
    """Where workers look for the libraries of what is unpacked to `folder`.

    As `surroundings` in software/software.sh has it.
    """
    beside = (folder / command).parent
    prefix = beside.parent if beside.name == "bin" else beside
    places = [beside, *(top / name for top in (prefix, folder) for name in ("lib", "lib64"))]
    return [place.resolve() for place in places if place.is_dir()]


def loaded(programs: Sequence[Path], beside: Sequence[Path] = ()) -> Loaded:
    """The libraries that `programs` load; those in the folders `beside` are found first.

    Raises:
        WqmasterError: `ldd` is not here.
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
                "'ldd' is not on the PATH, by which the libraries of a program are found",
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
