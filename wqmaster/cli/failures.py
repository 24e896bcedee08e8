"""wqmaster failures: what was given up, and why."""

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from wqmaster.campaign.models import nearest
from wqmaster.cli.common import (
    campaign_argument,
    json_option,
    loaded,
    possible_ids,
    print_json,
    printable,
    typed,
)
from wqmaster.database.documents import Store
from wqmaster.errors import CampaignError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.retry import plan_of
from wqmaster.run import assembly
from wqmaster.run.spool import Spool


def _retry(store: Store, text: str) -> int:
    if any(text == member.label for member in FailureClass):
        return store.ledger.retry(kind=text)
    count = sum(store.ledger.retry(document=candidate) for candidate in possible_ids(text))
    if not count:
        hint = nearest(text, [member.label for member in FailureClass])
        raise CampaignError(f"'{text}' is no given-up document and no failure class; {hint}")
    return count


def _discard(store: Store, spool: Spool, text: str) -> int:
    discard = store.ledger.discard
    if text == "all":
        return discard(spool.discard)
    if any(text == member.label for member in FailureClass):
        return discard(spool.discard, kind=text)
    count = sum(discard(spool.discard, document=candidate) for candidate in possible_ids(text))
    if not count:
        hint = nearest(text, ["all", *(member.label for member in FailureClass)])
        raise CampaignError(
            f"no archive is kept of a document '{text}', and it is no failure class; {hint}"
        )
    return count


def _times(attempt: Document) -> str:
    ended = attempt.get("finished") or attempt["recorded"]
    took = f", ran {attempt['wall_time']:.1f} s" if attempt.get("wall_time") is not None else ""
    return f"finished {ended:%Y-%m-%d %H:%M:%S} UTC{took}"


def _remedies(attempt: Document) -> str:
    taken = plan_of(attempt.get("remedy"))
    return "; ".join(f"{step}: {', '.join(names)}" for step, names in taken.items()) or "-"


def _show(attempts: list[Document]) -> None:
    for attempt in attempts:
        click.echo(
            f"attempt {attempt['attempt']}: {attempt['class']}: {printable(attempt['message'])}\n"
            f"  step {attempt.get('step') or '-'}, host {printable(attempt.get('host') or '-')}, "
            f"{_times(attempt)}, remedy {_remedies(attempt)}, "
            f"{'given up' if attempt.get('final') else 'to be run again'}"
        )
        if attempt.get("archive"):
            click.echo(f"  archive {attempt['archive']}")
        for line in printable(attempt.get("tail") or "").splitlines():
            click.echo(f"  | {line}")


@click.command()
@campaign_argument
@click.option("--show", metavar="ID", help="Show all failed attempts of one document.")
@click.option("--retry", metavar="CLASS|ID", help="Let a class, or one document, run again.")
@click.option(
    "--discard", metavar="CLASS|ID|all", help="Remove the kept archives; the records stay."
)
@json_option
def command(
    campaign: Path, show: str | None, retry: str | None, discard: str | None, as_json: bool
) -> None:
    """List what was given up in CAMPAIGN, by class and signature."""
    if sum(text is not None for text in (show, retry, discard)) > 1:
        raise click.UsageError("--show, --retry and --discard are given one at a time.")
    file = loaded(campaign)
    with assembly.opened(file, existing=True) as store:
        if retry is not None:
            count = _retry(store, retry)
            if as_json:
                print_json({"retried": count})
            else:
                click.echo(f"{count} to be run again: wqmaster run {typed(campaign)}")
            return
        if discard is not None:
            count = _discard(store, Spool(file.folder / "spool"), discard)
            if as_json:
                print_json({"discarded": count})
            else:
                click.echo(f"{count} archives removed")
            return
        if show is not None:
            attempts = [a for i in possible_ids(show) for a in store.ledger.of(i)]
            if as_json:
                print_json(attempts)
            elif attempts:
                _show(attempts)
            else:
                click.echo(f"no failed attempt of document {show!r}")
            return
        groups = store.ledger.groups()
    if as_json:
        print_json(groups)
        return
    if not groups:
        click.echo("nothing was given up")
        return
    table = Table("count", "class", "message", "example", box=None)
    for group in groups:
        row = (str(group["count"]), group["class"], group["signature"], str(group["example"]))
        table.add_row(*map(printable, row))
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        console.width = 200
    console.print(table)
    click.echo(f"one document's attempts: wqmaster failures {typed(campaign)} --show ID")
