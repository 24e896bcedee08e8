"""The files of a program's run, by the names that parsers use for them."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, StructureError
from wqmaster.offline.filekind import JSON, PRINTED, XYZ, kind_of
from wqmaster.system.this_command import this_command
from wqmaster.tasks.program import Program

# Files that a program writes itself, although their names look like those of redirected output.
_NOT_PRINTED = frozenset(("g98.out",))
_STREAMS = frozenset(("stdout", "stderr"))
# How many file names a message lists.
_MAX_LISTED = 5
# The file-name endings of JSON and XYZ files.
_ENDINGS = {JSON: ".json", XYZ: ".xyz"}
# The size in bytes above which a file is not read.
_MAX_FILE_BYTES = 1 << 30


def stated_name(name: str, program: Program) -> str:
    """The name that parsers use for a file that is `name` according to the user.

    Raises:
        CampaignError: no parser of the program reads such a file; the message suggests the nearest
            name.
    """
    own, known = _read_by(program)
    found = name if name in own else known(name)
    if found is None:
        raise CampaignError(
            f"no parser of {program.name} reads a file '{name}'; {nearest(name, own)}",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    return found


def _read_by(program: Program) -> tuple[set[str], Callable[[str], str | None]]:
    """The files that the program's parsers read, and a function that translates file names.

    The function returns the name that a file has in a job, or None if no job has such a file.
    """
    own = {str(file) for one in program.own_parsers().values() for file in vars(one)["files"]}
    plain_names = own - _STREAMS
    known = getattr(program.module, "file_name", lambda name: name if name in plain_names else None)
    return own | _STREAMS, known


def files_at(
    path: Path, program: Program, stated: str | None = None
) -> tuple[dict[str, bytes], str]:
    """The files of a run, by the names that parsers use, and the name of the file to diagnose.

    That file is the one at `path`, or the standard output if `path` is a folder. `stated` is the
    name to use for the file at `path`, whatever it is called. A module of parsers can have
    `file_name(name)`, which returns the name that such a file has in a job, or None, and
    `diagnose_file(output)`, which diagnoses such a file without the standard output.

    Raises:
        StructureError: the file cannot be read, or no parser of the program reads it.
    """
    own, known = _read_by(program)
    # A program whose module has no `file_name` can print anything, such as JSON or coordinates.
    prints_text = hasattr(program.module, "file_name")
    try:
        if path.is_dir():
            if stated is not None:
                raise StructureError(
                    f"{path}: it is a folder, but '--as {stated}' is for a single file; name the "
                    "file",
                    code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
                )
            entries = [entry for entry in sorted(path.iterdir()) if entry.is_file()]
            plain_names = {entry.name: _unpacked(entry.name) for entry in entries}
            names = {name: known(plain) or plain for name, plain in plain_names.items()}
            printed = _printed(path, names)
            names |= dict.fromkeys(printed, "stdout")
            names = _without_doubles(path, names, printed)
            return {name: _content(path / entry) for entry, name in names.items()}, "stdout"
        plain_name = _unpacked(path.name)
        name = stated or known(plain_name)
        content = _content(path)
    except OSError as error:
        raise StructureError(
            f"{path}: cannot be read: {error.strerror or error}",
            code=ErrorCode.OUTPUT_UNREADABLE,
        ) from error
    alike = [] if name or prints_text else _alike(plain_name, content, own)
    if alike:
        ways = " or ".join(f"--as {one}" for one in (*alike, "stdout"))
        raise StructureError(
            f"{path}: it may be {' or '.join(alike)} under another name, or the standard output of "
            f"{program.name}; state which with {ways}",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    kind = kind_of(plain_name, content) if prints_text and not name else None
    if kind is not None:
        raise StructureError(
            f"{path}: it is {kind}, not an output of {program.name}; name "
            f"{_instead(path, program)}, or a file that its parsers read ('{this_command()} parse "
            f"--program {program.name} --list' lists the parsers)",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    return {name or "stdout": content}, name or "stdout"


def _alike(name: str, content: bytes, own: Iterable[str]) -> list[str]:
    """The names of the parsers' files that this file could be, by its ending or its content.

    If a damaged copy of such a file were read as standard output, its diagnosis would be false.
    """
    if name in _STREAMS or name.lower().endswith(PRINTED):
        return []
    ending = Path(name).suffix.lower() or _ENDINGS.get(kind_of(name, content) or "")
    return sorted(file for file in own if ending and Path(file).suffix == ending)


def _printed(folder: Path, names: Mapping[str, str]) -> list[str]:
    """The only file in `folder` that can be the printed output, in a list.

    [] if there is none, or if a file is already called `stdout`.

    Raises:
        StructureError: several files can be the printed output.
    """
    if "stdout" in names.values():
        return []
    found = [
        name
        for name, called in names.items()
        if called == _unpacked(name)
        and called.endswith((".out", ".log"))
        and called not in _NOT_PRINTED
    ]
    if len(found) > 1:
        raise _several(folder, "the standard output", found, "stdout")
    return found


def _without_doubles(
    folder: Path, names: Mapping[str, str], printed: Sequence[str]
) -> dict[str, str]:
    """`names` with one file for each name that parsers use.

    Of several, the one that has this name counts, else the one that is called like the printed
    output, as job.engrad is beside job.out and job_1.engrad.

    Raises:
        StructureError: several files can be the same file of a job.
    """
    chosen: dict[str, list[str]] = {}
    for name, called in names.items():
        chosen.setdefault(called, []).append(name)
    stems = [f"{_unpacked(name).rpartition('.')[0]}." for name in printed]
    for called, found in chosen.items():
        if len(found) < 2:
            continue
        like = [name for name in found if name == called]
        like = like or [name for name in found if _unpacked(name) == called]
        like = like or [name for name in found if name.startswith(tuple(stems))]
        if len(like) != 1:
            raise _several(folder, f"'{called}'", found, called)
        chosen[called] = like
    return {found[0]: called for called, found in chosen.items()}


def _several(folder: Path, what: str, found: Sequence[str], name: str) -> StructureError:
    listed = f"{', '.join(found[:_MAX_LISTED])}{', ...' if len(found) > _MAX_LISTED else ''}"
    return StructureError(
        f"{folder}: several files may be {what} ({listed}); rename the right one to '{name}', or "
        f"to '{name}.gz' if it is compressed",
        code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
    )


def _unpacked(name: str) -> str:
    """The name of a file after decompression."""
    return name.removesuffix(".gz")


def _instead(path: Path, program: Program) -> str:
    """The file to name instead of one that is not an output: its path, or a description of it."""
    base = _unpacked(path.name).partition(".")[0].removesuffix("_property")
    beside = (path.with_name(base + suffix) for suffix in (".out", ".log"))
    found = next((other for other in beside if other != path and other.is_file()), None)
    return str(found) if found else f"the file that {program.name} printed to"


def _content(path: Path) -> bytes:
    """The content of a file, decompressed if the file is compressed (x.out.gz)."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content: bytes = file.read(_MAX_FILE_BYTES + 1)
    except (EOFError, zlib.error) as error:
        raise StructureError(
            f"{path}: cannot be decompressed: {error}", code=ErrorCode.OUTPUT_UNREADABLE
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise StructureError(
            f"{path}: larger than {_MAX_FILE_BYTES} bytes", code=ErrorCode.OUTPUT_UNREADABLE
        )
    return content
