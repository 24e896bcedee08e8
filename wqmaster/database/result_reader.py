"""Read stored results with their values, for exports and audits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.collection import Collection

from wqmaster.jobs.molecule import Document, lookup

# Names for fields that a query computes; no document should have fields with these names.
_VALUES, _FURTHER = "wqmaster:values", "wqmaster:further"
_STREAM_BATCH_DOCUMENTS = 500


@dataclass(frozen=True)
class WithValues:
    """A document that has results, with some of their values."""

    document: Document  # the document's `_id` and the fields of its molecule
    steps: Mapping[str, Document]  # the values of each step, with `_run`
    further: Mapping[str, Any]  # other fields that were asked for; None if there is none


class ResultReader:
    """Reads the results under a campaign's output key.

    `projection` selects the fields that are fetched with a document, such as its molecule.
    """

    def __init__(
        self, documents: Collection[Document], output_key: str, projection: Document
    ) -> None:
        self._documents = documents
        self._key = output_key
        self._projection = projection

    def values(
        self, names: Mapping[str, Sequence[str]], query: Document, further: Sequence[str] = ()
    ) -> Iterator[WithValues]:
        """Yield each document that has a result of all these steps, in the order of `_id`.

        `names` maps steps to the values to fetch; `further` names other fields to fetch. The memory
        used does not grow with the number of documents.
        """
        paths = {step: f"{self._key}.{step}" for step in names}
        values = {
            step: {name: f"${path}.{name}" for name in (*names[step], "_run")}
            for step, path in paths.items()
        }
        there = [{path: {"$ne": None}} for path in paths.values()]
        others = {_FURTHER: {str(place): f"${name}" for place, name in enumerate(further)}}
        for found in self._documents.aggregate(
            [
                {"$match": {"$and": [query, *there]}},
                {"$sort": {"_id": ASCENDING}},
                # MongoDB refuses an empty mapping here.
                {"$project": {**self._projection, _VALUES: values, **(others if further else {})}},
            ],
            hint={"_id": ASCENDING},
            batchSize=_STREAM_BATCH_DOCUMENTS,
        ):
            steps, more = found.pop(_VALUES), found.pop(_FURTHER, {})
            fetched = {name: more.get(str(place)) for place, name in enumerate(further)}
            yield WithValues(found, steps, fetched)

    def count(self, step: str, query: Document) -> dict[tuple[str | None, bool], int]:
        """The number of results of `step` that `query` selects.

        The keys are the recipe's hash and whether the results were adopted.
        """
        path = f"{self._key}.{step}"
        kind = {
            "recipe": f"${path}._run.recipe",
            "adopted": {"$eq": [{"$type": f"${path}._run.adopted"}, "object"]},
        }
        groups = self._documents.aggregate(
            [
                {"$match": {"$and": [query, {path: {"$ne": None}}]}},
                {"$group": {"_id": kind, "count": {"$sum": 1}}},
            ]
        )
        found: dict[tuple[str | None, bool], int] = {}
        for group in groups:
            # What is not a text, which only a user can have stored, states nothing.
            stated = group["_id"].get("recipe")
            key = (stated if isinstance(stated, str) else None, group["_id"]["adopted"])
            found[key] = found.get(key, 0) + group["count"]
        return found

    def has_other_ids_than_texts(self) -> bool:
        """Whether some documents have an `_id` that is not a text."""
        # Ids are sorted by their types, so if the first and last are texts, all are.
        ends = (
            self._documents.find_one({}, {"_id": 1}, sort=[("_id", order)])
            for order in (ASCENDING, DESCENDING)
        )
        return any(found is not None and not isinstance(found["_id"], str) for found in ends)

    def version(self, step: str, recipe: str) -> str | None:
        """The program's version in some result of `step` with this recipe; None if unknown."""
        path = f"{self._key}.{step}._run"
        found = self._documents.find_one({f"{path}.recipe": recipe}, {f"{path}.program_version": 1})
        version = found and lookup(found, f"{path}.program_version")
        return version if isinstance(version, str) else None
