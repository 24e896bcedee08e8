"""Outputs at hand, read without a campaign: diagnosis, and what each parser makes of them."""

import gzip
import importlib
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, NotApplicable, ParseError, StructureError
from wqmaster.jobs.failures import Failure, FailureClass, signature
from wqmaster.offline.filekind import JSON, PRINTED, XYZ, kind_of
from wqmaster.parsers.base import Output, Parser, ProgramParsers
from wqmaster.recipe.diagnosing import diagnosed
from wqmaster.recipe.names import modules_beside, program_named, resolve_parser
from wqmaster.recipe.values import plain
from wqmaster.system.tracebacks import is_of_others, told
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, program_names

# Files that programs write under names like those that users give to what is printed.
_NOT_PRINTED = frozenset(("g98.out",))
_STREAMS = frozenset(("stdout", "stderr"))
# How the names of files of these kinds end.
_ENDINGS = {JSON: ".json", XYZ: ".xyz"}
# What `Output.missing` and `Output.file` say.
_MISSING = re.compile(r"the (?:block|file) .+ is missing.*", re.DOTALL)
# A file that is larger than this is not read (bytes).
_MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Reading:
    """What was made of one file, or of a folder."""

    file: str
    failure: Failure | None
    values: Mapping[str, Any]  # by parser
    errors: Mapping[str, str]  # by parser: why there is no value
    # Of the errors: the parsers whose file is not there, or whose block the output does not have.
    absent: frozenset[str]
    # By function of the program (a parser, `diagnose`, `program_version`): what it raised, where a
    # ParseError alone is allowed.
    broken: Mapping[str, str]
    version: str | None  # of the program, as the output states it
    # Whether the file alone says if the run failed; else it is not known.
    is_diagnosed: bool = True

    def as_json(self) -> dict[str, Any]:
        """As plain data: file, failure (class, message, signature) or null, values, errors.

        `diagnosed` is false where the failure is not known, without the standard output; `broken`
        has the functions of the program that raised what they must not.
        """
        failure = self.failure and {
            "class": self.failure.kind.label,
            "message": self.failure.message,
            "signature": signature(self.failure.message),
        }
        return {
            "file": self.file,
            "diagnosed": self.is_diagnosed,
            "failure": failure,
            "values": dict(self.values),
            "errors": dict(self.errors),
            "program_version": self.version,
            "broken": dict(self.broken),
        }


def program_to_read(name: str) -> Program:
    """The program of this name: one that is known, or the PROGRAM of a module in this folder.

    Raises:
        CampaignError: there is none; with the nearest.
    """
    known = program_called(name)
    if known is not None:
        return _judged(known)
    _search_here()
    module: ModuleType | None = None
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise CampaignError(
                f"the module '{name}' fails to import: {error}", code=ErrorCode.MODULE_NOT_IMPORTED
            ) from error
    except Exception as error:  # a user's module may raise anything
        raise CampaignError(
            f"the module '{name}' fails to import: {told(error)}",
            code=ErrorCode.MODULE_NOT_IMPORTED,
        ) from error
    found = getattr(module, "PROGRAM", None)
    if module is not None and not isinstance(found, Program):
        _refuse(module, found)
    if not isinstance(found, Program):
        hint = nearest(name, [*program_names(), *modules_beside()])
        raise CampaignError(
            f"there is no program '{name}'; {hint}; or name a module of this folder that has a "
            "PROGRAM",
            code=ErrorCode.PROGRAM_UNKNOWN,
        )
    return _judged(found)


def _judged(program: Program) -> Program:
    """`program`, seen to have parsers and a diagnosis."""
    try:
        return program_named(program)
    except ValueError as error:
        raise CampaignError(str(error), code=ErrorCode.PROGRAM_UNKNOWN) from error


def _refuse(module: ModuleType, found: Any) -> None:
    """Say why a user's own module is not a program; of other modules nothing is expected.

    Raises:
        CampaignError: it has no PROGRAM, or one of another type.
    """
    path = Path(module.__file__ or "")
    if is_of_others(path):
        return
    place = f"the module '{module.__name__}' ({path.name})"
    why = (
        f"{place} has no PROGRAM"
        if found is None
        else f"PROGRAM of {place} is of the type {type(found).__name__}"
    )
    raise CampaignError(
        f"{why}: assign a wqmaster.tasks.Program to it, as docs/adding-a-program.md shows",
        code=ErrorCode.PROGRAM_UNKNOWN,
    )


