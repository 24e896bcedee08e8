"""Decide which hosts get no tasks for a while, because they fail one task after another.

Only failures that a host can cause count, never those of a molecule, and only if other hosts do
well. A block lasts longer each time; then the host gets a single task, and more if that succeeds.
"""

import logging
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from wqmaster.jobs.failures import FailureClass
from wqmaster.run.collector.messages import Ended
from wqmaster.run.holds import quoted

log = logging.getLogger("wqmaster.master")

# How much a failed task counts against its host. A program is killed, and a transfer fails, for
# reasons outside the host as well.
_STRIKES = {
    FailureClass.PROGRAM_MISSING.label: 1.0,
    FailureClass.LIBRARY_MISSING.label: 1.0,
    FailureClass.DISK_FULL.label: 1.0,
    FailureClass.TRANSFER.label: 0.5,
    FailureClass.TRUNCATED.label: 0.5,
    FailureClass.KILLED.label: 0.5,
}
# A host is blocked after this many strikes in a row, if they are also this share of its last tasks.
MAX_STRIKES_IN_A_ROW = 3.0
_MIN_FAILED_SHARE = 0.5
# After this many more tasks on a host, a task counts only half.
_HALF_LIFE_TASKS = 20
_FADING = 0.5 ** (1 / _HALF_LIFE_TASKS)
# Other hosts do well if the share of their tasks that failed is below this part of the host's own.
_OTHERS_PART = 0.5
# How long a host is blocked at first; each further time is twice as long.
FIRST_BLOCK_SECONDS = 900.0
MAX_BLOCK_SECONDS = 86_400.0
# How long the engine blocks a host that stays blocked until a user unblocks it: ten years.
FOREVER_SECONDS = 3.2e8
# After this many tasks without a strike, the next block is half as long.
_FORGIVING_TASKS = 20
# How many hosts are remembered, and how many of them are published for `wqmaster status --hosts`.
MAX_KNOWN_HOSTS = 5000
_MAX_LISTED_HOSTS = 50
_MAX_LISTED_CLASSES = 5


@dataclass
class _Host:
    """What is known about a host."""

    good: float = 0.0  # its tasks without a strike; earlier ones count less
    bad: float = 0.0  # its strikes; earlier ones count less
    row: float = 0.0  # strikes in a row
    good_row: int = 0  # tasks in a row without a strike
    done: int = 0  # jobs with a result
    failures: Counter[str] = field(default_factory=Counter)  # failed attempts, by class
    level: int = 0  # the next block lasts FIRST_BLOCK_SECONDS x 2^level
    blocks: int = 0  # how many times it was blocked
    until: float | None = None  # when the block ends, by the clock; None: not blocked
    reason: str = ""  # why it is, or was last, blocked

    @property
    def failed_share(self) -> float:
        total = self.good + self.bad
        return self.bad / total if total else 0.0


