"""Stream the documents that the query selects, page by page, in constant memory."""

import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import Fields, History, key_of
from wqmaster.database.base import CampaignStore, SearchGoesOn
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, Molecule, from_document, hash_of_fields

PAGE_DOCUMENTS = 200
# Seconds between two passes of --watch.
WATCH_INTERVAL_SECONDS = 5.0
# Time limit for each search for documents, because the master must send its heartbeat in between.
_LOOKING_SECONDS = 1.0
# Seconds until a document is fed again of which no job could be made.
_DELAY_SECONDS = 5.0


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
    affect a result. The feed goes on where `begun`, another one of the same campaign, has got.
    """

    def __init__(
        self,
        store: CampaignStore,
        busy: Callable[[str], bool],
        *,
        watch: bool = False,
        limit: int | None = None,
        fields: Fields = None,
        begun: "Feed | None" = None,
        mended: Callable[[Sequence[str]], None] = lambda classes: None,
    ) -> None:
        self._store = store
        self._busy = busy
        self._watch = watch
        self._left = limit
        self._page: deque[Fed] = deque(begun._page if begun else ())
        self._again: deque[Any] = deque()
        self._retried: deque[Fed] = deque()
        # Key -> when to feed the document again, and the document.
        self._delayed: dict[str, tuple[float, Fed]] = {}
        self._fields = fields
        self._mended = mended
        # The id up to which documents were fetched.
        self._after: tuple[Any] | None = begun._after if begun else None
        self._at_end: bool = begun._at_end if begun else False
        self._next_pass = 0.0

    @property
    def left(self) -> int | None:
        """How many documents may still be fed, not counting retries; None if there is no limit."""
        return self._left

    @property
    def exhausted(self) -> bool:
        """Whether no more documents will come."""
        return not self.retrying and self.no_new

    @property
    def retrying(self) -> bool:
        """Whether documents wait for another attempt."""
        return bool(self._again or self._retried or self._delayed)

    @property
    def no_new(self) -> bool:
        """Whether all documents were fed, except those that wait for another attempt."""
        return self._left == 0 or (self._at_end and not self._page and not self._watch)

    def again(self, document: Any) -> None:
        """Feed the document again: its last attempt failed, and running it again may help."""
        self._again.append(document)

    def put_back(self, fed: Sequence[Fed]) -> None:
        """Feed these again after a while, because no job could be made of them now."""
        until = time.monotonic() + _DELAY_SECONDS
        self._delayed |= {key_of(entry.document): (until, entry) for entry in fed}

    def look(self) -> bool:
        """Whether there are documents to feed; False as long as the search for them goes on.

        Raises:
            PyMongoError: the database cannot be reached.
        """
        if not self._page and not self.no_new:
            self._turn_page()
        return bool(self._page)

    def rewind(self) -> None:
        """Look at all documents again, because failed ones may run again or the query changed."""
        self._page.clear()
        self._after, self._at_end = None, False

    def forget(self, keys: Container[str]) -> None:
        """Do not feed the documents with these keys, which were fetched before they failed."""
        self._page = deque(one for one in self._page if key_of(one.document) not in keys)
        self._retried = deque(one for one in self._retried if key_of(one.document) not in keys)
        self._again = deque(one for one in self._again if key_of(one) not in keys)

    def take(self, count: int, new: int | None = None) -> list[Fed]:
        """Return at most `count` documents; fewer if there are no more now, or time is up.

        At most `new` of them were not fed before (None: any number). A search among many failed
        documents is interrupted after a second, and the next call continues it.

        Raises:
            PyMongoError: the database cannot be reached; nothing is lost by calling again.
        """
        until = time.monotonic() + _LOOKING_SECONDS
        while self._again and len(self._retried) < count and time.monotonic() < until:
            ids = list(islice(self._again, PAGE_DOCUMENTS))
            self._retried.extend(self._fed(self._store.get(ids), retried=True))
            for _ in ids:
                self._again.popleft()
        now = time.monotonic()
        for key in [key for key, (until, _) in self._delayed.items() if until <= now]:
            self._retried.append(self._delayed.pop(key)[1])
        taken: list[Fed] = []
        while self._retried and len(taken) < count:
            taken.append(self._retried.popleft())
        if taken:
            return taken
        wanted = min(one for one in (count, self._left, new) if one is not None)
        while len(self._page) < wanted and self._turn_page() and time.monotonic() < until:
            pass
        return self.fetched(wanted)

    def fetched(self, count: int) -> list[Fed]:
        """Return at most `count` of the documents that are here already, without the database."""
        wanted = count if self._left is None else min(count, self._left)
        taken = [self._page.popleft() for _ in range(min(wanted, len(self._page)))]
        if self._left is not None:
            self._left -= len(taken)
        return taken

    def _turn_page(self) -> bool:
        """Fetch the next page; return whether there was one."""
        if self._at_end:
            if not self._watch or time.monotonic() < self._next_pass:
                return False
            self._after, self._at_end = None, False
        try:
            documents = self._store.page(self._after, PAGE_DOCUMENTS)
        except SearchGoesOn as found:
            self._after = found.after
            return True
        if not documents:
            self._at_end = True
            self._next_pass = time.monotonic() + WATCH_INTERVAL_SECONDS
            return False
        self._page.extend(self._fed(documents, retried=False))
        self._after = (documents[-1]["_id"],)
        return True

    def _fed(self, documents: list[Document], *, retried: bool) -> list[Fed]:
        histories = self._store.ledger.histories([document["_id"] for document in documents])
        found, mended, classes = [], [], []
        for document in documents:
            key = key_of(document["_id"])
            if not retried and (self._busy(key) or key in self._delayed):
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
    """The form in which a fetched document is passed to the run."""
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
