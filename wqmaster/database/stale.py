"""Stale results: their document now holds another molecule.

Each result records in `_run` what it was computed from: `molecule`, the fingerprint, and
`computed`, its parts. If a document is edited later, or read through other fields, its result no
longer matches and must not be mistaken for a result of the new molecule.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wqmaster.database.documents import Store
from wqmaster.database.results import WithResults
from wqmaster.errors import BadDocument
from wqmaster.jobs.molecule import Document, differences, from_document
from wqmaster.recipe.recipe import Recipe

# Stale documents that are shown as examples.
MAX_EXAMPLES = 3
# Documents between two checks of the time limit.
_DOCUMENTS_PER_LOOK = 200


@dataclass(frozen=True)
class Stale:
    """A document with a stale result."""

    document: Any
    differences: tuple[str, ...]  # "charge: 0 before, 1 now"


@dataclass
class Survey:
    """How many documents of a campaign have stale results, with examples."""

    checked: int = 0  # documents with a result
    stale: int = 0
    unknown: int = 0  # documents with a result whose `_run` does not record the molecule
    complete: bool = True  # False: time ran out before all were checked
    differing: Counter[str] = field(default_factory=Counter)  # part of the molecule -> documents
    examples: list[Stale] = field(default_factory=list)

    def add(self, found: WithResults, stale: Stale | None) -> None:
        """Count a document that has a result."""
        self.checked += 1
        self.unknown += any(run and not run.get("molecule") for run in found.runs.values())
        if stale is None:
            return
        self.stale += 1
        self.differing.update({words.partition(":")[0] for words in stale.differences})
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(stale)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "stale": self.stale,
            "checked": self.checked,
            "complete": self.complete,
            "unknown": self.unknown,
            "differing": dict(self.differing),
            "examples": [
                {"document": found.document, "differences": list(found.differences)}
                for found in self.examples
            ],
        }


def every(
    store: Store, recipe: Recipe, query: Document | None = None
) -> Iterator[tuple[WithResults, Stale | None]]:
    """Each document that has a result, and how it is stale, if it is; in constant memory."""
    for found in store.results.every(query):
        yield found, _stale(found, recipe)


def survey(
    store: Store,
    recipe: Recipe,
    seconds: float | None = None,
    show: Callable[[int], None] = lambda documents: None,
    *,
    interruptible: bool = False,
) -> Survey:
    """Count the documents with a stale result, for at most `seconds`.

    `show` is called with the number of documents compared so far. `interruptible`: Ctrl-C ends the
    count, and the counts so far are returned.
    """
    until = None if seconds is None else time.monotonic() + seconds
    made = Survey()
    try:
        for found, stale in every(store, recipe):
            made.add(found, stale)
            if made.checked % _DOCUMENTS_PER_LOOK == 0:
                show(made.checked)
                if until is not None and time.monotonic() > until:
                    made.complete = False
                    break
    except KeyboardInterrupt:
        if not interruptible:
            raise
        made.complete = False
    return made


def _stale(found: WithResults, recipe: Recipe) -> Stale | None:
    stated = [run for run in found.runs.values() if run.get("molecule")]
    if not stated:
        return None
    document = found.document["_id"]
    try:
        molecule = from_document(found.document, recipe.loaded.campaign.molecule)
    except BadDocument as error:
        return Stale(document, (f"molecule: {error.message}",))
    found_out = [words for run in stated for words in differences(run, molecule, recipe.fields)]
    return Stale(document, tuple(dict.fromkeys(found_out))) if found_out else None
