"""The contract that every parser follows, from output text to values.

A parser is a function `(Output) -> value`. The value must fit into BSON (numbers, strings, lists,
mappings). It is in atomic units (Eh, Eh/Bohr, e, e a0) unless the docstring states another unit.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked

Parser = Callable[["Output"], Any]


class Output:
    """The files of one step; `name` is the file that a parser is asked to read."""

    def __init__(self, files: Mapping[str, bytes], name: str = "stdout") -> None:
        self.name = name
        self._files = files
        self._texts: dict[str, str] = {}

    @property
    def text(self) -> str:
        """The text of the file `name`, in which bytes that are not UTF-8 are replaced.

        Raises:
            ParseError: there is no such file.
        """
        return self.file(self.name)

    def file(self, name: str) -> str:
        """The text of another file of the same step.

        Raises:
            ParseError: there is no such file.
        """
        if name not in self._texts:
            if name not in self._files:
                raise ParseError(f"the file {name} is missing")
            self._texts[name] = self._files[name].decode("utf-8", errors="replace")
        return self._texts[name]

    def has(self, name: str) -> bool:
        """Whether the step has a file of this name."""
        return name in self._files

    def beside(self, name: str) -> "Output":
        """The same step, for a parser that reads the file `name` instead."""
        other = Output(self._files, name)
        other._texts = self._texts
        return other

    def with_text(self, text: str) -> "Output":
        """The same step with `text`, such as an excerpt, in place of the file's content."""
        other = Output(self._files, self.name)
        other._texts = {**self._texts, self.name: text}
        return other

    def missing(self, block: str) -> ParseError:
        """An error that reports that `block` is missing from the file."""
        return ParseError(f"the block {block} is missing from {self.name}")


class ProgramParsers(Protocol):
    """The names that a module in parsers/ must define besides its parsers."""

    VERSION: str

    def diagnose(
        self, output: Output, asked: Asked | None, options: Mapping[str, Any]
    ) -> Failure | None:
        """Why the output of a step is not a result, or None if it is one."""

    def program_version(self, output: Output) -> str | None:
        """The program's version as stated in the output, or None if it is not stated."""


def reads(*files: str, per_atom: bool = False) -> Callable[[Parser], Parser]:
    """Mark a function as a parser that reads `files`, by default the first of them.

    With `per_atom`, the parser must return a list with one entry per atom, and its length is
    checked.

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
