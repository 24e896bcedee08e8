"""`Program`, which describes everything about a program but its task functions and parsers."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from wqmaster.campaign.models import nearest
from wqmaster.parsers.base import Parser, ProgramParsers
from wqmaster.system.signatures import misfit
from wqmaster.system.tracebacks import defined, told

# The names that a module of parsers must define (see `ProgramParsers`), with the arguments of those
# that are functions.
_REQUIRED: Mapping[str, tuple[str, ...] | None] = {
    "VERSION": None,
    "diagnose": ("output", "asked", "options"),
    "program_version": ("output",),
}
_FURTHER: Mapping[str, tuple[str, ...]] = {
    "file_name": ("name",),
    "diagnose_file": ("output",),
    "gradient_geometry": ("output",),
}
# A program's name is used in command lines and in `software:`, and is usually that of its
# executable.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Trial:
    """A trial run, to check that a program works."""

    arguments: tuple[str, ...] = ("--version",)
    files: Mapping[str, bytes] = field(default_factory=dict)
    # A regular expression that the output must match. None: the program only has to start, and may
    # reject the arguments.
    says: str | None = None


@dataclass(frozen=True)
class DataFolder:
    """A folder in share/ with files that a program reads in addition to those of a job."""

    variable: str  # the environment variable that names the folder
    folder: str


@dataclass(frozen=True)
class Change:
    """A change of a step's options that lowers the numerical noise of its values.

    It keeps the level of theory. `apply` receives the options as plain data, and returns new ones.
    """

    name: str
    apply: Callable[[Mapping[str, Any]], dict[str, Any]]


def _owns_nothing(name: str) -> bool:
    return False


def _no_level(options: Mapping[str, Any]) -> str | None:
    return None


def _no_changes(options: Mapping[str, Any], version: str | None) -> Sequence[Change]:
    return ()


def _no_theory(options: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _no_single_point(
    function: str, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    return None


@dataclass(frozen=True)
class Program:
    """A program that task functions run, with parsers and a diagnosis for its output.

    `parsers` is the module with the program's parsers (see `wqmaster.parsers.base`), or the
    module's dotted name. The module must have `VERSION`, `diagnose` and `program_version`, and can
    have `file_name`, `diagnose_file`, `gradient_geometry` (the coordinates in Angstrom to which the
    parser `gradient` belongs, if they are not those of the parser `geometry`) and a submodule
    `needs` (`wqmaster.tasks.held`).
    """

    name: str
    parsers: ModuleType | str
    # The name in messages, if it differs from `name`: "ORCA".
    title: str = ""
    # Where to get the program, for the message if it is missing.
    installation: str = ""
    # The argument with which the program only prints its version; None if there is none.
    version_argument: str | None = None
    data: DataFolder | None = None
    # Preferably a short calculation, which also needs the program's data and other executables.
    trial: Trial = Trial()
    # Returns why the file at a path is not this program; None if it can be.
    impostor: Callable[[Path], str | None] | None = None
    # Returns whether an executable with this name belongs to the program and the program's license
    # forbids distributing it.
    restricts: Callable[[str], bool] = _owns_nothing
    # Whether only the program's own parsers can read its outputs. If not, any parser can.
    has_own_format: bool = True
    # The oldest version whose outputs the parsers read, such as "6.3"; "" if that is unknown.
    oldest_version: str = ""
    # Returns the level of theory of a step with these options (plain data) in a few words, such as
    # "PBE0-D3BJ/def2-SVP"; None if nothing short describes it.
    level: Callable[[Mapping[str, Any]], str | None] = _no_level
    # Returns the changes that make a single point with these options (plain data) tighter; () if
    # there are none. The version is that of the results to check, None if it is unknown.
    tighter: Callable[[Mapping[str, Any], str | None], Sequence[Change]] = _no_changes
    # Returns what certainly determines the level of theory of a step with these options, by name.
    # Two steps with different values are at different levels.
    theory: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _no_theory
    # Returns the task function and options that compute energy and gradient at a fixed geometry
    # as a step of this function (dotted name) with these options does; None if there are none.
    single_point: Callable[[str, Mapping[str, Any]], tuple[str, dict[str, Any]] | None] = (
        _no_single_point
    )

    def __post_init__(self) -> None:
        """Check the types of the name and the module.

        Raises:
            ValueError: the name is not a plain word.
            TypeError: `parsers` is neither a module nor a string.
        """
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"Program({self.name!r:.60}): the name of a program must be one word of letters, "
                "digits and _.+-, such as 'tally'"
            )
        if not isinstance(self.parsers, (ModuleType, str)):
            raise TypeError(
                f"Program({self.name!r}, {self.parsers!r:.60}): its parsers must be a module or "
                "the dotted name of one; a module refers to itself as sys.modules[__name__]"
            )

    def __str__(self) -> str:
        return self.title or self.name

    @property
    def module(self) -> ProgramParsers:
        """The module with the program's parsers.

        Raises:
            ImportError: there is no such module, or one of its imports fails.
        """
        found = self.parsers
        if isinstance(found, str):
            found = importlib.import_module(found)
        return cast("ProgramParsers", found)

    @property
    def module_name(self) -> str:
        """The dotted name of the module with the program's parsers."""
        return self.parsers if isinstance(self.parsers, str) else self.parsers.__name__

    @property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """Maps a parser's name to the quantities that it needs and that not every step produces.

        It is empty if the module `needs` is missing or has no table.

        Raises:
            Exception: the module `needs` cannot be imported. `lacks` reports this in a message.
        """
        table = self._needs_module()
        found: Mapping[str, tuple[str, ...]] = getattr(table, "NEEDS", {})
        return found

    def _needs_module(self) -> ModuleType | None:
        name = f"{self.module_name}.needs"
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # If the module exists but imports a missing one, it must not count as missing itself.
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            return None

    def own_parsers(self) -> dict[str, Parser]:
        """The program's parsers by name, in alphabetical order."""
        return {
            name: function
            for name, function in sorted(vars(self.module).items())
            if inspect.isfunction(function) and hasattr(function, "files")
        }

    def owns(self, function: Parser) -> bool:
        """Whether a parser is defined in the program's module or a submodule."""
        module = getattr(function, "__module__", "") or ""
        return f"{module}.".startswith(f"{self.module_name}.")

    def lacks(self) -> str | None:
        """Why the program's outputs cannot be judged; None if they can be."""
        try:
            module = self.module
        except (Exception, SystemExit) as error:  # a user's module can raise anything
            return f"its module of parsers '{self.module_name}' cannot be imported: {told(error)}"
        return self._lacks_of(module) or self._lacks_of_needs()

    def _lacks_of(self, module: ProgramParsers) -> str | None:
        who = f"its module of parsers '{self.module_name}'"
        missing = [name for name in _REQUIRED if not hasattr(module, name)]
        if missing:
            return f"{who} lacks {', '.join(missing)}"
        version: object = module.VERSION
        if not isinstance(version, str):
            return (
                f"VERSION in {who} is {version!r:.60}, but must be a string: "
                f'VERSION = "{version!s:.20}"'
            )
        for name, arguments in {**_REQUIRED, **_FURTHER}.items():
            function = getattr(module, name, None)
            if arguments is None or (function is None and name in _FURTHER):
                continue
            why = misfit(function, *arguments)
            if why is not None:
                place = defined(function) if callable(function) else None
                return f"{name} in {who}: {why}" + (f" ({place})" if place is not None else "")
        return None

    def _lacks_of_needs(self) -> str | None:
        who = f"'{self.module_name}.needs'"
        try:
            table = self._needs_module()
        except (Exception, SystemExit) as error:  # a user's module can raise anything
            return f"the module {who} cannot be imported: {told(error)}"
        if table is None:
            return None
        found: object = getattr(table, "NEEDS", None)
        if not isinstance(found, Mapping):
            has = "has no NEEDS" if found is None else f"has NEEDS = {found!r:.60}"
            return f"the module {who} {has}; it must be a mapping of parsers to their needs"
        parsers = self.own_parsers()
        for name, needs in found.items():
            if name not in parsers:
                hint = nearest(str(name), parsers)
                return f"NEEDS in {who} has '{name}', which is not one of its parsers; {hint}"
            if not isinstance(needs, (tuple, list)) or not all(isinstance(n, str) for n in needs):
                return (
                    f"NEEDS in {who} has {needs!r:.60} for '{name}', but must have a tuple of "
                    "names: ('hessian',)"
                )
        return None
