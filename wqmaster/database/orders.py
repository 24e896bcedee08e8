"""What users order a running master to do, and what stays in force: pauses and blocked hosts."""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from wqmaster.error_codes import ErrorCode
from wqmaster.jobs.molecule import Document


class Verb(StrEnum):
    """What a master can be told to do; the values are stored."""

    PAUSE = "pause"
    RESUME = "resume"
    DRAIN = "drain"
    CANCEL = "cancel"
    RETRY = "retry"
    BLOCK = "block"
    UNBLOCK = "unblock"
    RELOAD = "reload"


@dataclass(frozen=True)
class Who:
    """The user and process that gave a command."""

    user: str
    host: str
    pid: int

    def __str__(self) -> str:
        return f"{self.user} on {self.host}"

    @classmethod
    def here(cls) -> "Who":
        """This process and its user."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a user id without a name, as in some containers
            user = f"user {os.getuid()}"
        return cls(user, socket.gethostname(), os.getpid())

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Who":
        """As it is stored."""
        return cls(str(found["user"]), str(found["host"]), int(found["pid"]))

    def stored(self) -> Document:
        """The value that the database holds."""
        return {"user": self.user, "host": self.host, "pid": self.pid}


@dataclass(frozen=True)
class Answer:
    """What became of a command."""

    ok: bool
    message: str
    # Counts and lists for programs.
    details: Mapping[str, Any] = field(default_factory=dict)
    code: ErrorCode | None = None  # why it was refused

    def stored(self) -> Document:
        """The value that the database holds."""
        return {
            "ok": self.ok,
            "message": self.message,
            "details": dict(self.details),
            "code": None if self.code is None else str(self.code),
        }

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Answer":
        """As it is stored; an unknown code, of another version, becomes `command-failed`."""
        code = found.get("code")
        known = None if code is None else ErrorCode.COMMAND_FAILED
        if code in set(ErrorCode):
            known = ErrorCode(code)
        return cls(bool(found["ok"]), str(found["message"]), found.get("details") or {}, known)


@dataclass(frozen=True)
class Command:
    """A command to the master of a campaign."""

    id: Any
    verb: str  # a `Verb`, or a word of another version
    arguments: Mapping[str, Any]
    by: Who
    at: datetime  # the server's time
    taken: bool = False  # whether a master has begun to carry it out
    answer: Answer | None = None


@dataclass(frozen=True)
class Pause:
    """A pause that a user has ordered."""

    by: Who
    at: datetime
    reason: str | None = None

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        return f"paused by {self.by} at {self.at:%Y-%m-%d %H:%M:%S} UTC{why}"

    @property
    def in_words(self) -> str:
        """The pause as the object of a sentence."""
        why = f" ({self.reason})" if self.reason else ""
        return f"the pause by {self.by} at {self.at:%Y-%m-%d %H:%M:%S} UTC{why}"


@dataclass(frozen=True)
class Block:
    """A host that a user has excluded."""

    host: str
    by: Who
    at: datetime
    until: datetime | None = None  # None: until it is unblocked


@dataclass(frozen=True)
class Orders:
    """What users have ordered for a campaign and what outlives a master."""

    pause: Pause | None = None
    blocks: tuple[Block, ...] = ()
    now: datetime | None = None  # the server's time when this was read

    def paused(self, pause: Pause | None) -> "Orders":
        """These orders with another pause, or with none."""
        return replace(self, pause=pause)

    def with_block(self, block: Block) -> "Orders":
        """These orders with a further block, which replaces an earlier one of the same host."""
        return replace(self, blocks=(*self.without_block(block.host).blocks, block))

    def without_block(self, host: str) -> "Orders":
        """These orders without the block of `host`."""
        return replace(self, blocks=tuple(one for one in self.blocks if one.host != host))

    @property
    def valid_blocks(self) -> tuple[Block, ...]:
        """The blocks that have not ended."""
        return tuple(
            one
            for one in self.blocks
            if one.until is None or self.now is None or one.until > self.now
        )

    def stored(self) -> Document:
        """The value of the field `control` in `wqmaster.campaigns`."""
        pause = self.pause
        return {
            "pause": pause and {"by": pause.by.stored(), "at": pause.at, "reason": pause.reason},
            "blocks": [
                {"host": one.host, "by": one.by.stored(), "at": one.at, "until": one.until}
                for one in self.valid_blocks
            ],
        }

    @classmethod
    def of(cls, found: Mapping[str, Any] | None, now: datetime | None) -> "Orders":
        """As they are stored; `now` is the server's time."""
        found = found or {}
        pause = found.get("pause")
        return cls(
            pause and Pause(Who.of(pause["by"]), pause["at"], pause.get("reason")),
            tuple(
                Block(one["host"], Who.of(one["by"]), one["at"], one.get("until"))
                for one in found.get("blocks", ())
            ),
            now,
        )


class CommandStore(Protocol):
    """The commands to the master of one campaign, and the orders that outlive a master."""

    def take(self, token: str) -> Command | None:
        """The oldest command that waits, which is then taken by the master `token`; or None.

        A command that nobody took within its lifetime has expired, and is never taken.
        """

    def answer(self, command: Command, answer: Answer) -> None:
        """Record what became of a command."""

    def orders(self) -> Orders:
        """The orders that are in force."""

    def save(self, orders: Orders) -> None:
        """Replace the orders that are in force."""
