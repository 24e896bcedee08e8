"""Answers to commands, in words and in numbers."""

from typing import Any

from wqmaster.database.orders import Answer, Orders
from wqmaster.run.control.stored import Canceled


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


def retried(count: int) -> Answer:
    """The answer to `retry`."""
    message = f"{counted(count, 'document')} will run again"
    if not count:
        message = "no document will run again, since none of those has failed"
    return Answer(True, message, {"retried": count})


def earlier_pause(before: Orders, after: Orders) -> tuple[str, dict[str, Any]]:
    """What the answer to `pause` states of an earlier pause, in words and as `details`."""
    earlier = before.pause
    if earlier is None:
        return "", {"replaced": None}
    if after.pause == earlier:
        return f"; it was already {earlier}", {"replaced": None}
    return f"; before, it was {earlier}", {"replaced": earlier.reason}
