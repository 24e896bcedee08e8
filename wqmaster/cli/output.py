"""How a command says what it found: text for people, or JSON for programs.

A verb computes a value and hands it over once, with its lines of text. Which of the two is printed
depends on the output that the command line asks for: `--json` or nothing.
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import click
from bson import json_util
from rich.console import Console
from rich.table import Table

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError

# Characters of a line of a table that does not go to a terminal.
_TABLE_WIDTH = 200


class Output(Protocol):
    """Where a command's results, warnings and errors go."""

    def show(self, value: Any, lines: Iterable[str], *, error: WqmasterError | None = None) -> None:
        """The result, as a value and as lines of text; the one that is not printed is not computed.

        `error`: why the command fails although it has a result. The caller raises it next.
        """

    def row(self, value: Any, lines: Iterable[str]) -> None:
        """One of several results, printed as soon as it is there."""

    def listing(self, values: Iterable[Any], line: Callable[[Any], str]) -> None:
        """Many values: a line of text each, printed as they come, or one list."""

    def remark(self, *lines: str, err: bool = False) -> None:
        """Lines for people alone: what programs find in the result, or do not need."""

    def warning(self, message: str) -> None:
        """Something is wrong, and the command goes on."""

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Why the command fails. `said`: people are told elsewhere; `more`: further keys."""


class TextOutput:
    """Text: results on standard output, warnings and errors on standard error."""

    def show(self, value: Any, lines: Iterable[str], *, error: WqmasterError | None = None) -> None:
        """Print the lines."""
        for line in lines:
            click.echo(line)

    def row(self, value: Any, lines: Iterable[str]) -> None:
        """Print the lines."""
        self.show(value, lines)

    def listing(self, values: Iterable[Any], line: Callable[[Any], str]) -> None:
        """Print the lines."""
        self.show(None, map(line, values))

    def remark(self, *lines: str, err: bool = False) -> None:
        """Print them."""
        for line in lines:
            click.echo(line, err=err)

    def warning(self, message: str) -> None:
        """Print it."""
        click.echo(f"wqmaster: {message}", err=True)

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Print the message."""
        if not said:
            click.echo(f"wqmaster: {message}", err=True)


class JsonOutput(TextOutput):
    """One JSON value on standard output: the result, or the error where there is no result.

    A command that has a result and fails all the same gives its error as `error` in the result.
    Standard error has the same messages as without JSON.
    """

    def __init__(self) -> None:
        self._is_shown = False

    def show(self, value: Any, lines: Iterable[str], *, error: WqmasterError | None = None) -> None:
        """Print the value."""
        if error is not None:
            value = {**value, "error": as_json(error.message, error.code)}
        self._print(value)
        self._is_shown = True

    def listing(self, values: Iterable[Any], line: Callable[[Any], str]) -> None:
        """Print the list."""
        self.show(list(values), ())

    def remark(self, *lines: str, err: bool = False) -> None:
        """Print nothing."""

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Print the error as a value, unless there was a result, and the message."""
        if not self._is_shown:
            self._print({**more, **as_json(message, code)})
        super().error(message, code, said=said)

    def _print(self, value: Any) -> None:
        """What JSON has no word for (ids, dates) is MongoDB's relaxed extended JSON."""
        click.echo(json_util.dumps(value, indent=2, json_options=json_util.RELAXED_JSON_OPTIONS))


class JsonLinesOutput(JsonOutput):
    """A line of JSON for each result, and for each error."""

    def row(self, value: Any, lines: Iterable[str]) -> None:
        """Print the value."""
        self._print(value)

    def _print(self, value: Any) -> None:
        click.echo(json.dumps(value, allow_nan=False))


def as_json(message: str, code: ErrorCode) -> dict[str, str]:
    """An error, a warning or a note as a value."""
    return {"code": str(code), "message": message}


def _option(kind: Callable[[], Output], words: str) -> Callable[[Any], Any]:
    """`--json`: the command gets the output that was chosen as `output`."""

    def chosen(ctx: click.Context, parameter: click.Parameter, as_json: bool) -> Output:
        output = kind() if as_json else TextOutput()
        ctx.find_root().obj = output  # for errors
        return output

    return click.option(
        "--json", "output", is_flag=True, is_eager=True, callback=chosen, help=words
    )


json_option = _option(JsonOutput, "Print JSON.")
json_lines_option = _option(JsonLinesOutput, "Print JSON, one object a file, one a line.")


def asked_for(words: Sequence[str]) -> Output:
    """The output that a command line asks for which may be wrong."""
    return JsonOutput() if "--json" in words else TextOutput()


@contextmanager
def progress(what: str, counted: str) -> Iterator[Callable[[int], None]]:
    """Shows how far a command is: a line on a terminal, nothing elsewhere, whatever the output.

    `what` it does; `counted` is added to it, with the number in the place of `{}`.
    """
    if not sys.stderr.isatty():
        yield lambda number: None
        return
    with Console(stderr=True).status(what) as status:
        yield lambda number: status.update(f"{what}: {counted.format(number)}")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table."""
    found = Table(*headings, box=None)
    for row in rows:
        found.add_row(*row)
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _TABLE_WIDTH
    with console.capture() as captured:
        console.print(found)
    yield from captured.get().removesuffix("\n").split("\n")
