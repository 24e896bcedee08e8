"""wqmaster check: validate, count, show the first job; run nothing."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json, printable
from wqmaster.database import recipe_guard, stale
from wqmaster.database.documents import Counts, Store
from wqmaster.engines import choosing
from wqmaster.errors import BadDocument, StaleResults
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.offline import smoke
from wqmaster.offline.census import Census, survey
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.spool import Spool

_SHOWN = 4000
_INTERRUPTED = 130


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """What shows how many documents were read: a line on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda number: None
        return
    with Console(stderr=True).status("reading the documents") as status:
        yield lambda number: status.update(f"reading the documents: {number} (Ctrl-C ends it)")


def _commands(job: Job) -> dict[str, str]:
    commands = {}
    for step in job.steps:
        environment = [f"{name}={value}" for name, value in step.environment.items()]
        commands[step.name] = " ".join([*environment, shlex.join(step.argv)])
    return commands


def _files(job: Job) -> dict[str, str]:
    return {name: content.decode(errors="replace") for name, content in job.files.items()}


def _first(recipe: Recipe, store: Store, census: Census) -> tuple[Molecule, Job] | BadDocument:
    """The first job, or why none of the documents that were tried has one."""
    if census.selected and not census.usable:
        return census.nothing_usable()
    try:
        return smoke.first_job(recipe, store)
    except BadDocument as error:
        return error


def _show_counts(place: str, size: int, counts: Counts, census: Census) -> None:
    click.echo(
        f"documents   {place}: {size} in all, {counts.undone} match without a result, "
        f"{counts.done} done, {counts.failed} failed"
    )
    bad = census.selected - census.usable
    ended = "" if census.complete else " (interrupted: there are more)"
    click.echo(
        f"molecules   {census.selected} selected by the query{ended}: {census.usable} usable, "
        f"{bad} not"
    )
    for line in census.lines():
        click.echo(f"not usable  {printable(line)}")


def _show_job(molecule: Molecule, job: Job) -> None:
    click.echo(f"\nThe first job, of document {molecule.id!r} ({len(molecule.numbers)} atoms):\n")
    for name, words in _commands(job).items():
        click.echo(f"{name}: {words}")
    click.echo("")
    for name, content in _files(job).items():
        click.echo(f"--- {name}")
        click.echo(content[:_SHOWN].rstrip("\n"))
        if len(content) > _SHOWN:
            click.echo(f"... ({len(content)} characters)")


def _as_json(first: tuple[Molecule, Job] | BadDocument) -> Mapping[str, Any] | None:
    if isinstance(first, BadDocument):
        return None
    molecule, job = first
    return {"document": molecule.id, "commands": _commands(job), "files": _files(job)}


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, as_json: bool) -> None:
    """Validate CAMPAIGN, read its documents, print the first job. Runs nothing.

    All documents that the query selects are read: those without a usable molecule are counted by
    reason, with an example each. It is an error if there is no usable one. All results are compared
    with their documents; it is an error if some are stale. Ctrl-C ends the count.
    """
    file = loaded(campaign)
    recipe = resolve(file)
    file = recipe.loaded
    engine, why = choosing.choose(file.campaign)
    with assembly.opened(file) as store:
        counts = store.counts()
        assembly.check_matches(store, counts)
        archived = Spool(file.folder / "spool").keeps_results
        notes = [
            *recipe_guard.check_recipes(store, recipe),
            *recipe_guard.check_parsers(store, recipe, archived=archived),
        ]
        with _progress() as progress:
            census = survey(store, recipe, progress)
            results = stale.survey(store, recipe, show=progress, interruptible=True)
        old = recipe_guard.stale_message(store, recipe, results) if results.stale else None
        first = _first(recipe, store, census)
        place = store.documents.full_name
        size = store.size()
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
                "molecules": census.as_json(),
                "stale": results.stale,
                "stale_survey": results.as_json(),
                "warnings": recipe.warnings,
                "notes": notes,
                "first": _as_json(first),
            }
        )
    else:
        click.echo(f"campaign    {file.campaign.campaign} (recipe {recipe.hash})")
        click.echo(f"engine      {engine}: {why}")
        _show_counts(place, size, counts, census)
        if results.checked:
            ended = "" if results.complete else " (interrupted: there are more)"
            click.echo(f"results     {results.checked} compared{ended}: {results.stale} stale")
        click.echo(f"folder      {file.folder}")
        for warning in recipe.warnings:
            click.echo(f"warning     {warning}")
        for note in notes:
            click.echo(f"note        {note}")
        if not isinstance(first, BadDocument):
            _show_job(*first)
    if not (census.complete and results.complete):
        raise SystemExit(_INTERRUPTED)
    if old is not None:
        raise StaleResults(old)
    if isinstance(first, BadDocument):
        raise first
