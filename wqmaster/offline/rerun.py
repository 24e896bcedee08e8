"""Have documents computed again: move their results to the history, and reset their failures.

Each result is in the history before it is removed from its document, and is removed only if it has
not changed since it was read. Killing the process at any time therefore loses nothing, and the same
command completes the work.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from wqmaster.database import stale
from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.results import StoredStep
from wqmaster.jobs.molecule import Document
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.kept_files import safe_name

# The folder, below that of kept files, for the files of replaced results.
REPLACED_FOLDER = "replaced"
_BATCH_DOCUMENTS = 50
_MAX_EXAMPLES = 5


@dataclass(frozen=True)
class Chosen:
    """The choice of documents to compute again, made in exactly one of these ways."""

    stale: bool = False  # documents with stale results
    documents: tuple[Any, ...] = ()  # documents with these ids
    query: Document | None = None  # documents that this query selects
    failure: str | None = None  # documents that failed with this failure class

    @property
    def why(self) -> str:
        """How the documents were chosen, for the history."""
        return "stale" if self.stale else "query" if self.query is not None else "id"


@dataclass
class Count:
    """How many of the chosen documents will be computed again."""

    replaced: int = 0  # documents whose results were moved to the history
    retried: int = 0  # documents whose failures were reset
    examples: list[Any] = field(default_factory=list)  # ids of the first few documents

    @property
    def documents(self) -> int:
        """The number of documents to compute again."""
        return self.replaced + self.retried

    def add_examples(self, documents: Iterable[Any]) -> None:
        """Keep the ids of the first few documents."""
        for document in documents:
            if len(self.examples) < _MAX_EXAMPLES and document not in self.examples:
                self.examples.append(document)


class Rerun:
    """Resets documents of one campaign, so that the next run computes them again."""

    def __init__(self, recipe: Recipe, store: Store, kept: Path) -> None:
        self._recipe = recipe
        self._store = store
        self._kept = kept

    def run(self, chosen: Chosen, *, dry: bool = False) -> Count:
        """Reset the chosen documents; with `dry`, only count them."""
        count = Count()
        if chosen.failure is not None:
            count.add_examples(islice(self._store.ledger.failed(chosen.failure), _MAX_EXAMPLES))
            count.retried = self._of_class(chosen.failure, dry)
            return count
        self._store.history.prepare()
        for documents in _batches(self._with_results(chosen)):
            stored = self._stored(documents)
            if not dry:
                self._replace(stored, chosen.why)
            count.replaced += len({found.key for found in stored})
            count.add_examples(found.document for found in stored)
        for documents in _batches(self._failed(chosen)):
            if not dry:
                self._store.ledger.retry_all(documents)
            count.retried += len(documents)
            count.add_examples(documents)
        return count

    def _of_class(self, label: str, dry: bool) -> int:
        if dry:
            return self._store.ledger.by_class().get(label, 0)
        return self._store.ledger.retry(kind=label)

    def _with_results(self, chosen: Chosen) -> Iterator[Any]:
        if chosen.stale:
            for found, is_stale in stale.every(self._store, self._recipe):
                if is_stale is not None:
                    yield found.document["_id"]
            return
        query = chosen.query
        if query is None:
            query = {"_id": {"$in": list(chosen.documents)}}
        for found in self._store.results.every(query):
            yield found.document["_id"]

    def _failed(self, chosen: Chosen) -> Iterator[Any]:
        """The failed documents among the chosen ones."""
        if chosen.stale:
            return
        if chosen.query is None:
            wanted = {key_of(document) for document in chosen.documents}
            yield from (found for found in self._store.ledger.failed() if key_of(found) in wanted)
            return
        for documents in _batches(self._store.ledger.failed()):
            yield from self._store.selected(chosen.query, documents)

    def _stored(self, documents: Sequence[Any]) -> list[StoredStep]:
        by_key = {key_of(document): document for document in documents}
        return [
            StoredStep(by_key[key], step, values)
            for key, steps in self._store.results.of(documents).items()
            for step, values in steps.items()
        ]

    def _replace(self, stored: Sequence[StoredStep], why: str) -> None:
        kept = {(found.key, found.step): self._set_aside(found) for found in stored}
        self._store.history.add(stored, why, kept)
        self._store.results.clear(stored)
        self._store.ledger.retry_all([found.document for found in stored])

    def _set_aside(self, stored: StoredStep) -> list[str]:
        """Rename the kept files of a result, which a new result's files would overwrite.

        Returns their new paths.
        """
        moved = []
        for step in self._recipe.steps:
            if step.request.name != stored.step:
                continue
            for _, pattern in step.keep_files:
                file = self._kept / pattern.replace("{id}", safe_name(stored.document))
                finished = stored.run.get("finished")
                when = f"{finished:%Y%m%dT%H%M%S}" if isinstance(finished, datetime) else "unknown"
                target = self._kept / REPLACED_FOLDER / f"{file.name}.{when}"
                if file.is_file():
                    target.parent.mkdir(exist_ok=True)
                    target = _free(target)
                    file.rename(target)
                if target.is_file():
                    moved.append(str(target))
        return moved


def _free(target: Path) -> Path:
    """An unused path like `target`."""
    names = (target.with_name(f"{target.name}.{number}") for number in itertools.count(2))
    return next(name for name in itertools.chain((target,), names) if not name.exists())


def _batches(documents: Iterator[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for document in documents:
        batch.append(document)
        if len(batch) == _BATCH_DOCUMENTS:
            yield batch
            batch = []
    if batch:
        yield batch
