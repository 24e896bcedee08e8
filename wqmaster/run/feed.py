"""Stream the documents that the query selects, page by page, in constant memory."""

import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import Fields, History, key_of
from wqmaster.database.base import CampaignStore
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, Molecule, from_document, hash_of_fields

PAGE_DOCUMENTS = 200
# Seconds between two passes of --watch.
WATCH_INTERVAL_SECONDS = 5.0
# Time limit for each search for documents, because the master must send its heartbeat in between.
_LOOKING_SECONDS = 1.0


@dataclass(frozen=True)
class Fed:
    """A document to compute, or one that cannot be computed."""

    document: Any  # the document's _id
    attempt: int  # number of the attempt that begins now, counted from 1
    molecule: Molecule | None
    problem: str = ""  # why there is no molecule
    unusable: str | None = None  # if there is no molecule: hash of the fields that should hold it
    history: History = field(default_factory=History)  # earlier failures


class Feed:
    """Feeds the documents that have no result, are not in flight, and have not failed.

    `busy` returns whether the document with a given `key_of` is in flight. A failed document that
    has changed is fed again, and `mended` is called with the failure classes of such documents.
    At most `limit` documents are fed, not counting retries. `fields` names the further fields that
    affect a result. Documents up to the id in `after` were examined before, and are not fed.
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

    def rewind(self) -> None:
        """Look at all documents again, because failed ones may run again or the query changed."""
        self._page.clear()
        self._after, self._at_end = None, False

    def forget(self, keys: Container[str]) -> None:
        """Do not feed the documents with these keys, which were fetched before they failed."""
        self._page = deque(one for one in self._page if key_of(one.document) not in keys)
        self._retried = deque(one for one in self._retried if key_of(one.document) not in keys)
        self._again = deque(one for one in self._again if key_of(one) not in keys)

    def take(self, count: int) -> list[Fed]:
        """Return at most `count` documents; fewer if there are no more now, or time is up.

        A search among many failed documents is interrupted after a second, and the next call
        continues it.

        Raises:
            PyMongoError: the database cannot be reached; nothing is lost by calling again.
        """
        until = time.monotonic() + _LOOKING_SECONDS
        while self._again and len(self._retried) < count and time.monotonic() < until:
            ids = list(islice(self._again, PAGE_DOCUMENTS))
            self._retried.extend(self._fed(self._store.get(ids), retried=True))
            for _ in ids:
                self._again.popleft()
        taken: list[Fed] = []
        while self._retried and len(taken) < count:
            taken.append(self._retried.popleft())
        if taken:
            return taken
        wanted = count if self._left is None else min(count, self._left)
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
            entry = fed(document, before, self._store.campaign)
            if before.finals:
                if has_failed(document, entry, self._store.campaign, self._fields):
                    continue
                mended.append(entry.document)
                classes += [final.kind for final in before.finals]
            found.append(entry)
        if mended:
            self._store.ledger.reopen(mended)
            self._mended(classes)
        return found


def fed(document: Document, history: History, campaign: Campaign) -> Fed:
    """A fetched document as it is fed."""
    attempt = history.attempts + 1
    try:
        molecule = from_document(document, campaign.molecule)
    except BadDocument as error:
        unusable = hash_of_fields(document, campaign.molecule)
        return Fed(document["_id"], attempt, None, error.message, unusable, history)
    return Fed(document["_id"], attempt, molecule, history=history)


def has_failed(document: Document, entry: Fed, campaign: Campaign, fields: Fields) -> bool:
    """Whether a fetched document has failed and did not change since."""
    return any(
        final.is_of(document, entry.molecule, campaign, fields) for final in entry.history.finals
    )
