"""Dotted names of a campaign -> task functions and parsers."""

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import wqmaster.parsers
from wqmaster.campaign.models import nearest
from wqmaster.parsers.base import Parser
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called, program_names

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


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and (hasattr(value, "files") or hasattr(value, "traits"))
    ]


def function_named(name: str, what: str, package: ModuleType) -> Any:
    """The function of this dotted name.

    Raises:
        ValueError: there is none; says what is wrong, and the nearest right name.
    """
    module_name, _, function = name.rpartition(".")
    if not module_name:
        raise ValueError(f"'{name}' is no dotted path of a {what}")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"the module '{module_name}' fails to import: {error}") from error
        ours = [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
        hint = nearest(module_name, ours)
        raise ValueError(
            f"there is no module '{module_name}' for the {what} '{name}'; {hint}"
        ) from error
    except SyntaxError as error:
        place = f"{Path(error.filename or module_name).name}, line {error.lineno}"
        raise ValueError(
            f"the module '{module_name}' fails to import: {place}: {error.msg}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may do anything
        raise ValueError(f"the module '{module_name}' fails to import: {error!r}") from error
    found = getattr(module, function, None)
    if not callable(found):
        hint = nearest(name, [f"{module_name}.{known}" for known in _functions(module)])
        raise ValueError(f"unknown {what} '{name}'; {hint}")
    return found


def resolve_parser(name: str, program: Program | None) -> Parser:
    """The parser of this dotted name, or short name of one of the program's own.

    Raises:
        ValueError: there is none; with the nearest right name.
    """
    full = current(name)
    if "." not in full and program is not None:
        full = f"{program.module_name}.{full}"
    return cast("Parser", function_named(full, "parser", wqmaster.parsers))
