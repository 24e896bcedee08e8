"""The contract of parsers: output text -> values.

A parser is a function `(Output) -> value`. The value must fit into BSON (numbers, strings, lists,
mappings) and is in atomic units (Eh, Eh/Bohr, e, e a0) unless the docstring says otherwise.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked

Parser = Callable[["Output"], Any]


class Output:
    """The files of one step; `name` is the one that a parser is asked to read."""

    def __init__(self, files: Mapping[str, bytes], name: str = "stdout") -> None:
        self.name = name
        self._files = files
        self._texts: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The text of this file; bytes that are not UTF-8 are replaced."""
        return self.file(self.name)

    def file(self, name: str) -> str:
        """The text of the file `name` of the same step.

        Raises:
            ParseError: there is no such file.
        """
        if name not in self._texts:
            if name not in self._files:
                raise ParseError(f"the file {name} is missing")
            self._texts[name] = self._files[name].decode("utf-8", errors="replace")
        return self._texts[name]

    def has(self, name: str) -> bool:
        """Whether the step has a file `name`."""
        return name in self._files

    def beside(self, name: str) -> "Output":
        """The same step, to be read from its file `name`."""
        other = Output(self._files, name)
        other._texts = self._texts
        return other

    def with_text(self, text: str) -> "Output":
        """The same step with `text` as the content of this file, such as an excerpt of it."""
        other = Output(self._files, self.name)
        other._texts = {**self._texts, self.name: text}
        return other

    def missing(self, block: str) -> ParseError:
        """The error for a `block` that is missing from this file."""
        return ParseError(f"the block {block} is missing from {self.name}")


class ProgramParsers(Protocol):
    """What a module in parsers/ provides besides its parsers."""

    VERSION: str

    def diagnose(
        self, output: Output, asked: Asked | None, options: Mapping[str, Any]
    ) -> Failure | None:
        """Why the output of a step is not a result, or None if it is one."""

    def program_version(self, output: Output) -> str | None:
        """The program's version as stated in the output."""


def reads(*files: str, per_atom: bool = False) -> Callable[[Parser], Parser]:
    """Mark a function as a parser of `files`; the first is the one it reads by default.

    `per_atom`: its value is a list whose length is checked to be the number of atoms.

    Raises:
        TypeError: no file is named, as in a bare `@reads`.
    """
    if not files or not all(isinstance(file, str) for file in files):
        raise TypeError("@reads needs the names of files, such as @reads('stdout')")

    def mark(function: Parser) -> Parser:
        function.files = files  # type: ignore[attr-defined]
        function.per_atom = per_atom  # type: ignore[attr-defined]
        return function

    return mark
