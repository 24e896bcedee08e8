"""The commands that change what becomes of some documents of a campaign: cancel and retry."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.commanding import choice_of, command_master, wait_option
from wqmaster.cli.common import failure_class, first_campaign_argument
from wqmaster.cli.output import Output, json_option
from wqmaster.cli.queries import json_query
from wqmaster.database.documents import Store
from wqmaster.database.orders import Verb

_IDS = click.argument("ids", metavar="[ID]...", nargs=-1)
_CLASS = click.option("--class", "kind", metavar="CLASS", help="Documents that failed with CLASS.")
_QUERY = click.option("--query", metavar="JSON", help="Documents that this MongoDB query selects.")


def _choice(
    ids: tuple[str, ...], kind: str | None, query: str | None
) -> Callable[[Store], Mapping[str, Any]]:
    if sum((bool(ids), kind is not None, query is not None)) != 1:
        raise click.UsageError("use exactly one of ID, --class and --query")
    label = None if kind is None else failure_class(kind)
    wanted = None if query is None else json_query(query)
    return lambda store: choice_of(store, ids, label, wanted).arguments()


@click.command()
@first_campaign_argument
@_IDS
@click.option(
    "--class", "kind", metavar="CLASS", help="Documents with an attempt that failed with CLASS."
)
@_QUERY
@wait_option
@json_option
def cancel(
    campaign: Path,
    ids: tuple[str, ...],
    kind: str | None,
    query: str | None,
    wait: float,
    output: Output,
) -> None:
    """Cancel waiting and running jobs of CAMPAIGN.

    Their documents fail with the class 'canceled' and are not computed until 'wqmaster retry'.
    Results and failures that exist stay as they are, and other jobs of the same tasks run again.
    """
    command_master(campaign, Verb.CANCEL, _choice(ids, kind, query), wait, output)


@click.command()
@first_campaign_argument
@_IDS
@_CLASS
@_QUERY
@wait_option
@json_option
def retry(
    campaign: Path,
    ids: tuple[str, ...],
    kind: str | None,
    query: str | None,
    wait: float,
    output: Output,
) -> None:
    """Compute failed documents of CAMPAIGN again.

    A running master does so at once, otherwise the next run does. Failures stay recorded.
    """
    command_master(campaign, Verb.RETRY, _choice(ids, kind, query), wait, output)
