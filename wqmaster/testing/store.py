"""A store that keeps its documents in memory, without a server."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import History, histories_of, key_of
from wqmaster.database.orders import Answer, Command, Orders
from wqmaster.database.results import Result, refusal
from wqmaster.errors import BadDocument, CampaignLocked
from wqmaster.jobs.molecule import Document, from_document
from wqmaster.tasks.fields import pick


class MemoryAttempts:
    """A ledger that keeps failed attempts in a list."""

    def __init__(self) -> None:
        self.records: list[Document] = []

    def histories(self, document_ids: Sequence[Any]) -> dict[str, History]:
        """The earlier failures of these documents, keyed by `key_of(_id)`."""
        wanted = {key_of(document) for document in document_ids}
        found = (entry for entry in self.records if key_of(entry["document"]) in wanted)
        return histories_of(sorted(found, key=lambda entry: int(entry["attempt"])))

    def record(self, records: Sequence[Document]) -> None:
        """Add failed attempts; attempts that are already recorded are ignored."""
        known = {(key_of(entry["document"]), entry["attempt"]) for entry in self.records}
        self.records += [
            deepcopy(entry)
            for entry in records
            if (key_of(entry["document"]), entry["attempt"]) not in known
        ]

    def reopen(self, documents: Sequence[Any]) -> None:
        """Make failed documents eligible for another attempt, because they were changed."""
        keys = set(map(key_of, documents))
        for entry in self.records:
            if entry.get("final") and key_of(entry["document"]) in keys:
                entry |= {"final": False, "mended": True}

    def failed(self, kind: str | None = None) -> Iterator[Any]:
        """Yield the ids of failed documents, or of those that failed with the class `kind`."""
        for entry in self.records:
            if entry.get("final") and kind in (None, entry["class"]):
                yield entry["document"]

    def attempted(self, kind: str) -> Iterator[Any]:
        """Yield the ids of documents of which an attempt failed with `kind`, but not finally."""
        for entry in self.records:
            if not entry.get("final") and entry["class"] == kind:
                yield entry["document"]

    def retry_all(self, documents: Sequence[Any]) -> int:
        """Let the failed ones among these documents run again; return how many."""
        keys = set(map(key_of, documents))
        failed = (one for one in self.records if one.get("final"))
        found = [one for one in failed if key_of(one["document"]) in keys]
        for entry in found:
            entry |= {"final": False, "retried": True}
        return len(found)


class MemoryPresence:
    """A master's lock. Tests set `taken` to simulate that another master takes the campaign."""

    def __init__(self) -> None:
        self.published: list[Mapping[str, Any]] = []
        self.taken = False

    def heartbeat(self, token: str, status: Mapping[str, Any]) -> None:
        """Publish the status.

        Raises:
            CampaignLocked: `taken` is set.
        """
        if self.taken:
            raise CampaignLocked("another master has taken the campaign")
        self.published.append(dict(status))


class MemoryCommands:
    """Commands to the master. Tests append to `waiting`, and find the answers in `answers`."""

    def __init__(self) -> None:
        self.waiting: deque[Command] = deque()
        self.answers: dict[Any, Answer] = {}
        self._orders = Orders()

    def take(self, token: str) -> Command | None:
        """The oldest command that waits."""
        return self.waiting.popleft() if self.waiting else None

    def answer(self, command: Command, answer: Answer) -> None:
        """Record what became of a command."""
        self.answers[command.id] = answer

    def orders(self) -> Orders:
        """The orders that are in force."""
        return self._orders

    def save(self, orders: Orders) -> None:
        """Replace the orders that are in force."""
        self._orders = orders


class MemoryStore:
    """Documents in a dict, keyed by `key_of(_id)`.

    The store ignores the campaign's query, as if it selected all documents.
    """

    def __init__(self, campaign: Campaign, documents: Iterable[Document] = ()) -> None:
        self.campaign = campaign
        self.documents: dict[str, Document] = {}
        self.ledger = MemoryAttempts()
        self.presence = MemoryPresence()
        self.commands = MemoryCommands()
        self.insert(documents)

    @property
    def results(self) -> "MemoryStore":
        """This store, since results are in the documents."""
        return self

    def insert(self, documents: Iterable[Document]) -> None:
        """Add documents; each replaces an earlier one with the same `_id`."""
        self.documents |= {key_of(one["_id"]): deepcopy(dict(one)) for one in documents}

    def page(self, after: tuple[Any] | None, limit: int) -> list[Document]:
        """At most `limit` documents without a result, in the order of their ids.

        If `after` is given, only ids greater than the id in it are included. All ids must have the
        same type.
        """
        undone = sorted(
            (one for one in self.documents.values() if not self._is_done(one)),
            key=lambda one: one["_id"],
        )
        return [self._fetched(one) for one in undone if after is None or one["_id"] > after[0]][
            :limit
        ]

    def get(self, document_ids: Sequence[Any]) -> list[Document]:
        """The given documents that still have no result."""
        found = (self.documents.get(key_of(document)) for document in document_ids)
        return [self._fetched(one) for one in found if one is not None and not self._is_done(one)]

    def matching(self, query: Document) -> Iterator[Any]:
        """Yield the ids of documents whose top-level fields equal those of `query`."""
        for one in self.documents.values():
            if all(one.get(name) == value for name, value in query.items()):
                yield one["_id"]

    def molecules(self, document_ids: Sequence[Any]) -> dict[str, str | None]:
        """The fingerprint of each document's molecule, keyed by `key_of(_id)`.

        It is None if the document has no usable molecule.
        """
        found: dict[str, str | None] = {}
        for key in map(key_of, document_ids):
            if key not in self.documents:
                continue
            try:
                fetched = self._fetched(self.documents[key])
                found[key] = from_document(fetched, self.campaign.molecule).fingerprint
            except BadDocument:
                found[key] = None
        return found

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store results that do not exist yet, or that replace those of an earlier attempt.

        Returns the reason for each refusal, keyed by `key_of(_id)`.
        """
        refused: dict[str, str] = {}
        for result in results:
            key = key_of(result.document)
            document = self.documents.get(key)
            if document is None:
                refused[key] = "the document is gone"
                continue
            why = refusal(result.steps)
            if why is not None:
                refused[key] = why
                continue
            steps = document.setdefault(self.campaign.output_key, {})
            for name, values in result.steps.items():
                there = steps.get(name)
                if there is None or (result.replaces and _is_earlier(there, values)):
                    steps[name] = deepcopy(dict(values))
        return refused

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """The stored steps of these documents, keyed by `key_of(_id)`."""
        keys = [key for key in map(key_of, document_ids) if key in self.documents]
        return {key: deepcopy(self._steps(self.documents[key])) for key in keys}

    def _fetched(self, document: Document) -> Document:
        """A copy of the document with the fields that a projection would fetch for a job."""
        names = (*self.campaign.molecule.names, *self.campaign.submit.projection)
        return deepcopy({"_id": document["_id"], **pick(document, names)})

    def _steps(self, document: Document) -> dict[str, Document]:
        steps = document.get(self.campaign.output_key) or {}
        return {name: values for name, values in steps.items() if values is not None}

    def _is_done(self, document: Document) -> bool:
        return {step.name for step in self.campaign.steps} <= set(self._steps(document))


def _is_earlier(there: Document, values: Document) -> bool:
    """Whether `there` is the result of an earlier attempt at the same molecule and recipe."""
    old, new = there["_run"], values["_run"]
    same = all(old[name] == new[name] for name in ("recipe", "molecule"))
    return bool(same and old["attempt"] < new["attempt"])
