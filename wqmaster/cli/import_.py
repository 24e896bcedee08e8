"""wqmaster import: structure files into the campaign's collection."""

from itertools import islice
from pathlib import Path

import click

from wqmaster import session
from wqmaster.cli.common import loaded
from wqmaster.recipe import resolve
from wqmaster.structures import documents

_BATCH = 500


@click.command(name="import")
@click.argument("campaign", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--prefix", help="Ids are PREFIX-NUMBER; the file's name by default.")
def command(campaign: Path, files: tuple[Path, ...], prefix: str | None) -> None:
    """Put the structures of FILES (extxyz, SDF, JSON lines, ...) into CAMPAIGN's collection.

    What is there already is passed over, so that a broken import can be repeated.
    """
    file = resolve(loaded(campaign), runs=False).loaded
    with session.opened(file) as store:
        for path in files:
            new = total = 0
            found = documents(path, file.campaign.molecule, prefix)
            while batch := list(islice(found, _BATCH)):
                new += store.add_documents(batch, str(path))
                total += len(batch)
            there = f", {total - new} were there already" if new < total else ""
            click.echo(f"{path}: {new} imported into {store.documents.full_name}{there}")
