"""wqmaster parse: diagnose and parse output files, without a campaign or a database."""

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
from wqmaster.offline.run_files import stated_name
from wqmaster.parsers.base import Parser
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_names

# The exit code if a parser, `diagnose` or `program_version` raised an unexpected error.
_BROKEN_EXIT_CODE = 1


def _lines(reading: Reading, program: Program, asked: bool) -> Iterator[str]:
    yield f"{reading.file}"
    if reading.is_diagnosed:
        yield f"  {program} {_version(reading)}"
    if reading.failure is not None:
        message = printable(reading.failure.message)
        yield f"  failed: {reading.failure.kind.label}: {message}"
    elif reading.is_diagnosed:
        yield "  valid result"
    else:
        yield "  not diagnosed: this needs the standard output; name the folder with all files"
    width = max((len(name) for name in reading.values), default=0)
    for name, value in reading.values.items():
        yield f"  {name:<{width}}  {shortened(value)}"
    hidden = frozenset() if asked else reading.absent
    for name, message in reading.errors.items():
        if name not in hidden:
            yield f"  {name}: {printable(message)}"
    if hidden and not reading.values:
        yield "  no parser finds a value"
    elif hidden:
        yield f"  not in the output: {', '.join(name for name in reading.errors if name in hidden)}"


def _version(reading: Reading) -> str:
    why = reading.broken.get("program_version")
    if why is not None:
        return f"(unknown version: program_version raised {printable(why)})"
    return printable(reading.version) if reading.version else "(version not stated)"


def _list(parsers: Mapping[str, Parser]) -> None:
    width = max((len(name) for name in parsers), default=0)
    for name, parser in parsers.items():
        summary = (inspect.getdoc(parser) or "").split("\n\n")[0].replace("\n", " ")
        click.echo(f"{name:<{width}}  {summary}")


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--program",
    "name",
    required=True,
    help=f"Program that wrote the files: {', '.join(program_names())}, or your own module that has "
    "a PROGRAM.",
)
@click.option(
    "--parser",
    "names",
    multiple=True,
    metavar="NAME",
    help="Parser to use; repeatable (default: all).",
)
@click.option(
    "--as",
    "stated",
    metavar="NAME",
    help="Treat each FILE, whatever its name, as 'stdout' or as a file that parsers read.",
)
@click.option("--list", "listed", is_flag=True, help="List the program's parsers and exit.")
@json_lines_option
def command(
    files: tuple[Path, ...],
    name: str,
    names: tuple[str, ...],
    stated: str | None,
    listed: bool,
    output: Output,
) -> None:
    """Read output files as a campaign would; print the values.

    For a failed run, the failure class and the reason are printed.

    Your own parser is MODULE.FUNCTION; the module can be in the working folder.

    A FILE is the standard output of a program, a file that it wrote (xtbout.json, x.hess,
    x.engrad, x.property.json, poses.pdbqt), or a folder with all files of a run. In a folder, the
    standard output is the file 'stdout', or else the only file that ends in .out or .log. Files may
    be compressed (x.out.gz).

    Exit codes: 0 all files were read, even if runs failed; 1 a parser, or another
    function of the program's package, has a bug; 2 a FILE cannot be read.
    """
    program = program_to_read(name)
    parsers = parsers_named(program, names)
    if listed:
        _list(parsers)
        return
    if not files:
        raise click.UsageError("missing argument 'FILES...'")
    if stated is not None:
        stated = stated_name(stated, program)
    exit_code = 0
    for path in files:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # a user's parser can print
                reading = read(path, program, parsers, stated)
        except StructureError as error:
            output.error(error.message, error.code, file=str(path))
            exit_code = error.exit_code
        else:
            output.row(reading.as_json(), _lines(reading, program, bool(names)))
            if reading.broken:
                exit_code = exit_code or _BROKEN_EXIT_CODE
    if exit_code:
        raise SystemExit(exit_code)
