"""The documents between the feed and their verdicts, and the tasks that hold them."""

import time
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from wqmaster.database.attempts import key_of
from wqmaster.run.progress import Progress

_NOT_THERE = object()


class Flights:
    """Keeps track of documents and tasks, and counts them in `progress`.

    A key is the `key_of` of a document's `_id`. `again` is called with the `_id` of a document
    that must be fed again. `size` returns the bytes of a returned task.
    """

    def __init__(
        self,
        progress: Progress,
        again: Callable[[Any], None],
        size: Callable[[str], int] = lambda task: 0,
    ) -> None:
        self._progress = progress
        self._again = again
        self._size = size
        # Task -> the bytes of a returned task.
        self._bytes: dict[str, int] = {}
        # Key -> `_id`.
        self._documents: dict[str, Any] = {}
        # Task -> the keys of its documents, in the order of its jobs.
        self._sent: dict[str, list[str]] = {}
        # Task -> the numbers of atoms of its documents; empty if its jobs have remedies.
        self._sizes: dict[str, tuple[int, ...]] = {}
        # Like `_sent`, for tasks that have returned but are not yet committed.
        self._spooled: dict[str, list[str]] = {}
        # Task -> when it returned, the earliest first.
        self._returned_at: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._documents

    @property
    def tasks(self) -> list[str]:
        """The tasks that the engine has."""
        return list(self._sent)

    @property
    def any_sent(self) -> bool:
        """Whether the engine has tasks."""
        return bool(self._sent)

    def sent(self, task: str) -> tuple[list[str], tuple[int, ...]] | None:
        """The keys and the numbers of atoms of the documents of a task that the engine has.

        None if the engine does not have it. There are no numbers if the jobs have remedies.
        """
        keys = self._sent.get(task)
        return None if keys is None else (keys, self._sizes.get(task, ()))

    def send(self, task: str, documents: Sequence[Any], sizes: Iterable[int] = ()) -> None:
        """Note that the engine has `task`, whose jobs belong to these documents."""
        self._sent[task] = self._board(documents)
        self._sizes[task] = tuple(sizes)
        self._progress.sent += len(documents)

    def take_back(self, task: str) -> tuple[int, int]:
        """Note that `task` has returned; return the number of its jobs and the bytes it takes."""
        keys = self._sent.pop(task)
        self._sizes.pop(task, None)
        self._progress.sent -= len(keys)
        self._spool(task, keys)
        return len(keys), self._bytes[task]

    def replay(self, task: str, documents: Sequence[Any]) -> None:
        """Note that an earlier master left `task` in the spool."""
        self._spool(task, self._board(documents))

    def _board(self, documents: Sequence[Any]) -> list[str]:
        keys = [key_of(document) for document in documents]
        self._documents.update(zip(keys, documents, strict=True))
        return keys

    def _spool(self, task: str, keys: list[str]) -> None:
        self._spooled[task] = keys
        self._returned_at[task] = time.monotonic()
        self._progress.spooled += len(keys)
        self._bytes[task] = self._size(task)
        self._progress.spooled_bytes += self._bytes[task]
        self._note_lag()

    def commit(self, task: str, known: Iterable[str]) -> None:
        """Note that `task` is committed; `known` are the keys of the jobs whose ends are known.

        The others are fed again: a job's record is torn, or the job is already committed, which
        the feed will find out.
        """
        keys = self._spooled.pop(task, [])
        self._progress.spooled -= len(keys)
        self._progress.spooled_bytes -= self._bytes.pop(task, 0)
        self._returned_at.pop(task, None)
        self._note_lag()
        for key in set(keys) - set(known):
            document = self._documents.pop(key, _NOT_THERE)
            if document is not _NOT_THERE:
                self._again(document)

    def lose(self, task: str) -> None:
        """Note that nothing of `task` can be used, so that its documents must be fed again."""
        keys = self._ground(task)
        for key in keys:
            self.land(key, again=True)

    def _note_lag(self) -> None:
        self._progress.returned_at = next(iter(self._returned_at.values()), None)

    def land(self, key: str, *, again: bool) -> None:
        """Note that a document has its verdict; with `again`, it is fed again."""
        document = self._documents.pop(key, _NOT_THERE)
        if again and document is not _NOT_THERE:
            self._again(document)

    def drop(self, tasks: Iterable[str]) -> None:
        """Forget tasks that the engine has canceled, with their documents."""
        for task in tasks:
            for key in self._ground(task):
                self._documents.pop(key, None)

    def recall(self, tasks: Iterable[str], without: Container[str] = ()) -> None:
        """Forget tasks that the engine has canceled; their documents are fed again.

        The documents with the keys in `without` are forgotten, too.
        """
        for task in tasks:
            for key in self._ground(task):
                self.land(key, again=key not in without)

    def _ground(self, task: str) -> list[str]:
        keys = self._sent.pop(task)
        self._sizes.pop(task, None)
        self._progress.sent -= len(keys)
        return keys

    def tasks_with(self, keys: Container[str]) -> list[str]:
        """The tasks in the engine that hold one of these documents."""
        return [task for task, held in self._sent.items() if any(key in keys for key in held)]

    def returned(self, keys: Container[str]) -> set[str]:
        """Which of these documents have returned and are not yet committed."""
        return {key for held in self._spooled.values() for key in held if key in keys}
