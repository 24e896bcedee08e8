"""wqmaster check: validate, count, show the first job; run nothing."""

import shlex
from pathlib import Path

import click

from wqmaster import engines, guard, rehearsal, session
from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json
from wqmaster.recipe import resolve
from wqmaster.spool import Spool

_SHOWN = 4000


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, as_json: bool) -> None:
    """Validate CAMPAIGN, count its documents, print the first job. Runs nothing."""
    file = loaded(campaign)
    recipe = resolve(file)
    file = recipe.loaded
    engine, why = engines.choose(file.campaign)
    with session.opened(file) as store:
        counts = store.counts()
        session.check_matches(store, counts)
        archived = Spool(file.folder / "spool").keeps_results
        notes = guard.check(store, recipe, archived=archived)
        molecule = rehearsal.first_molecule(store)
        job = rehearsal.build(recipe, molecule)
        place = store.documents.full_name
        size = store.size()
    files = {name: content.decode(errors="replace") for name, content in job.files.items()}
    commands = {}
    for step in job.steps:
        environment = [f"{name}={value}" for name, value in step.environment.items()]
        commands[step.name] = " ".join([*environment, shlex.join(step.argv)])
    if as_json:
        print_json(
            {
                "campaign": file.campaign.campaign,
                "recipe": recipe.hash,
                "engine": engine,
                "collection": place,
                "documents": size,
                "matching": counts.undone,
                "done": counts.done,
                "failed": counts.failed,
                "notes": notes,
                "first": {"document": molecule.id, "commands": commands, "files": files},
            }
        )
        return
    click.echo(f"campaign    {file.campaign.campaign} (recipe {recipe.hash})")
    click.echo(f"engine      {engine}: {why}")
    click.echo(
        f"documents   {place}: {size} in all, {counts.undone} match without a result, "
        f"{counts.done} done, {counts.failed} failed"
    )
    click.echo(f"folder      {file.folder}")
    for note in notes:
        click.echo(f"note        {note}")
    click.echo(f"\nThe first job, of document {molecule.id!r} ({len(molecule.numbers)} atoms):\n")
    for name, words in commands.items():
        click.echo(f"{name}: {words}")
    click.echo("")
    for name, content in files.items():
        click.echo(f"--- {name}")
        click.echo(content[:_SHOWN].rstrip("\n"))
        if len(content) > _SHOWN:
            click.echo(f"... ({len(content)} characters)")
