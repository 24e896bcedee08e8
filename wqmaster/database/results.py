"""Results in the documents of a campaign: stored, read, counted, replaced, moved to the history."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bson import encode
from bson.errors import BSONError
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from wqmaster.campaign.models import Campaign
from wqmaster.database.attempts import key_of
from wqmaster.jobs.molecule import Document, lookup

# Code of MongoDB: a field is in the way of a path.
_PATH_NOT_VIABLE_CODE = 28
# 16 MB is the limit of a document; a result may not fill it alone.
_MAX_RESULT_BYTES = 15 << 20
# Names of computed fields of a stream, which no document has.
_RUNS, _THERE = "wqmaster:runs", "wqmaster:there"
_STREAM_BATCH_DOCUMENTS = 500


@dataclass(frozen=True)
class Result:
    """What is to be stored for one job: per step, the values and `_run`."""

    document: Any
    steps: Mapping[str, Document]


def refusal(steps: Mapping[str, Document]) -> str | None:
    """Why a result with these steps can be stored in no document; None if it can.

    Each value is encoded by itself: no more than one of them is in memory twice.
    """
    sizes: dict[str, int] = {}
    for step, values in steps.items():
        for name, value in values.items():
            try:
                sizes[f"{step}.{name}"] = len(encode({name: value}))
            except (BSONError, ValueError, OverflowError, TypeError) as error:
                return f"{step}.{name} cannot be stored: {error}"
    total = sum(sizes.values())
    if total <= _MAX_RESULT_BYTES:
        return None
    largest = max(sizes, key=sizes.__getitem__)
    return (
        f"{largest} is {_megabytes(sizes[largest])} of the {_megabytes(total)} of the result, and "
        "a document holds 16 MB with all its fields; keep the file with 'keep_files' instead, and "
        "remove the parser"
    )


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


@dataclass(frozen=True)
class StoredStep:
    """A stored result of one step."""

    document: Any
    step: str
    values: Document

    @property
    def key(self) -> str:
        """`key_of` its document."""
        return key_of(self.document)

    @property
    def run(self) -> Document:
        """Its `_run`; {} where it does not say which run made it."""
        run = self.values.get("_run")
        known = isinstance(run, dict) and {"attempt", "finished"} <= run.keys()
        return dict(run) if known and run else {}


@dataclass(frozen=True)
class WithResults:
    """A document that has results."""

    document: Document  # its `_id`, and the fields that its molecule is read from
    runs: Mapping[str, Document]  # by step that has a result: its `_run`, {} where it has none


@dataclass(frozen=True)
class StatedRecipe:
    """The recipe that stored results state."""

    hash: str | None  # None: they state none
    old: bool  # whether a version before 0.2 stored them, whose hash covered less
    parser_version: str | None = None  # version of the parsers that read them


class Results:
    """The results of one campaign. `projection` names the fields a molecule is read from."""

    def __init__(
        self, documents: Collection[Document], campaign: Campaign, projection: Document
    ) -> None:
        self._documents = documents
        self._steps = campaign.steps
        self._key = campaign.output_key
        self._projection = projection
        self._paths = [f"{self._key}.{step.name}" for step in campaign.steps]

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store `results`, each only where there is still none; acknowledged by the journal.

        Returns:
            by `key_of` the document, why its result was refused for good (not in it: stored, now
            or before).

        Raises:
            PyMongoError: the database is not to be reached; nothing is known.
        """
        refused: dict[str, str] = {}
        updates: list[tuple[Result, str, Document]] = []
        for result in results:
            why = refusal(result.steps)
            if why is not None:
                refused[key_of(result.document)] = why
                continue
            updates += [(result, name, values) for name, values in result.steps.items()]
        if not updates:
            return refused
        try:
            matched = self._documents.bulk_write(
                [self._update(*update) for update in updates], ordered=False
            ).matched_count
        except BulkWriteError as error:
            matched = error.details.get("nMatched", 0)
            for found in error.details.get("writeErrors", []):
                update = updates[found["index"]]
                if found.get("code") != _PATH_NOT_VIABLE_CODE or not self._in_place_of_null(
                    *update
                ):
                    refused[key_of(update[0].document)] = str(found.get("errmsg"))[:500]
        if matched < len(updates):
            refused |= self._gone(results, refused)
        return refused

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """By `key_of` the document: its stored steps ({} for none); documents gone are left out."""
        fields = dict.fromkeys(self._paths, 1)
        found = {}
        for document in self._documents.find({"_id": {"$in": list(document_ids)}}, fields):
            steps = {
                step.name: lookup(document, path)
                for step, path in zip(self._steps, self._paths, strict=True)
            }
            found[key_of(document["_id"])] = {
                name: values for name, values in steps.items() if isinstance(values, dict)
            }
        return found

    def replace(self, document: Any, step: str, run: Document, values: Document) -> bool:
        """Store other values for a step that the run of this `_run` has made; whether they were.

        Values that are not among them stay as they are; so do those of `_run`.
        """
        path = f"{self._key}.{step}"
        query = {"_id": document, **_made_by(path, run)}
        updates = {f"{path}.{name}": value for name, value in values.items() if name != "_run"}
        updates |= {f"{path}._run.{name}": value for name, value in values["_run"].items()}
        return bool(self._documents.update_one(query, {"$set": updates}).matched_count)

    def withdraw(self, document: Any, run: Document) -> None:
        """Take out the results of all steps that the run of this `_run` has made."""
        for path in self._paths:
            query = {"_id": document, **_made_by(path, run)}
            self._documents.update_one(query, {"$set": {path: None}})

    def clear(self, stored: Sequence[StoredStep]) -> int:
        """Take out results that are kept elsewhere, each only as it is stated; how many they were.

        One that was replaced in the meantime is left alone.
        """
        updates = []
        for found in stored:
            path = f"{self._key}.{found.step}"
            as_read = _made_by(path, found.run) if found.run else {path: found.values}
            updates.append(UpdateOne({"_id": found.document, **as_read}, {"$set": {path: None}}))
        return self._documents.bulk_write(updates, ordered=False).matched_count if updates else 0

    def _update(self, result: Result, step: str, values: Document) -> UpdateOne:
        path = f"{self._key}.{step}"
        return UpdateOne({"_id": result.document, path: None}, {"$set": {path: values}})

    def _in_place_of_null(self, result: Result, step: str, values: Document) -> bool:
        """Store below a field that is null, which MongoDB does not do by itself."""
        names = [*self._key.split("."), step]
        for depth in range(1, len(names)):
            path, nested = ".".join(names[:depth]), values
            for name in reversed(names[depth:]):
                nested = {name: nested}
            if self._documents.update_one(
                {"_id": result.document, path: {"$type": "null"}}, {"$set": {path: nested}}
            ).matched_count:
                return True
        try:
            update = self._update(result, step, values)
            self._documents.bulk_write([update])
        except BulkWriteError:
            return False
        return True

    def _gone(self, results: Sequence[Result], refused: Mapping[str, str]) -> dict[str, str]:
        """Results whose documents were removed in the meantime."""
        wanted = {key_of(r.document): r.document for r in results}
        there = self._documents.find({"_id": {"$in": list(wanted.values())}}, {"_id": 1})
        missing = set(wanted) - {key_of(entry["_id"]) for entry in there} - set(refused)
        return dict.fromkeys(missing, "the document is no longer in the collection")

    def recipes(
        self, seconds: float, first: int | None = None
    ) -> dict[str, dict[StatedRecipe, int]]:
        """By step: the recipes that results state, and how many results state each.

        `first`: of so many results in the order of `_id`, in which they are made.

        Raises:
            ExecutionTimeout: (of pymongo) it took more than `seconds`.
        """
        found = {}
        bound = max(1, int(seconds * 1000 / len(self._paths)))
        some: list[Document] = [{"$sort": {"_id": 1}}, {"$limit": first}] if first else []
        for step, path in zip(self._steps, self._paths, strict=True):
            groups = self._documents.aggregate(
                [
                    {"$match": {path: {"$ne": None}}},
                    *some,
                    {
                        "$group": {
                            "_id": {
                                "hash": {"$ifNull": [f"${path}._run.recipe", None]},
                                "old": {"$eq": [{"$type": f"${path}._run.computed"}, "missing"]},
                                "parsers": {"$ifNull": [f"${path}._run.parser_version", None]},
                            },
                            "count": {"$sum": 1},
                        }
                    },
                ],
                maxTimeMS=bound,
            )
            found[step.name] = {
                StatedRecipe(group["hash"], group["old"], group["parsers"]): count
                for group, count in ((entry["_id"], entry["count"]) for entry in groups)
            }
        return found

    def every(self, query: Document | None = None) -> Iterator[WithResults]:
        """Every document that has a result of any step, with `_run` of each of its results.

        `query`: of those that it selects. The documents are streamed, not collected.
        """
        some = {"$or": [{path: {"$ne": None}} for path in self._paths]}
        runs = {
            step.name: {"$ifNull": [f"${path}._run", None]}
            for step, path in zip(self._steps, self._paths, strict=True)
        }
        there = {
            step.name: {"$gt": [f"${path}", None]}
            for step, path in zip(self._steps, self._paths, strict=True)
        }
        for found in self._documents.aggregate(
            [
                {"$match": {"$and": [query or {}, some]}},
                {"$project": {**self._projection, _RUNS: runs, _THERE: there}},
            ],
            batchSize=_STREAM_BATCH_DOCUMENTS,
        ):
            stated, has = found.pop(_RUNS), found.pop(_THERE)
            steps = {step: stated[step] or {} for step in stated if has[step]}
            yield WithResults(found, steps)

    def lacking(
        self, step: str, names: Sequence[str], seconds: float
    ) -> tuple[int, dict[str, int]]:
        """How many results `step` has, and how many of them lack a value under each of `names`.

        Raises:
            ExecutionTimeout: (of pymongo) it took more than `seconds`.
        """
        path = f"{self._key}.{step}"
        counts: Document = {"results": {"$sum": 1}}
        for place, name in enumerate(names):
            lacks = {"$eq": [{"$type": f"${path}.{name}"}, "missing"]}
            counts[f"lack{place}"] = {"$sum": {"$cond": [lacks, 1, 0]}}
        groups = self._documents.aggregate(
            [{"$match": {path: {"$ne": None}}}, {"$group": {"_id": None, **counts}}],
            maxTimeMS=int(seconds * 1000),
        )
        found = next(iter(groups), {})
        return found.get("results", 0), {
            name: found.get(f"lack{place}", 0) for place, name in enumerate(names)
        }


def _made_by(path: str, run: Document) -> Document:
    """Whether the result at `path` is of the run of this `_run`."""
    return {f"{path}._run.{name}": run[name] for name in ("attempt", "finished")}
