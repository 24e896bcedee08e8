"""Documents from which no job can be built: counted at once, recorded when the database answers."""

import logging
from collections.abc import Sequence

from wqmaster.database.attempts import key_of
from wqmaster.database.base import AttemptStore
from wqmaster.database.records import storable
from wqmaster.jobs.molecule import Document
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.database_link import DatabaseLink
from wqmaster.run.gates import Gates
from wqmaster.run.progress import Progress

log = logging.getLogger("wqmaster.master")


class Unbuilt:
    """Records the failed attempts of such documents in the ledger."""

    def __init__(
        self, ledger: AttemptStore, link: DatabaseLink, gates: Gates, progress: Progress
    ) -> None:
        self._ledger = ledger
        self._link = link
        self._gates = gates
        self._progress = progress
        self._attempts: list[Document] = []

    @property
    def waiting(self) -> bool:
        """Whether attempts have yet to be recorded."""
        return bool(self._attempts)

    def give_up(self, attempts: Sequence[Document]) -> None:
        """Take note of failed attempts, in the form in which the database stores them."""
        for attempt in attempts:
            log.warning(
                "document %s: %s: %s", attempt["document"], attempt["class"], attempt["message"]
            )
            self._progress.failures[attempt["class"]] += 1
        self._gates.ended(Ended(task="", jobs=tuple(map(_ended, attempts))))
        self._progress.rate.add(len(attempts))
        self._attempts += attempts
        self.record()

    def record(self) -> None:
        """Record the attempts, if the database answers."""
        if self._attempts and self._link.usable():
            with self._link.bounded():
                self._ledger.record(self._attempts)
                self._attempts.clear()


def _ended(attempt: Document) -> EndedJob:
    message = storable(attempt["message"])
    failure = JobFailure(failure_class=attempt["class"], message=message, final=True)
    return EndedJob(key=key_of(attempt["document"]), host="", failure=failure)
