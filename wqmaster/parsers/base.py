"""The contract that every parser follows, from output text to values.

A parser is a function `(Output) -> value`. The value must fit into BSON (numbers, strings, lists,
mappings). It is in atomic units (Eh, Eh/Bohr, e, e a0) unless the docstring states another unit.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from wqmaster.errors import OutputTooLarge, ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked, StepOutcome

Parser = Callable[["Output"], Any]

_LARGE_TEXT_BYTES = 8 << 20
# The first bytes of characters beyond Latin-1 in UTF-8, and bytes that are never in UTF-8.
_BEYOND_LATIN = re.compile(rb"[\xc4-\xff]")


class Output:
    """The files of one step; `name` is the file that a parser is asked to read."""

    def __init__(self, files: Mapping[str, bytes], name: str = "stdout") -> None:
        self.name = name
        self._files = files
        # The names of files that exist, but are too large to be read.
        self._large: Collection[str] = ()
        self._texts: dict[str, str] = {}

    @classmethod
    def of(cls, step: StepOutcome) -> "Output":
        """The output of a step whose files can be too large to be read."""
        output = cls(step.files)
        output._large = step.large.keys()
        return output

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
            OutputTooLarge: the file is larger than `archive: {max_size: ...}` allows.
            ParseError: there is no such file.
        """
        if name not in self._texts:
            if name in self._large:
                raise OutputTooLarge(f"the file {name} is too large to be read")
            if name not in self._files:
                raise ParseError(f"the file {name} is missing")
            self._texts[name] = _decoded(self._files[name])
        return self._texts[name]

    def has(self, name: str) -> bool:
        """Whether the step has a file of this name."""
        return name in self._files or name in self._large

    def beside(self, name: str) -> "Output":
        """The same step, for a parser that reads the file `name` instead."""
        other = Output(self._files, name)
        other._large = self._large
        other._texts = self._texts
        return other

    def with_text(self, text: str) -> "Output":
        """The same step with `text`, such as an excerpt, in place of the file's content."""
        other = Output(self._files, self.name)
        other._large = self._large
        other._texts = {**self._texts, self.name: text}
        return other

    def missing(self, block: str) -> ParseError:
        """An error that reports that `block` is missing from the file."""
        return ParseError(f"the block {block} is missing from {self.name}")


def _decoded(content: bytes) -> str:
    """`content` as text. A large file with characters beyond Latin-1 is read byte by byte.

    A single such character would make Python use two or four bytes for every other one.
    """
    if len(content) > _LARGE_TEXT_BYTES and _BEYOND_LATIN.search(content):
        return content.decode("latin-1")
    return content.decode("utf-8", errors="replace")


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
