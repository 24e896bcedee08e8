"""Decide what users are told of a run, and how often. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wqmaster.campaign.watching import EventKind, Notify
from wqmaster.jobs.failures import signature
from wqmaster.run.holds import Hold
from wqmaster.run.progress import Progress, RunState, duration

# How long trouble lasts before it is told, since a short one passes by itself.
TROUBLE_SECONDS = 10.0
# The same thing, apart from numbers, paths and hosts in it, is told once in this time.
REPEAT_SECONDS = 3600.0
# At most this many events are told in that time; the next one says how many were not.
MAX_EVENTS = 20
# The events for holds of these kinds. Any other hold that is not routine is trouble.
_OF_HOLDS = {
    "pause": EventKind.PAUSED,
    "canary": EventKind.CANARY,
    "breaker": EventKind.CANARY,
}


@dataclass(frozen=True)
class Event:
    """Something that users are told of."""

    kind: EventKind
    message: str
    suppressed: int = 0  # how many events before it were not told

    def published(self, progress: Progress) -> dict[str, Any]:
        """The event with the state of the run, as the hook receives it in JSON."""
        return {
            "event": str(self.kind),
            "message": self.message,
            "suppressed": self.suppressed,
            "campaign": progress.campaign,
            "done": progress.all_done,
            "failed": progress.all_failed,
            "pending": progress.pending,
            "failures": dict(progress.failures + progress.failures_before),
            **_of_run(progress.published()),
        }


def _of_run(published: Mapping[str, Any]) -> dict[str, Any]:
    names = ("state", "running", "spooled", "jobs_per_second", "workers", "cores", "hold")
    return {name: published[name] for name in (*names, "trouble")}


class Notifier:
    """Watches one run; times are in seconds of `time.monotonic`."""

    def __init__(self, settings: Notify, now: float) -> None:
        self._settings = settings
        self._told: dict[tuple[EventKind, str], float] = {}
        self._recent: deque[float] = deque()
        self._suppressed = 0
        self._hold: tuple[str, str] | None = None
        self._trouble: tuple[str, float] | None = None  # its signature, and since when
        self._ended = -1
        self._ended_at = now
        self._was_quiet = False

    def look(self, progress: Progress, now: float) -> list[Event]:
        """The events to tell now; called several times a second."""
        if progress.state is not RunState.RUNNING:
            return []
        found = [self._held(progress.hold), self._troubled(progress, now)]
        found.append(self._quiet(progress, now))
        return [
            event
            for one in found
            if one is not None and (event := self._passed(*one, now)) is not None
        ]

    def ended(self, progress: Progress, error: str | None, now: float) -> list[Event]:
        """The events to tell when the run has ended, by `error` if there is one."""
        if error is not None:
            kind, message = EventKind.TROUBLE, f"the run ended: {error}"
        elif progress.state is RunState.FINISHED:
            kind = EventKind.FINISHED
            message = (
                f"finished: {progress.all_done:,} done, {progress.all_failed:,} failed, in "
                f"{duration(progress.seconds)}"
            )
        else:
            return []
        event = self._passed(kind, message, now, always=True)
        return [] if event is None else [event]

    def _held(self, hold: Hold | None) -> tuple[EventKind, str] | None:
        if hold is None or hold.is_routine:
            self._hold = None
            return None
        now = (str(hold.kind), signature(hold.reason))
        if now == self._hold:
            return None
        self._hold = now
        return _OF_HOLDS.get(str(hold.kind), EventKind.TROUBLE), str(hold)

    def _troubled(self, progress: Progress, now: float) -> tuple[EventKind, str] | None:
        text = progress.trouble or ""
        if progress.hold is not None:
            text = text.replace(str(progress.hold), "").strip("; ")  # told as a hold
        if not text:
            self._trouble = None
            return None
        kind = signature(text)
        if self._trouble is None or self._trouble[0] != kind:
            self._trouble = (kind, now)
        # Whoever hears it twice in an hour hears nothing new; see `_passed`.
        return (EventKind.TROUBLE, text) if now >= self._trouble[1] + TROUBLE_SECONDS else None

    def _quiet(self, progress: Progress, now: float) -> tuple[EventKind, str] | None:
        ended = progress.done + progress.failed + progress.attempts_failed
        held = progress.hold is not None and not progress.hold.is_routine
        if ended != self._ended or held or (not progress.sent and progress.left == 0):
            self._ended, self._ended_at, self._was_quiet = ended, now, False
            return None
        if self._was_quiet or now < self._ended_at + self._settings.quiet:
            return None
        self._was_quiet = True
        left = f"{progress.sent:,} are waiting or running" if progress.sent else "some are left"
        workers = progress.stats.workers
        return (
            EventKind.QUIET,
            f"no job has ended for {duration(now - self._ended_at)}, although {left}, with "
            f"{workers:,} worker{'' if workers == 1 else 's'}",
        )

    def _passed(
        self, kind: EventKind, message: str, now: float, *, always: bool = False
    ) -> Event | None:
        """The event, unless the user does not want it, or has heard enough."""
        if kind not in self._settings.on:
            return None
        known = (kind, signature(message))
        if now < self._told.get(known, -REPEAT_SECONDS) + REPEAT_SECONDS and not always:
            return None
        self._told = {one: when for one, when in self._told.items() if when > now - REPEAT_SECONDS}
        self._told[known] = now
        while self._recent and self._recent[0] <= now - REPEAT_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= MAX_EVENTS and not always:
            self._suppressed += 1
            return None
        self._recent.append(now)
        event = Event(kind, message, self._suppressed)
        self._suppressed = 0
        return event
