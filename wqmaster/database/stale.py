"""Find stale results: results whose document now holds another molecule.

The `_run` of each result records the molecule that was computed: `molecule` is its fingerprint, and
`computed` has the parts of the fingerprint. If the document is edited later, or if the molecule is
read from other fields, the result no longer matches and must not be mistaken for a result of the
new molecule.
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

# How many stale documents are shown as examples.
MAX_EXAMPLES = 3
# How many documents are compared between two checks of the time limit.
_DOCUMENTS_PER_LOOK = 200


@dataclass(frozen=True)
class Stale:
    """A document with a stale result."""

    document: Any
    differences: tuple[str, ...]  # such as "charge: 0 before, 1 now"


@dataclass
class Survey:
    """How many documents of a campaign have stale results, with examples."""

    checked: int = 0  # documents with a result
    stale: int = 0
    unknown: int = 0  # documents with a result whose `_run` does not record the molecule
    complete: bool = True  # False: time ran out before all were checked
    # Part of the molecule -> number of documents in which it differs.
    differing: Counter[str] = field(default_factory=Counter)
    examples: list[Stale] = field(default_factory=list)

    def add(self, found: WithResults, stale: Stale | None) -> None:
        """Count a document that has a result; `stale` is None if the result is not stale."""
        self.checked += 1
        self.unknown += any(run and not run.get("molecule") for run in found.runs.values())
        if stale is None:
            return
        self.stale += 1
        self.differing.update({words.partition(":")[0] for words in stale.differences})
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(stale)

    def as_json(self) -> dict[str, Any]:
        """The counts and examples as plain data."""
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
    """Yield each document that has a result, with its `Stale`, or None if it is not stale.

    The memory used does not grow with the number of documents.
    """
    for found in store.results.every(query):
        yield found, _stale(found, recipe)


def survey(
    store: Store,
    recipe: Recipe,
    seconds: float | None = None,
    show: Callable[[Survey], None] = lambda made: None,
    *,
    interruptible: bool = False,
) -> Survey:
    """Count the documents with a stale result, for at most `seconds` (None: without a limit).

    `show` is called with the counts so far, again and again. If `interruptible`, Ctrl-C ends the
    count, and the counts so far are returned.
    """
    until = None if seconds is None else time.monotonic() + seconds
    made = Survey()
    try:
        for found, stale in every(store, recipe):
            made.add(found, stale)
            if made.checked % _DOCUMENTS_PER_LOOK == 0:
                show(made)
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
