"""Parsers of result.json, which the harness of `wqmaster.tasks.python` writes on the worker.

The file contains a JSON object with `function`, `python` (the version of Python), and either the
`value` that the function returned or the `error` that it raised.
"""

import errno
import json
import re
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output, reads

VERSION = "1"
_FILE = "result.json"
# What Python prints when it crashes (faulthandler) or cannot start.
_FATAL = re.compile(r"^Fatal Python error: (.*)$", re.MULTILINE)
_NO_START = ("init", "Py_Init", "Failed to import", "No module named 'encodings'")
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_MAX_TEXT_CHARACTERS = 300


def _content(output: Output) -> dict[str, Any]:
    name = output.name if output.name.endswith(".json") else _FILE
    try:
        found = json.loads(output.file(name))
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(found, dict) or not ("value" in found or "error" in found):
        raise ParseError(f"{name} was not written by the harness")
    return found


@reads(_FILE)
def result(output: Output) -> Any:
    """The value that the function returned; each entry of a dict is stored under its own key."""
    found = _content(output)
    if "value" not in found:
        raise ParseError(f"{output.name} holds an error, not a value")
    return found["value"]


def program_version(output: Output) -> str | None:
    """The version of Python on the worker, or None if no result states it."""
    try:
        version = _content(output).get("python")
    except ParseError:
        return None
    return version if isinstance(version, str) else None


def _line(value: Any) -> str:
    return " ".join(str(value).split())[:_MAX_TEXT_CHARACTERS]


def _without_result(output: Output) -> Failure:
    errors = output.file("stderr") if output.has("stderr") else ""
    fatal = _FATAL.search(errors)
    if "std::bad_alloc" in errors:
        return Failure(FailureClass.MEMORY, "python: a library ran out of memory (std::bad_alloc)")
    if fatal and fatal[1].startswith(_NO_START):
        return Failure(FailureClass.PROGRAM_MISSING, f"python cannot start: {_line(fatal[1])}")
    why = f": {_line(fatal[1])}" if fatal else ""
    return Failure(FailureClass.MODULE_CRASH, f"python: it ended before the function returned{why}")


def _of_error(error: Mapping[str, Any], version: Any) -> Failure:
    kinds = error.get("kinds")
    kinds = kinds if isinstance(kinds, list) else []
    place = f" ({_line(error['place'])})" if error.get("place") else ""
    message = _line(error.get("message"))
    said = f"{_line(error.get('type'))}: {message}" if message else _line(error.get("type"))
    at_import = error.get("stage") == "import"
    if "MemoryError" in kinds:
        return Failure(FailureClass.MEMORY, f"python: {said}{place}")
    if error.get("errno") in _NO_SPACE:
        return Failure(FailureClass.DISK_FULL, f"python: {said}{place}")
    if "SyntaxError" in kinds and at_import:
        return Failure(
            FailureClass.PROGRAM_MISSING,
            f"python: the worker's Python {_line(version)} cannot parse{place}: {message}; it may "
            "be too old for the module",
        )
    if "ImportError" in kinds:
        return Failure(
            FailureClass.LIBRARY_MISSING,
            f"python: {said}{place}; the worker's Python {_line(version)} does not have it; to "
            "send a module from the campaign's folder, name it in 'modules:'",
        )
    if "KeyboardInterrupt" in kinds:
        return Failure(FailureClass.KILLED, f"python: it was interrupted{place}")
    if "SystemExit" in kinds:
        return Failure(
            FailureClass.PROGRAM_ERROR, f"python: the function called sys.exit({message}){place}"
        )
    if "NoJson" in kinds:
        return Failure(FailureClass.PROGRAM_ERROR, f"python: {message}")
    where = f" at import, Python {_line(version)}" if at_import else ""
    return Failure(FailureClass.PROGRAM_ERROR, f"python: {said}{place}{where}")


def diagnose(
    output: Output, asked: Asked | None, options: Mapping[str, Any] | None
) -> Failure | None:
    """Why the function returned no value, or None if it returned one."""
    if not output.name.endswith(".json") and not output.has(_FILE):
        return _without_result(output)
    try:
        found = _content(output)
    except ParseError as error:
        return Failure(FailureClass.PARSE_ERROR, error.message)
    raised = found.get("error")
    if raised is not None or "value" not in found:
        return _of_error(raised if isinstance(raised, dict) else {}, found.get("python"))
    function = (options or {}).get("function")
    if function is not None and found.get("function") != function:
        return Failure(
            FailureClass.NOT_AS_ASKED,
            f"python: the result is from {_line(found.get('function'))}, not from {function}",
        )
    return None
