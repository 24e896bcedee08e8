"""Dotted names of a campaign -> task functions and parsers."""

import contextlib
import difflib
import importlib
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import wqmaster.parsers
import wqmaster.tasks
from wqmaster.campaign.models import nearest
from wqmaster.parsers.base import Parser
from wqmaster.system.tracebacks import is_of_others, told
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import names_of_ours, program_called, program_names

# Functions of a module that are listed where none is near to the name that was asked for.
_MAX_LISTED = 8
# Names of the RQ framework -> ours.
_OLD_NAMES = (
    ("htrq.htrun.scripts.", "wqmaster.tasks."),
    ("htrq.htrun.parser.", "wqmaster.parsers."),
)
_OLD_PARSERS = {
    "dftd_energy": "dispersion_energy",
    "dftd_gradient": "dispersion_gradient",
    "dft_nl": "nl_energy",
    "hirshfeld_chg": "hirshfeld_charges",
}


def program_named(program: Program | str) -> Program:
    """The program that a task function names, seen to have a diagnosis.

    Raises:
        ValueError: it is not known, or its outputs cannot be judged; says why.
    """
    if isinstance(program, str):
        found = program_called(program)
        if found is None:
            raise ValueError(
                f"no program '{program}' is known; {nearest(program, program_names())}; or hand "
                "@task a Program of your own (wqmaster.tasks.Program)"
            )
        program = found
    why = program.lacks()
    if why is not None:
        raise ValueError(f"the program '{program.name}' cannot be used: {why}")
    return program


def current(name: str) -> str:
    """Today's dotted name of what the RQ framework called `name`."""
    for old, new in _OLD_NAMES:
        if name.startswith(old):
            *above, last = name[len(old) :].split(".")
            return new + ".".join([*above, _OLD_PARSERS.get(last, last)])
    return name


@dataclass(frozen=True)
class _Role:
    """What a function of a campaign file is for."""

    noun: str
    package: ModuleType  # where ours are
    mark: str  # the attribute that their decorator sets

    def modules(self) -> list[str]:
        """The modules that have such functions, as far as they can be known: to suggest them."""
        ours = (f"{self.package.__name__}.{name}" for name in names_of_ours())
        return [*ours, *modules_beside()]

    def marked(self, module: ModuleType) -> list[str]:
        """Those of them that the decorator marks; all where it marks none."""
        names = self.functions(module)
        return [name for name in names if hasattr(getattr(module, name), self.mark)] or names

    def functions(self, module: ModuleType) -> list[str]:
        """The functions of `module` that are of this role. A user's need not be marked."""
        ours = f"{module.__name__}.".startswith("wqmaster.")
        public = {
            name: value
            for name, value in vars(module).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }
        marked = [name for name, value in public.items() if hasattr(value, self.mark)]
        if marked or ours:  # beside marked functions, the others are helpers
            return marked
        return [name for name, value in public.items() if value.__module__ == module.__name__]


TASK_FUNCTION = _Role("task function", wqmaster.tasks, "traits")
PARSER = _Role("parser", wqmaster.parsers, "files")


def modules_beside() -> list[str]:
    """The modules of the folders that hold a user's own: sys.path without Python's folders."""
    folders = {Path(entry or ".") for entry in sys.path if not is_of_others(Path(entry or "."))}
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            found.update(path.stem for path in folder.glob("*.py") if path.stem.isidentifier())
    return sorted(found)


def function_named(name: str, role: _Role) -> Any:
    """The function of this dotted name.

    Raises:
        ValueError: there is none; says what is wrong, and the nearest right name.
    """
    module_name, _, function = name.rpartition(".")
    if not module_name:
        raise ValueError(f"'{name}' is not a dotted path of a {role.noun}: MODULE.FUNCTION")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"the module '{module_name}' fails to import: {told(error)}"
            ) from error
        hint = nearest(module_name, role.modules())
        raise ValueError(
            f"there is no module '{module_name}' for the {role.noun} '{name}'; {hint}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may do anything
        raise ValueError(f"the module '{module_name}' fails to import: {told(error)}") from error
    found = getattr(module, function, None)
    if not callable(found):
        hint = _nearest_in(module, function, role)
        raise ValueError(f"unknown {role.noun} '{name}'; {hint}")
    return found


def _nearest_in(module: ModuleType, word: str, role: _Role) -> str:
    """As `nearest`, for a function of a module.

    Its own name is compared alone: with the module before it, any two would be alike.
    """
    near = difflib.get_close_matches(word, role.functions(module), n=1, cutoff=0.6)
    if near:
        return f"did you mean '{module.__name__}.{near[0]}'?"
    names = sorted(role.marked(module))
    if not names:
        return f"there is none in '{module.__name__}'"
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return f"known in '{module.__name__}': {', '.join(names[:_MAX_LISTED])}{more}"


def resolve_parser(name: str, program: Program | None) -> Parser:
    """The parser of this dotted name, or short name of one of the program's own.

    Raises:
        ValueError: there is none; with the nearest right name.
    """
    full = current(name)
    if "." not in full:
        if program is None:
            raise ValueError(
                f"'{name}' is not a dotted path of a parser (MODULE.FUNCTION), and a short name is "
                "that of a parser of the task function's program: the task function names none; "
                "write @task(program=...)"
            )
        full = f"{program.module_name}.{full}"
    found = function_named(full, PARSER)
    if hasattr(found, TASK_FUNCTION.mark) or inspect.isclass(found):
        what = "class" if inspect.isclass(found) else TASK_FUNCTION.noun
        module = sys.modules[full.rpartition(".")[0]]
        known = ", ".join(sorted(PARSER.functions(module))) or "none"
        raise ValueError(
            f"'{full}' is a {what}, not a parser; parsers of '{module.__name__}': {known}"
        )
    return cast("Parser", found)