class Hosts:
    """The hosts of a run. `block` and `unblock` are those of the engine (`engines/base.py`).

    `clock` returns seconds and never goes back.
    """

    def __init__(
        self,
        block: Callable[[str, float], None],
        unblock: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._block = block
        self._unblock = unblock
        self._clock = clock
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def ended(self, task: Ended) -> None:
        """Take note of how the jobs of a task ended; all of them ran on the same host."""
        name = next((job.host for job in task.jobs), "")
        if not name:
            return
        host = self._known(name)
        classes = [job.failure.failure_class for job in task.jobs if job.failure is not None]
        host.done += len(task.jobs) - len(classes)
        host.failures.update(classes)
        strikes = [_STRIKES[kind] for kind in classes if kind in _STRIKES]
        is_bad = 2 * len(strikes) >= len(task.jobs) and bool(strikes)
        host.good *= _FADING
        host.bad *= _FADING
        if not is_bad:
            self._succeeded(name, host)
            return
        host.bad += max(strikes)
        host.row += max(strikes)
        host.good_row = 0
        on_trial = host.until is not None
        if on_trial and self._clock() < (host.until or 0.0):
            return  # the task was there before the block
        if on_trial or self._is_at_fault(name, host):
            kind, count = host.failures.most_common(1)[0]
            last = next(job.failure for job in task.jobs if job.failure is not None)
            why = "the trial task failed" if on_trial else "one after another"
            self._shut(
                name,
                host,
                min(MAX_BLOCK_SECONDS, FIRST_BLOCK_SECONDS * 2**host.level),
                f"tasks fail ({why}): {last.failure_class}: {quoted(last.message)} (most frequent: "
                f"{kind}, {count:,} times)",
            )
            host.level = min(host.level + 1, 10)

    def _known(self, name: str) -> _Host:
        host = self._hosts.setdefault(name, _Host())
        self._hosts.move_to_end(name)
        if len(self._hosts) > MAX_KNOWN_HOSTS:
            free = next((one for one in self._hosts if self._hosts[one].until is None), None)
            if free is not None and free != name:
                del self._hosts[free]
        return host

    def _succeeded(self, name: str, host: _Host) -> None:
        host.good += 1
        host.row = 0.0
        host.good_row += 1
        if host.good_row % _FORGIVING_TASKS == 0 and host.level:
            host.level -= 1
        if host.until is not None and self._clock() >= host.until:
            self.unblock(name)

    def _is_at_fault(self, name: str, host: _Host) -> bool:
        if host.row < MAX_STRIKES_IN_A_ROW or host.failed_share < _MIN_FAILED_SHARE:
            return False
        others = [other for one, other in self._hosts.items() if one != name]
        good, bad = sum(one.good for one in others), sum(one.bad for one in others)
        return good >= 1 and bad / (good + bad) < _OTHERS_PART * host.failed_share

    def _shut(self, name: str, host: _Host, seconds: float, reason: str) -> None:
        host.until = self._clock() + seconds
        host.reason = reason
        host.blocks += 1
        host.row = 0.0
        how_long = f"for {seconds:.0f} s" if math.isfinite(seconds) else "until it is unblocked"
        log.warning("host %s is not used %s: %s", quoted(name), how_long, reason)
        self._block(name, min(seconds, FOREVER_SECONDS))

    # --- called for a user -------------------------------------------------------------------

    def knows(self, name: str) -> bool:
        """Whether a task on this host has ended, or the host was blocked before."""
        return name in self._hosts

    def block(self, name: str, seconds: float, reason: str) -> None:
        """Send no tasks to a host for `seconds` (math.inf: until it is unblocked)."""
        self._shut(name, self._known(name), seconds, reason)

    def unblock(self, name: str) -> bool:
        """Send tasks to a host again; return whether it was blocked."""
        host = self._hosts.get(name)
        if host is None or host.until is None:
            return False
        host.until = None
        host.row = host.bad = 0.0
        log.warning("host %s is used again", quoted(name))
        self._unblock(name)
        return True

    # --- published ---------------------------------------------------------------------------

    def published(self) -> dict[str, Any]:
        """The hosts for `wqmaster status --hosts`: blocked ones first, then those that fail most.

        At most 50 are listed.
        """
        now = self._clock()
        order = sorted(
            self._hosts.items(),
            key=lambda item: (
                item[1].until is None,
                -item[1].failed_share,
                -sum(item[1].failures.values()),
            ),
        )
        return {
            "known": len(order),
            "blocked": sum(host.until is not None for _, host in order),
            "listed": list(_listed(order[:_MAX_LISTED_HOSTS], now)),
        }


def _listed(hosts: Iterable[tuple[str, _Host]], now: float) -> Iterable[dict[str, Any]]:
    for name, host in hosts:
        left = None if host.until is None else max(0.0, host.until - now)
        yield {
            "host": quoted(name),
            "state": "used" if left is None else "blocked" if left else "tried",
            "blocked_for": left if left and math.isfinite(left) else None,  # seconds
            "times_blocked": host.blocks,
            "reason": host.reason or None,
            "done": host.done,
            "failures": dict(host.failures.most_common(_MAX_LISTED_CLASSES)),
        }
