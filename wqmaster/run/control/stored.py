"""What a command does to the database, whether or not a master runs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from wqmaster.campaign.base import HOST
from wqmaster.database.attempts import History, key_of
from wqmaster.database.base import CampaignStore
from wqmaster.database.orders import Block, Command, Orders, Pause, Verb
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import UsageError
from wqmaster.jobs.failures import FailureClass
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.building import record_of
from wqmaster.run.control.choice import Choice
from wqmaster.run.feed import fed, has_failed

# How much of a user's reason is kept.
_MAX_REASON_CHARACTERS = 500


def changed(orders: Orders, command: Command) -> Orders:
    """The orders that are in force after `command`.

    Raises:
        UsageError: the command's arguments are wrong.
    """
    arguments = command.arguments
    match command.verb:
        case Verb.PAUSE:
            reason = arguments.get("reason")
            if orders.pause is not None and not reason:
                return orders  # the earlier pause states more
            return orders.paused(Pause(command.by, command.at, reason and _line(str(reason))))
        case Verb.RESUME:
            return orders.paused(None)
        case Verb.BLOCK:
            host = _host(arguments)
            seconds = arguments.get("seconds")
            until = None
            if seconds is not None:
                start = orders.now or datetime.now(UTC)
                until = start + timedelta(seconds=float(seconds))
            return orders.with_block(Block(host, command.by, command.at, until))
        case Verb.UNBLOCK:
            return orders.without_block(_host(arguments))
    return orders


def _line(text: str) -> str:
    """Text of a user on one line, since it appears in logs and on terminals."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON_CHARACTERS])


def _host(arguments: Mapping[str, Any]) -> str:
    host = arguments.get("host")
    if not isinstance(host, str) or not re.fullmatch(HOST, host):
        raise UsageError(f"{host!r} is not the name of a host", code=ErrorCode.COMMAND_INVALID)
    return host


@dataclass(frozen=True)
class Canceled:
    """What became of documents that a user cancels."""

    keys: frozenset[str] = frozenset()  # those that have failed now, as `key_of`
    returned: int = 0  # their jobs had returned, and are stored nevertheless
    others: int = 0  # they had a result, had failed, or are not among the campaign's

    def __add__(self, other: "Canceled") -> "Canceled":
        return replace(
            self,
            keys=self.keys | other.keys,
            returned=self.returned + other.returned,
            others=self.others + other.others,
        )


def cancel(
    store: CampaignStore,
    recipe: Recipe,
    documents: Sequence[Any],
    returned: frozenset[str],
    by: str,
) -> Canceled:
    """Record documents that have no result as failed with `canceled`.

    `returned` are the keys of those whose jobs have returned; they are left alone.
    """
    wanted = {key_of(document): document for document in documents}
    left = [document for key, document in wanted.items() if key not in returned]
    histories = store.ledger.histories(left)
    campaign, records = store.campaign, []
    for document in store.get(left):
        history = histories.get(key_of(document["_id"]), History())
        entry = fed(document, history, campaign)
        if not has_failed(document, entry, campaign, recipe.fields):
            message = f"canceled by {by}"
            records.append(record_of(entry, recipe, FailureClass.CANCELED, message))
    store.ledger.record(records)
    keys = frozenset(key_of(record["document"]) for record in records)
    gone = len(wanted) - len(left)
    return Canceled(keys, gone, len(left) - len(keys))


def already_waiting(store: CampaignStore, choice: Choice) -> int:
    """How many of the chosen documents wait to be computed again, because a user wants that."""
    count = 0
    for documents in choice.open(store):
        left = [document["_id"] for document in store.get(documents)]
        histories = store.ledger.histories(left).values()
        count += sum(
            not history.finals and any(past.retried for past in history.past)
            for history in histories
        )
    return count


def retry(store: CampaignStore, choice: Choice) -> Iterator[list[str]]:
    """Let failed documents run again, a chunk at a time; yield their former failure classes."""
    for documents in choice.failed(store):
        histories = store.ledger.histories(documents)
        failed = {
            key: history.finals[-1].kind for key, history in histories.items() if history.finals
        }
        store.ledger.retry_all([one for one in documents if key_of(one) in failed])
        yield list(failed.values())
