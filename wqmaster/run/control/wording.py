"""Answers to commands, in words and in numbers."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from wqmaster.database.orders import Answer, Orders
from wqmaster.jobs.molecule import shown_id
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.stored import Canceled
from wqmaster.run.holds import HoldKind
from wqmaster.run.progress import duration
from wqmaster.system.this_command import this_command

# How many ids an answer lists.
_MAX_SHOWN_IDS = 5


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 job`, `2 jobs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def canceled(found: Canceled) -> Answer:
    """The answer to `cancel`."""
    parts = [f"{counted(len(found.keys), 'document')} canceled"]
    if found.returned:
        parts.append(f"{counted(found.returned, 'job')} had returned and will be stored")
    if found.others:
        parts.append(f"{counted(found.others, 'document')} had a result or had failed")
    return Answer(
        True,
        "; ".join(parts),
        {"canceled": len(found.keys), "returned": found.returned, "left": found.others},
    )


def retried(count: int, choice: Choice, waiting: int = 0) -> Answer:
    """The answer to `retry` for the documents of `choice`, `count` of which had failed.

    If none had, `waiting` of them already wait to be computed again.
    """
    message = f"{counted(count, 'document')} will be computed again"
    if not count:
        message = f"nothing to retry: {none_failed(choice, waiting)}"
    return Answer(True, message, {"retried": count})


def none_failed(choice: Choice, waiting: int) -> str:
    """Why there is nothing to retry; `waiting` as in `retried`."""
    ids = [shown_id(document) for document in choice.documents]
    if waiting and len(ids) == 1:
        return f"document {ids[0]} is already waiting to be computed again"
    if waiting:
        are = "is" if waiting == 1 else "are"
        return f"{counted(waiting, 'document')} {are} already waiting to be computed again"
    if choice.kind is not None:
        return f"no document failed with {choice.kind}"
    if choice.query is not None:
        return "no document that the query selects has failed"
    if len(ids) == 1:
        return f"document {ids[0]} has not failed"
    more = ", ..." if len(ids) > _MAX_SHOWN_IDS else ""
    listed = ", ".join(ids[:_MAX_SHOWN_IDS])
    return f"none of these {counted(len(ids), 'document')} has failed: {listed}{more}"


def no_reload(files: Sequence[str]) -> str:
    """Why a run of these campaign files takes no changes, and what to do."""
    serve = f"{this_command()} serve {shlex.join(files)}"
    return (
        "a run of several campaigns cannot take changes; stop it and run the command again, or "
        f"use: {serve}"
    )


def resumed(ended: Sequence[str]) -> str:
    """What `resume` did; `ended` are the kinds of the holds that it ended."""
    if not ended:
        return "there was nothing to resume: the run was neither paused nor held"
    holds = ("the pause" if kind == HoldKind.PAUSE else f"the hold '{kind}'" for kind in ended)
    return f"resumed: {' and '.join(holds)} {'has' if len(ended) == 1 else 'have'} ended"


def how_long(arguments: Mapping[str, Any]) -> str:
    """How long the host of a command `block` gets no tasks."""
    seconds = arguments.get("seconds")
    return "until you unblock it" if seconds is None else f"for {duration(float(seconds))}"


def earlier_pause(before: Orders, after: Orders) -> tuple[str, dict[str, Any]]:
    """What the answer to `pause` states of an earlier pause, in words and as `details`."""
    earlier = before.pause
    if earlier is None:
        return "", {"replaced": None}
    if after.pause == earlier:
        return f"; it was already {earlier}", {"replaced": None}
    return f"; this replaces {earlier.in_words}", {"replaced": earlier.reason}
