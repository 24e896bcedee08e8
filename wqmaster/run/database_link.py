"""Whether the database answers, as the master sees it.

While it does not, the master must lose no time: its workers wait for it. So after a loss, a short
question precedes every other operation, and no operation takes longer than the heartbeat allows.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator

import pymongo
from pymongo.errors import OperationFailure, PyMongoError

from wqmaster.database.reasons import is_about_access, is_about_query, reason
from wqmaster.error_codes import ErrorCode
from wqmaster.run.upkeep import RunTrouble

log = logging.getLogger("wqmaster.master")

# Seconds between two questions to a database that does not answer.
RETRY_SECONDS = 2.0
# How long such a question may take.
_PROBE_SECONDS = 0.5
# How long all operations of one heartbeat or of one round of feeding may take.
_OPERATIONS_SECONDS = 15.0


class DatabaseLink:
    """The master's connection to its database; `ping` asks it a short question."""

    def __init__(self, ping: Callable[[], None] = lambda: None) -> None:
        self._ping = ping
        self._trouble: RunTrouble | None = None
        self._next = 0.0

    @contextlib.contextmanager
    def bounded(self) -> Iterator[None]:
        """Limit the time of all operations in a `with` block, whatever the server does.

        If the database fails, the block ends early and the error is noted: see `trouble`.

        Raises:
            OperationFailure: the server does not understand the campaign's query.
        """
        try:
            with pymongo.timeout(_OPERATIONS_SECONDS):
                yield
        except PyMongoError as error:
            self.lost(error)
        else:
            self._recovered()

    def usable(self) -> bool:
        """Whether operations make sense now; after a loss, this asks the server now and then."""
        if self._trouble is None:
            return True
        if time.monotonic() < self._next:
            return False
        try:
            with pymongo.timeout(_PROBE_SECONDS):
                self._ping()
        except PyMongoError as error:
            self.lost(error)
            return False
        return True

    def trouble(self) -> RunTrouble | None:
        """Why the database cannot be used; None if it can."""
        return self._trouble

    def lost(self, error: PyMongoError) -> None:
        """Note that an operation failed.

        Raises:
            OperationFailure: the server does not understand the campaign's query, and would give
                the same answer again.
        """
        if is_about_query(error):
            raise error
        if is_about_access(error):
            text = f"the database refuses this user: {reason(error)}"
            trouble = RunTrouble(text, ErrorCode.DATABASE_REFUSES, lasts=True)
        elif isinstance(error, OperationFailure) and not error.timeout:
            text = f"the database refuses an operation: {reason(error)}"
            trouble = RunTrouble(text, ErrorCode.DATABASE_REFUSES)
        else:
            text = f"the database cannot be reached: {reason(error)}"
            trouble = RunTrouble(text, ErrorCode.DATABASE_UNREACHABLE)
        if self._trouble is None or self._trouble.code is not trouble.code:
            log.error("%s: %s", trouble, json.dumps(str(error)[:500]))
        self._trouble = trouble
        self._next = time.monotonic() + RETRY_SECONDS

    def _recovered(self) -> None:
        if self._trouble is not None:
            log.warning("the database can be reached again")
        self._trouble = None
