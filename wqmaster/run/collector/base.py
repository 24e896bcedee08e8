"""The contract between the master and its collectors."""

from collections.abc import Iterator
from typing import Protocol

from wqmaster.run.collector.messages import Ended


class CollectorPool(Protocol):
    """Judges the jobs of returned tasks, and commits their results and failures."""

    @property
    def trouble(self) -> str | None:
        """The reason why collectors wait, such as an unreachable database; None if none waits."""

    @property
    def busy(self) -> int:
        """The number of tasks that are not yet committed."""

    def collect(self, task: str) -> None:
        """Hand over the returned `task`."""

    def listen(self, seconds: float) -> Iterator[Ended]:
        """Wait at most `seconds` for tasks to be committed, and yield them."""
