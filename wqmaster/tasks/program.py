"""A program as one object: all that is known of it beside its task functions and parsers."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import cast

from wqmaster.parsers.base import Parser, ProgramParsers
from wqmaster.system.tracebacks import told

# What a module of parsers has beside its parsers (`ProgramParsers`).
_REQUIRED = ("VERSION", "diagnose", "program_version")


@dataclass(frozen=True)
class Trial:
    """What is run to see that a program runs."""

    arguments: tuple[str, ...] = ("--version",)
    files: Mapping[str, bytes] = field(default_factory=dict)
    # A pattern that must be in what it prints; None: it need not even know the arguments, as long
    # as it begins.
    says: str | None = None


@dataclass(frozen=True)
class DataFolder:
    """Files that a program reads beside those of a job: a folder of share/."""

    variable: str  # the environment variable that names the folder
    folder: str


def _owns_nothing(name: str) -> bool:
    return False


@dataclass(frozen=True)
class Program:
    """A program that task functions run, and whose output has parsers and a diagnosis.

    `parsers` is the module with its parsers (see `wqmaster.parsers.base`), or the dotted name of
    it. It has `VERSION`, `diagnose` and `program_version`, and may have `file_name`,
    `diagnose_file` and a submodule `needs` (`wqmaster.tasks.held`).
    """

    name: str
    parsers: ModuleType | str
    # The name by which people call it, where that is another: "ORCA".
    title: str = ""
    # How to get it, for the message that it is missing.
    installation: str = ""
    # The argument that makes it print its version, and do nothing else; None: there is none.
    version_argument: str | None = None
    data: DataFolder | None = None
    # A short calculation, where one is known: it reads data, and calls other programs of its own.
    trial: Trial = Trial()
    # Why the file at a path is not this program; None if nothing speaks against it.
    impostor: Callable[[Path], str | None] | None = None
    # Whether an executable of this name belongs to the program, where its licence does not allow
    # it to be given away.
    restricts: Callable[[str], bool] = _owns_nothing
    # Whether its outputs can be read by its own parsers alone. Else others may read them, too.
    has_own_format: bool = True

    def __str__(self) -> str:
        return self.title or self.name

    @property
    def module(self) -> ProgramParsers:
        """The module with its parsers.

        Raises:
            ImportError: there is no such module, or it fails to import.
        """
        found = self.parsers
        if isinstance(found, str):
            found = importlib.import_module(found)
        return cast("ProgramParsers", found)

    @property
    def module_name(self) -> str:
        """The dotted name of the module with its parsers."""
        return self.parsers if isinstance(self.parsers, str) else self.parsers.__name__

    @property
    def needs(self) -> Mapping[str, tuple[str, ...]]:
        """What each of its parsers needs that not every step leaves; empty: it is not known."""
        try:
            table = importlib.import_module(f"{self.module_name}.needs")
        except ModuleNotFoundError:
            return {}
        found: Mapping[str, tuple[str, ...]] = table.NEEDS
        return found

    def own_parsers(self) -> dict[str, Parser]:
        """Its parsers by name, in alphabetical order."""
        return {
            name: function
            for name, function in sorted(vars(self.module).items())
            if inspect.isfunction(function) and hasattr(function, "files")
        }

    def owns(self, function: Parser) -> bool:
        """Whether a parser is defined in the program's module, or below it."""
        module = getattr(function, "__module__", "") or ""
        return f"{module}.".startswith(f"{self.module_name}.")

    def lacks(self) -> str | None:
        """Why its outputs cannot be judged; None if they can."""
        try:
            module = self.module
        except Exception as error:  # a user's module may raise anything
            return f"its module of parsers '{self.module_name}' fails to import: {told(error)}"
        missing = [name for name in _REQUIRED if not hasattr(module, name)]
        if missing:
            return f"its module of parsers '{self.module_name}' lacks {', '.join(missing)}"
        return None
