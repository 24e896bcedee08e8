"""The campaigns of a service as rows of a table, for views and the status file."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from wqmaster.engines.base import EngineStats
from wqmaster.run.holds import HoldKind
from wqmaster.run.progress import Progress, Rate, RunState
from wqmaster.run.service.broker import Broker
from wqmaster.run.service.messages import Report
from wqmaster.run.service.seat import Seat
from wqmaster.run.service.seat_state import SeatState


class _KnownRate(Rate):
    """A rate that another process has measured."""

    def __init__(self, per_second: float) -> None:
        super().__init__()
        self._known = per_second

    def per_second(self, now: float | None = None) -> float:
        """The measured rate in jobs per second."""
        return self._known


def progress_of(report: Report, stats: EngineStats) -> Progress:
    """The progress that another process has reported."""
    state = RunState(report.state) if report.state else RunState.RUNNING
    return Progress(
        campaign=report.campaign,
        engine=report.engine,
        done_before=report.done_before,
        failures_before=Counter(report.failures_before),
        total=report.total,
        done=report.done,
        warned=report.warned,
        sent=report.sent,
        spooled=report.spooled,
        failures=Counter(report.failures),
        attempts_failed=report.attempts_failed,
        requeued=report.requeued,
        mended=report.mended,
        stats=stats,
        started=time.monotonic() - report.seconds,
        rate=_KnownRate(report.per_second if state is RunState.RUNNING else 0.0),
        state=state,
        trouble=report.trouble,
        notes=list(report.notes),
        limit_left=report.limit_left,
    )


@dataclass(frozen=True)
class Row:
    """One campaign of a service."""

    name: str
    path: str  # of the campaign file
    priority: int
    weight: float
    share: float  # its part of the cores in use, averaged over the last minute or so
    state: SeatState
    progress: Progress
    hold: str | None = None  # why it sends no jobs now
    hold_kind: str | None = None  # the `HoldKind` of that
    error: str | None = None  # why it ended, or why its process was started again
    exit_code: int = 0  # that of the error

    def published(self) -> dict[str, Any]:
        """The row as plain data, for JSON."""
        progress = self.progress
        return {
            "campaign": self.name,
            "file": self.path,
            "priority": self.priority,
            "weight": self.weight,
            "share": round(self.share, 3),
            "state": str(self.state),
            "done": progress.all_done,
            "failed": progress.all_failed,
            "running": progress.running,
            "sent": progress.sent,
            "spooled": progress.spooled,
            "pending": progress.pending,
            "jobs_per_second": round(progress.rate.per_second(), 3),
            "seconds_left": None if self.hold else progress.seconds_left,
            "hold": self.hold,
            "hold_kind": self.hold_kind,
            "trouble": progress.trouble,
            "error": self.error,
        }


def _row(seat: Seat, running: list[int], stats: EngineStats, used: float) -> Row:
    """The row of a campaign; `running` has the number of jobs of each of its tasks on workers."""
    order = seat.successor or seat.order
    report = seat.total_report()
    progress = progress_of(report, stats)
    # The campaign's last report can still count jobs that the broker has taken back.
    progress.on_workers = sum(running)
    if seat.ended:
        progress.sent = progress.on_workers = 0
    progress.stats = EngineStats(
        workers=stats.workers,
        cores=stats.cores,
        running=len(running),
        waiting=len(seat.buffer) + len(seat.flying) - len(running),
        workers_lost=stats.workers_lost,
    )
    finished, kind = seat.finished, report.hold_kind
    if seat.ended:
        kind = None if seat.drained is None else str(HoldKind.PAUSE)
    return Row(
        name=seat.name,
        path=order.path,
        priority=order.priority,
        weight=order.weight,
        share=0.0 if seat.ended or not used else seat.cores / used,
        state=seat.state,
        progress=progress,
        hold=seat.drained if seat.ended else report.hold,
        hold_kind=kind,
        error=seat.error,
        exit_code=0 if finished is None else finished.exit_code,
    )


def rows(broker: Broker) -> list[Row]:
    """The rows of all campaigns of a broker, in the order in which they were added."""
    stats, running = broker.overview()
    jobs: dict[str, list[int]] = {}
    for sent in running:
        jobs.setdefault(sent.seat.name, []).append(sent.waiting.task.jobs)
    used = sum(seat.cores for seat in broker.seats.values() if not seat.ended)
    return [_row(seat, jobs.get(seat.name, []), stats, used) for seat in broker.seats.values()]
