"""The query as a stream of documents: page by page, in constant memory at any size."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wqmaster.database.attempts import History, key_of
from wqmaster.database.base import CampaignStore
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, Molecule, from_document

PAGE_DOCUMENTS = 200
# Seconds between two passes of --watch.
WATCH_INTERVAL_SECONDS = 5.0


@dataclass(frozen=True)
class Fed:
    """A document that is to be computed, or cannot be."""

    document: Any  # its _id
    attempt: int  # that now begins, counted from 1
    molecule: Molecule | None
    problem: str = ""  # why there is no molecule
    history: History = field(default_factory=History)  # what failed before


class Feed:
    """Documents without a result, but those in flight (`busy`) and those that were given up."""

    def __init__(
        self,
        store: CampaignStore,
        busy: Callable[[str], bool],
        *,
        watch: bool = False,
        limit: int | None = None,
    ) -> None:
        self._store = store
        self._busy = busy
        self._watch = watch
        self._left = limit
        self._page: deque[Fed] = deque()
        self._again: deque[Any] = deque()
        self._retried: deque[Fed] = deque()
        self._after: tuple[Any] | None = None
        self._at_end = False
        self._next_pass = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will come."""
        if self._again or self._retried:
            return False
        if self._left == 0:
            return True
        return self._at_end and not self._page and not self._watch

    def again(self, document: Any) -> None:
        """Feed the document once more: its last attempt failed, and running it again may help."""
        self._again.append(document)

    def take(self, count: int) -> list[Fed]:
        """At most `count` documents; fewer where there are no more now.

        Raises:
            PyMongoError: the database cannot be reached; nothing is lost by asking again.
        """
        if self._again:
            ids = list(self._again)
            self._retried.extend(self._fed(self._store.get(ids), retried=True))
            self._again.clear()
        taken: list[Fed] = []
        while self._retried and len(taken) < count:
            taken.append(self._retried.popleft())
        if taken:
            return taken
        wanted = count if self._left is None else min(count, self._left)
        while len(self._page) < wanted and self._turn_page():
            pass
        while self._page and len(taken) < wanted:
            taken.append(self._page.popleft())
        if self._left is not None:
            self._left -= len(taken)
        return taken

    def _turn_page(self) -> bool:
        """Fetch the next page; whether there was one."""
        if self._at_end:
            if not self._watch or time.monotonic() < self._next_pass:
                return False
            self._after, self._at_end = None, False
        documents = self._store.page(self._after, PAGE_DOCUMENTS)
        if not documents:
            self._at_end = True
            self._next_pass = time.monotonic() + WATCH_INTERVAL_SECONDS
            return False
        self._page.extend(self._fed(documents, retried=False))
        self._after = (documents[-1]["_id"],)
        return True

    def _fed(self, documents: list[Document], *, retried: bool) -> list[Fed]:
        histories = self._store.ledger.histories([document["_id"] for document in documents])
        found = []
        for document in documents:
            key = key_of(document["_id"])
            before = histories.get(key, History())
            if before.final or (not retried and self._busy(key)):
                continue
            found.append(self._one(document, before))
        return found

    def _one(self, document: Document, history: History) -> Fed:
        attempt = history.attempts + 1
        try:
            molecule = from_document(document, self._store.campaign.molecule)
        except BadDocument as error:
            return Fed(document["_id"], attempt, None, error.message)
        return Fed(document["_id"], attempt, molecule, history=history)
