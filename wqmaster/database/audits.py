"""Audits in the collection `wqmaster.audits`: how large the noise of a campaign's labels is."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.collection import Collection
from pymongo.database import Database

from wqmaster.campaign.models import Campaign

Document = dict[str, Any]

# Fields of a copy of a molecule: the `_id` of its document, and the audits that compare it.
AUDIT_OF, AUDITS = "audit_of", "audits"


@dataclass(frozen=True)
class Estimate:
    """A statistic of a sample, with the limits of its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Noise:
    """The noise of the labels of one step: their differences from a tighter calculation.

    The estimates of forces are None if the step has no gradient.
    """

    structures: int  # that were compared
    energy_mean: Estimate  # |difference| of the energy per atom, meV
    energy_p95: Estimate  # its 95th percentile, meV
    force_mean: Estimate | None = None  # |difference| of a force component, meV/Angstrom
    force_p95: Estimate | None = None  # its 95th percentile, meV/Angstrom
    rms_mean: Estimate | None = None  # root mean square over a structure, meV/Angstrom
    rms_p95: Estimate | None = None
    # What was compared.
    step: str = ""
    recipe: str = ""  # the hash of the labels' recipe
    tighter: Mapping[str, Any] = field(default_factory=dict)  # options of the tighter calculation
    sample: int = 0  # structures that were to be compared
    seed: int = 0
    finished: datetime | None = None
    # How many of the compared structures a check had refused, by failure class.
    refused: Mapping[str, int] = field(default_factory=dict)

    def as_document(self) -> Document:
        """The numbers as plain data."""
        return asdict(self)


def noise_of(numbers: Mapping[str, Any]) -> Noise:
    """The noise that `Noise.as_document` made plain data of; unknown keys are ignored."""
    found: dict[str, Any] = {}
    for name, value in numbers.items():
        if name in Noise.__dataclass_fields__:
            is_estimate = isinstance(value, Mapping) and {*value} == {"value", "low", "high"}
            found[name] = Estimate(**value) if is_estimate else value
    return Noise(**found)


class Audits:
    """The audits of one campaign. A record is first unfinished, with its sample, then finished.

    `place` is the collection of the campaign's documents. `key` identifies what an audit compares:
    the recipes, the size of the sample and the seed.
    """

    def __init__(self, database: Database[Document], campaign: Campaign) -> None:
        self._audits = database["wqmaster.audits"]
        self._mine = {
            "campaign": campaign.campaign,
            "collection": campaign.database.collection,
            "output_key": campaign.output_key,
        }

    def begin(self, key: str, settings: Mapping[str, Any], sample: list[Document]) -> Document:
        """Record an audit that begins, with the sample that it compares; return the record."""
        self._audits.create_index(
            [("campaign", ASCENDING), ("key", ASCENDING), ("finished", DESCENDING)]
        )
        record = {
            "_id": ObjectId(),
            **self._mine,
            "key": key,
            "settings": dict(settings),
            "sample": sample,
            "started": datetime.now(UTC),
            "finished": None,
        }
        self._audits.insert_one(record)
        return record

    def unfinished(self, key: str) -> Document | None:
        """The last audit with this key that has not finished."""
        query = {**self._mine, "key": key, "finished": None}
        return self._audits.find_one(query, sort=[("_id", DESCENDING)])

    def finished(self, key: str) -> Document | None:
        """The last audit with this key that has finished."""
        query = {**self._mine, "key": key, "finished": {"$ne": None}}
        return self._audits.find_one(query, sort=[("finished", DESCENDING)])

    def set_sample(self, record: Document, sample: list[Document]) -> None:
        """Replace the sample of an unfinished audit."""
        self._audits.update_one({"_id": record["_id"]}, {"$set": {"sample": sample}})

    def finish(self, record: Document, report: Mapping[str, Any]) -> None:
        """Record the result of an audit."""
        changes = {"report": dict(report), "finished": report["noise"]["finished"]}
        self._audits.update_one({"_id": record["_id"]}, {"$set": changes})

    def latest(self, step: str | None = None, recipe: str | None = None) -> Noise | None:
        """The noise that the last finished audit found, of a step and a recipe's hash if given."""
        query: Document = {**self._mine, "finished": {"$ne": None}}
        if step is not None:
            query["report.noise.step"] = step
        if recipe is not None:
            query["report.noise.recipe"] = recipe
        found = self._audits.find_one(query, sort=[("finished", DESCENDING)])
        return None if found is None else noise_of(found["report"]["noise"])


def insert_copies(documents: Collection[Document], copies: Iterable[Document]) -> None:
    """Insert the copies that are not there yet; add the others' audits to those that are."""
    writes = []
    for copy in copies:
        rest = {name: value for name, value in copy.items() if name not in ("_id", AUDITS)}
        change = {"$setOnInsert": rest, "$addToSet": {AUDITS: {"$each": copy[AUDITS]}}}
        writes.append(UpdateOne({"_id": copy["_id"]}, change, upsert=True))
    if writes:
        documents.bulk_write(writes, ordered=False)
