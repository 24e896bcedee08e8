"""The documents that a command is about: some ids, a failure class, or a query."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from bson import json_util

from wqmaster.database.base import CampaignStore
from wqmaster.jobs.molecule import Document

# How many documents are canceled or retried at once; the master looks after its tasks in between.
CHUNK_DOCUMENTS = 500


@dataclass(frozen=True)
class Choice:
    """A choice of documents, made in exactly one of these ways."""

    documents: tuple[Any, ...] = ()  # their ids
    kind: str | None = None  # a failure class
    query: Document | None = None

    def arguments(self) -> dict[str, Any]:
        """The choice as arguments of a command; ids and queries are extended JSON."""
        if self.kind is not None:
            return {"class": self.kind}
        if self.query is not None:
            return {"query": json_util.dumps(self.query)}
        return {"documents": json_util.dumps(self.documents)}

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "Choice":
        """The choice in the arguments of a command.

        Raises:
            KeyError, TypeError, ValueError: they hold none.
        """
        if "class" in arguments:
            return cls(kind=str(arguments["class"]))
        if "query" in arguments:
            return cls(query=dict(json_util.loads(arguments["query"])))
        return cls(documents=tuple(json_util.loads(arguments["documents"])))

    def failed(self, store: CampaignStore) -> Iterator[Sequence[Any]]:
        """Yield the chosen documents that can have failed, as ids, a chunk at a time."""
        if self.kind is not None:
            return _chunks(store.ledger.failed(self.kind))
        return self._others(store)

    def open(self, store: CampaignStore) -> Iterator[Sequence[Any]]:
        """Yield the chosen documents that can be waiting or running, as ids, a chunk at a time."""
        if self.kind is not None:
            return _chunks(store.ledger.attempted(self.kind))
        return self._others(store)

    def _others(self, store: CampaignStore) -> Iterator[Sequence[Any]]:
        if self.query is not None:
            return _chunks(store.matching(self.query))
        return _chunks(iter(self.documents))


def _chunks(ids: Iterator[Any]) -> Iterator[Sequence[Any]]:
    while chunk := list(islice(ids, CHUNK_DOCUMENTS)):
        yield chunk
