"""What the master asks of its collectors."""

from collections.abc import Iterator
from typing import Protocol

from wqmaster.run.collector.messages import Ended


class CollectorPool(Protocol):
    """Brings returned tasks to an end: judges their jobs and commits them."""

    # What it waits for, such as the database; None if nothing.
    trouble: str | None

    @property
    def busy(self) -> int:
        """Tasks that are not committed yet."""

    def collect(self, task: str) -> None:
        """Have the returned `task` brought to an end."""

    def listen(self, seconds: float) -> Iterator[Ended]:
        """The tasks that are committed within `seconds`, as soon as there are any."""
