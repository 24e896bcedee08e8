"""wqmaster smoke: run one document on this machine, and print its values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from wqmaster.checks.base import Measurement
from wqmaster.cli.common import (
    campaign_argument,
    counted,
    loaded,
    possible_ids,
    printable,
    shortened,
)
from wqmaster.cli.output import Output, json_option
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.molecule import Molecule, shown_id
from wqmaster.offline import smoke
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.recipe.retry import Again, GiveUp, Past, WithRemedies, decide
from wqmaster.run.first_look import check_matches
from wqmaster.run.opening import opened
from wqmaster.run.programs import check_programs


def _molecule(recipe: Recipe, store: Store, text: str | None) -> Molecule:
    if text is None:
        try:
            return smoke.first_molecule(recipe, store)
        except NothingMatches:
            check_matches(store, None, recipe.loaded)  # its message states the query
            raise
    for candidate in possible_ids(text):
        if store.one(candidate) is not None:
            return smoke.first_molecule(recipe, store, candidate)
    raise NothingMatches(
        f"there is no document {text!r} in {store.documents.full_name}",
        code=ErrorCode.DOCUMENT_NOT_FOUND,
    )


def _value(result: smoke.Rehearsal) -> dict[str, Any]:
    failure = result.verdict.failure
    return {
        "document": result.document,
        "failure": failure
        and {
            "class": failure.kind.label,
            "message": failure.message,
            "step": failure.step,
            "tail": failure.tail,
        },
        "values": {step.step: step.values for step in result.verdict.results},
        "checks": {
            step: {found.check.name: _check(found) for found in measurements}
            for step, measurements in result.checks.items()
        },
    }


def _check(found: Measurement) -> dict[str, Any]:
    return {
        "level": str(found.level),
        "value": found.value,
        "unit": found.check.unit,
        "warn": found.limits.warn,
        "refuse": found.limits.refuse,
    }


def _check_line(found: Measurement) -> str:
    """A check on one line: its name, level and number, and the limits."""
    side = "below" if found.check.low_is_bad else "above"
    limits = [
        f"{verb} {side} {limit:g}"
        for verb, limit in (("warns", found.limits.warn), ("refuses", found.limits.refuse))
        if limit is not None
    ]
    number = f"{found.value:.6g} {found.check.unit}".rstrip()
    return f"  check {found.check.name:<14} {found.level:<6} {number} ({', '.join(limits)})"


def _lines(result: smoke.Rehearsal, molecule: Molecule, recipe: Recipe) -> Iterator[str]:
    atoms = f" ({counted(len(molecule.numbers), 'atom')})" if len(molecule.numbers) else ""
    yield f"document {shown_id(result.document)}{atoms}"
    commands = {step.name: Path(step.argv[0]).name for step in result.job.steps}
    programs = {step.request.name: step.function.program for step in recipe.steps}
    for step in result.verdict.results:
        known = programs[step.step]
        name = known.name if known is not None and known.has_own_format else commands[step.step]
        version = f" {step.program_version}" if step.program_version else ""
        yield f"\nstep {step.step}: {step.wall_time:.2f} s, {name}{version}"
        for name, value in step.values.items():
            yield f"  {name:<16} {shortened(value)}"
        yield from map(_check_line, step.checks)
    failure = result.verdict.failure
    if failure:
        if result.verdict.checks:
            yield f"\nstep {failure.step}:"
            yield from map(_check_line, result.verdict.checks)
        yield f"\nfailed: {failure.kind.label}: {printable(failure.message)}"
        if failure.tail:
            yield printable(failure.tail)
        yield f"\n{_next(failure, recipe)}"


def _next(failure: Failure, recipe: Recipe) -> str:
    """How a run would react to this failure."""
    past = Past(attempt=1, kind=failure.kind, step=failure.step)
    match decide(recipe.ladders, [past]):
        case WithRemedies(plan):
            names = "; ".join(f"{step}: {', '.join(names)}" for step, names in plan.items())
            return f"a run would retry it with a remedy ({names})"
        case Again():
            elsewhere = "" if recipe.loaded.campaign.workers.on_this_machine else ", elsewhere"
            return f"a run would retry it unchanged{elsewhere}"
        case GiveUp():
            return "a run would not retry it"


@click.command()
@campaign_argument
@click.option(
    "--id",
    "document",
    metavar="ID",
    help="The document's _id (default: the first usable document).",
)
@json_option
def command(campaign: Path, document: str | None, output: Output) -> None:
    """Run one document of CAMPAIGN here and print its values.

    It runs in a sandbox like a worker's. Nothing is stored.
    """
    recipe = resolve(loaded(campaign))
    check_programs(recipe)
    with opened(recipe.loaded) as store:
        if store.size() == 0:
            check_matches(store, None, recipe.loaded)
        molecule = _molecule(recipe, store, document)
    result = smoke.rehearse(recipe, molecule)
    for warning in result.warnings(recipe, len(molecule.numbers)):
        output.warning(f"warning: {warning}")
    output.show(_value(result), _lines(result, molecule, recipe))
    if result.verdict.failure:
        raise SystemExit(1)
