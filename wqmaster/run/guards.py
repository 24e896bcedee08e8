"""What can keep a run from sending more jobs, although documents are left to compute."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.progress import Progress

# If more jobs than this are spooled, the collectors or the database lag behind.
MAX_SPOOLED_JOBS = 5000


class Guard(Protocol):
    """Decides whether a run may send jobs. It is asked before each batch, so it must be quick."""

    def heard(self, job: EndedJob) -> None:
        """Take note of how a job ended."""

    def hold(self) -> Hold | None:
        """Why no jobs may be sent now; None if they may."""


@runtime_checkable
class Releasable(Protocol):
    """A guard whose hold a user can end with `wqmaster resume`."""

    def hold(self) -> Hold | None:
        """Why no jobs may be sent now; None if they may."""

    def release(self) -> None:
        """Let the run go on, because a user says so."""


class Guards:
    """The guards of a run, in the order in which they are asked."""

    def __init__(self, guards: Sequence[Guard] = ()) -> None:
        self._guards = list(guards)

    def heard(self, job: EndedJob) -> None:
        """Let each guard take note of how a job ended."""
        for guard in self._guards:
            guard.heard(job)

    def hold(self) -> Hold | None:
        """The first reason not to send jobs; None if there is none."""
        return next((hold for guard in self._guards if (hold := guard.hold()) is not None), None)

    def release(self) -> list[Hold]:
        """End the holds that need a user; return them."""
        ended = []
        for guard in self._guards:
            if isinstance(guard, Releasable):
                hold = guard.hold()
                guard.release()
                if hold is not None and not hold.is_routine:
                    ended.append(hold)
        return ended


class SpoolGuard:
    """Holds a run while too many returned jobs wait to be committed."""

    def __init__(self, progress: Progress, max_jobs: int = MAX_SPOOLED_JOBS) -> None:
        self._progress = progress
        self._max_jobs = max_jobs

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while the spool is long."""
        waiting = self._progress.spooled
        if waiting <= self._max_jobs:
            return None
        reason = f"{waiting:,} returned jobs wait to be committed"
        return Hold(HoldKind.SPOOL, reason, is_routine=True)
