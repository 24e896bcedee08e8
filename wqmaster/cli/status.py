"""wqmaster status: show the progress of a campaign."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import campaign_argument, counted, loaded, printable, typed
from wqmaster.cli.output import Output, as_json, json_option
from wqmaster.database import recipe_guard
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, RecipeMismatch
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.other_names import where_else
from wqmaster.run.progress import duration, overview, speed
from wqmaster.run.spool import Spool
from wqmaster.system.this_command import this_command

# Time limit for comparing the recipes of results.
_RECIPES_SECONDS = 5.0
# Each document is in one of these states.
STATES = ("done", "failed", "pending", "running", "spooled")


def _stale(found: dict[str, Any], campaign: Path) -> str:
    if found["complete"]:
        return f"{found['stale']:,}"
    return (
        f"{found['stale']:,} of the first {found['checked']:,} "
        f"('{this_command()} check {typed(campaign)}' compares all)"
    )


def _mismatch(store: Store, recipe: Recipe) -> RecipeMismatch | None:
    """The error if stored results do not match the campaign's recipe; None if they do."""
    try:
        recipe_guard.check_recipes(store, recipe, _RECIPES_SECONDS)
    except RecipeMismatch as error:
        return error
    return None


def _left(seconds: float | None) -> str:
    return "time left unknown" if seconds is None else f"{duration(seconds)} left"


def _control(found: dict[str, Any], campaign: Path) -> Iterator[str]:
    """The pause, the blocked hosts and the last commands."""
    pause = found["control"]["pause"]
    if pause:
        why = f": {printable(pause['reason'])}" if pause["reason"] else ""
        yield (
            f"paused    by {_who(pause['by'])} at {_time(pause['at'])}{why}; to go on: "
            f"{this_command()} resume {typed(campaign)}"
        )
    for block in found["control"]["blocks"]:
        until = f" until {_time(block['until'])}" if block["until"] else ""
        yield f"blocked   {printable(block['host'])}{until}, by {_who(block['by'])}"
    for command in found["commands"]:
        answer = command["answer"]
        said = printable(answer["message"]) if answer else _unanswered(command)
        by = _who(command["by"])
        yield f"command   {_time(command['at'])} {printable(command['verb'])} by {by}: {said}"


def _unanswered(command: dict[str, Any]) -> str:
    return "no master took it" if command["taken"] is None else "not answered yet"


def _who(by: dict[str, Any]) -> str:
    return printable(f"{by['user']} on {by['host']}")


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _lines(found: dict[str, Any], campaign: Path) -> Iterator[str]:
    yield f"campaign  {found['campaign']}"
    for name in STATES:
        yield f"{name:<9} {found[name]}"
        if name == "failed":
            for kind, count in found["failures"].items():
                yield f"          {count:>8} {kind}"
    if found["warned"]:
        yield f"warned    {found['warned']} about which a check warns ('_run.checks.warned')"
    for name, count in found["partly_done"].items():
        yield f"partly    {count} with results of other steps but not of '{name}'"
    if found["stale_survey"]:
        yield f"stale     {_stale(found['stale_survey'], campaign)}"
    live = found["master"]
    if live is None:
        yield "master    not running"
    else:
        yield (
            f"master    process {live['master']['pid']} on {live['master']['host']}: "
            f"{counted(live['workers'], 'worker')}, {counted(live['cores'], 'core')}, "
            f"{counted(live['tasks_running'], 'task')} running, "
            f"{live['tasks_waiting']} waiting for a worker, "
            f"{speed(live['jobs_per_second'])}, {_left(live['seconds_left'])}"
        )
    yield from _control(found, campaign)
    if found["recipe_mismatch"]:
        yield (
            "recipe    results were computed with another recipe; to see the difference: "
            f"{this_command()} check {typed(campaign)}"
        )
    elif found["stale"]:
        yield f"to compute stale results again: {this_command()} rerun {typed(campaign)} --stale"
    if found["failed"]:
        yield f"to see why documents failed: {this_command()} failures {typed(campaign)}"


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, output: Output) -> None:
    """Show how many documents are done, failed and pending.

    A result is stale if its document's molecule has changed since.
    """
    file = loaded(campaign)
    recipe: Recipe | None = None
    problems: list[dict[str, str]] = []
    try:
        recipe = resolve(file, runs=False)
        file = recipe.loaded
    except CampaignError as error:  # the counts are still useful
        output.warning(error.message)
        problems.append(as_json(error.message, error.code))
    with assembly.opened(file, existing=True) as store:
        place = store.documents.full_name
        found = overview(store, Spool(file.folder / "spool"), recipe)
        mismatch = recipe and _mismatch(store, recipe)
    found["recipe_mismatch"] = mismatch and mismatch.message
    if mismatch:
        problems.append(as_json(mismatch.message, mismatch.code))
    if found["stale"]:
        message = f"stale results: {_stale(found['stale_survey'], campaign)}"
        problems.append(as_json(message, ErrorCode.RESULTS_STALE))
    elsewhere = where_else(file)
    if elsewhere and not any(found[name] for name in STATES):
        message = f"there is no document in {place}{elsewhere}"
        output.warning(message)
        problems.append(as_json(message, ErrorCode.COLLECTION_EMPTY))
    found["problems"] = problems
    output.show(found, _lines(found, campaign))
