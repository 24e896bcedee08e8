"""Find the task functions and parsers that a campaign file names."""

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
from wqmaster.campaign.base import available, nearest
from wqmaster.parsers.base import Parser
from wqmaster.system.tracebacks import is_of_others, told
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import names_of_ours, program_called, program_names

# Prefixes of dotted names in the RQ framework, and their replacements in wqmaster.
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
    """The program that a task function names, after a check that its outputs can be judged.

    Raises:
        ValueError: the program is unknown, or its outputs cannot be judged; the message gives the
            reason.
        CampaignError: the package that should contain the program does not provide a valid one.
    """
    if isinstance(program, str):
        found = program_called(program)
        if found is None:
            raise ValueError(
                f"unknown program '{program}'; name a known one, or pass your own Program "
                f"(wqmaster.tasks.Program) to @task; {nearest(program, program_names())}"
            )
        program = found
    why = program.lacks()
    if why is not None:
        raise ValueError(f"the program '{program.name}' cannot be used: {why}")
    return program


def current(name: str) -> str:
    """The dotted name in wqmaster for `name`, which can be a name in the RQ framework."""
    for old, new in _OLD_NAMES:
        if name.startswith(old):
            *above, last = name[len(old) :].split(".")
            return new + ".".join([*above, _OLD_PARSERS.get(last, last)])
    return name


@dataclass(frozen=True)
class _Role:
    """The role of a function that a campaign file names: task function or parser."""

    noun: str  # the role's name in messages
    package: ModuleType  # the package that contains wqmaster's functions of this role
    mark: str  # the attribute that the role's decorator sets
    further: str  # a hint if the program is unknown

    def suggested(self, name: str) -> str:
        """A hint for a name whose module is missing, does not exist, or has no such functions.

        The hint names a similar module in the user's folders, if there is one. Otherwise it names
        functions of the program that `name` seems to contain, lists the programs, or names the
        functions of all programs that are similar.
        """
        module, _, function = name.rpartition(".")
        own = difflib.get_close_matches(module, modules_beside(), n=1)
        if own:
            return f"did you mean a function of the module '{own[0]}'?"
        programs = names_of_ours()
        for word in reversed(name.split(".")):
            for program in difflib.get_close_matches(word, programs, n=1, cutoff=0.6):
                return self.nearest(function, self._of_program(program))
        below = name.removeprefix(f"{self.package.__name__}.")
        if "." in below:
            return f"available programs: {', '.join(sorted(programs))}{self.further}"
        return self.nearest(function, *map(self._of_program, sorted(programs)))

    def _of_program(self, program: str) -> ModuleType:
        return importlib.import_module(f"{self.package.__name__}.{program}")

    def nearest(self, function: str, *modules: ModuleType) -> str:
        """A hint for a function that is not in `modules`: the closest name, or all names."""
        full: dict[str, list[str]] = {}
        for module in modules:
            for name in self.functions(module):
                full.setdefault(name, []).append(f"{module.__name__}.{name}")
        near = difflib.get_close_matches(function, full, n=1)
        if near:
            return f"did you mean {' or '.join(repr(one) for one in full[near[0]])}?"
        return available(name for names in full.values() for name in names)

    def functions(self, module: ModuleType) -> list[str]:
        """The names of the functions in `module` that fit this role.

        If no function of a user's module has the role's decorator, all public functions fit.
        """
        ours = f"{module.__name__}.".startswith("wqmaster.")
        public = {
            name: value
            for name, value in vars(module).items()
            if inspect.isfunction(value) and not name.startswith("_")
        }
        marked = [name for name, value in public.items() if hasattr(value, self.mark)]
        if marked or ours:  # next to marked functions, unmarked ones are helpers
            return marked
        return [name for name, value in public.items() if value.__module__ == module.__name__]

    def fits(self, found: Any, module_name: str) -> bool:
        """Whether `found`, an attribute of a module, fits this role.

        A user's function needs no decorator.
        """
        ours = f"{module_name}.".startswith("wqmaster.")
        return callable(found) and (not ours or hasattr(found, self.mark))


TASK_FUNCTION = _Role(
    "task function",
    wqmaster.tasks,
    "traits",
    "; 'wqmaster.tasks.command.run' runs any other program, and your own module belongs next to "
    "the campaign file",
)
PARSER = _Role(
    "parser", wqmaster.parsers, "files", "; your own module belongs next to the campaign file"
)


def modules_beside() -> list[str]:
    """The names of the modules in the user's folders (sys.path without Python's own folders)."""
    folders = {Path(entry or ".") for entry in sys.path if not is_of_others(Path(entry or "."))}
    found: set[str] = set()
    for folder in folders:
        with contextlib.suppress(OSError):
            found.update(path.stem for path in folder.glob("*.py") if path.stem.isidentifier())
    return sorted(found)


def function_named(name: str, role: _Role) -> Any:
    """The function with this dotted name.

    Raises:
        ValueError: there is no such function; the message gives the reason and the nearest valid
            name.
    """
    module_name, _, function = name.rpartition(".")
    if not module_name:
        raise ValueError(
            f"'{name}' is not the dotted path of a {role.noun} (MODULE.FUNCTION); "
            f"{role.suggested(name)}"
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"the module '{module_name}' cannot be imported: {told(error)}"
            ) from error
        raise ValueError(
            f"there is no module '{module_name}' for the {role.noun} '{name}'; "
            f"{role.suggested(name)}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module can do anything
        raise ValueError(f"the module '{module_name}' cannot be imported: {told(error)}") from error
    found = getattr(module, function, None)
    if not role.fits(found, module_name):
        inside = found if isinstance(found, ModuleType) else module
        hint = role.nearest(function, inside) if role.functions(inside) else role.suggested(name)
        raise ValueError(f"unknown {role.noun} '{name}'; {hint}")
    return found


def resolve_parser(name: str, program: Program | None) -> Parser:
    """The parser with this dotted name, or the program's own parser with this short name.

    Raises:
        ValueError: there is no such parser; the message gives the nearest valid name.
    """
    full = current(name)
    if "." not in full:
        if program is None:
            raise ValueError(
                f"'{name}' is a short name, but the task function does not state whose parser it "
                "is; write the dotted path MODULE.FUNCTION, or @task(program=...)"
            )
        if not PARSER.fits(getattr(program.module, full, None), program.module_name):
            hint = nearest(full, program.own_parsers())
            raise ValueError(f"unknown parser '{name}' of {program.name}; {hint}")
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
