"""wqmaster rerun: have documents computed again, and move their results to the history."""

from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import (
    campaign_argument,
    counted,
    failure_class,
    loaded,
    next_computed,
    possible_ids,
)
from wqmaster.cli.output import Output, json_option
from wqmaster.cli.queries import checked_query, json_query
from wqmaster.database import recipe_guard
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches
from wqmaster.offline.rerun import Chosen, Count, Rerun
from wqmaster.recipe.resolving import resolve
from wqmaster.run import campaign_folder
from wqmaster.run.opening import opened


def _ids(store: Store, texts: tuple[str, ...]) -> tuple[Any, ...]:
    """The ids that `texts` stand for.

    Raises:
        NothingMatches: one of the documents is not in the collection.
    """
    found: list[Any] = []
    for text in texts:
        there = store.selected({}, possible_ids(text))
        if not there:
            place = store.documents.full_name
            raise NothingMatches(
                f"there is no document {text!r} in {place}; nothing was changed",
                code=ErrorCode.DOCUMENT_NOT_FOUND,
            )
        found += there
    return tuple(found)


def _told(count: Count, dry: bool, campaign: Path, *, is_running: bool) -> str:
    if not count.documents:
        return "no documents to compute again"
    parts = []
    if count.replaced:
        moved = "would be moved" if dry else "were moved"
        parts.append(
            f"the results of {counted(count.replaced, 'document')} {moved} to wqmaster.history"
        )
    if count.retried:
        will = "would" if dry else "will"
        parts.append(f"{counted(count.retried, 'failed document')} {will} be computed again")
    done = "; ".join(parts)
    if not dry:
        return f"{done}; {next_computed(campaign, is_running=is_running)}"
    more = ", ..." if count.documents > len(count.examples) else ""
    ids = ", ".join(str(document) for document in count.examples)
    return f"{done}; nothing was changed" + (f"\n{ids}{more}" if ids else "")


@click.command()
@campaign_argument
@click.option(
    "--stale", is_flag=True, help="Documents that changed after their results were computed."
)
@click.option(
    "--id", "ids", metavar="ID", multiple=True, help="The document with this _id; repeatable."
)
@click.option("--query", metavar="JSON", help="Documents that this MongoDB query selects.")
@click.option("--class", "failure", metavar="CLASS", help="Documents that failed with CLASS.")
@click.option("-n", "--dry-run", is_flag=True, help="Only count the documents, and show some ids.")
@json_option
def command(
    campaign: Path,
    stale: bool,
    ids: tuple[str, ...],
    query: str | None,
    failure: str | None,
    dry_run: bool,
    output: Output,
) -> None:
    """Make the next run compute documents of CAMPAIGN again.

    Nothing is deleted. Results and their _run are moved to the collection wqmaster.history, kept
    files to kept/replaced/. Failures stay recorded.
    """
    if sum((stale, bool(ids), query is not None, failure is not None)) != 1:
        raise click.UsageError("use exactly one of --stale, --id, --query and --class")
    wanted = None if query is None else json_query(query)
    label = None if failure is None else failure_class(failure)
    recipe = resolve(loaded(campaign), runs=False)
    file = recipe.loaded
    with opened(file, existing=True) as store:
        if wanted is not None:
            checked_query(store, wanted)
        if stale:
            # Results of another recipe would remain, and the next run would be refused.
            recipe_guard.check_recipes(store, recipe)
        if file.folder.is_dir() and not dry_run:
            campaign_folder.enter(file)
        chosen = Chosen(stale=stale, documents=_ids(store, ids), query=wanted, failure=label)
        count = Rerun(recipe, store, file.folder / "kept").run(chosen, dry=dry_run)
        is_running = store.presence.published() is not None
    value = {
        "replaced": count.replaced,
        "retried": count.retried,
        "examples": [str(document) for document in count.examples],
        "dry_run": dry_run,
        "master_running": is_running,
    }
    output.show(value, [_told(count, dry_run, campaign, is_running=is_running)])
