"""Start a campaign's private MongoDB server again if it dies while a run uses it."""

import logging
import threading
import time

from wqmaster.database.private_server import Mongod
from wqmaster.errors import WqmasterError
from wqmaster.system.restarts import Restarts

log = logging.getLogger("wqmaster.mongod")


class Revival:
    """Watches the private server that `Mongod.used` started.

    A thread starts the server, because a large database takes minutes to recover after a kill, and
    the workers must not wait for the master meanwhile.
    """

    def __init__(self, mongod: Mongod, restarts: Restarts | None = None) -> None:
        self._mongod = mongod
        self._restarts = restarts or Restarts()
        self._since = time.monotonic()
        self._thread: threading.Thread | None = None
        self._error: str | None = None
        # Why the server does not run; None if it does.
        self.trouble: str | None = None

    @property
    def lasts(self) -> bool:
        """Whether the server cannot be kept running, so that somebody has to look at it."""
        return self.trouble is not None and self._restarts.exhausted

    def tend(self) -> None:
        """Start the server if it has died and its pause is over."""
        now = time.monotonic()
        if self._thread is not None:
            if self._thread.is_alive():
                return
            self._thread.join()
            self._thread = None
            if self._error is not None:
                self._died(now, self._error, 0.0)
        if self._restarts.due is None:
            if self._mongod.pid() is not None:
                self.trouble = None
                return
            self._died(now, "the private MongoDB server has ended", now - self._since)
        if self._restarts.may_start(now):
            self._restarts.started(now)
            self._since = now
            self._error = None
            self._thread = threading.Thread(target=self._start, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Wait until a server that is being started has started, so that it can be stopped."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _died(self, now: float, why: str, lived: float) -> None:
        due = self._restarts.died(now, lived)
        self.trouble = f"{why}; the run starts it again (log: {self._mongod.log})"
        log.error("%s; the next start is due in %.0f s", why, due - now)

    def _start(self) -> None:
        try:
            self._mongod.revive()
            log.warning("the private MongoDB server has been started again")
        except (WqmasterError, OSError) as error:
            self._error = str(error)
