"""Reasons why a run sends no jobs, although documents are left to compute."""

from dataclasses import dataclass
from enum import StrEnum

# How many characters of a document's id, a message or a host's name a reason quotes.
_MAX_QUOTED_CHARACTERS = 160


class HoldKind(StrEnum):
    """Why a run sends no jobs; the values are published for `wqmaster status`."""

    SPOOL = "spool"
    FOLDER = "folder"
    DISK = "disk"
    DESCRIPTORS = "descriptors"
    COLLECTORS = "collectors"
    CANARY = "canary"
    BREAKER = "breaker"
    STALE = "stale"
    PAUSE = "pause"


@dataclass(frozen=True)
class Hold:
    """A reason not to send jobs now."""

    kind: HoldKind
    reason: str
    # The command with which a user lets the run go on; None if it goes on by itself.
    command: str | None = None
    # Whether the hold is part of normal work, so that nobody needs to hear of it.
    is_routine: bool = False
    # Whether documents whose last attempt failed are still sent again.
    retries_go_on: bool = False
    # What the run itself does about it; None if there is nothing to say.
    then: str | None = None
    # What a user can do once the run has ended because of this hold; None if there is no command.
    afterwards: str | None = None

    def __str__(self) -> str:
        # The reason of a pause says that the run is paused.
        text = self._why if self.kind is HoldKind.PAUSE else f"held: {self._why}"
        return text if self.command is None else f"{text}; to go on: {self.command}"

    @property
    def _why(self) -> str:
        return self.reason if self.then is None else f"{self.reason}; {self.then}"

    def published(self) -> dict[str, str | bool | None]:
        """The hold as the database holds it for `wqmaster status`."""
        return {
            "kind": str(self.kind),
            "reason": self._why,
            "command": self.command,
            "is_routine": self.is_routine,
        }


def state_of(kind: str | None) -> str:
    """The state of a run with a hold of this kind: paused by a user, or held."""
    return "paused" if kind == HoldKind.PAUSE else "held"


def quoted(text: str) -> str:
    """Text from a worker or a document, short, on one line and without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text[: _MAX_QUOTED_CHARACTERS + 1])
    if len(line) > _MAX_QUOTED_CHARACTERS:
        return f"{line[: _MAX_QUOTED_CHARACTERS - 3]}..."
    return line
