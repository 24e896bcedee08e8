"""What is wrong with a run, who mends it, and how long a run waits for that.

A run does not end because a part of it died or a service is away: it waits, loudly. With
`--exit-on-trouble`, for batch jobs, it ends instead once the trouble will not pass by itself.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import RunTroubled
from wqmaster.run.holds import Hold, HoldKind

log = logging.getLogger("wqmaster.master")

# With `--exit-on-trouble`: how long a run waits for trouble that can pass by itself.
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class RunTrouble:
    """Something that is wrong with a run now."""

    text: str
    code: ErrorCode
    # Whether somebody has to mend it. Any other trouble can pass by itself.
    lasts: bool = False
    # What to do once the run has ended because of it, if the text does not say that.
    afterwards: str | None = None

    def __str__(self) -> str:
        return self.text


class Part(Protocol):
    """A part of a run that can fail and be mended while the run goes on."""

    def tend(self) -> None:
        """Mend what can be mended. Called at each heartbeat, so it must be quick."""

    def trouble(self) -> RunTrouble | None:
        """What is wrong with this part now; None if nothing is."""


class TroubleLog:
    """Logs when something begins to be wrong with a run, and when all is well again."""

    def __init__(self) -> None:
        self._known: tuple[bool, str | None] = (False, None)

    def note(self, text: str | None, hold: Hold | None) -> None:
        """Take note of what is wrong now; only the kind of a hold counts, since texts change."""
        held = None if hold is None or hold.is_routine else hold
        now = (text is not None, held.kind if held else None)
        if now == self._known:
            return
        if text is not None:
            log.warning("trouble: %s", text)
        else:
            log.warning("all is well again")
        self._known = now


class Upkeep:
    """The parts of a run that are mended while it goes on.

    With `exits_on_trouble`, a run ends when trouble needs somebody to mend it, or has lasted
    for `patience_seconds`.
    """

    def __init__(
        self,
        parts: Sequence[Part] = (),
        *,
        exits_on_trouble: bool = False,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._parts = list(parts)
        self._exits = exits_on_trouble
        self._patience = patience_seconds
        self._since: float | None = None

    def tend(self) -> None:
        """Let each part mend what it can."""
        for part in self._parts:
            part.tend()

    def troubles(self) -> list[RunTrouble]:
        """What is wrong with the parts."""
        found = (part.trouble() for part in self._parts)
        return [trouble for trouble in found if trouble is not None]

    def look(
        self, troubles: Sequence[RunTrouble], hold: Hold | None, now: float | None = None
    ) -> None:
        """Take note of what is wrong at `now`, in seconds of `time.monotonic` (None: just now).

        Raises:
            RunTroubled: the run does not wait any longer.
        """
        if not self._exits:
            return
        now = time.monotonic() if now is None else now
        all_of_it = [*troubles]
        # A pause is no trouble: a user wants it.
        if hold is not None and not hold.is_routine and hold.kind is not HoldKind.PAUSE:
            held = RunTrouble(
                # What the run would do next, and the command, are for a run that goes on.
                f"held: {hold.reason}",
                ErrorCode.RUN_HELD,
                lasts=hold.command is not None,
                afterwards=hold.afterwards,
            )
            all_of_it.append(held)
        if not all_of_it:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        overdue = now >= self._since + self._patience
        worst = next((one for one in all_of_it if one.lasts), all_of_it[0] if overdue else None)
        if worst is not None:
            raise RunTroubled(
                f"{worst.text}; the run is ending because of '--exit-on-trouble', and what has "
                f"returned is kept{f'; {worst.afterwards}' if worst.afterwards else ''}",
                code=worst.code,
            )
