"""Read output files without a campaign: the diagnosis, and the value of each parser."""

import difflib
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from wqmaster.campaign.models import nearest
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, NotApplicable, ParseError
from wqmaster.jobs.failures import Failure, FailureClass, signature
from wqmaster.offline.run_files import files_at
from wqmaster.parsers.base import Output, Parser, ProgramParsers
from wqmaster.recipe.diagnosing import diagnosed
from wqmaster.recipe.names import modules_beside, program_named, resolve_parser
from wqmaster.recipe.values import not_finite, plain
from wqmaster.system.tracebacks import is_of_others, told
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, program_names

# Matches the messages of errors from `Output.missing` and `Output.file`.
_MISSING = re.compile(r"the (?:block|file) .+ is missing.*", re.DOTALL)


@dataclass(frozen=True)
class Reading:
    """The diagnosis and the values of one file, or of a folder."""

    file: str
    failure: Failure | None
    values: Mapping[str, Any]  # parser -> value
    errors: Mapping[str, str]  # parser -> why there is no value
    # The parsers in `errors` whose file is missing, or whose block is not in the output.
    absent: frozenset[str]
    # Function (a parser, `diagnose` or `program_version`) -> an error that it raised and that is
    # not a ParseError.
    broken: Mapping[str, str]
    version: str | None  # the program's version; None if the output does not state it
    # False if the file alone does not show whether the run failed.
    is_diagnosed: bool = True

    def as_json(self) -> dict[str, Any]:
        """The reading as plain data: file, failure (class, message, signature), values, errors.

        `failure` is null if none was found. `diagnosed` is false if only the standard output, which
        is missing, could show a failure. `broken` has the errors other than ParseError, by the
        function that raised them.
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
    """The program of this name: a known one, or the PROGRAM of a module in the working folder.

    Raises:
        CampaignError: there is no such program, for which the message suggests the nearest name,
            or its module cannot be imported.
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
                f"the module '{name}' cannot be imported: {told(error)}",
                code=ErrorCode.MODULE_NOT_IMPORTED,
            ) from error
    except Exception as error:  # a user's module can raise anything
        raise CampaignError(
            f"the module '{name}' cannot be imported: {told(error)}",
            code=ErrorCode.MODULE_NOT_IMPORTED,
        ) from error
    found = getattr(module, "PROGRAM", None)
    if module is not None and not isinstance(found, Program):
        _refuse(module, found)
    if not isinstance(found, Program):
        near = difflib.get_close_matches(name, [*program_names(), *modules_beside()], n=1)
        hint = nearest(name, near or program_names())
        raise CampaignError(
            f"there is no program '{name}', and no module of this name with a PROGRAM in this "
            f"folder; {hint}",
            code=ErrorCode.PROGRAM_UNKNOWN,
        )
    return _judged(found)


def _judged(program: Program) -> Program:
    """`program`, after checking that it has parsers and a diagnosis."""
    try:
        return program_named(program)
    except ValueError as error:
        raise CampaignError(str(error), code=ErrorCode.PROGRAM_UNKNOWN) from error


def _refuse(module: ModuleType, found: Any) -> None:
    """Refuse a user's own module that defines no program; other modules are ignored.

    Raises:
        CampaignError: the module has no PROGRAM, or one of another type.
    """
    path = Path(module.__file__ or "")
    if is_of_others(path):
        return
    place = f"the module '{module.__name__}' ({path.name})"
    why = (
        f"{place} has no PROGRAM"
        if found is None
        else f"PROGRAM of {place} is of type {type(found).__name__}"
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
    """The parsers with these names; without names, all of the program's own parsers.

    The working folder is searched for the user's own parsers.

    Raises:
        CampaignError: there is no such parser; the message suggests the nearest name.
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


def read(
    path: Path, program: Program, parsers: Mapping[str, Parser], stated: str | None = None
) -> Reading:
    """Read the output at `path` with `parsers`; `stated` is as for `files_at`.

    Raises:
        StructureError: the file cannot be read, or it is unclear which file of a run it is.
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
    if main != "stdout" and failure is not None and failure.kind is FailureClass.MISSING_OUTPUT:
        # This file of the run was named alone, and the program is judged by its standard output.
        is_diagnosed, failure = False, None
    version = _version(output, program.module, broken) if is_diagnosed else None
    for name, parser in parsers.items():
        file = getattr(parser, "files", (main,))[0]
        try:
            value = plain(parser(output.beside(file)))
            place = not_finite(value, name)
            if place is not None:
                raise ParseError(f"{place} is not finite")
            values[name] = value
        except ParseError as error:
            errors[name] = error.message
            # If the run failed, the failure explains why its output has no value.
            if file not in files or _is_absent(error) or (failure and file == "stdout"):
                absent.add(name)
        except (Exception, SystemExit) as error:  # a user's parser can raise anything
            broken[name] = told(error)
            errors[name] = f"the parser raised {broken[name]}"
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
    """Whether a parser found no value because the output has none, not because it is damaged."""
    return isinstance(error, NotApplicable) or _MISSING.fullmatch(error.message) is not None


def _failure(output: Output, module: ProgramParsers, broken: dict[str, str]) -> Failure | None:
    """Why the output is not a result, or None; an unexpected error is put in `broken`."""
    alone = getattr(module, "diagnose_file", None) if output.name != "stdout" else None
    try:
        if alone is not None:
            return diagnosed(alone, output)
        return diagnosed(module.diagnose, output, None, {})
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, error.message)
    except (Exception, SystemExit) as error:  # a user's module can raise anything
        broken["diagnose"] = told(error)
        message = f"the output cannot be judged: diagnose raised {broken['diagnose']}"
        return Failure(FailureClass.PARSE_ERROR, message)


def _version(output: Output, module: ProgramParsers, broken: dict[str, str]) -> str | None:
    """The version that the output states, or None; an unexpected error is put in `broken`."""
    try:
        found = module.program_version(output)
    except ParseError:
        return None
    except (Exception, SystemExit) as error:  # a user's module can raise anything
        broken["program_version"] = told(error)
        return None
    return found if found is None else str(found)
