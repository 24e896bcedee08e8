"""Decide which hosts to block because they fail one job after another."""

from collections import Counter

from wqmaster.jobs.failures import FailureClass

# A host is blocked after this many failures in a row that it could have caused.
MAX_FAILURES_IN_A_ROW = 3
# How long a host stays blocked.
BLOCK_SECONDS = 900

_TO_BLAME = frozenset(
    kind.label
    for kind in (
        FailureClass.TRANSFER,
        FailureClass.TRUNCATED,
        FailureClass.PROGRAM_MISSING,
        FailureClass.LIBRARY_MISSING,
        FailureClass.DISK_FULL,
        FailureClass.KILLED,
    )
)


class Hosts:
    """Decides which hosts to block. A host is blocked only if jobs have succeeded on another."""

    def __init__(self) -> None:
        self._strikes: Counter[str] = Counter()
        self._good: set[str] = set()

    def heard(self, host: str, failure: str | None) -> bool:
        """Note how a job on `host` ended; return whether to block the host now.

        `failure` is the label of the failure class; None if the job succeeded.
        """
        if not host:
            return False
        if failure is None:
            self._good.add(host)
        if failure not in _TO_BLAME:
            self._strikes.pop(host, None)
            return False
        self._strikes[host] += 1
        if self._strikes[host] < MAX_FAILURES_IN_A_ROW or not self._good - {host}:
            return False
        del self._strikes[host]
        return True