def _search_here() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def parsers_named(program: Program, names: Sequence[str] = ()) -> dict[str, Parser]:
    """Parsers of a program by the names they were asked by; all of them if none is named.

    The working folder is searched for the user's own.

    Raises:
        CampaignError: there is no such parser; with the nearest.
    """
    if not names:
        return program.own_parsers()
    _search_here()
    found = {}
    for name in names:
        try:
            found[name] = resolve_parser(name, program)
        except ValueError as error:
            raise CampaignError(str(error), code=ErrorCode.PARSER_UNKNOWN) from error
    return found


def stated_name(name: str, program: Program) -> str:
    """What parsers call a file that the user states to be `name`.

    Raises:
        CampaignError: no parser of the program reads such a file; with the nearest.
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
    """The files that the program's parsers read, and what a job calls a file of a given name."""
    own = {str(file) for one in program.own_parsers().values() for file in vars(one)["files"]}
    plain_names = own - _STREAMS
    known = getattr(program.module, "file_name", lambda name: name if name in plain_names else None)
    return own | _STREAMS, known


def files_at(
    path: Path, program: Program, stated: str | None = None
) -> tuple[dict[str, bytes], str]:
    """The files of a run by the names that parsers know, and which of them is `path` itself.

    `stated`: which of these names the file at `path` has, whatever it is called. A module of
    parsers may have `file_name(name)`: what a job calls a file of that name, or None; and
    `diagnose_file(output)`, for such a file without the standard output.

    Raises:
        StructureError: it cannot be read, or is a file that no parser of the program reads.
    """
    own, known = _read_by(program)
    # What a program without files of its own prints may be anything: JSON, coordinates.
    prints_text = hasattr(program.module, "file_name")
    try:
        if path.is_dir():
            if stated is not None:
                raise StructureError(
                    f"{path}: it is a folder, and '--as {stated}' says what one file is: name the "
                    "file",
                    code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
                )
            entries = [entry for entry in sorted(path.iterdir()) if entry.is_file()]
            names = {entry.name: known(entry.name) or entry.name for entry in entries}
            names |= dict.fromkeys(_printed(path, names), "stdout")
            return {names[entry.name]: _content(entry) for entry in entries}, "stdout"
        plain_name = path.name.removesuffix(".gz")
        name = stated or known(plain_name)
        content = _content(path)
    except OSError as error:
        raise StructureError(
            f"{path}: it cannot be read: {error.strerror or error}",
            code=ErrorCode.OUTPUT_UNREADABLE,
        ) from error
    alike = [] if name or prints_text else _alike(plain_name, content, own)
    if alike:
        ways = " or ".join(f"--as {one}" for one in (*alike, "stdout"))
        raise StructureError(
            f"{path}: it may be {' or '.join(alike)} under another name, or the standard output of "
            f"{program.name}: state which, with {ways}",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    kind = kind_of(plain_name, content) if prints_text and not name else None
    if kind is not None:
        raise StructureError(
            f"{path}: it is {kind}, not an output of {program.name}: name "
            f"{_instead(path, program)}, or a file for its parsers ('wqmaster parse --program "
            f"{program.name} --list' lists them)",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    return {name or "stdout": content}, name or "stdout"


def _alike(name: str, content: bytes, own: Iterable[str]) -> list[str]:
    """The files that parsers read of which this may be a copy, by the end of its name or content.

    A damaged copy would be judged as a standard output, of which nothing that is said is true.
    """
    if name in _STREAMS or name.lower().endswith(PRINTED):
        return []
    ending = Path(name).suffix.lower() or _ENDINGS.get(kind_of(name, content) or "")
    return sorted(file for file in own if ending and Path(file).suffix == ending)


def _printed(folder: Path, names: Mapping[str, str]) -> list[str]:
    """Which file of a folder without `stdout` holds what the program printed; [] if none does.

    Raises:
        StructureError: it may be one of several.
    """
    if "stdout" in names.values():
        return []
    found = [
        name
        for name, called in names.items()
        if called == name and name.removesuffix(".gz").endswith((".out", ".log"))
    ]
    found = [name for name in found if name.removesuffix(".gz") not in _NOT_PRINTED]
    if len(found) > 1:
        raise StructureError(
            f"{folder}: several files may be the standard output ({', '.join(found)[:200]}): "
            "rename the right one to 'stdout'",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    return found


def _instead(path: Path, program: Program) -> str:
    """What to name in the place of a file that is not an output, as far as it can be found."""
    base = path.name.removesuffix(".gz").partition(".")[0].removesuffix("_property")
    beside = (path.with_name(base + suffix) for suffix in (".out", ".log"))
    found = next((other for other in beside if other != path and other.is_file()), None)
    return str(found) if found else f"the file with what {program.name} printed"


def _content(path: Path) -> bytes:
    """What is in the file; of one that is compressed (x.out.gz), what was."""
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content: bytes = file.read(_MAX_FILE_BYTES + 1)
    except (EOFError, zlib.error) as error:
        raise StructureError(
            f"{path}: it cannot be unpacked: {error}", code=ErrorCode.OUTPUT_UNREADABLE
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise StructureError(
            f"{path}: it is larger than {_MAX_FILE_BYTES} bytes", code=ErrorCode.OUTPUT_UNREADABLE
        )
    return content


def read(
    path: Path, program: Program, parsers: Mapping[str, Parser], stated: str | None = None
) -> Reading:
    """Read the output at `path` with `parsers`. `stated`: as for `files_at`.

    Raises:
        StructureError: there is no such file, or it is not known which one it is.
    """
    files, main = files_at(path, program, stated)
    output = Output(files, main)
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    absent: set[str] = set()
    broken: dict[str, str] = {}
    is_diagnosed = main == "stdout" or any(
        hasattr(program.module, name) for name in ("diagnose_file", "file_name")
    )
    failure = _failure(output, program.module, broken) if is_diagnosed else None
    version = _version(output, program.module, broken) if is_diagnosed else None
    for name, parser in parsers.items():
        file = getattr(parser, "files", (main,))[0]
        try:
            values[name] = _finite(plain(parser(output.beside(file))))
        except ParseError as error:
            errors[name] = error.message
            # Of an output that failed, the failure is the reason.
            if file not in files or _is_absent(error) or (failure and file == "stdout"):
                absent.add(name)
        except (Exception, SystemExit) as error:  # a user's parser may raise anything
            broken[name] = told(error)
            errors[name] = f"the parser broke: {broken[name]}"
    return Reading(
        file=str(path),
        failure=failure,
        values=values,
        errors=errors,
        absent=frozenset(absent),
        broken=broken,
        version=version,
        is_diagnosed=is_diagnosed,
    )


def _is_absent(error: ParseError) -> bool:
    """Whether a parser found nothing where nothing is amiss."""
    return isinstance(error, NotApplicable) or _MISSING.fullmatch(error.message) is not None


def _failure(output: Output, module: ProgramParsers, broken: dict[str, str]) -> Failure | None:
    """Why the output is not a result; where the diagnosis breaks, `broken` says so."""
    alone = getattr(module, "diagnose_file", None) if output.name != "stdout" else None
    try:
        if alone is not None:
            return diagnosed(alone, output)
        return diagnosed(module.diagnose, output, None, {})
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, error.message)
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        broken["diagnose"] = told(error)
        message = f"the output cannot be judged: {broken['diagnose']}"
        return Failure(FailureClass.PARSE_ERROR, message)


def _version(output: Output, module: ProgramParsers, broken: dict[str, str]) -> str | None:
    """The version that the output states; where that cannot be found out, `broken` says why."""
    try:
        found = module.program_version(output)
    except ParseError:
        return None
    except (Exception, SystemExit) as error:  # a user's module may raise anything
        broken["program_version"] = told(error)
        return None
    return found if found is None else str(found)


def _finite(value: Any) -> Any:
    """`value` with strings in the place of numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
