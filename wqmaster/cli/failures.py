"""wqmaster failures: which documents failed, and why."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import nearest
from wqmaster.campaign.service import run_command
from wqmaster.cli.common import (
    campaign_argument,
    counted,
    distinct_id,
    failure_class,
    loaded,
    next_computed,
    possible_ids,
    printable,
    typed,
    typed_id,
)
from wqmaster.cli.output import Output, json_option, table
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, NothingMatches
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.retry import plan_of
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.stored import already_waiting
from wqmaster.run.control.wording import none_failed
from wqmaster.run.opening import opened
from wqmaster.run.service.running import runs_campaign
from wqmaster.run.spool import Spool
from wqmaster.system.this_command import this_command


def _hint(text: str, campaign: Path, *further: str) -> str:
    """The class or `further` word that the user may have meant, or the command that lists all."""
    near = nearest(text, [*further, *(member.label for member in FailureClass)])
    known = f"'{this_command()} failures {typed(campaign)}' lists all failures"
    return near if near.startswith("did you mean") else known


def _retry(store: Store, text: str, campaign: Path) -> int:
    if any(text == member.label for member in FailureClass):
        return store.ledger.retry(kind=text)
    count = sum(store.ledger.retry(document=candidate) for candidate in possible_ids(text))
    if not count:
        if any(store.one(candidate) is not None for candidate in possible_ids(text)):
            return 0
        raise CampaignError(
            f"'{text}' is neither a failed document nor a failure class; {_hint(text, campaign)}",
            code=ErrorCode.FAILURE_NOT_FOUND,
        )
    return count


def _not_failed(store: Store, text: str) -> str:
    """Why there is nothing to retry."""
    if any(text == member.label for member in FailureClass):
        choice = Choice(kind=text)
    else:
        choice = Choice(documents=tuple(store.selected({}, possible_ids(text))))
    return none_failed(choice, already_waiting(store, choice))


def _released(store: Store, count: int, text: str, campaign: Path, *, is_running: bool) -> str:
    if not count:
        return (
            f"{_not_failed(store, text)}, so there is nothing to retry; "
            f"'{this_command()} failures {typed(campaign)}' lists all failures"
        )
    queued = f"{counted(count, 'document')} will be computed again"
    return f"{queued}; {next_computed(campaign, is_running=is_running)}"


def _attempts(store: Store, text: str) -> list[Document]:
    """The failed attempts of a document, even if it is no longer in the collection.

    Raises:
        NothingMatches: there is no such document, and no failed attempt at it is recorded.
    """
    found = [attempt for one in possible_ids(text) for attempt in store.ledger.of(one)]
    if not found and all(store.one(one) is None for one in possible_ids(text)):
        raise NothingMatches(
            f"there is no document {text!r} in {store.documents.full_name}",
            code=ErrorCode.DOCUMENT_NOT_FOUND,
        )
    return found


def _discard(store: Store, spool: Spool, text: str, campaign: Path) -> int:
    discard = store.ledger.discard
    if text == "all":
        return discard(spool.discard)
    if any(text == member.label for member in FailureClass):
        return discard(spool.discard, kind=text)
    count = sum(discard(spool.discard, document=candidate) for candidate in possible_ids(text))
    if not count:
        raise CampaignError(
            f"'{text}' is neither a document with a kept archive nor a failure class; "
            f"{_hint(text, campaign, 'all')}",
            code=ErrorCode.ARCHIVE_NOT_KEPT,
        )
    return count


def _times(attempt: Document) -> str:
    ended = attempt.get("finished") or attempt["recorded"]
    took = f", ran {attempt['wall_time']:.1f} s" if attempt.get("wall_time") is not None else ""
    return f"finished {ended:%Y-%m-%d %H:%M:%S} UTC{took}"


def _then(attempt: Document) -> str:
    if attempt.get("final"):
        return "not retried"
    return "not retried until the document was changed" if attempt.get("mended") else "retried"


def _remedies(attempt: Document) -> str:
    taken = plan_of(attempt.get("remedy"))
    return "; ".join(f"{step}: {', '.join(names)}" for step, names in taken.items())


def _shown(attempts: list[Document], document: str) -> Iterator[str]:
    if not attempts:
        yield f"document {document!r} has no failed attempts"
    before: list[Any] = []
    for attempt in attempts:
        if before != [attempt["document"]]:
            before = [attempt["document"]]
            yield f"document {distinct_id(attempt['document'])}"
        yield f"attempt {attempt['attempt']}: {attempt['class']}: {printable(attempt['message'])}"
        remedies = _remedies(attempt)
        facts = [
            *([f"step {attempt['step']}"] if attempt.get("step") else []),
            *([f"host {printable(attempt['host'])}"] if attempt.get("host") else []),
            _times(attempt),
            *([f"remedy {remedies}"] if remedies else []),
            _then(attempt),
        ]
        yield f"  {', '.join(facts)}"
        if attempt.get("archive"):
            yield f"  archive {attempt['archive']}"
        elif attempt.get("discarded"):
            yield f"  the archive was removed on {attempt['discarded']:%Y-%m-%d %H:%M:%S} UTC"
        for line in printable(attempt.get("tail") or "").splitlines():
            yield f"  | {line}"


def _listed(groups: Sequence[Document], file: LoadedCampaign) -> Iterator[str]:
    if not groups:
        yield "no failures"
        return
    rows = (
        (f"{group['count']:,}", group["class"], group["signature"], distinct_id(group["example"]))
        for group in groups
    )
    headings = ("count", "class", "message", "example")
    yield from table(headings, ([printable(cell) for cell in row] for row in rows))
    command = f"{this_command()} failures {file.typed}"
    yield f"to see a document's attempts: {command} --show ID"
    yield f"to list the ids of a class: {command} --ids --class CLASS"
    run = run_command(file.source.path)
    if file.service is None:
        yield f"to compute documents that you have corrected: {run}"
    elif runs_campaign(file):
        yield "the service computes corrected documents within a minute"
    else:
        yield f"the service computes corrected documents; to start it: {run}"
    yield (
        "to compute all documents of a class again, if the cause was not in them: "
        f"{command} --retry CLASS"
    )


@click.command()
@campaign_argument
@click.option("--show", metavar="ID", help="Show all failed attempts of one document.")
@click.option(
    "--retry",
    metavar="CLASS|ID",
    help="Let the next run retry one document, or all of a class.",
)
@click.option(
    "--discard",
    metavar="CLASS|ID|all",
    help="Delete the kept archives of failed attempts; the records stay.",
)
@click.option("--ids", is_flag=True, help="Print the ids of failed documents, one per line.")
@click.option("--class", "kind", metavar="CLASS", help="Only documents that failed with CLASS.")
@json_option
def command(
    campaign: Path,
    show: str | None,
    retry: str | None,
    discard: str | None,
    ids: bool,
    kind: str | None,
    output: Output,
) -> None:
    """Show what failed in CAMPAIGN and why.

    Documents that failed for the same reason are counted together; numbers, paths and hosts in
    their messages are masked (N, PATH, HOST). The next run computes any document that you correct.
    Use --retry if the cause was not in the document.
    """
    if sum((show is not None, retry is not None, discard is not None, ids)) > 1:
        raise click.UsageError("use only one of --ids, --show, --retry and --discard")
    if kind is not None:
        failure_class(kind)
        if (show, retry, discard) != (None, None, None):
            raise click.UsageError("--class cannot be used with --show, --retry or --discard")
    file = loaded(campaign)
    with opened(file, existing=True) as store:
        if retry is not None:
            count = _retry(store, retry, campaign)
            is_running = store.presence.published() is not None
            value = {"retried": count, "master_running": is_running}
            output.show(value, [_released(store, count, retry, campaign, is_running=is_running)])
        elif discard is not None:
            count = _discard(store, Spool(file.folder / "spool"), discard, campaign)
            text = f"{counted(count, 'archive')} of failed attempts deleted"
            output.show({"discarded": count}, [text])
        elif show is not None:
            attempts = _attempts(store, show)
            output.show(attempts, _shown(attempts, show))
        elif ids:
            output.listing(store.ledger.failed(kind), typed_id)
        else:
            groups = store.ledger.groups(kind)
            output.show(groups, _listed(groups, file))
