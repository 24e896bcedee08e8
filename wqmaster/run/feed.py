"""The query as a stream of documents: page by page, in constant memory at any size."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wqmaster.database.attempts import Fields, History, key_of
from wqmaster.database.base import CampaignStore
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, Molecule, from_document, hash_of_fields

PAGE_DOCUMENTS = 200
# Seconds between two passes of --watch.
WATCH_INTERVAL_SECONDS = 5.0
# Time limit for each search for documents, since the master must send its heartbeat.
_LOOKING_SECONDS = 1.0


@dataclass(frozen=True)
class Fed:
    """A document that is to be computed, or cannot be."""

    document: Any  # its _id
    attempt: int  # number of the attempt that now begins, from 1
    molecule: Molecule | None
    problem: str = ""  # why there is no molecule
    unusable: str | None = None  # hash of the fields that hold no molecule
    history: History = field(default_factory=History)  # earlier failures


class Feed:
    """Documents without a result, except those in flight (`busy`) and those that have failed.

    A failed document that has changed is fed again; `mended` is called with the classes with which
    such documents had failed. `fields` are the additional fields that decide a result. `after`: the
    documents up to this id were examined before, and none of them is to be fed.
    """

    def __init__(
        self,
        store: CampaignStore,
        busy: Callable[[str], bool],
        *,
        watch: bool = False,
        limit: int | None = None,
        fields: Fields = None,
        after: tuple[Any] | None = None,
        mended: Callable[[Sequence[str]], None] = lambda classes: None,
    ) -> None:
        self._store = store
        self._busy = busy
        self._watch = watch
        self._left = limit
        self._page: deque[Fed] = deque()
        self._again: deque[Any] = deque()
        self._retried: deque[Fed] = deque()
        self._fields = fields
        self._mended = mended
        self._after = after
        # The id after which the current page begins.
        self.passed = after
        self._at_end = False
        self._next_pass = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether no more documents will come."""
        if self._again or self._retried:
            return False
        if self._left == 0:
            return True
        return self._at_end and not self._page and not self._watch

    def again(self, document: Any) -> None:
        """Feed the document again: its last attempt failed, and running it again may help."""
        self._again.append(document)

    def take(self, count: int) -> list[Fed]:
        """At most `count` documents; fewer if there are no more now, or time is up.

        A search among many failed documents is interrupted after a second.

        Raises:
            PyMongoError: the database cannot be reached; nothing is lost by calling again.
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
        until = time.monotonic() + _LOOKING_SECONDS
        while len(self._page) < wanted and self._turn_page() and time.monotonic() < until:
            pass
        while self._page and len(taken) < wanted:
            taken.append(self._page.popleft())
        if self._left is not None:
            self._left -= len(taken)
        return taken

    def _turn_page(self) -> bool:
        """Fetch the next page; return whether there was one."""
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
        self.passed = self._after
        self._after = (documents[-1]["_id"],)
        return True

    def _fed(self, documents: list[Document], *, retried: bool) -> list[Fed]:
        histories = self._store.ledger.histories([document["_id"] for document in documents])
        found, mended, classes = [], [], []
        for document in documents:
            key = key_of(document["_id"])
            if not retried and self._busy(key):
                continue
            before = histories.get(key, History())
            fed = self._one(document, before)
            if before.finals:
                campaign = self._store.campaign
                if any(
                    final.is_of(document, fed.molecule, campaign, self._fields)
                    for final in before.finals
                ):
                    continue
                mended.append(fed.document)
                classes += [final.kind for final in before.finals]
            found.append(fed)
        if mended:
            self._store.ledger.reopen(mended)
            self._mended(classes)
        return found

    def _one(self, document: Document, history: History) -> Fed:
        attempt = history.attempts + 1
        try:
            molecule = from_document(document, self._store.campaign.molecule)
        except BadDocument as error:
            unusable = hash_of_fields(document, self._store.campaign.molecule)
            return Fed(document["_id"], attempt, None, error.message, unusable, history)
        return Fed(document["_id"], attempt, molecule, history=history)
