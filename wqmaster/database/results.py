"""Store, read, count, replace and remove the results in a campaign's documents."""

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
from wqmaster.database.reasons import plain
from wqmaster.jobs.molecule import Document, lookup

# MongoDB's error code if a field that is not a document blocks a path.
_PATH_NOT_VIABLE_CODE = 28
# MongoDB limits a document to 16 MB, and the document has other fields besides the result.
_MAX_RESULT_BYTES = 15 << 20
# Names for fields that a query computes; no document should have fields with these names.
_RUNS, _THERE = "wqmaster:runs", "wqmaster:there"
_STREAM_BATCH_DOCUMENTS = 500


@dataclass(frozen=True)
class Result:
    """The result of one job: the values of each step, with `_run`."""

    document: Any
    steps: Mapping[str, Document]
    # Whether they replace those of an earlier attempt (`commit: step`), so that all steps of a
    # document come from one job.
    replaces: bool = False


def refusal(steps: Mapping[str, Document]) -> str | None:
    """Why a document cannot hold a result with these steps; None if it can.

    Each value is encoded separately, so that only one of them is in memory twice.
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
        f"the result has {_megabytes(total)} ({largest}: {_megabytes(sizes[largest])}), but a "
        "document can hold only 16 MB in all; remove the parser, and keep its file with "
        "'keep_files' instead"
    )


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MB"


@dataclass(frozen=True)
class StoredStep:
    """The stored result of one step."""

    document: Any
    step: str
    values: Document

    @property
    def key(self) -> str:
        """The document's `key_of`."""
        return key_of(self.document)

    @property
    def run(self) -> Document:
        """The `_run` of the result; {} unless it has the keys that identify the run."""
        run = self.values.get("_run")
        known = isinstance(run, dict) and {"attempt", "finished"} <= run.keys()
        return dict(run) if known and run else {}


@dataclass(frozen=True)
class WithResults:
    """A document that has results."""

    document: Document  # the document's `_id` and the fields of its molecule
    runs: Mapping[str, Document]  # each step that has a result -> its `_run`; {} if it has none


@dataclass(frozen=True)
class StatedRecipe:
    """The recipe that stored results record in `_run`."""

    hash: str | None  # None: not recorded
    old: bool  # whether a version before 0.2 stored the results; the hash then covered less
    parser_version: str | None = None  # version of the parsers that read the values


