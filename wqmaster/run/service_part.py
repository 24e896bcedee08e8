"""What a service manager such as systemd hears from a run."""

from wqmaster.run.progress import Progress, counts
from wqmaster.run.upkeep import RunTrouble
from wqmaster.system.systemd import Notifier


class ServicePart:
    """Reports to the service manager that started this process, if one did."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._notifier = Notifier()
        self._is_ready = self._is_stopping = False

    def tend(self) -> None:
        """Report that the run is ready, what it does, and that it lives."""
        if not self._is_ready:
            self._is_ready = True
            self._notifier.ready()
        if self._progress.stopped:
            self._stopping()
        text = counts(self._progress)
        trouble = self._progress.trouble
        self._notifier.status(f"{trouble}; {text}" if trouble else text)
        self._notifier.lives()

    def close(self) -> None:
        """Report that the run is ending."""
        self._stopping()

    def _stopping(self) -> None:
        if not self._is_stopping:
            self._is_stopping = True
            self._notifier.stopping()

    def trouble(self) -> RunTrouble | None:
        """None, because a run needs no service manager."""
        return None
