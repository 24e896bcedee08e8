"""wqmaster software: make archives of programs for workers."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from wqmaster.cli.common import Size
from wqmaster.cli.help import Verbs
from wqmaster.cli.output import Output, json_option
from wqmaster.software.pack import making
from wqmaster.software.pack.proof import TOLD


@click.group(name="software", cls=Verbs)
def command() -> None:
    """Pack programs for workers that do not have them."""


@command.command()
@click.argument("name")
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path),
    help="Pack this folder as it is, and the libraries that its programs load from elsewhere.",
)
@click.option(
    "--program",
    "programs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Pack this program and its libraries; repeatable. With --from: the program to test.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File or folder to add as share/NAME; repeatable.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    help="Archive to write (default: NAME.tar.gz).",
)
@click.option(
    "--max-size",
    default=f"{making.MAX_ARCHIVE_MB}MB",
    show_default=True,
    type=Size(),
    metavar="SIZE",
    help="Largest permitted archive, in MB or with a unit (2GB).",
)
@click.option(
    "--run", help="Arguments for the test run ('--version'); it must end with exit code 0."
)
@click.option(
    "--prove",
    type=click.Choice(["alone", "environment"]),
    help="Where to test: in a chroot that holds only the archive (alone), or on this system with "
    "a minimal environment (environment). Default: alone if this user may use chroot, otherwise "
    "environment.",
)
@json_option
def pack(
    name: str,
    folder: Path | None,
    programs: tuple[Path, ...],
    data: tuple[Path, ...],
    target: Path | None,
    max_size: int,
    run: str | None,
    prove: Literal["alone", "environment"] | None,
    output: Output,
) -> None:
    """Pack a program for workers into NAME.tar.gz.

    A campaign uses it as 'software: {NAME: {command: ..., archive: ...}}'. The packed program is
    run as a test before the archive is put in place.
    """
    wish = making.Wish(name, programs, folder, data, target, max_size, run, prove)
    made = making.pack(wish)
    output.show({key: _plain(value) for key, value in asdict(made).items()}, _lines(name, made))


def _lines(name: str, made: making.Packed) -> Iterator[str]:
    yield (
        f"{made.archive}: {made.size / 1e6:.1f} MB, {made.files} files ({made.unpacked / 1e6:.1f} "
        f"MB unpacked), sha256 {made.sha256}"
    )
    version = ".".join(map(str, made.glibc))
    yield f"needs      {f'glibc {version} or later' if version else 'no glibc'}"
    yield f"ran        {shlex.join(made.proof.command)}: {TOLD[made.proof.where]}"
    yield f"           exit code {made.proof.exit_code}: {made.proof.said}"
    warnings = [
        made.proof.note,
        making.too_new(made.glibc),
        made.license,
        *made.notes,
    ]
    for warning in filter(None, warnings):
        yield f"note       {warning}"
    yield f"manifest   {made.manifest}"
    command, archive = _word(shlex.quote(made.command)), _word(str(made.archive))
    yield f"campaign   software: {{{name}: {{command: {command}, archive: {archive}}}}}"


def _word(text: str) -> str:
    """`text` as written in a YAML file."""
    return text if re.fullmatch(r"[\w./~+-]+", text) else json.dumps(text, ensure_ascii=False)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, Path) else value
