"""Take up, change and take out the campaigns of a service, as their files demand."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wqmaster.campaign.source import read
from wqmaster.errors import CampaignError
from wqmaster.run.service.broker import Broker
from wqmaster.run.service.examiner import Answer, Examine, Look
from wqmaster.run.service.examining import Examining
from wqmaster.run.service.folder import Change, Files
from wqmaster.run.service.messages import Start
from wqmaster.run.service.seat import Order, Seat
from wqmaster.run.service.seat_state import SeatState
from wqmaster.run.service.shared import Shared

log = logging.getLogger("wqmaster.service")

# How often a campaign that has ended is looked at again. After a failure the time doubles.
LOOK_INTERVAL_SECONDS = 60.0
_MAX_LOOK_INTERVAL_SECONDS = 3600.0


@dataclass
class _Entry:
    """A campaign file of the service."""

    path: Path
    accepted: Answer | None = None  # what is known of the file that the campaign runs by
    text: str = ""  # that file's text
    refused: str | None = None  # why the newest file is not used
    gone: bool = False
    look_at: float | None = None  # when a campaign that has ended is looked at
    looks: int = 0  # how often it has failed in a row
    look_soon: bool = False  # whether the next look is due as soon as possible


@dataclass(frozen=True)
class Refused:
    """A file that the service does not use."""

    path: str
    reason: str


class Serving:
    """Runs the campaigns in `files` with a broker.

    `say` receives each event as a line. With `audits`, a campaign that asks for an audit before its
    run is refused.
    """

    def __init__(
        self,
        broker: Broker,
        shared: Shared,
        files: Files,
        examining: Examining,
        *,
        audits: bool,
        say: Callable[[str], None],
    ) -> None:
        self._broker = broker
        self._shared = shared
        self._files = files
        self._examining = examining
        self._audits = audits
        self._say = say
        self._entries: dict[Path, _Entry] = {}
        # Campaigns that have lost their files to campaigns of another name.
        self._orphans: list[str] = []
        self._draining = False
        self._states: dict[str, tuple[SeatState, str | None]] = {}
        # Campaign -> what keeps it from going on or troubles it, as far as it was reported.
        self._waits: dict[str, str] = {}

    def rescan(self) -> None:
        """Look now at the files, and at the campaigns that have ended."""
        self._files.rescan()
        for entry in self._entries.values():
            entry.look_soon = True

    def drain(self, grace: float) -> None:
        """Take up nothing more, and let running tasks end; the second call stops at once."""
        self._draining = True
        self._broker.stop(list(self._broker.seats), grace)

    def refused(self) -> list[Refused]:
        """The files that are not used, with the reasons."""
        entries = self._entries.values()
        return [Refused(str(one.path), one.refused) for one in entries if one.refused]

    def turn(self) -> None:
        """Look at files and campaigns once."""
        if not self._draining:
            for change in self._files.changes():
                self._changed(change)
            for question, answer in self._examining.answers():
                if isinstance(question, Examine):
                    self._examined(question, answer)
                else:
                    self._looked(question, answer)
        for entry in list(self._entries.values()):
            self._watch(entry)
        for name in self._orphans[:]:
            seat = self._broker.seats[name]
            if seat.ended and seat.child is None:
                self._orphans.remove(name)
                self._broker.forget(name)

    def _event(self, text: str) -> None:
        log.info("%s", text)
        self._say(text)

    # --- files -------------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        entry = self._entries.setdefault(change.path, _Entry(change.path))
        entry.gone = change.gone or change.broken
        if change.broken and entry.accepted is None:
            self._refuse(entry, f"{change.path}: a symbolic link to a file that does not exist")
            return
        if entry.gone:
            entry.refused = None
            if entry.accepted is None:
                del self._entries[change.path]
                return
            name = entry.accepted.name
            self._event(f"{name}: {change.path} was removed; running tasks may finish")
            self._broker.stop([name], None)
            return
        try:
            text = read(change.path)
        except CampaignError as error:
            self._refuse(entry, error.message)
            return
        self._examining.ask(Examine(start=self._start(change.path, text)))

    def _start(self, path: Path, text: str) -> Start:
        shared = self._shared
        return Start(
            path=str(path),
            text=text,
            service=shared.service,
            settings=shared.settings,
            engine=shared.engine,
            why="",
        )

    def _refuse(self, entry: _Entry, reason: str) -> None:
        entry.refused = reason
        kept = ""
        if entry.accepted is not None:
            seat = self._seat(entry)
            then = "goes on as before"
            if seat is None or seat.ended:
                then = "has ended" if seat is None else f"had already {seat.state}"
            kept = f"; campaign '{entry.accepted.name}' {then}"
        self._event(f"refused: {reason}{kept}")

    def _examined(self, question: Examine, answer: Answer) -> None:
        entry = self._entries.get(Path(question.start.path))
        if entry is None or entry.gone:
            return
        reason = answer.error or self._why_not(entry, answer)
        if reason is not None:
            self._refuse(entry, reason)
            return
        same = entry.accepted is not None and entry.text == question.start.text
        seat = self._broker.seats.get(answer.name)
        if same and seat is not None and not seat.ended and seat.stops is None:
            entry.refused = None  # the file is again as it was
            return
        order = Order(
            name=answer.name,
            path=question.start.path,
            text=question.start.text,
            service=self._shared.service,
            settings=dict(self._shared.settings),
            priority=answer.priority,
            weight=answer.weight,
            follows_file=True,
        )
        before, entry.accepted = entry.accepted, answer
        entry.text, entry.refused, entry.look_at, entry.looks = question.start.text, None, None, 0
        if before is not None and before.name != answer.name:
            self._broker.stop([before.name], 0.0)
            self._orphans.append(before.name)
        if seat is None or seat.ended:
            self._broker.add(order)
            self._event(f"{answer.name}: started from {entry.path}")
        else:
            self._broker.replace(order)
            self._event(f"{answer.name}: continues with the changed file {entry.path}")

    def _why_not(self, entry: _Entry, answer: Answer) -> str | None:
        """Why this service cannot run a valid campaign, at all or at present; None if it can."""
        path = entry.path
        if answer.has_audit and self._audits:
            return (
                f"{path}: an audit before the run needs a run of this campaign alone; run it "
                "separately until the audit has passed, then serve it with --no-audit"
            )
        for other in self._entries.values():
            if other is not entry and other.accepted and other.accepted.name == answer.name:
                return (
                    f"{path}: the name '{answer.name}' is already used by {other.path}; rename "
                    "one of the campaigns"
                )
        why = self._shared.why_not(answer)
        if why is not None:
            return f"{path}: {why}"
        before = entry.accepted
        if before is None or not self._is_bound(before):
            return None
        for changed, what in (
            (answer.name != before.name, "its name"),
            (answer.recipe != before.recipe, "its recipe"),
            (answer.place != before.place, "the place of its documents or results"),
        ):
            if changed:
                return (
                    f"{path}: {what} has changed, but the campaign has results or running tasks; "
                    "restore it, or add the changed file as another campaign"
                )
        return None

    def _is_bound(self, accepted: Answer) -> bool:
        """Whether the campaign has tasks or results, which fix its recipe."""
        seat = self._broker.seats.get(accepted.name)
        if seat is None:
            return False
        report = seat.total_report()
        return bool(seat.held or report.done_before or report.done or report.spooled)

    # --- campaigns ---------------------------------------------------------------------------

    def _seat(self, entry: _Entry) -> Seat | None:
        return None if entry.accepted is None else self._broker.seats.get(entry.accepted.name)

    def _watch(self, entry: _Entry) -> None:
        seat = self._seat(entry)
        if seat is None:
            return
        self._tell(seat)
        if not seat.ended or seat.child is not None:
            return
        if entry.gone:
            self._broker.forget(seat.name)
            self._states.pop(seat.name, None)
            del self._entries[entry.path]
            return
        now = time.monotonic()
        if entry.look_at is None:
            failed = seat.state is SeatState.FAILED
            entry.looks = entry.looks + 1 if failed else 0
            pause = LOOK_INTERVAL_SECONDS * 2 ** max(0, min(entry.looks, 10) - 1)
            entry.look_at = now + min(_MAX_LOOK_INTERVAL_SECONDS, pause)
        elif (
            (now >= entry.look_at or entry.look_soon)
            and math.isfinite(entry.look_at)
            and not self._draining
        ):
            entry.look_at = math.inf  # until there is an answer
            entry.look_soon = False
            self._examining.ask(Look(start=self._start(entry.path, entry.text)))

    def _tell(self, seat: Seat) -> None:
        """Report that a campaign has ended, waits, or goes on."""
        now = seat.state, seat.error
        before = self._states.get(seat.name)
        self._states[seat.name] = now
        if seat.state is SeatState.STARTING:
            return  # whether it goes on is not known yet
        if seat.ended:
            self._waits.pop(seat.name, None)
            if now != before:
                text = f"{seat.state}{f': {seat.error}' if seat.error else ''}"
                self._event(f"{seat.name}: {seat.drained or text}")
            return
        report = seat.total_report()
        why, text = "", ""
        if seat.state is SeatState.RESTARTING:
            why = text = f"restarting: {seat.error}"
        elif report.hold:
            why, text = "held", report.hold  # its numbers change
        elif report.trouble:
            why, text = "trouble", f"trouble: {report.trouble}"  # jobs can go on all the same
        before_this = self._waits.get(seat.name, "")
        if why == before_this:
            return
        self._waits[seat.name] = why
        end = "the trouble is over" if before_this == "trouble" else "goes on"
        self._event(f"{seat.name}: {text or end}")

    def _looked(self, question: Look, answer: Answer) -> None:
        entry = self._entries.get(Path(question.start.path))
        if entry is None or entry.accepted is None or entry.look_at is None:
            return
        seat = self._broker.seats.get(entry.accepted.name)
        if not answer.has_work or seat is None or not seat.ended or entry.gone:
            entry.look_at = time.monotonic() + LOOK_INTERVAL_SECONDS
            return
        entry.look_at = None
        self._event(f"{seat.name}: has documents to compute again")
        self._broker.add(seat.order)
