"""The hosts to which a manager sends no tasks, or a single one to try them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wqmaster.engines.base import RunningTask
from wqmaster.engines.manager import Manager

# How long after the end of the task that tries a host the engine sends another one, if nobody has
# decided: the task was evicted, or its verdict is still to come.
_DECISION_SECONDS = 60.0


@dataclass
class _Block:
    until: float  # when the host may be tried, by time.monotonic
    is_open: bool = False  # whether the manager sends tasks to the host, to try it
    tried_by: str | None = None  # the task that tries the host
    before: set[str] = field(default_factory=set)  # tasks that were on the host before


class BlockedHosts:
    """Blocks hosts in a manager for a while, then lets one task through.

    The bindings' `block_host_with_timeout` cannot be used: in both libraries (7.14.5) it rejects
    every argument, since SWIG does not know time_t (F7).
    """

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._blocks: dict[str, _Block] = {}

    @property
    def hosts(self) -> list[str]:
        """The hosts that get no tasks now, by name."""
        return sorted(host for host, block in self._blocks.items() if not block.is_open)

    def add(self, host: str, seconds: float, running: Iterable[RunningTask]) -> None:
        """Block `host` for `seconds`, whatever it is now."""
        self._manager.block_host(host)
        before = {task.task_id for task in running if task.host == host}
        self._blocks[host] = _Block(time.monotonic() + seconds, before=before)

    def remove(self, host: str) -> None:
        """Unblock `host` for good."""
        if self._blocks.pop(host, None) is not None:
            self._manager.unblock_host(host)

    def returned(self, host: str, task_id: str) -> None:
        """Take note that a task has returned: a short one was never seen running."""
        block = self._blocks.get(host)
        if block is not None and block.is_open and task_id not in block.before:
            self._manager.block_host(host)
            block.is_open = False
            block.until = time.monotonic() + _DECISION_SECONDS

    def look(self, running: Callable[[], list[RunningTask]]) -> None:
        """Try the hosts that have been blocked long enough; `running` is the engine's method."""
        now = time.monotonic()
        due = {host: block for host, block in self._blocks.items() if now >= block.until}
        if not due:
            return
        on_workers = running()
        for host, block in due.items():
            here = {task.task_id for task in on_workers if task.host == host}
            if block.tried_by is not None:
                if block.tried_by not in here:
                    block.tried_by = None
                    block.until = now + _DECISION_SECONDS
            elif not block.is_open:
                block.before &= here
                block.is_open = True
                self._manager.unblock_host(host)
            elif new := here - block.before:
                block.tried_by = min(new)
                block.before |= here
                block.is_open = False
                self._manager.block_host(host)
