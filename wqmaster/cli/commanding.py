"""Give a command to a running master, and print the answer; shared by the commands that do so."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import Duration, counted, loaded, possible_ids
from wqmaster.cli.output import Output
from wqmaster.cli.queries import checked_query
from wqmaster.database.documents import Store
from wqmaster.database.orders import Verb
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, NothingMatches, ServiceError, WqmasterError
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.client import LIFETIME_SECONDS, Alone, Given, give
from wqmaster.run.opening import opened

# Reasons for a refusal that lie in a service, not in the campaign or the command.
_OF_SERVICES = {
    ErrorCode.MASTER_NOT_RUNNING,
    ErrorCode.DATABASE_FAILED,
    ErrorCode.DATABASE_REFUSES,
}

wait_option = click.option(
    "--wait",
    type=Duration(),
    default="30s",
    show_default=True,
    metavar="TIME",
    help="How long to wait for the master's answer; 0: do not wait.",
)


def command_master(
    campaign: Path,
    verb: Verb,
    arguments: Mapping[str, Any] | Callable[[Store], Mapping[str, Any]],
    wait: float,
    output: Output,
) -> None:
    """Give a command to the master of a campaign, and print its answer.

    `arguments` may need the database.

    Raises:
        WqmasterError: the command was refused, or not answered in time.
    """
    file = loaded(campaign)
    with opened(file, existing=True) as store:
        found = arguments(store) if callable(arguments) else arguments
        given = give(store, verb, found, wait, Alone(store, file))
    error = _refusal(given)
    output.show(_value(verb, given), [] if error else [_line(verb, given)], error=error)
    if error is not None:
        raise error


def _value(verb: Verb, given: Given) -> dict[str, Any]:
    answer = given.answer
    return {
        "verb": str(verb),
        "id": str(given.id),
        "by_master": given.by_master,
        "ok": None if answer is None else answer.ok,
        "message": None if answer is None else answer.message,
        **({} if answer is None else answer.details),
    }


def _line(verb: Verb, given: Given) -> str:
    if given.answer is None:
        return (
            f"'{verb}' is waiting for the master, which can accept it within the next "
            f"{LIFETIME_SECONDS / 60:.0f} min"
        )
    return given.answer.message


def _refusal(given: Given) -> WqmasterError | None:
    answer = given.answer
    if answer is None or answer.ok:
        return None
    kind = ServiceError if answer.code in _OF_SERVICES else CampaignError
    return kind(answer.message, code=answer.code or ErrorCode.COMMAND_FAILED)


def choice_of(
    store: Store, ids: tuple[str, ...], kind: str | None, query: dict[str, Any] | None
) -> Choice:
    """The documents that a command line chooses.

    Raises:
        CampaignError: the database does not understand the query.
        NothingMatches: one of the documents is not in the collection.
    """
    if query is not None:
        checked_query(store, query)
        return Choice(query=query)
    if kind is not None:
        return Choice(kind=kind)
    found: list[Any] = []
    missing: list[str] = []
    for text in ids:
        there = store.selected({}, possible_ids(text))
        found += there
        if not there:
            missing.append(text)
    if missing:
        more = f" and {counted(len(missing) - 1, 'other')}" if len(missing) > 1 else ""
        raise NothingMatches(
            f"there is no document '{missing[0]}'{more} in {store.documents.full_name}; nothing "
            "was changed",
            code=ErrorCode.DOCUMENT_NOT_FOUND,
        )
    return Choice(documents=tuple(found))
