"""Decide when a child process that died is started again. No I/O; every time is given.

All times are in seconds of `time.monotonic`, unless stated otherwise.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """How often a child may be started again."""

    # The pause after the first death; it doubles with each further one, up to the longest.
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    # More starts than this within the period use up the budget.
    max_restarts: int = 10
    period_seconds: float = 900.0
    # A child that ran this long was healthy: its death starts a new count.
    steady_seconds: float = 300.0
    # The pause after a child that reported that it cannot do its work.
    hopeless_pause_seconds: float = 600.0


class Restarts:
    """Counts the deaths of one child, and says when the next start is due.

    A used-up budget ends nothing: the child is started again, but only after the longest pause.
    The caller reports that, because the cause has to be mended from outside.
    """

    def __init__(self, pace: Pace | None = None) -> None:
        self._pace = pace or Pace()
        self._pause = self._pace.first_pause_seconds
        self._restarts: deque[float] = deque()
        self._due: float | None = None
        self._gave_up = False

    @property
    def due(self) -> float | None:
        """When the child is to be started again; None while it runs."""
        return self._due

    @property
    def exhausted(self) -> bool:
        """Whether the child has died so often that it is only started after the longest pause."""
        return self._gave_up

    def died(self, now: float, lived_seconds: float, *, hopeless: bool = False) -> float:
        """Note that the child died, or could not be started; return when the next start is due.

        `hopeless` uses up the budget at once, with a longer pause: the child itself found that it
        is of no use.
        """
        pace = self._pace
        if lived_seconds >= pace.steady_seconds:
            self.recovered()
        while self._restarts and self._restarts[0] <= now - pace.period_seconds:
            self._restarts.popleft()
        self._gave_up = hopeless or len(self._restarts) >= pace.max_restarts
        pause = pace.longest_pause_seconds if self._gave_up else self._pause
        self._pause = min(2 * self._pause, pace.longest_pause_seconds)
        self._due = now + (pace.hopeless_pause_seconds if hopeless else pause)
        return self._due

    def may_start(self, now: float) -> bool:
        """Whether a start is due now."""
        return self._due is not None and now >= self._due

    def started(self, now: float) -> None:
        """Note that the child has been started again."""
        self._restarts.append(now)
        self._due = None

    def recovered(self) -> None:
        """Forget all deaths, because the child works."""
        self._restarts.clear()
        self._pause = self._pace.first_pause_seconds
        self._gave_up = False
