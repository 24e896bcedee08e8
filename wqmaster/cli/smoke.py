"""wqmaster smoke: one document, run on this machine, with the values printed."""

from pathlib import Path

import click

from wqmaster.cli.common import (
    campaign_argument,
    json_option,
    loaded,
    possible_ids,
    print_json,
    printable,
    shortened,
)
from wqmaster.database.documents import Store
from wqmaster.errors import NothingMatches
from wqmaster.jobs.molecule import Molecule
from wqmaster.offline import smoke
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.programs import check_programs


def _molecule(store: Store, text: str | None) -> Molecule:
    if text is None:
        return smoke.first_molecule(store)
    for candidate in possible_ids(text):
        if store.one(candidate) is not None:
            return smoke.first_molecule(store, candidate)
    raise NothingMatches(f"there is no document {text!r} in {store.documents.full_name}")


@click.command()
@campaign_argument
@click.option("--id", "document", metavar="ID", help="The document; the first one by default.")
@json_option
def command(campaign: Path, document: str | None, as_json: bool) -> None:
    """Run one document of CAMPAIGN here, in a worker's sandbox; print its values, store nothing."""
    file = loaded(campaign)
    recipe = resolve(file)
    file = recipe.loaded
    check_programs(recipe)
    for warning in recipe.warnings:
        click.echo(f"wqmaster: warning: {warning}", err=True)
    with assembly.opened(file) as store:
        molecule = _molecule(store, document)
    result = smoke.rehearse(file, recipe, molecule)
    failure = result.verdict.failure
    if as_json:
        print_json(
            {
                "document": result.document,
                "failure": failure
                and {
                    "class": failure.kind.label,
                    "message": failure.message,
                    "step": failure.step,
                    "tail": failure.tail,
                },
                "values": {step.step: step.values for step in result.verdict.results},
            }
        )
    else:
        click.echo(f"document {result.document!r} ({len(molecule.numbers)} atoms)")
        for step in result.verdict.results:
            version = f" {step.program_version}" if step.program_version else ""
            program = f", {recipe.program.name}{version}" if recipe.program else ""
            click.echo(f"\nstep {step.step}: {step.wall_time:.2f} s{program}")
            for name, value in step.values.items():
                click.echo(f"  {name:<16} {shortened(value)}")
        if failure:
            click.echo(f"\nfailed: {failure.kind.label}: {printable(failure.message)}")
            click.echo(printable(failure.tail))
    if failure:
        raise SystemExit(1)
