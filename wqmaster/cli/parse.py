"""wqmaster parse: diagnosis and values of outputs at hand; no campaign, no database."""

import contextlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from wqmaster.cli.common import printable, shortened
from wqmaster.cli.output import Output, json_lines_option
from wqmaster.errors import StructureError
from wqmaster.offline.parse import Reading, parsers_named, program_to_read, read
from wqmaster.parsers.base import Parser
from wqmaster.tasks.programs import program_names


def _lines(reading: Reading, asked: bool) -> Iterator[str]:
    yield f"{reading.file}"
    if reading.failure is not None:
        message = printable(reading.failure.message)
        yield f"  failed: {reading.failure.kind.label}: {message}"
    if not reading.is_diagnosed:
        yield "  not diagnosed: that needs the standard output; name the folder with all files"
    width = max((len(name) for name in reading.values), default=0)
    for name, value in reading.values.items():
        yield f"  {name:<{width}}  {shortened(value)}"
    if asked:
        for name, message in reading.errors.items():
            yield f"  {name}: {printable(message)}"
    elif reading.errors:
        yield f"  not in it: {', '.join(reading.errors)}"


def _list(parsers: Mapping[str, Parser]) -> None:
    width = max(len(name) for name in parsers)
    for name, parser in parsers.items():
        said = (inspect.getdoc(parser) or "").split("\n\n")[0].replace("\n", " ")
        click.echo(f"{name:<{width}}  {said}")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--program",
    "name",
    required=True,
    help=f"What wrote the files: {', '.join(program_names())}, or a module of your own that has a "
    "PROGRAM.",
)
@click.option(
    "--parser", "names", multiple=True, metavar="NAME", help="A parser; all of them by default."
)
@click.option("--list", "listed", is_flag=True, help="List the program's parsers; read nothing.")
@json_lines_option
def command(
    files: tuple[Path, ...], name: str, names: tuple[str, ...], listed: bool, output: Output
) -> None:
    """Read output files as a campaign would; print the values.

    Of a run that failed, the failure class and the reason are printed.

    A parser of your own is MODULE.FUNCTION; modules of the working folder are found.

    A FILE is the standard output of a program, a file that it wrote (xtbout.json, x.hess,
    x.engrad, x.property.json, poses.pdbqt), or a folder with all files of a run, in which the file
    'stdout', or the only one that ends with .out or .log, is the standard output. Each may be
    compressed (x.out.gz). The exit code is 0 also for runs that failed, 2 if a FILE cannot be read.
    """
    program = program_to_read(name)
    parsers = parsers_named(program, names)
    if listed:
        _list(parsers)
        return
    if not files:
        raise click.UsageError("Missing argument 'FILES...'.")
    exit_code = 0
    for path in files:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # what a user's parser prints
                reading = read(path, program, parsers)
        except StructureError as error:
            output.error(error.message, error.code, file=str(path))
            exit_code = error.exit_code
        else:
            output.row(reading.as_json(), _lines(reading, bool(names)))
    if exit_code:
        raise SystemExit(exit_code)
