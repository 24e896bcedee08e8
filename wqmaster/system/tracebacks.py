"""Find the place of an error in a user's own file, or in a program's package."""

import functools
import inspect
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wqmaster
from wqmaster.errors import CampaignError

_OURS = Path(wqmaster.__file__).resolve().parent
# Files below these folders, or below wqmaster's own folder, do not belong to the user.
_OF_PYTHON = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
# Names of folders with packages for other Pythons, such as the one behind a virtual environment.
_OF_PACKAGES = {"site-packages", "dist-packages"}
_OF_OTHERS = tuple(f"{Path(path).resolve()}/" for path in (*wqmaster.__path__, *_OF_PYTHON))


def is_of_others(path: Path) -> bool:
    """Whether a file or folder belongs to wqmaster, to Python or to an installed package."""
    resolved = path.resolve()
    return f"{resolved}/".startswith(_OF_OTHERS) or not _OF_PACKAGES.isdisjoint(resolved.parts)


def _is_of_a_program(path: Path) -> bool:
    """Whether a file belongs to one program, in wqmaster/tasks/NAME or wqmaster/parsers/NAME."""
    path = path.resolve()
    if not path.is_relative_to(_OURS):
        return False
    package, *below = path.relative_to(_OURS).parts
    if package not in ("tasks", "parsers") or not below:
        return False
    return len(below) > 1 or (package == "parsers" and (_OURS / "tasks" / path.stem).is_dir())


def _shown(path: Path) -> str:
    """The name of a file; in wqmaster, its path, since each program has a task.py there."""
    path = path.resolve()
    return str(path.relative_to(_OURS.parent)) if path.is_relative_to(_OURS) else path.name


def blame(error: BaseException) -> str | None:
    """The innermost line of a user's file in the traceback: "mine.py, line 12, in count".

    If the traceback contains no user's file, this is the innermost line in the package of one of
    our programs, which helps those who add a program. None if there is neither.
    """
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{_shown(Path(error.filename))}, line {error.lineno}"
    ours = None
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        # "<frozen importlib._bootstrap>" and the like are not files.
        if frame.filename.startswith("<"):
            continue
        path = Path(frame.filename)
        place = f"{_shown(path)}, line {frame.lineno}"
        if frame.name != "<module>":
            place += f", in {frame.name}"
        if not is_of_others(path):
            return place
        if ours is None and _is_of_a_program(path):
            ours = place
    return ours


def defined(function: Callable[..., Any]) -> str | None:
    """The place where a function is defined, such as "mine.py, line 12"; None if unknown."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return None
    return f"{_shown(Path(code.co_filename))}, line {code.co_firstlineno}"


def described(error: BaseException) -> str:
    """An error on one line, as at the end of a traceback: "ValueError: no"."""
    what = " ".join(str(error).split())
    return f"{type(error).__name__}: {what}" if what else type(error).__name__


def told(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """The error and its place: "ValueError: no (mine.py, line 12, in count)".

    `function` is the function that was called. Its place is given if the traceback has none, which
    happens when the function does not accept its arguments.
    """
    if isinstance(error, CampaignError):
        return error.message  # the message states the place already
    what = error.msg if isinstance(error, SyntaxError) else described(error)
    place = blame(error)
    if place is None and function is not None:
        place = defined(function)
    return f"{what} ({place})" if place is not None else what
