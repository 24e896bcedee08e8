"""The output of commands: text for people, or JSON for programs.

A command passes on its result once, both as a value and as lines of text. With `--json` the value
is printed, otherwise the lines.
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

# The width, in characters, of a table that does not go to a terminal.
_TABLE_WIDTH = 200


class Output(Protocol):
    """Prints a command's results, warnings and errors."""

    # Whether programs read standard output, which then has nothing but the result.
    is_for_programs: bool

    def show(self, value: Any, lines: Iterable[str], *, error: WqmasterError | None = None) -> None:
        """Print the result: `value`, or `lines`, which are computed only if they are printed.

        `error` is the reason why the command fails although it has a result. The caller raises it
        next.
        """

    def row(self, value: Any, lines: Iterable[str]) -> None:
        """Print one of several results as soon as it is available."""

    def listing(self, values: Iterable[Any], line: Callable[[Any], str]) -> None:
        """Print many values: each as a line of text as soon as it arrives, or all as one list."""

    def remark(self, *lines: str, err: bool = False) -> None:
        """Print lines for people only; programs read the result instead."""

    def warning(self, message: str) -> None:
        """Report a problem that does not stop the command."""

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Report why the command fails.

        `said` means that the text is printed elsewhere. `more` are further keys of the JSON value.
        """


class TextOutput:
    """Prints text: results on standard output, warnings and errors on standard error."""

    is_for_programs = False

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
        """Print the lines."""
        for line in lines:
            click.echo(line, err=err)

    def warning(self, message: str) -> None:
        """Print the message."""
        click.echo(f"wqmaster: {message}", err=True)

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Print the message."""
        if not said:
            click.echo(f"wqmaster: {message}", err=True)


class JsonOutput(TextOutput):
    """Prints one JSON value on standard output: the result, or the error if there is no result.

    If a command has a result but still fails, the result has the error under the key `error`.
    Standard error has the same messages as without JSON.
    """

    is_for_programs = True

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
        """Print nothing, since the JSON value already has the content of remarks."""

    def error(self, message: str, code: ErrorCode, *, said: bool = False, **more: Any) -> None:
        """Print the message, and the error as a value unless a result was printed."""
        if not self._is_shown:
            self._print({**more, **as_json(message, code)})
        super().error(message, code, said=said)

    def _print(self, value: Any) -> None:
        """Print JSON; ids and dates, which JSON lacks, are in MongoDB's relaxed extended JSON."""
        click.echo(json_util.dumps(value, indent=2, json_options=json_util.RELAXED_JSON_OPTIONS))


class JsonLinesOutput(JsonOutput):
    """Prints one line of JSON for each result and each error."""

    def row(self, value: Any, lines: Iterable[str]) -> None:
        """Print the value."""
        self._print(value)

    def _print(self, value: Any) -> None:
        click.echo(json.dumps(value, allow_nan=False))


def as_json(message: str, code: ErrorCode) -> dict[str, str]:
    """An error, warning or note as a value."""
    return {"code": str(code), "message": message}


def _option(kind: Callable[[], Output], words: str) -> Callable[[Any], Any]:
    """The option `--json`, which passes the chosen output to a command as `output`."""

    def chosen(ctx: click.Context, parameter: click.Parameter, as_json: bool) -> Output:
        output = kind() if as_json else TextOutput()
        ctx.find_root().obj = output  # so that errors are printed in the same way
        return output

    return click.option(
        "--json", "output", is_flag=True, is_eager=True, callback=chosen, help=words
    )


json_option = _option(JsonOutput, "Print JSON.")
json_lines_option = _option(JsonLinesOutput, "Print JSON Lines, one object per file.")


def asked_for(words: Sequence[str]) -> Output:
    """The output that a command line asks for, even if the command line is invalid."""
    return JsonOutput() if "--json" in words else TextOutput()


@contextmanager
def progress(what: str, counted: str) -> Iterator[Callable[[int], None]]:
    """Show progress as a line on standard error, if that is a terminal, even with `--json`.

    `what` is the activity; `counted` is appended to it, with the number in place of `{}`.
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
