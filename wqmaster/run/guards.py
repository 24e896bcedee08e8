"""What can keep a run from sending more jobs, although documents are left to compute."""

from collections.abc import Callable, Sequence
from typing import Protocol

from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.progress import Progress

# If more jobs than this are spooled, the collectors or the database lag behind.
MAX_SPOOLED_JOBS = 5000
# This many times as many may be spooled while the database is away. The master keeps a few hundred
# bytes in memory for each.
_FACTOR_IN_TROUBLE = 100


class Guard(Protocol):
    """Decides whether a run may send jobs. It is asked before each batch, so it must be quick."""

    def heard(self, job: EndedJob) -> None:
        """Take note of how a job ended."""

    def hold(self) -> Hold | None:
        """Why no jobs may be sent now; None if they may."""


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


class SpoolGuard:
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
                f"{waiting:,} returned jobs with {size:,.0f} MB wait to be committed; 'limits: "
                f"{{spool: ...}}' allows {self._max_size:,} MB"
            )
            return Hold(HoldKind.SPOOL, reason)
        if waiting <= self._max_jobs * (_FACTOR_IN_TROUBLE if self._in_trouble() else 1):
            return None
        reason = f"{waiting:,} returned jobs wait to be committed"
        return Hold(HoldKind.SPOOL, reason, is_routine=True)
