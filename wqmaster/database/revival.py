"""Start a campaign's private MongoDB server again if it dies while a run uses it."""

import logging
import threading
import time

from wqmaster.database.private_server import Mongod
from wqmaster.errors import WqmasterError
from wqmaster.system.restarts import Restarts

log = logging.getLogger("wqmaster.mongod")

# Seconds between two looks at the server.
_LOOK_INTERVAL_SECONDS = 0.5


class Revival:
    """Watches the private server that `Mongod.used` started, until `close`.

    A thread does so, because the master waits for the database when it is away, and a large
    database takes minutes to recover after a kill.
    """

    def __init__(self, mongod: Mongod, restarts: Restarts | None = None) -> None:
        self._mongod = mongod
        self._restarts = restarts or Restarts()
        self._since = time.monotonic()
        self._closing = threading.Event()
        # Why the server does not run; None if it does.
        self.trouble: str | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def lasts(self) -> bool:
        """Whether the server cannot be kept running, so that somebody has to look at it."""
        return self.trouble is not None and self._restarts.exhausted

    def close(self) -> None:
        """Stop watching; a server that is being started is up then, so that it can be stopped."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(_LOOK_INTERVAL_SECONDS):
            now = time.monotonic()
            if self._restarts.may_start(now):
                self._restarts.started(now)
                self._since = now
                self._start()
            elif self._restarts.due is None and self._mongod.pid() is None:
                self._died("the private MongoDB server has ended", now - self._since)

    def _died(self, why: str, lived: float) -> None:
        now = time.monotonic()
        due = self._restarts.died(now, lived)
        self.trouble = f"{why}; the run will start it again (log: {self._mongod.log})"
        log.error("%s; the next start is due in %.0f s", why, due - now)

    def _start(self) -> None:
        try:
            self._mongod.revive()
        except (WqmasterError, OSError) as error:
            self._died(str(error), 0.0)
            return
        self.trouble = None
        log.warning("the private MongoDB server has been started again")
