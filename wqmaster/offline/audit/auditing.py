"""An audit from its settings to its report: draw a sample, recompute it, compare."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wqmaster.database import recipe_guard
from wqmaster.database.attempts import key_of
from wqmaster.database.audits import AUDITS, insert_copies
from wqmaster.database.documents import Store
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.labels import Labels, Wishes, labels_of
from wqmaster.datasets.source import Selection, Source
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, NothingMatches, WqmasterError
from wqmaster.jobs.molecule import Document
from wqmaster.offline.audit.derived import (
    UNCHECKED,
    copies,
    copy_id,
    derived,
    explained,
    of_accuracy,
)
from wqmaster.offline.audit.originals import Originals, RunId, source_of
from wqmaster.offline.audit.recipes import Recomputation, named_by, recomputation
from wqmaster.offline.audit.report import Compared, Report, Single, reported
from wqmaster.offline.audit.sampling import Stratum, draw
from wqmaster.offline.audit.statistics import difference
from wqmaster.recipe.hashing import hash_of
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.first_look import check_filled
from wqmaster.run.opening import opened
from wqmaster.run.progress import Progress
from wqmaster.system.this_command import this_command

# All entries of a sample are stored in one document, which MongoDB limits to 16 MB.
MAX_SAMPLE = 10_000
# Settings are changed one by one for this many of the worst structures.
_SINGLES_STRUCTURES = 3
_NAME_DIGITS = 8
_STAGE = "audit: recomputing the sample with tighter settings"
_SINGLES_STAGE = "audit: finding the setting that matters"
_NO_RESULT = "it has no result"
_REPLACED = "the result was replaced after the sample was drawn"
_NOT_RECOMPUTED = "the tighter calculation failed or is not finished"

# Runs a recipe to its end, in a stage with this description.
Run = Callable[[Recipe, str], Progress]


@dataclass(frozen=True)
class Settings:
    """What to audit."""

    sample: int
    seed: int = 0
    tighter: str | None = None  # see `recipes.recomputation`
    step: str | None = None  # default: the step whose values would be exported


class Stopped(Exception):
    """The run of the tighter calculations was stopped; the same command continues it."""


@dataclass
class Audit:
    """An audit of one step, with the sample that it compares."""

    recipe: Recipe
    store: Store
    settings: Settings
    labels: Labels
    how: Recomputation
    key: str
    # What is stored about each structure: document, atoms, stratum, and the run of its result.
    sample: list[Document]
    strata: list[Stratum]
    record: Document | None = None  # the unfinished record that it continues

    def tight(self, audit: Any) -> Recipe:
        """The recipe of the tighter calculations for the record with the id `audit`."""
        steps = {self.labels.name: self.how.options}
        return self._derived(self._name, steps, audit, of_accuracy(self.recipe))

    @property
    def _name(self) -> str:
        return self.key[:_NAME_DIGITS]

    def _derived(
        self,
        name: str,
        steps: Mapping[str, Mapping[str, Any]],
        mark: Any,
        checks: Mapping[str, Any],
    ) -> Recipe:
        function, query = self.how.function, {AUDITS: mark}
        try:
            return derived(
                self.recipe, self.store, self.labels, function, steps, name, query, checks
            )
        except CampaignError as error:
            raise explained(error, self.settings.tighter) from error

    def run(self, run: Run) -> Report:
        """Recompute the sample, compare, and record the report.

        Raises:
            Stopped: the run was stopped.
            WqmasterError: no structure of the sample could be compared.
        """
        about = stated(self.labels, self.settings)
        record = self.record or self.store.audits.begin(self.key, about, self.sample)
        tight = self.tight(record["_id"])
        frames, _ = self._originals.frames(self._ids())
        with opened(tight.loaded) as copied:
            insert_copies(
                copied.documents,
                copies(self.recipe, tight, self.store, [*frames.values()], record["_id"]),
            )
            if copied.any_left() and run(tight, _STAGE).stopped:
                raise Stopped
            compared = self._compared(copied, tight)
        if not compared.pairs:
            message = (
                f"none of the {len(self.sample)} structures of the sample could be compared: "
                f"{reasons(compared.left_out.counts)}"
            )
            if _NOT_RECOMPUTED in compared.left_out.counts:
                message += (
                    "; failures of tighter calculations are in the collection wqmaster.failures, "
                    f"campaign '{tight.loaded.campaign.campaign}'"
                )
            raise WqmasterError(message, code=ErrorCode.AUDIT_FAILED)
        singles: Sequence[Single] = ()
        if len(self.how.changes) > 1:
            singles = [*self._singles(run, compared.pairs, record["_id"])]
        source = Source(self.recipe, self.store, self.labels, Selection())
        report = reported(
            self.how,
            self.strata,
            compared,
            singles,
            {**about, "sample": len(self.sample)},
            source.level().name,
            datetime.now(UTC),
        )
        self.store.audits.finish(record, report.as_document())
        return report

    @property
    def _originals(self) -> Originals:
        return Originals(self.recipe, self.store, self.labels)

    def _ids(self) -> list[Any]:
        return [entry["document"] for entry in self.sample]

    def _compared(self, copied: Store, tight: Recipe) -> Compared:
        """The labels of the sample beside those of the tighter calculations."""
        labels, left_out = self._originals.frames(self._ids())
        runs = self._originals.runs(self._ids())
        refusals = self._originals.refusals(self._ids())
        recomputed = _recomputed(tight, copied, self._labels_in(tight, self.labels.name))
        pairs = []
        refused: Counter[str] = Counter()
        for entry in self.sample:
            key = key_of(entry["document"])
            label = labels.get(key)
            if key not in runs:
                left_out.add(_NO_RESULT, entry["document"])
            elif label is None:
                continue  # it is counted in `left_out` already
            elif runs[key] != _run_in(entry):
                left_out.add(_REPLACED, entry["document"])
            elif (again := recomputed.get(key_of(copy_id(label, tight)))) is None:
                left_out.add(_NOT_RECOMPUTED, entry["document"])
            else:
                pairs.append((label, again))
                if key in refusals:
                    refused[refusals[key]["class"]] += 1
        return Compared(pairs, left_out, refused)

    def _singles(
        self, run: Run, pairs: Sequence[tuple[Frame, Frame]], audit: Any
    ) -> Iterator[Single]:
        """Recompute the worst structures with one setting changed at a time.

        Raises:
            Stopped: the run was stopped.
        """
        worst = sorted(pairs, key=lambda pair: -difference(*pair).badness)[:_SINGLES_STRUCTURES]
        labels = [label for label, _ in worst]
        steps = {change.name: change.apply(self.how.base) for change in self.how.changes}
        mark = f"{audit}-settings"
        # With a single setting changed, most structures keep the noise that the checks refuse.
        recipe = self._derived(f"{self._name}-settings", steps, mark, UNCHECKED)
        with opened(recipe.loaded) as copied:
            made = copies(self.recipe, recipe, self.store, labels, mark)
            insert_copies(copied.documents, made)
            if copied.any_left() and run(recipe, _SINGLES_STAGE).stopped:
                raise Stopped
            for name in steps:
                found = _recomputed(recipe, copied, self._labels_in(recipe, name))
                differences = []
                for label, tight in worst:
                    one = found.get(key_of(copy_id(label, recipe)))
                    if one is not None:
                        differences.append((difference(label, tight), difference(one, tight)))
                if differences:
                    yield Single(name, differences)

    def _labels_in(self, recipe: Recipe, step: str) -> Labels:
        """The same labels in a step of a derived recipe."""
        return labels_of(recipe, Wishes(step=step, energy=self.labels.values["energy"]))


def prepared(recipe: Recipe, store: Store, settings: Settings) -> Audit:
    """Draw the sample of an audit of existing results, or continue an unfinished audit.

    Raises:
        CampaignError: the step's labels cannot be recomputed.
        NothingMatches: the step has no results.
        RecipeMismatch: it has results of other recipes only.
    """
    labels = labels_of(recipe, Wishes(step=settings.step, has_options=False))
    originals = Originals(recipe, store, labels)
    how = recomputation(recipe, labels, settings.tighter, originals.version())
    key = key_for(labels, settings)
    record = store.audits.unfinished(key)
    if record is not None and _is_current(originals, record["sample"]):
        return Audit(
            recipe, store, settings, labels, how, key, record["sample"], strata_in(record), record
        )
    strata = draw(originals.sizes(), settings.sample, settings.seed)
    if not strata:
        check_filled(store, recipe.loaded)
        recipe_guard.check_recipes(store, recipe)
        raise NothingMatches(
            f"{store.documents.full_name}: no document has a result of step '{labels.name}' with "
            "the campaign's recipe, or one that a check refused; compute some first: "
            f"{this_command()} run {recipe.loaded.typed}"
        )
    sample = with_runs(originals, entries_of(strata))
    return Audit(recipe, store, settings, labels, how, key, sample, strata)


def _is_current(originals: Originals, sample: Sequence[Document]) -> bool:
    """Whether no result has been replaced since the sample was drawn."""
    runs = originals.runs([entry["document"] for entry in sample])
    return all(runs.get(key_of(entry["document"])) == _run_in(entry) for entry in sample)


def key_for(labels: Labels, settings: Settings) -> str:
    """What identifies an audit: recipe, values, tighter settings, size of the sample and seed."""
    return hash_of(
        [
            *(labels.name, labels.step.hash, labels.values, named_by(settings.tighter)),
            *(settings.sample, settings.seed),
        ]
    )


def stated(labels: Labels, settings: Settings) -> Document:
    """What a record states about an audit."""
    return {
        "step": labels.name,
        "recipe": labels.step.hash,
        "sample": settings.sample,
        "seed": settings.seed,
    }


def entries_of(strata: Sequence[Stratum]) -> list[Document]:
    """The entries of a sample, without the runs of their results."""
    return [
        {
            "document": document,
            "atoms": natoms,
            "stratum": [stratum.smallest, stratum.largest, stratum.documents],
        }
        for stratum in strata
        for document, natoms in stratum.drawn
    ]


def strata_in(record: Document) -> list[Stratum]:
    """The strata of the sample in a record."""
    drawn: dict[tuple[int, int, int], list[tuple[Any, int]]] = {}
    for entry in record["sample"]:
        smallest, largest, documents = entry["stratum"]
        place = drawn.setdefault((smallest, largest, documents), [])
        place.append((entry["document"], entry["atoms"]))
    return [Stratum(*place, drawn=tuple(those)) for place, those in drawn.items()]


def with_runs(originals: Originals, sample: Sequence[Document]) -> list[Document]:
    """The entries of a sample, each with the run of its present result, which is to be compared."""
    runs = originals.runs([entry["document"] for entry in sample])
    found = []
    for entry in sample:
        run = runs.get(key_of(entry["document"]))
        attempt, finished, molecule = run or (None, None, None)
        found.append({**entry, "attempt": attempt, "finished": finished, "molecule": molecule})
    return found


def _run_in(entry: Document) -> RunId:
    return entry.get("attempt"), entry.get("finished"), entry.get("molecule")


def _recomputed(recipe: Recipe, copied: Store, labels: Labels) -> dict[str, Frame]:
    """The usable labels of a derived recipe, by `key_of(_id)` of the copies."""
    source = source_of(recipe, copied, labels, copied.campaign.submit.query)
    return {key_of(frame.document): frame for frame in source.frames()}


def reasons(counts: Mapping[str, int]) -> str:
    """The reasons why structures were left out, with their numbers."""
    return "; ".join(f"{count}: {reason}" for reason, count in counts.items())
