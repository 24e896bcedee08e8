"""Reasons why a run sends no jobs, although documents are left to compute."""

from dataclasses import dataclass
from enum import StrEnum


class HoldKind(StrEnum):
    """Why a run sends no jobs; the values are published for `wqmaster status`."""

    SPOOL = "spool"
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

    def __str__(self) -> str:
        return self.reason if self.command is None else f"{self.reason}; to go on: {self.command}"

    def published(self) -> dict[str, str | None]:
        """The hold as the database holds it for `wqmaster status`."""
        return {"kind": str(self.kind), "reason": self.reason, "command": self.command}
