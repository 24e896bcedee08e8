"""Outputs at hand, read without a campaign: diagnosis, and what each parser makes of them."""

import gzip
import importlib
import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, ParseError, StructureError
from wqmaster.jobs.failures import Failure, FailureClass, signature
from wqmaster.offline.filekind import kind_of
from wqmaster.parsers.base import Output, Parser
from wqmaster.recipe.diagnosing import diagnosed
from wqmaster.recipe.judgement import plain
from wqmaster.recipe.names import modules_beside, program_named, resolve_parser
from wqmaster.system.tracebacks import told
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, program_names

# Files that programs write under names like those that users give to what is printed.
_NOT_PRINTED = frozenset(("g98.out",))
_STREAMS = frozenset(("stdout", "stderr"))
# A file that is larger than this is not read (bytes).
_MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class Reading:
    """What was made of one file, or of a folder."""

    file: str
    failure: Failure | None
    values: Mapping[str, Any]  # by parser
    errors: Mapping[str, str]  # by parser: why there is no value
    # Whether the file alone says if the run failed; else it is not known.
    is_diagnosed: bool = True

    def as_json(self) -> dict[str, Any]:
        """As plain data: file, failure (class, message, signature) or null, values, errors.

        `diagnosed` is false where the failure is not known, without the standard output.
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
    try:
        found = getattr(importlib.import_module(name), "PROGRAM", None)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise CampaignError(
                f"the module '{name}' fails to import: {error}", code=ErrorCode.MODULE_NOT_IMPORTED
            ) from error
        found = None
    except Exception as error:  # a user's module may raise anything
        raise CampaignError(
            f"the module '{name}' fails to import: {told(error)}",
            code=ErrorCode.MODULE_NOT_IMPORTED,
        ) from error
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


def files_at(path: Path, program: Program) -> tuple[dict[str, bytes], str]:
    """The files of a run by the names that parsers know, and which of them is `path` itself.

    A module of parsers may have `file_name(name)`: what a job calls a file of that name, or None;
    and `diagnose_file(output)`, for such a file without the standard output.

    Raises:
        StructureError: it cannot be read, or is a file that no parser of the program reads.
    """
    module = program.module
    own = {str(file) for one in program.own_parsers().values() for file in vars(one)["files"]}
    known = getattr(module, "file_name", lambda name: name if name in own - _STREAMS else None)
    # What a program without files of its own prints may be anything: JSON, coordinates.
    prints_text = hasattr(module, "file_name")
    try:
        if path.is_dir():
            entries = [entry for entry in sorted(path.iterdir()) if entry.is_file()]
            names = {entry.name: known(entry.name) or entry.name for entry in entries}
            names |= dict.fromkeys(_printed(path, names), "stdout")
            return {names[entry.name]: _content(entry) for entry in entries}, "stdout"
        plain_name = path.name.removesuffix(".gz")
        name = known(plain_name)
        content = _content(path)
    except OSError as error:
        raise StructureError(
            f"{path}: it cannot be read: {error.strerror or error}",
            code=ErrorCode.OUTPUT_UNREADABLE,
        ) from error
    kind = kind_of(plain_name, content) if prints_text and not name else None
    if kind is not None:
        raise StructureError(
            f"{path}: it is {kind}, not an output of {program.name}: name "
            f"{_instead(path, program)}, or a file for its parsers ('wqmaster parse --program "
            f"{program.name} --list' lists them)",
            code=ErrorCode.OUTPUT_NOT_RECOGNIZED,
        )
    return {name or "stdout": content}, name or "stdout"


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


def read(path: Path, program: Program, parsers: Mapping[str, Parser]) -> Reading:
    """Read the output at `path` with `parsers`.

    Raises:
        StructureError: there is no such file.
    """
    files, main = files_at(path, program)
    output = Output(files, main)
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    module = program.module
    alone = getattr(module, "diagnose_file", None) if main != "stdout" else None
    is_diagnosed = main == "stdout" or alone is not None or hasattr(module, "file_name")
    failure = None
    try:
        if alone is not None:
            failure = diagnosed(alone, output)
        elif is_diagnosed:
            failure = diagnosed(module.diagnose, output, None, {})
    except ParseError as error:
        failure = Failure(FailureClass.PARSE_ERROR, error.message)
    except Exception as error:  # an output may hold anything
        failure = Failure(FailureClass.PARSE_ERROR, f"the output cannot be judged: {told(error)}")
    for name, parser in parsers.items():
        try:
            value = plain(parser(output.beside(getattr(parser, "files", (main,))[0])))
        except ParseError as error:
            errors[name] = error.message
        except Exception as error:  # a user's parser may raise anything
            errors[name] = f"the parser broke: {told(error)}"
        else:
            values[name] = _finite(value)
    return Reading(str(path), failure, values, errors, is_diagnosed)


def _finite(value: Any) -> Any:
    """`value` with strings in the place of numbers that JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value
