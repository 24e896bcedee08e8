"""Search a collection page by page, in the order of `_id`, with a bound on the time of each query.

Among 10^7 documents with results, a query for one without takes minutes, in which a master could
not renew its lock. So a query that takes too long is given up, and the search goes on through
windows of a known number of documents, which become smaller or larger as their time demands.
"""

import time
from typing import Any

import pymongo
from pymongo import ASCENDING
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from wqmaster.database.base import SearchGoesOn
from wqmaster.jobs.molecule import Document

# How long one query may take.
QUERY_SECONDS = 2.0
# The number of documents in a window: the first, the fewest and the most.
FIRST_WINDOW, MIN_WINDOW, MAX_WINDOW = 20_000, 100, 500_000
# A window that takes less time than this is doubled.
_QUICK_SECONDS = 0.5
_BY_ID = [("_id", ASCENDING)]


class Pages:
    """The pages of one collection.

    All queries use `min` and `max` on the index of `_id`, because `{_id: {$gt: x}}` finds only ids
    of x's type.
    """

    def __init__(
        self,
        documents: Collection[Document],
        *,
        query_seconds: float = QUERY_SECONDS,
        first_window: int = FIRST_WINDOW,
    ) -> None:
        self._documents = documents
        self._seconds = query_seconds
        self._first = first_window
        # The number of documents in the next window; None while plain queries are quick.
        self._window: int | None = None

    def next(
        self, query: Document, projection: Document, after: tuple[Any] | None, limit: int
    ) -> list[Document]:
        """The next documents that `query` selects, at most `limit`; [] if there are no more.

        Raises:
            SearchGoesOn: none is among the documents up to the id in the error; the next call
                is to begin after it.
        """
        if self._window is None:
            try:
                return self._found(query, projection, after, None, limit)
            except PyMongoError as error:
                if not error.timeout:
                    raise
                self._window = self._first
        window = self._window
        last, end = self._ahead(after, window)
        began = time.monotonic()
        try:
            page = self._found(query, projection, after, end, limit)
        except PyMongoError as error:
            if not error.timeout or window <= MIN_WINDOW:
                raise
            self._window = max(MIN_WINDOW, window // 4)
            raise SearchGoesOn(after) from error
        if len(page) >= limit:
            self._window = None  # documents are frequent again
        elif time.monotonic() - began < _QUICK_SECONDS:
            self._window = min(MAX_WINDOW, 2 * window)
        if not page and end is not None:
            raise SearchGoesOn(last)
        return page

    def _ahead(
        self, after: tuple[Any] | None, window: int
    ) -> tuple[tuple[Any] | None, tuple[Any] | None]:
        """The id of the last document of a window after `after`, and the id that follows it.

        Both are None if the window reaches the end of the collection.
        """
        # The document with the id in `after`, if it still exists, comes first.
        cursor = self._documents.find({}, {"_id": 1}).sort(_BY_ID).hint(_BY_ID)
        if after is not None:
            cursor = cursor.min([("_id", after[0])])
        two = [(found["_id"],) for found in cursor.skip(window).limit(2)]
        return (two[0], two[1]) if len(two) == 2 else (None, None)

    def _found(
        self,
        query: Document,
        projection: Document,
        after: tuple[Any] | None,
        end: tuple[Any] | None,
        limit: int,
    ) -> list[Document]:
        """The documents between `after` and `end`, without both; `end` None: to the last one."""
        cursor = self._documents.find(query, projection).sort(_BY_ID).hint(_BY_ID).limit(limit + 1)
        if after is not None:
            cursor = cursor.min([("_id", after[0])])
        if end is not None:
            cursor = cursor.max([("_id", end[0])])
        with pymongo.timeout(self._seconds):
            page = list(cursor)
        if page and after is not None and page[0]["_id"] == after[0]:
            del page[0]
        return page[:limit]
