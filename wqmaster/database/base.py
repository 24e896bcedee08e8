"""What a running campaign asks of its store.

`documents.Store` is that of MongoDB; that of `wqmaster.testing` keeps all in memory.
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
        """What failed before, by `key_of` the document; those without a failure are left out."""

    def record(self, records: Sequence[Document]) -> None:
        """Note failed attempts; those that were noted before are left as they are."""

    def reopen(self, documents: Sequence[Any]) -> None:
        """Give up no longer what was given up: these documents were changed since."""


class ResultStore(Protocol):
    """The results of a campaign."""

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store results where there is none yet; by `key_of` the document, why one was refused."""

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """By `key_of` the document: its stored steps; documents that are gone are left out."""


class PresenceStore(Protocol):
    """The lock of a campaign's master, and what it publishes."""

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Keep the lock, and publish the master's counts.

        Raises:
            CampaignLocked: another master has taken it.
        """


class CampaignStore(Protocol):
    """The documents of a campaign, with what became of them."""

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
        """The next documents without a result, in the order of `_id`, after the id in `after`."""

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """Those of the documents that still have no result."""

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """By `key_of` the document: the fingerprint of its molecule as it is now, or None."""
