"""What a run tells the outside: events to a program or an address, numbers to Prometheus."""

import importlib.util
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.watching import Metrics, Notify
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, ServiceError
from wqmaster.run import metrics
from wqmaster.run.hook_configuration import HookConfiguration
from wqmaster.run.notify import Event, Notifier
from wqmaster.run.outlet import Outlet
from wqmaster.run.progress import Progress

# Seconds between two snapshots for Prometheus.
_SNAPSHOT_INTERVAL_SECONDS = 1.0
# How much longer than the hook's own time limit the end of a run waits for it.
_END_SECONDS = 5.0


def hook_words(loaded: LoadedCampaign) -> list[str]:
    """The program that `notify:` names and its arguments, as they are called; [] if it names none.

    Raises:
        CampaignError: the program does not exist.
    """
    settings = loaded.campaign.notify
    words = [] if settings is None else settings.words
    if words and "/" in words[0]:
        words[0] = str(loaded.source.path.parent.absolute() / words[0])
    if words and shutil.which(words[0]) is None:
        raise loaded.source.error(
            f"the program '{words[0]}' does not exist or is not executable",
            *("notify", "command"),
            code=ErrorCode.PROGRAM_MISSING,
        )
    return words


class Hooks:
    """Tells a user's program or address what happens to a run.

    Raises:
        CampaignError: the program does not exist.
    """

    def __init__(self, loaded: LoadedCampaign, settings: Notify) -> None:
        logs = loaded.folder / "logs"
        configuration = HookConfiguration(
            words=hook_words(loaded),
            url=settings.url,
            timeout=settings.timeout,
            folder=str(loaded.source.path.parent.absolute()),
            log=str(logs / "notify.log"),
        )
        first = configuration.model_dump_json().encode() + b"\n"
        self._timeout = settings.timeout
        self._notifier = Notifier(settings, time.monotonic())
        self._outlet = Outlet("wqmaster.run.hook_process", first, logs / "notify.err")

    def look(self, progress: Progress) -> None:
        """Tell what is new."""
        self._tell(self._notifier.look(progress, time.monotonic()), progress)
        self._outlet.tend()

    def end(self, progress: Progress, error: str | None) -> None:
        """Tell that the run has ended, and wait until that is told, or for the time limit."""
        self._tell(self._notifier.ended(progress, error, time.monotonic()), progress)
        self._outlet.close(self._timeout + _END_SECONDS)

    def _tell(self, events: list[Event], progress: Progress) -> None:
        for event in events:
            told = {
                **event.published(progress),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": socket.gethostname(),
                "pid": os.getpid(),
            }
            self._outlet.send(json.dumps(told).encode() + b"\n")


class Numbers:
    """Passes the numbers of a run to the process that serves them.

    Raises:
        ServiceError: a package is missing, or the port cannot be used.
    """

    def __init__(self, campaign: str, settings: Metrics, logs: Path) -> None:
        if importlib.util.find_spec("prometheus_client") is None:
            raise ServiceError(
                "'metrics:' needs the package prometheus_client; install it with: pip install "
                "'wqmaster[metrics]'",
                code=ErrorCode.PACKAGE_MISSING,
            )
        first = json.dumps({"port": settings.port, "campaign": campaign}).encode() + b"\n"
        self._outlet = Outlet("wqmaster.run.metrics_process", first, logs / "metrics.err")
        self._outlet.tend()
        said = self._outlet.answer()
        if said != "ready":
            self._outlet.close(0.0)
            why = said or f"its process does not start (see {logs / 'metrics.err'})"
            raise ServiceError(
                f"the metrics for Prometheus cannot be served on port {settings.port} of "
                f"127.0.0.1: {why}; choose another port with 'metrics: {{port: N}}'",
                code=ErrorCode.PORT_IN_USE,
            )
        self._next = 0.0

    def look(self, progress: Progress) -> None:
        """Pass on the numbers, unless the process has not received the last ones."""
        now = time.monotonic()
        self._outlet.tend()
        if now < self._next or self._outlet.is_behind:
            return
        self._next = now + _SNAPSHOT_INTERVAL_SECONDS
        found = metrics.snapshot(progress, time.time())
        self._outlet.send(json.dumps(found).encode() + b"\n")

    def end(self) -> None:
        """Stop serving."""
        self._outlet.close(1.0)


class Outward:
    """All that a run tells the outside, for the duration of a `with`."""

    def __init__(self, loaded: LoadedCampaign, progress: Progress) -> None:
        self._loaded = loaded
        self._progress = progress
        self._hooks: Hooks | None = None
        self._numbers: Numbers | None = None

    def __enter__(self) -> "Outward":
        campaign = self._loaded.campaign
        if campaign.metrics is not None:
            logs = self._loaded.folder / "logs"
            self._numbers = Numbers(campaign.campaign, campaign.metrics, logs)
        try:
            self.notify(self._loaded)
        except CampaignError:
            self._end_numbers()
            raise
        return self

    def notify(self, loaded: LoadedCampaign) -> None:
        """Use the settings of this form of the campaign from now on.

        Raises:
            CampaignError: the program does not exist.
        """
        settings = loaded.campaign.notify
        new = None if settings is None else Hooks(loaded, settings)
        if self._hooks is not None:
            self._hooks.end(self._progress, None)
        self._hooks = new

    def look(self, progress: Progress) -> None:
        """Tell what is new; called several times a second."""
        if self._hooks is not None:
            self._hooks.look(progress)
        if self._numbers is not None:
            self._numbers.look(progress)

    def before(self, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """What tells the outside what is new, and then shows the progress."""

        def shown(progress: Progress) -> None:
            self.look(progress)
            show(progress)

        return shown

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_numbers()
        if self._hooks is not None:
            failed = isinstance(error, Exception)
            self._hooks.end(self._progress, str(error) if failed else None)

    def _end_numbers(self) -> None:
        if self._numbers is not None:
            self._numbers.end()
