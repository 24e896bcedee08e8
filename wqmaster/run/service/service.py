"""A service from its start to its end: broker, files, examiner, database and status."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace

from wqmaster.database.private_server import Mongod
from wqmaster.run import campaign_folder, hiring
from wqmaster.run.opening import logged
from wqmaster.run.service.broker import Broker
from wqmaster.run.service.examining import Examining
from wqmaster.run.service.folder import Files
from wqmaster.run.service.publishing import publish
from wqmaster.run.service.running import lock_workforce
from wqmaster.run.service.service_file import ServiceFileWatch
from wqmaster.run.service.serving import Serving
from wqmaster.run.service.shared import Shared
from wqmaster.run.service.workforce import Workforce
from wqmaster.system.systemd import Notifier

log = logging.getLogger("wqmaster.service")

_PUBLISH_INTERVAL_SECONDS = 2.0
# How long campaigns may take to end after the grace period, before their processes are ended.
END_TIMEOUT_SECONDS = float(os.environ.get("WQMASTER_END_TIME", "60"))


class Service:
    """A running service.

    Raises:
        WqmasterError: another process serves the folder, or engine or workers cannot be started.
    """

    def __init__(self, shared: Shared, *, audits: bool, say: Callable[[str], None]) -> None:
        self._shared = shared
        self._audits = audits
        self._say = say
        self._stack = contextlib.ExitStack()
        self._published = 0.0
        self._end_by: float | None = None
        self._notifier = Notifier()
        self._file = ServiceFileWatch(shared.loaded)

    def __enter__(self) -> "Service":
        with contextlib.ExitStack() as stack:
            place = self._shared.place
            campaign_folder.enter_service(place, self._shared.staffing.loaded)
            lock = lock_workforce(place, self._shared.staffing.loaded)
            stack.callback(lock.close)
            stack.enter_context(logged(place))
            if self._shared.mongod_folder is not None:
                stack.enter_context(Mongod(self._shared.mongod_folder).kept())
            workforce = Workforce(self._shared.staffing)
            collectors = self._shared.collectors or max(1, hiring.cores() - 1)
            self._broker = Broker(workforce, place / "logs", collectors=collectors)
            self._left: str | None = None
            stack.callback(self._close_broker)
            self._shared = replace(self._shared, engine=workforce.name)
            self._examining = Examining(place / "logs" / "examiner.err")
            stack.callback(self._examining.close)
            self._serving = Serving(
                self._broker,
                self._shared,
                Files(self._shared.found),
                self._examining,
                audits=self._audits,
                say=self._say,
            )
            self._broker.listens_to = self._examining.descriptors
            self._publish(ended=False)
            self._stack = stack.pop_all()
        self._notifier.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _close_broker(self) -> None:
        self._left = self._broker.close()

    @property
    def first_line(self) -> str:
        """What runs the tasks."""
        workforce = self._broker.workforce
        connect = workforce.how_to_connect
        hint = f"; start workers with: {connect}" if connect else ""
        empty = "" if self._shared.found() else "; there is no campaign file yet"
        return f"engine {workforce.name} ({workforce.why}){hint}{empty}"

    def rescan(self) -> None:
        """Look now at the files, and at the campaigns that have ended."""
        self._notifier.reloading()
        self._serving.rescan()
        self._file.rescan()
        self._notifier.ready()

    def drain(self, grace: float) -> None:
        """Stop feeding, and let running tasks end within `grace` seconds; twice: stop at once."""
        at_once = self._end_by is not None
        self._end_by = time.monotonic() + (0.0 if at_once else grace) + END_TIMEOUT_SECONDS
        self._notifier.stopping()
        self._serving.drain(grace)

    @property
    def ended(self) -> bool:
        """Whether the service was drained, and all campaigns have ended or are out of time."""
        if self._end_by is None:
            return False
        return self._broker.ended or time.monotonic() > self._end_by

    def turn(self) -> None:
        """Look at everything once, and wait a short time."""
        self._serving.turn()
        difference = self._file.look()
        if difference is not None:
            log.warning("%s", difference)
            self._say(difference)
        self._broker.turn()
        self._notifier.lives()
        if time.monotonic() >= self._published + _PUBLISH_INTERVAL_SECONDS:
            self._publish(ended=False)

    def finish(self) -> str | None:
        """End processes and workers; return a message if workers remain."""
        self._stack.close()
        self._publish(ended=True)
        return self._left

    def _line(self) -> str:
        """What the service does, in one line."""
        going = [seat for seat in self._broker.seats.values() if not seat.ended]
        stats, sent = self._broker.overview()
        text = f"campaigns: {len(going)}; workers: {stats.workers}; running tasks: {len(sent)}"
        trouble = self._broker.workforce.trouble()
        return f"{trouble}; {text}" if trouble else text

    def _publish(self, *, ended: bool) -> None:
        self._published = time.monotonic()
        draining = self._end_by is not None
        if not ended:  # afterwards, the engine can no longer be asked
            self._notifier.status(self._line())
        with contextlib.suppress(OSError):  # a full disk must not end the service
            publish(
                self._shared,
                self._broker,
                self._serving.refused(),
                self._file.difference,
                draining=draining,
                ended=ended,
            )
