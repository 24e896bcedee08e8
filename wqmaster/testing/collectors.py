"""Collectors without processes: the master calls the real `Collector` when it listens."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from wqmaster.database.base import CampaignStore
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.collector import Collector
from wqmaster.run.collector.messages import Collect, Ended, Waits
from wqmaster.run.spool import Spool


class InlineCollectors:
    """Commits returned tasks in this process."""

    def __init__(self, recipe: Recipe, store: CampaignStore, spool: Spool, kept: Path) -> None:
        kept.mkdir(parents=True, exist_ok=True)
        self._collector = Collector(recipe, store, spool, kept)
        self._backlog: deque[str] = deque()
        self.trouble: str | None = None

    @property
    def busy(self) -> int:
        """The number of tasks that are not committed yet."""
        return len(self._backlog)

    def collect(self, task: str) -> None:
        """Queue the returned `task`, which the next `listen` commits."""
        self._backlog.append(task)

    def listen(self, seconds: float) -> Iterator[Ended]:
        """Commit the queued tasks, and yield each."""
        requests = [Collect(task=task) for task in self._backlog]
        self._backlog.clear()
        for message in self._collector.process(requests):
            if isinstance(message, Ended):
                self.trouble = None
                yield message
            elif isinstance(message, Waits):
                self.trouble = message.reason
