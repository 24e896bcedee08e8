"""What a command changes in a running master."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from wqmaster.database.attempts import key_of
from wqmaster.database.base import CampaignStore
from wqmaster.engines.base import Engine
from wqmaster.jobs.failures import FailureClass
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.control import stored
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.stored import Canceled
from wqmaster.run.feed import Feed
from wqmaster.run.flights import Flights
from wqmaster.run.gates import Gates
from wqmaster.run.holds import Hold
from wqmaster.run.hosts import Hosts
from wqmaster.run.progress import Progress
from wqmaster.run.spool import Spool


class Steering:
    """The parts of a running master that commands change; used only by the master's thread."""

    def __init__(
        self,
        *,
        store: CampaignStore,
        spool: Spool,
        engine: Engine,
        hosts: Hosts,
        flights: Flights,
        feed: Feed,
        gates: Gates,
        progress: Progress,
        drain: Callable[[], None],
        follow: Callable[[Recipe], None],
    ) -> None:
        self.store = store
        self.engine = engine
        self.hosts = hosts
        self.progress = progress
        self._spool = spool
        self._flights = flights
        self._feed = feed
        self._gates = gates
        self._drain = drain
        self._follow = follow

    def recall(self) -> int:
        """Take back the jobs that no worker has received; return how many."""
        before = self.progress.sent
        self._recall(self.engine.cancel_waiting())
        return before - self.progress.sent

    def _recall(self, tasks: Sequence[str], without: frozenset[str] = frozenset()) -> None:
        self._flights.recall(tasks, without)
        for task in tasks:
            self._spool.drop(task)

    def release(self) -> list[Hold]:
        """End the holds that need a user; return them."""
        return self._gates.release()

    def drain(self) -> None:
        """Feed nothing more, and end when nothing is in flight, however long that takes."""
        self._drain()

    def cancel(self, recipe: Recipe, documents: Sequence[Any], by: str) -> Canceled:
        """Cancel the waiting and running jobs of these documents, and let them fail.

        Other jobs of the same tasks run again.
        """
        keys = frozenset(map(key_of, documents))
        returned = frozenset(self._flights.returned(keys))
        found = stored.cancel(self.store, recipe, documents, returned, by)
        self._feed.forget(found.keys)
        tasks = self._flights.tasks_with(found.keys)
        for task in tasks:
            self.engine.cancel(task)
        self._recall(tasks, found.keys)
        if found.keys:
            self.progress.failures[FailureClass.CANCELED.label] += len(found.keys)
        return found

    def look_again(self) -> None:
        """Look at all documents again, since other ones than before may be fed."""
        self._feed.rewind()

    def retry(self, choice: Choice) -> Iterator[list[str]]:
        """Let chosen documents run again, a chunk at a time; yield their failure classes."""
        for classes in stored.retry(self.store, choice):
            self.progress.retry(classes)
            yield classes

    def follow(self, recipe: Recipe) -> None:
        """Use another form of the recipe from now on, which has the same hash."""
        self._follow(recipe)
