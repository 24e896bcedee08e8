"""wqmaster check: validate a campaign, count its documents, show the first job."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import campaign_argument, counted, loaded, printable
from wqmaster.cli.output import Output, as_json, json_option, progress
from wqmaster.database import recipe_guard, stale
from wqmaster.database.documents import Counts, Store
from wqmaster.engines import choosing
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import BadDocument, CampaignError, ProgramMissing, StaleResults, WqmasterError
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule, shown_id
from wqmaster.offline import smoke
from wqmaster.offline.audit import canary
from wqmaster.offline.census import Census, survey
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.first_look import check_matches
from wqmaster.run.opening import opened
from wqmaster.run.programs import check_programs
from wqmaster.run.spool import Spool
from wqmaster.run.this_machine import missing_cores, missing_hook

# How many characters of each of the first job's files are shown.
_MAX_SHOWN_CHARACTERS = 4000
# The exit code after Ctrl-C.
_INTERRUPTED_EXIT_CODE = 130


@dataclass(frozen=True)
class _Checked:
    """The findings on a campaign."""

    recipe: Recipe
    engine: str
    why: str  # reason for the choice of the engine
    place: str  # full name of the collection
    size: int  # number of documents in the collection
    counts: Counts
    failed_otherwise: int  # documents that failed with another recipe, which a run computes again
    census: Census
    results: stale.Survey
    notes: list[recipe_guard.Note]
    first: tuple[Molecule, Job] | BadDocument  # the first job, or why there is none
    missing: ProgramMissing | None  # why no worker can run a job, if workers run on this machine
    lacking: tuple[CampaignError, ...]  # what else this machine lacks
    state_of_first: smoke.State  # the state of the first job's document
    error: WqmasterError | None  # the error that the command ends with
    shows_nothing: str | None  # why no first job is shown, if that is not an error

    @property
    def warnings(self) -> list[str]:
        """Likely mistakes in the steps and the first job."""
        if isinstance(self.first, BadDocument):
            return [*self.recipe.warnings]
        doubts = smoke.doubts(self.recipe, self.first[1]) if self.missing is None else []
        return [*self.recipe.warnings, *doubts]

    @property
    def complete(self) -> bool:
        """Whether all documents and results were read, without an interruption by Ctrl-C."""
        return self.census.complete and self.results.complete

    def value(self) -> Mapping[str, Any]:
        """The findings as plain data."""
        remarks = [(warning, ErrorCode.STEP_DOUBTFUL) for warning in self.warnings]
        if self.recipe.ignored is not None:
            remarks.append((self.recipe.ignored, ErrorCode.KEYS_IGNORED))
        if self.missing is not None:
            remarks.append((self.missing.message, self.missing.code))
        remarks += [(found.message, found.code) for found in self.lacking]
        remarks += [(note.text, note.code) for note in self.notes]
        if self.shows_nothing is not None:
            remarks.append((self.shows_nothing, ErrorCode.DOCUMENT_UNUSABLE))
        return {
            "campaign": self.recipe.loaded.campaign.campaign,
            "recipe": self.recipe.hash,
            "engine": self.engine,
            "collection": self.place,
            "documents": self.size,
            "matching": self.counts.undone,
            "done": self.counts.done,
            "failed": self.counts.failed,
            "failed_with_other_recipe": self.failed_otherwise,
            "molecules": self.census.as_json(),
            "stale": self.results.stale,
            "stale_survey": self.results.as_json(),
            "warnings": self.warnings,
            "notes": [note.text for note in self.notes],
            "remarks": [as_json(text, code) for text, code in remarks],
            "first": _job(self.first),
        }

    def lines(self) -> Iterator[str]:
        """The findings as lines of text."""
        file = self.recipe.loaded
        yield f"campaign    {file.campaign.campaign} (recipe {self.recipe.hash})"
        yield f"engine      {self.engine}: {self.why}"
        yield from _counted(self.place, self.size, self.counts, self.failed_otherwise, self.census)
        if self.results.checked:
            ended = "" if self.results.complete else " (interrupted; there are more)"
            stale = f"{self.results.stale:,} stale"
            yield f"results     {self.results.checked:,} compared{ended}: {stale}"
        yield f"folder      {file.folder}"
        for warning in self.warnings:
            yield f"warning     {warning}"
        if self.recipe.ignored is not None:
            yield f"warning     {self.recipe.ignored}"
        if self.missing is not None:
            yield f"warning     {self.missing.message}"
        for lack in self.lacking:
            yield f"warning     {lack.message}"
        for note in self.notes:
            yield f"note        {note}"
        if self.shows_nothing is not None:
            yield f"note        {printable(self.shows_nothing)}"
        if not isinstance(self.first, BadDocument):
            yield from _written_out(*self.first, self.state_of_first)


def _commands(job: Job) -> dict[str, str]:
    commands = {}
    for step in job.steps:
        environment = [f"{name}={value}" for name, value in step.environment.items()]
        commands[step.name] = " ".join([*environment, shlex.join(step.argv)])
    return commands


def _files(job: Job) -> dict[str, str]:
    return {name: content.decode(errors="replace") for name, content in job.files.items()}


def _job(first: tuple[Molecule, Job] | BadDocument) -> Mapping[str, Any] | None:
    if isinstance(first, BadDocument):
        return None
    molecule, job = first
    return {"document": molecule.id, "commands": _commands(job), "files": _files(job)}


def _first(recipe: Recipe, store: Store, census: Census) -> tuple[Molecule, Job] | BadDocument:
    """The first job, or why none can be built from the documents that were tried."""
    if census.selected and not census.usable:
        return census.nothing_usable()
    try:
        return smoke.first_job(recipe, store)
    except BadDocument as error:
        return error


def _counted(
    place: str, size: int, counts: Counts, failed_otherwise: int, census: Census
) -> Iterator[str]:
    failures = counts.failed - failed_otherwise
    left = max(0, counts.undone - failures)
    failed = f"{failures:,} failed, " if failures > 0 else ""
    again = (
        f" ({failed_otherwise:,} of them failed with another recipe)" if failed_otherwise else ""
    )
    others = size - counts.done - counts.undone
    rest = f", {others:,} not selected by the query" if others > 0 else ""
    yield (
        f"documents   {place}: {size:,} in total: {counts.done:,} done, {failed}{left:,} to compute"
        f"{again}{rest}"
    )
    bad = census.selected - census.usable
    ended = "" if census.complete else " (interrupted; there are more)"
    yield (
        f"molecules   {census.selected:,} selected by the query{ended}: {census.usable:,} usable, "
        f"{bad:,} unusable"
    )
    for line in census.lines():
        yield f"unusable    {printable(line)}"


def _written_out(molecule: Molecule, job: Job, state: smoke.State) -> Iterator[str]:
    atoms = f" ({counted(len(molecule.numbers), 'atom')})" if len(molecule.numbers) else ""
    document = shown_id(molecule.id)
    if state is not smoke.State.PENDING:
        yield f"\nAn example job, for document {document}{atoms}, which {state.value}:\n"
    else:
        yield f"\nThe first job, for document {document}{atoms}:\n"
    for name, words in _commands(job).items():
        yield f"{name}: {words}"
    yield ""
    for name, content in _files(job).items():
        yield f"--- {name}"
        yield content[:_MAX_SHOWN_CHARACTERS].rstrip("\n")
        if len(content) > _MAX_SHOWN_CHARACTERS:
            yield f"... ({len(content):,} characters in total)"


def _missing(recipe: Recipe, engine: str) -> ProgramMissing | None:
    """The program that this machine lacks, if the workers run on it; None if it has all."""
    if engine != "local" and not recipe.loaded.campaign.workers.on_this_machine:
        return None
    try:
        check_programs(recipe)
    except ProgramMissing as error:
        return error
    return None


def _checked(recipe: Recipe) -> _Checked:
    """Check the documents and the results of a campaign."""
    file = recipe.loaded
    canary.checked(recipe)
    engine, why = choosing.choose(file.campaign)
    with opened(file) as store:
        counts, failed_otherwise = store.counts(), store.ledger.failed_otherwise(recipe.hash)
        check_matches(store, counts, file)
        archived = Spool(file.folder / "spool").keeps_results
        notes = [
            *recipe_guard.check_recipes(store, recipe, archived=archived),
            *recipe_guard.check_parsers(store, recipe, archived=archived),
        ]
        with progress("reading the documents", "{} (Ctrl-C to stop)") as show:
            census = survey(store, recipe, show)
            results = stale.survey(
                store, recipe, show=lambda made: show(made.checked), interruptible=True
            )
        first = _first(recipe, store, census)
        error: WqmasterError | None = None
        shows_nothing = None
        if isinstance(first, BadDocument):
            # The campaign is not to blame if the query selects nothing, or if not all usable
            # documents were tried.
            if census.selected and census.usable <= smoke.MAX_TRIED_DOCUMENTS:
                error = first
            else:
                shows_nothing = f"no first job can be shown: {first.message}"
        if results.stale:
            error = StaleResults(recipe_guard.stale_message(store, recipe, results))
        state = smoke.State.PENDING
        if not isinstance(first, BadDocument):
            state = smoke.state_of(recipe, store, first[0].id)
        place, size = store.documents.full_name, store.size()
    return _Checked(
        recipe=recipe,
        engine=engine,
        why=why,
        place=place,
        size=size,
        counts=counts,
        failed_otherwise=failed_otherwise,
        census=census,
        results=results,
        notes=notes,
        first=first,
        missing=_missing(recipe, engine),
        lacking=tuple(filter(None, (missing_hook(file), missing_cores(file, engine)))),
        state_of_first=state,
        error=error,
        shows_nothing=shows_nothing,
    )


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, output: Output) -> None:
    """Validate CAMPAIGN and show its first job.

    Runs no jobs. Reads every document that the query selects, and counts those without a usable
    molecule by reason, with an example of each. Compares every result with its document. It is an
    error if no document is usable, or if any result is stale. Ctrl-C ends the counting.
    """
    found = _checked(resolve(loaded(campaign)))
    output.show(found.value(), found.lines(), error=found.error)
    if not found.complete:
        raise SystemExit(_INTERRUPTED_EXIT_CODE)
    if found.error is not None:
        raise found.error