class Results:
    """The results of one campaign.

    `projection` selects the fields that are fetched with a document, such as its molecule.
    """

    def __init__(
        self, documents: Collection[Document], campaign: Campaign, projection: Document
    ) -> None:
        self._documents = documents
        self._steps = campaign.steps
        self._key = campaign.output_key
        self._projection = projection
        self._paths = [f"{self._key}.{step.name}" for step in campaign.steps]

    def commit(self, results: Sequence[Result]) -> dict[str, str]:
        """Store each result that does not exist yet, acknowledged by the journal.

        Returns:
            the reason for each result that was refused for good, keyed by `key_of(_id)`. All
            other results are stored, either now or earlier.

        Raises:
            PyMongoError: the database cannot be reached; whether anything was stored is unknown.
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
                    refused[key_of(update[0].document)] = plain(str(found.get("errmsg")))
        if matched < len(updates):
            refused |= self._gone(results, refused)
        return refused

    def of(self, document_ids: Sequence[Any]) -> dict[str, dict[str, Document]]:
        """The stored steps of each existing document ({} if none), keyed by `key_of(_id)`."""
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

    def runs(self, document_ids: Sequence[Any], step: str) -> dict[str, Document]:
        """The `_run` of a step of each existing document ({} if none), keyed by `key_of(_id)`."""
        path = f"{self._key}.{step}._run"
        found = {}
        for document in self._documents.find({"_id": {"$in": list(document_ids)}}, {path: 1}):
            run = lookup(document, path)
            found[key_of(document["_id"])] = dict(run) if isinstance(run, dict) else {}
        return found

    def replace(self, document: Any, step: str, run: Document, values: Document) -> bool:
        """Replace values of a step if its result comes from `run`; return whether it does.

        `run` is the `_run` of a result. Other values, and other fields of `_run`, are unchanged.
        """
        path = f"{self._key}.{step}"
        query = {"_id": document, **_made_by(path, run)}
        updates = {f"{path}.{name}": value for name, value in values.items() if name != "_run"}
        updates |= {f"{path}._run.{name}": value for name, value in values["_run"].items()}
        return bool(self._documents.update_one(query, {"$set": updates}).matched_count)

    def withdraw(self, document: Any, run: Document, kept: frozenset[str] = frozenset()) -> None:
        """Remove the results of all steps except `kept` that come from `run`, a result's `_run`."""
        for step, path in zip(self._steps, self._paths, strict=True):
            if step.name in kept:
                continue
            query = {"_id": document, **_made_by(path, run)}
            self._documents.update_one(query, {"$set": {path: None}})

    def clear(self, stored: Sequence[StoredStep]) -> int:
        """Remove results that are already in the history; return how many.

        A result that was replaced in the meantime stays.
        """
        updates = []
        for found in stored:
            path = f"{self._key}.{found.step}"
            as_read = _made_by(path, found.run) if found.run else {path: found.values}
            updates.append(UpdateOne({"_id": found.document, **as_read}, {"$set": {path: None}}))
        return self._documents.bulk_write(updates, ordered=False).matched_count if updates else 0

    def _update(self, result: Result, step: str, values: Document) -> UpdateOne:
        path = f"{self._key}.{step}"
        query: Document = {path: None}
        if result.replaces:
            query = {"$or": [{path: None}, _of_earlier_attempt(path, values["_run"])]}
        return UpdateOne({"_id": result.document, **query}, {"$set": {path: values}})

    def _in_place_of_null(self, result: Result, step: str, values: Document) -> bool:
        """Store values below a field that is null; return whether they are stored.

        A plain update by MongoDB refuses such a path.
        """
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
        """Refusals for results whose documents were deleted in the meantime."""
        wanted = {key_of(r.document): r.document for r in results}
        there = self._documents.find({"_id": {"$in": list(wanted.values())}}, {"_id": 1})
        missing = set(wanted) - {key_of(entry["_id"]) for entry in there} - set(refused)
        return dict.fromkeys(missing, "the document is no longer in the collection")

    def recipes(
        self, seconds: float, first: int | None = None
    ) -> dict[str, dict[StatedRecipe, int]]:
        """For each step, the recipes that its results record, and the number of results of each.

        With `first`, only that many results of each step are read, in the order of `_id`, which is
        also the order in which a run computes documents.

        Raises:
            ExecutionTimeout: this took more than `seconds` (an error of pymongo).
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
                                "hash": _text(f"${path}._run.recipe"),
                                "old": {"$eq": [{"$type": f"${path}._run.computed"}, "missing"]},
                                "parsers": _text(f"${path}._run.parser_version"),
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

    def any_other(self, made: Mapping[str, tuple[str, str | None]], seconds: float) -> bool:
        """Whether any result was made in another way than `made` states for its step.

        `made` has the hash of the recipe and the version of the parsers for each step. A result
        that records no recipe is another one. This takes a third of the time of `recipes`.

        Raises:
            ExecutionTimeout: this took more than `seconds` (an error of pymongo).
        """
        others = []
        for name, (recipe, parsers) in made.items():
            path = f"{self._key}.{name}"
            other = [
                {f"{path}._run.recipe": {"$ne": recipe}},
                {f"{path}._run.parser_version": {"$not": {"$in": [None, parsers]}}},
            ]
            others.append({path: {"$ne": None}, "$or": other})
        bound = max(1, int(seconds * 1000))
        return bool(self._documents.count_documents({"$or": others}, limit=1, maxTimeMS=bound))

    def any_there(self) -> bool:
        """Whether there is a result of any step."""
        some = {"$or": [{path: {"$ne": None}} for path in self._paths]}
        return self._documents.find_one(some, {"_id": 1}) is not None

    def every(self, query: Document | None = None) -> Iterator[WithResults]:
        """Yield every document that has a result of any step, with the `_run` of each result.

        With `query`, only documents that it selects. The memory used does not grow with their
        number.
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
            steps = {
                step: run if isinstance(run, dict) else {}
                for step, run in stated.items()
                if has[step]
            }
            yield WithResults(found, steps)

    def any_lacking(self, step: str, names: Sequence[str], seconds: float) -> bool:
        """Whether any result of `step` lacks one of the values in `names`.

        Raises:
            ExecutionTimeout: this took more than `seconds` (an error of pymongo).
        """
        path = f"{self._key}.{step}"
        lacks = [{f"{path}.{name}": {"$exists": False}} for name in names]
        query = {path: {"$ne": None}, "$or": lacks}
        bound = max(1, int(seconds * 1000))
        return bool(names) and bool(
            self._documents.count_documents(query, limit=1, maxTimeMS=bound)
        )

    def lacking(
        self, step: str, names: Sequence[str], seconds: float
    ) -> tuple[int, dict[str, int]]:
        """The number of results of `step`, and for each value in `names`, how many lack it.

        Raises:
            ExecutionTimeout: this took more than `seconds` (an error of pymongo).
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


def _of_earlier_attempt(path: str, run: Document) -> Document:
    """The query for a result at `path` of an earlier attempt than the run of this `_run`."""
    same = {f"{path}._run.{name}": run[name] for name in ("recipe", "molecule")}
    return {**same, f"{path}._run.attempt": {"$lt": run["attempt"]}}


def _made_by(path: str, run: Document) -> Document:
    """A query for the result at `path`, if it comes from `run`, the `_run` of a result."""
    return {f"{path}._run.{name}": run[name] for name in ("attempt", "finished")}


def _text(field: str) -> Document:
    """An expression for the field; null if it is missing or, since users edit, not a text."""
    return {"$cond": [{"$eq": [{"$type": field}, "string"]}, field, None]}
