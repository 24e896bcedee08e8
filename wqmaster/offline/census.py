"""Count the documents that the query selects: usable ones, and unusable ones by defect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wqmaster.database.documents import Store
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.molecule import from_document, shown_id
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.building import class_of

# How many documents are read between two reports of progress.
_REPORT_INTERVAL_DOCUMENTS = 1000


@dataclass
class Unusable:
    """Documents with the same kind of defect."""

    documents: int
    example: Any  # the _id of the first one
    message: str  # what is wrong with the first one


@dataclass
class Census:
    """The numbers of usable and unusable documents."""

    usable: int = 0
    unusable: dict[Defect, Unusable] = field(default_factory=dict)
    complete: bool = True  # False if the count was interrupted

    @property
    def selected(self) -> int:
        """The number of documents that were read."""
        return self.usable + sum(found.documents for found in self.unusable.values())

    def add(self, document: Any, error: BadDocument) -> None:
        """Count the document with this `_id` as unusable."""
        found = self.unusable.setdefault(error.defect, Unusable(0, document, error.message))
        found.documents += 1

    def nothing_usable(self) -> BadDocument:
        """The error if no document is usable, with the first one as an example."""
        defect, first = next(iter(self.unusable.items()))
        return BadDocument(
            f"none of the {self.selected:,} selected documents has a usable molecule; the first "
            f"is document {shown_id(first.example)}: {first.message}"
            if self.selected > 1
            else f"the only selected document, {shown_id(first.example)}, has no usable molecule: "
            f"{first.message}",
            defect,
        )

    def as_json(self) -> dict[str, Any]:
        """The census as plain data; for each defect, the number of documents and an example."""
        return {
            "selected": self.selected,
            "usable": self.usable,
            "complete": self.complete,
            "unusable": {
                str(defect): {
                    "documents": found.documents,
                    "example": found.example,
                    "message": found.message,
                }
                for defect, found in self._by_number()
            },
        }

    def _by_number(self) -> list[tuple[Defect, Unusable]]:
        return sorted(self.unusable.items(), key=lambda item: -item[1].documents)

    def lines(self) -> list[str]:
        """A line for each kind of defect, the most frequent first."""
        return [
            f"{found.documents:,} {_reason(defect)}, e.g. document {shown_id(found.example)}: "
            f"{found.message}"
            for defect, found in self._by_number()
        ]


def _reason(defect: Defect) -> str:
    """The failure class that a run would record, and the defect if that is more specific."""
    label = class_of(defect).label
    return label if label == str(defect) else f"{label} ({defect})"


def survey(store: Store, recipe: Recipe, progress: Callable[[int], None]) -> Census:
    """Examine all documents that the query selects, in constant memory.

    `progress` is called with the number of documents read so far. Ctrl-C ends the count, and the
    counts so far are returned.
    """
    census = Census()
    fields = recipe.loaded.campaign.molecule
    try:
        for number, document in enumerate(store.stream(), start=1):
            try:
                recipe.inspect(from_document(document, fields))
            except BadDocument as error:
                census.add(document["_id"], error)
            else:
                census.usable += 1
            if number % _REPORT_INTERVAL_DOCUMENTS == 0:
                progress(number)
    except KeyboardInterrupt:
        census.complete = False
    return census
