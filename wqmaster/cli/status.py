"""wqmaster status: where a campaign stands."""

from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import campaign_argument, json_option, loaded, print_json, typed
from wqmaster.database import recipe_guard
from wqmaster.database.documents import Store
from wqmaster.errors import CampaignError, RecipeMismatch
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.progress import duration, overview
from wqmaster.run.spool import Spool

# How long the recipes of results are looked at.
_RECIPES_SECONDS = 5.0


def _stale(found: dict[str, Any]) -> str:
    if found["complete"]:
        return f"{found['stale']}"
    return f"{found['stale']} of the first {found['checked']} (wqmaster check compares all)"


def _mismatch(store: Store, recipe: Recipe) -> str | None:
    """Why the results there are do not go with the recipe of the campaign; None if they do."""
    try:
        recipe_guard.check_recipes(store, recipe, _RECIPES_SECONDS)
    except RecipeMismatch as error:
        return error.message
    return None


@click.command()
@campaign_argument
@json_option
def command(campaign: Path, as_json: bool) -> None:
    """Show how many documents of CAMPAIGN are done, failed, pending, running and spooled.

    Of the documents that are done, those whose molecule was changed afterwards are stale.
    """
    file = loaded(campaign)
    recipe: Recipe | None = None
    try:
        recipe = resolve(file, runs=False)
        file = recipe.loaded
    except CampaignError as error:  # counts are of use all the same
        click.echo(f"wqmaster: {error.message}", err=True)
    with assembly.opened(file, existing=True) as store:
        found = overview(store, Spool(file.folder / "spool"), recipe)
        found["recipe_mismatch"] = recipe and _mismatch(store, recipe)
    if as_json:
        print_json(found)
        return
    click.echo(f"campaign  {found['campaign']}")
    for name in ("done", "failed", "pending", "running", "spooled"):
        click.echo(f"{name:<9} {found[name]}")
        if name == "failed":
            for kind, count in found["failures"].items():
                click.echo(f"          {count:>8} {kind}")
    for name, count in found["partly_done"].items():
        click.echo(f"partly    {count} with results of other steps and none of '{name}'")
    if found["stale_survey"]:
        click.echo(f"stale     {_stale(found['stale_survey'])}")
    live = found["master"]
    if live is None:
        click.echo("master    none is running")
    else:
        click.echo(
            f"master    process {live['master']['pid']} on {live['master']['host']}: "
            f"{live['workers']} workers, {live['cores']} cores, "
            f"{live['jobs_per_second']:.1f} jobs/s, {duration(live['seconds_left'])} left"
        )
    if found["recipe_mismatch"]:
        click.echo(
            "recipe    results were made with another recipe; what differs: wqmaster check "
            f"{typed(campaign)}"
        )
    elif found["stale"]:
        click.echo(f"to compute stale results again: wqmaster rerun {typed(campaign)} --stale")
    if found["failed"]:
        click.echo(f"why they failed: wqmaster failures {typed(campaign)}")
