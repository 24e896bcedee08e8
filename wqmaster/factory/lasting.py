"""A factory of the master that is started again when it or its supervisor dies."""

import logging
import threading
import time
from collections.abc import Callable

from wqmaster.errors import EngineError
from wqmaster.factory.demand import Demand, Numbers
from wqmaster.factory.handle import Factory
from wqmaster.factory.trouble import Trouble, TroubleKind
from wqmaster.system.restarts import Restarts

log = logging.getLogger("wqmaster.factory")


class LastingFactory:
    """Keeps one factory running; implements `handle.Handle`.

    `start` starts a factory, and the first one must start. A later one is started by a thread,
    because it first removes what the dead one has left, which can take minutes, and the master must
    not miss its heartbeat meanwhile.

    Raises:
        EngineError: the first factory cannot start.
    """

    def __init__(self, start: Callable[[], Factory], restarts: Restarts | None = None) -> None:
        self._start = start
        self._restarts = restarts or Restarts()
        self._factory = start()
        self._numbers: Numbers | None = None  # of workers, if they were changed
        self._since = time.monotonic()
        self._deaths = 0
        self._why: str | None = None  # why no factory runs; None if one does
        self._thread: threading.Thread | None = None
        self._begun: Factory | None = None  # what the thread has started
        self._error: Exception | None = None

    def check(self) -> None:
        """Start the factory again if it has ended and its pause is over."""
        now = time.monotonic()
        if self._thread is not None:
            self._receive(now)
        elif self._why is None:
            try:
                self._factory.check()
            except EngineError as error:
                found = self._factory.trouble()
                hopeless = found is not None and found.kind is TroubleKind.ALL_END_AT_ONCE
                self._factory.abandon()
                self._died(now, error.message, hopeless=hopeless)
        elif self._restarts.may_start(now):
            self._restarts.started(now)
            self._since = now
            self._thread = threading.Thread(target=self._begin, daemon=True)
            self._thread.start()

    def _begin(self) -> None:
        try:
            self._begun = self._start()
        except (EngineError, OSError) as error:
            self._error = error

    def _receive(self, now: float) -> None:
        """Take over what the thread has started, if it has ended."""
        assert self._thread is not None  # noqa: S101
        if self._thread.is_alive():
            return
        self._thread.join()
        self._thread = None
        begun, error = self._begun, self._error
        self._begun = self._error = None
        if begun is None:
            self._died(now, str(error or "the start failed"))
            return
        self._factory, self._why, self._since = begun, None, now
        if self._numbers is not None:
            begun.resize(self._numbers)
        log.warning("the factory has been started again")

    def _died(self, now: float, why: str, *, hopeless: bool = False) -> None:
        self._deaths += 1
        self._why = why
        due = self._restarts.died(now, now - self._since, hopeless=hopeless)
        log.error("no factory is running: %s; the next start is due in %.0f s", why, due - now)

    def awaited(self) -> bool:
        """False, since the master starts it."""
        return False

    def tell(self, wanted: Demand) -> None:
        """Report the campaign's current demand."""
        self._factory.tell(wanted)

    def resize(self, numbers: Numbers) -> None:
        """Change how many workers this factory and its successors may have."""
        self._numbers = numbers
        self._factory.resize(numbers)

    def trouble(self) -> Trouble | None:
        """The problem that the supervisor reports, or why no factory runs; None if all is well."""
        if self._why is None:
            return self._factory.trouble()
        due = self._restarts.due
        when = "now" if due is None else f"in {max(0.0, due - time.monotonic()):.0f} s"
        if self._restarts.exhausted:
            text = (
                f"no factory is running, and a new one does not help: {self._why}; next try {when}"
            )
            return Trouble(TroubleKind.FACTORY_FAILING, text)
        text = f"{self._why}; the factory will be started again {when}"
        return Trouble(TroubleKind.FACTORY_RESTARTS, text, str(self._deaths))

    def last(self) -> list[str]:
        """The last lines of a worker's log; empty if there is no trouble."""
        return self._factory.last()

    def close(self) -> str | None:
        """End the factory and its workers, and wait; return a message if workers remain."""
        if self._thread is not None:
            self._thread.join()
            self._receive(time.monotonic())
        return self._factory.close()
