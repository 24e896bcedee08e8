"""The contract of a run's store.

`documents.Store` implements it with MongoDB, `wqmaster.testing` in memory.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import History
from wqmaster.database.results import Result
from wqmaster.jobs.molecule import Document


class AttemptStore(Protocol):
    """The failed attempts of a campaign."""

    def histories(self, document_ids: Sequence[Any]) -> dict[str, History]:
        """The history of each document that has failed attempts, by its `key_of`."""

    def record(self, records: Sequence[Document]) -> None:
        """Record failed attempts; those that are already recorded stay as they are."""

    def reopen(self, documents: Sequence[Any]) -> None:
        """Mark these documents as no longer failed, since they were changed."""


class ResultStore(Protocol):
    """The results of a campaign."""

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store results that do not exist yet; return why one was refused, by `key_of`."""

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """The stored steps of each document, by its `key_of`; deleted documents are left out."""


class PresenceStore(Protocol):
    """The lock of a campaign's master, and the status that it publishes."""

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Renew the lock, and publish the master's status.

        Raises:
            CampaignLocked: another master has taken it over.
        """


class CampaignStore(Protocol):
    """The documents of a campaign, with their results and failures."""

    @property
    def campaign(self) -> Campaign:
        """The campaign, with the fields that its task function needs."""

    @property
    def ledger(self) -> AttemptStore:
        """The failed attempts."""

    @property
    def results(self) -> ResultStore:
        """The results."""

    @property
    def presence(self) -> PresenceStore:
        """The lock."""

    def page(self, after: tuple[Any] | None, limit: int) -> list[Document]:
        """The next documents without a result after the id in `after`, in the order of `_id`."""

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """Those of the documents that still have no result."""

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """The current fingerprint of each document's molecule, or None, by the `key_of`."""
