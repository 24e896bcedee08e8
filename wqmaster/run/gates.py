"""What can keep a run from sending more jobs, although documents are left to compute."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from wqmaster.run.collector.messages import Ended, EndedJob
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.progress import Progress

# If more jobs than this are spooled, the collectors or the database lag behind.
MAX_SPOOLED_JOBS = 5000
# While the database is away, that number is multiplied by this. The master keeps a few hundred
# bytes in memory for each job.
_FACTOR_IN_TROUBLE = 100


class Gate(Protocol):
    """Decides whether a run may send jobs. It is asked before each batch, so it must be quick."""

    def heard(self, job: EndedJob) -> None:
        """Take note of how a job ended."""

    def hold(self) -> Hold | None:
        """Why no jobs may be sent now; None if they may."""


@runtime_checkable
class Releasable(Protocol):
    """A gate whose hold a user can end with `wqmaster resume`."""

    def hold(self) -> Hold | None:
        """Why no jobs may be sent now; None if they may."""

    def release(self) -> object:
        """Let the run go on, because a user says so."""


@dataclass(frozen=True)
class Room:
    """How many documents a run may send now. None: as many as the engine takes."""

    documents: int | None = None  # documents of any kind
    new: int | None = None  # documents that this run has not sent before
    bundle: int | None = None  # the largest number of jobs per task

    @property
    def is_full(self) -> bool:
        """Whether no document may be sent."""
        return self.documents is not None and self.documents <= 0

    def size(self, bundle: int) -> int:
        """How many documents the next task may have, if it has `bundle` otherwise."""
        return min(one for one in (bundle, self.documents, self.bundle) if one is not None)

    def and_also(self, other: "Room") -> "Room":
        """The room that both leave."""
        return Room(
            _least(self.documents, other.documents),
            _least(self.new, other.new),
            _least(self.bundle, other.bundle),
        )


def _least(one: int | None, other: int | None) -> int | None:
    return min((number for number in (one, other) if number is not None), default=None)


class Meter(Protocol):
    """A gate that lets a few documents pass, and decides by their verdicts.

    A key is the `key_of` of a document's `_id`.
    """

    def sent(self, keys: Sequence[str]) -> None:
        """Take note of documents that the run is about to send."""

    def ended(self, task: Ended) -> None:
        """Take note of how the jobs of a task ended."""

    def idle(self) -> None:
        """Take note that no document is on its way: whatever had no verdict will get none."""

    def hold(self) -> Hold | None:
        """Why documents are held back now; None if none are."""

    def room(self) -> Room:
        """How many documents may be sent now."""

    def release(self) -> bool:
        """Let the run go on, because a user says so; return whether it was held."""


class Gates:
    """The gates and meters of a run."""

    def __init__(self, gates: Iterable[Gate] = (), meters: Iterable[Meter] = ()) -> None:
        self._gates = list(gates)
        self._meters = list(meters)

    def sent(self, keys: Sequence[str]) -> None:
        """Let each meter take note of documents that the run is about to send."""
        for meter in self._meters:
            meter.sent(keys)

    def ended(self, task: Ended) -> None:
        """Let each gate and meter take note of how the jobs of a task ended."""
        for gate in self._gates:
            for job in task.jobs:
                gate.heard(job)
        for meter in self._meters:
            meter.ended(task)

    def idle(self) -> None:
        """Let each meter take note that no document is on its way."""
        for meter in self._meters:
            meter.idle()

    def hold(self) -> Hold | None:
        """The most important reason not to send jobs; None if there is none."""
        asked = [*(gate.hold() for gate in self._gates), *(one.hold() for one in self._meters)]
        holds = [hold for hold in asked if hold is not None]
        return min(holds, key=lambda hold: hold.is_routine, default=None)

    def room(self) -> Room:
        """How many documents may be sent now."""
        if any(gate.hold() is not None for gate in self._gates):
            return Room(documents=0)
        room = Room()
        for meter in self._meters:
            room = room.and_also(meter.room())
        return room

    def release(self) -> list[Hold]:
        """End the holds that need a user; return them."""
        ended = []
        for one in (*self._gates, *self._meters):
            if isinstance(one, Releasable):
                hold = one.hold()
                one.release()
                if hold is not None and not hold.is_routine:
                    ended.append(hold)
        return ended


class SpoolGate:
    """Holds a run while too many returned jobs, or too large ones, wait to be committed.

    While collectors are in trouble, for example because the database is away, only the size counts:
    workers go on computing until the spool holds `max_size` MB of 2^20 bytes.
    """

    def __init__(
        self,
        progress: Progress,
        in_trouble: Callable[[], bool] = lambda: False,
        max_jobs: int = MAX_SPOOLED_JOBS,
        max_size: int | None = None,
    ) -> None:
        self._progress = progress
        self._in_trouble = in_trouble
        self._max_jobs = max_jobs
        self._max_size = max_size

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while the spool is long or large."""
        waiting = self._progress.spooled
        size = self._progress.spooled_bytes / (1 << 20)
        if self._max_size is not None and size > self._max_size:
            reason = (
                f"{waiting:,} returned jobs with {size:,.0f} MB are waiting to be committed; "
                f"'limits: {{spool: ...}}' allows {self._max_size:,} MB"
            )
            return Hold(HoldKind.SPOOL, reason)
        if waiting <= self._max_jobs * (_FACTOR_IN_TROUBLE if self._in_trouble() else 1):
            return None
        reason = f"{waiting:,} returned jobs are waiting to be committed"
        return Hold(HoldKind.SPOOL, reason, is_routine=True)
