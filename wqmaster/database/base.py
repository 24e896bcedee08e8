"""The contract for the store that a run uses.

`documents.Store` implements it with MongoDB, `wqmaster.testing` in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import History
from wqmaster.database.orders import CommandStore
from wqmaster.database.results import Result
from wqmaster.jobs.molecule import Document


class SearchGoesOn(Exception):
    """A search has found nothing yet, and goes on after the id in `after`."""

    def __init__(self, after: tuple[Any] | None) -> None:
        super().__init__("the search goes on")
        self.after = after


class AttemptStore(Protocol):
    """The failed attempts of a campaign."""

    def histories(self, document_ids: Sequence[Any]) -> dict[str, History]:
        """The history of each document that has failed attempts, keyed by `key_of(_id)`."""

    def record(self, records: Sequence[Document]) -> None:
        """Record failed attempts; those that are already recorded stay as they are."""

    def reopen(self, documents: Sequence[Any]) -> None:
        """Mark these documents as no longer failed, because they were changed."""

    def failed(self, kind: str | None = None) -> Iterator[Any]:
        """Yield the ids of all failed documents, or of those that failed with the class `kind`."""

    def attempted(self, kind: str) -> Iterator[Any]:
        """Yield the ids of documents of which an attempt failed with the class `kind`.

        The document itself has not failed by this attempt; ids can occur more than once.
        """

    def retry_all(self, documents: Sequence[Any]) -> int:
        """Let the failed ones among these documents run again; return how many."""


class ResultStore(Protocol):
    """The results of a campaign."""

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store results that do not exist yet, or that replace those of an earlier attempt.

        Returns the reason for each refusal, keyed by `key_of(_id)`.
        """

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """The stored steps of each document, keyed by `key_of(_id)`.

        Deleted documents are left out.
        """


class PresenceStore(Protocol):
    """A master's lock on its campaign, and the status that the master publishes."""

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Renew the lock of the master `token`, and publish the master's status.

        Raises:
            CampaignLocked: another master has taken over the campaign.
        """


class CampaignStore(Protocol):
    """The documents of a campaign, with their results and failures."""

    # The campaign, with the fields that its task function needs.
    campaign: Campaign

    @property
    def ledger(self) -> AttemptStore:
        """The failed attempts."""

    @property
    def results(self) -> ResultStore:
        """The results."""

    @property
    def presence(self) -> PresenceStore:
        """The master's lock and status."""

    @property
    def commands(self) -> CommandStore:
        """The commands to the master, and the orders that outlive it."""

    def page(self, after: tuple[Any] | None, limit: int) -> list[Document]:
        """The next documents without a result, in the order of `_id`: at most `limit` of them.

        They follow the id in `after`, or are the first ones if `after` is None.

        Raises:
            SearchGoesOn: none is found yet; the next call is to begin after the id in the error.
        """

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """The documents among these that still have no result."""

    def matching(self, query: Document) -> Iterator[Any]:
        """Yield the ids of all documents that `query` selects, whatever the campaign's query."""

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """The current fingerprint of each document's molecule, keyed by `key_of(_id)`.

        The fingerprint is None if the document holds no molecule; deleted documents are left out.
        """
