"""Adopt existing outputs: each becomes a document with a judged result, or is refused and listed.

Each document is inserted together with its result, so that nothing is half-adopted. Its `_id` is
the output's path below the folder, so that the same command adds nothing twice and continues what a
kill interrupted. The recipe in `_run` is the one that the output states, never the campaign's.
"""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bson import decode
from pymongo.errors import PyMongoError

from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.reasons import reason
from wqmaster.database.results import Result
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, DatabaseError, RecipeMismatch
from wqmaster.jobs.molecule import Document, lookup
from wqmaster.offline.adopting.account import Account
from wqmaster.offline.adopting.base import Found, Reason, Taken
from wqmaster.offline.adopting.finding import Walk
from wqmaster.offline.adopting.judging import Judge, Options
from wqmaster.offline.adopting.pool import BATCH_OUTPUTS, Item, Pool
from wqmaster.offline.adopting.tables import Seen, kept
from wqmaster.recipe.recipe import Recipe, StepRecipe

REFUSED_FILE = "adopt-refused.jsonl"
# How many examples of each class a report lists.
_MAX_EXAMPLES = 3
# The limits of a batch that is inserted.
_BATCH_DOCUMENTS = 200
_BATCH_BYTES = 32 << 20
# The time limit for reading which recipes the results under the key have.
_SCAN_SECONDS = 60.0


@dataclass(frozen=True)
class Wish:
    """What the user asks for, besides the `Options`."""

    mix: bool = False  # adopt outputs of several recipes
    limit: int | None = None  # stop after this many outputs
    dry: bool = False  # change nothing
    processes: int = 1


def step_of(recipe: Recipe, program: str, name: str | None) -> StepRecipe:
    """The step whose results the outputs of `program` become: `name`, or the only one.

    Raises:
        CampaignError: no step, or more than one, runs the program.
    """
    of_program = [
        step
        for step in recipe.steps
        if step.function.program is not None and step.function.program.name == program
    ]
    found = [step for step in of_program if name in (None, step.request.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(step.request.name for step in of_program)
    path = recipe.loaded.source.path
    if name is None and of_program:
        raise CampaignError(
            f"{path}: several steps run {program} ({names}); name one with --step",
            code=ErrorCode.ADOPTION_UNCLEAR,
        )
    which = f"no step '{name}' that runs {program}" if name else f"no step that runs {program}"
    those = f" (steps that do: {names})" if of_program else ""
    raise CampaignError(
        f"{path}: the campaign has {which}{those}; --program and the step's func_name must agree",
        code=ErrorCode.ADOPTION_UNCLEAR,
    )


class Adoption:
    """Adopts the outputs in a folder into a campaign's collection."""

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        options: Options,
        wish: Wish,
        show: Callable[[int], None] = lambda outputs: None,
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._options = options
        self._wish = wish
        self._show = show
        self._judge = Judge(recipe, options)
        self._noted: set[str] = set()
        self._batch: list[tuple[Document, Taken]] = []
        self._batch_bytes = 0
        # The recipe that all adopted outputs must have; None if it may be any.
        self._only = options.recipe
        self._refused: IO[str] | None = None

    def check(self) -> None:
        """Check that the outputs may be stored beside the existing results.

        Raises:
            RecipeMismatch: results of a run are under the key, or adopted ones of other recipes.
        """
        step = self._options.step
        found = self._store.results.recipes(_SCAN_SECONDS)[step]
        counts: Counter[str] = Counter()
        for stated, count in found.items():
            counts[str(stated.hash)] += count
        place = f"{self._store.documents.full_name}, {self._store.campaign.output_key}.{step}"
        computed = [name for name in counts if "adopted" not in (self._store.recipe(name) or {})]
        if computed:
            total = sum(counts[name] for name in computed)
            raise RecipeMismatch(
                f"{place}: a run computed {total:,} results under this key, and adopted ones must "
                "not be mixed with them; adopt into a campaign with another 'mongo_output_key'"
            )
        if self._wish.mix:
            return
        others = [name for name in counts if name != (self._options.recipe or name)]
        if others or len(counts) > 1:
            raise RecipeMismatch(
                f"{place}: adopted results of {len(counts)} recipes are under this key; to add "
                "others: --mix-recipes, or another 'mongo_output_key'"
            )
        self._only = self._options.recipe or next(iter(counts), None)

    def take(self, account: Account, scratch: Path | None) -> None:
        """Adopt the outputs in the folder that `account` names.

        The numbers in `account` are correct even if an error is raised or Ctrl-C stops it: what
        they count as adopted is in the database.

        Raises:
            DatabaseError: the database failed.
        """
        walk = Walk(account.folder, self._program)
        with contextlib.ExitStack() as stack:
            seen = stack.enter_context(contextlib.closing(Seen(scratch)))
            if not self._wish.dry:
                path = self._recipe.loaded.folder / REFUSED_FILE
                part = stack.enter_context(kept(path))
                self._refused = stack.enter_context(part.open("w", encoding="utf-8"))
                account.refused_file = path
            campaign = self._recipe.loaded.source.path.absolute()
            pool = stack.enter_context(Pool(campaign, self._options, self._wish.processes))
            try:
                for number, taken in enumerate(self._ordered(walk, pool), start=1):
                    self._settle(taken, account, seen)
                    self._show(number)
                self._insert(account)
            finally:
                account.files, account.skipped = walk.files, walk.skipped

    @property
    def _program(self) -> str:
        step = next(one for one in self._recipe.steps if one.request.name == self._options.step)
        return str(step.function.program.name) if step.function.program is not None else ""

    def _ordered(self, walk: Walk, pool: Pool) -> Iterator[Taken]:
        """Yield what became of each output and unreadable file, in the order of the walk."""
        unreadable: list[Taken] = []

        def outputs() -> Iterator[Found]:
            for found in itertools.islice(walk.found(), self._wish.limit):
                if isinstance(found, Taken):
                    unreadable.append(found)
                else:
                    yield found

        for taken in pool.taken(self._batches(outputs())):
            while unreadable:
                yield unreadable.pop(0)
            yield taken
        yield from unreadable

    def _batches(self, outputs: Iterable[Found]) -> Iterator[Sequence[Item]]:
        """Yield the outputs in batches, each with the `_run` of the document that has its `_id`."""
        source = iter(outputs)
        while batch := list(itertools.islice(source, BATCH_OUTPUTS)):
            ids = {one.relative: self._judge.id_of(one) for one in batch}
            results = self._store.results
            runs = self._asking(results.runs, list(ids.values()), self._options.step)
            yield [(one, runs.get(key_of(ids[one.relative]))) for one in batch]

    # --- settling ----------------------------------------------------------------------------

    def _settle(self, taken: Taken, account: Account, seen: Seen) -> None:
        refusal = (taken.reason, taken.message)
        if not taken.reason:
            refusal = self._not_wanted(taken, seen)
        if refusal[0]:
            if refusal[0] == Reason.OTHER_RECIPE:
                account.note_recipe(account.others, taken)
            self._refuse(taken, refusal, account)
            return
        if taken.there:
            account.there += 1
            return
        assert taken.document is not None  # noqa: S101  # neither refused nor there
        if self._only is None and not self._wish.mix:
            self._only = taken.recipe
        self._batch.append((decode(taken.document), taken))
        self._batch_bytes += len(taken.document)
        if len(self._batch) == _BATCH_DOCUMENTS or self._batch_bytes > _BATCH_BYTES:
            self._insert(account)

    def _not_wanted(self, taken: Taken, seen: Seen) -> tuple[str, str]:
        earlier = seen.add(taken.content, taken.relative)
        if earlier is not None and not taken.there:
            return Reason.DUPLICATE, f"it has the same content as {earlier}"
        if taken.there or self._wish.mix or self._only in (None, taken.recipe):
            return "", ""
        version = taken.asked.get("version")
        return Reason.OTHER_RECIPE, (
            f"its recipe is {taken.recipe} (version {version}), and results of recipe {self._only} "
            "are adopted; to adopt both: --mix-recipes"
        )

    def _refuse(self, taken: Taken, refusal: tuple[str, str], account: Account) -> None:
        name, message = str(refusal[0]), refusal[1]
        account.refused[name] += 1
        examples = account.examples.setdefault(name, [])
        if len(examples) < _MAX_EXAMPLES:
            examples.append((taken.relative, message))
        if self._refused is not None:
            line = {"path": taken.relative, "class": name, "message": message}
            self._refused.write(json.dumps(line) + "\n")

    def _insert(self, account: Account) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        there = [(document, taken) for document, taken in batch if taken.exists]
        differ = self._other_molecules([document for document, _ in there])
        kept = [(one, taken) for one, taken in batch if key_of(one["_id"]) not in differ]
        if not self._wish.dry:
            for _, taken in kept:
                if taken.recipe not in self._noted:
                    self._asking(self._store.note_recipe, taken.recipe, taken.asked, None)
                    self._noted.add(taken.recipe)
            new = [document for document, taken in kept if not taken.exists]
            if new:
                self._asking(self._store.insert, new, account.folder)
            results = [self._result(document) for document, taken in kept if taken.exists]
            differ |= self._asking(self._store.results.commit, results)
        for document, taken in batch:
            why = differ.get(key_of(document["_id"]))
            if why is not None:
                self._refuse(taken, (Reason.ID_TAKEN, why), account)
                continue
            account.adopted += 1
            account.note_recipe(account.recipes, taken)
            account.lacking.update(taken.lacking)

    def _result(self, document: Document) -> Result:
        step = self._options.step
        values: Document = lookup(document, f"{self._store.campaign.output_key}.{step}")
        return Result(document["_id"], {step: values})

    def _other_molecules(self, documents: Sequence[Document]) -> dict[str, str]:
        """For each existing document with another molecule, why no result can be added to it.

        Every digit counts: a difference between coordinates is never taken for rounding.
        """
        if not documents:
            return {}
        now = self._asking(self._store.molecules, [one["_id"] for one in documents])
        return {
            key: "the document of this _id has another molecule (every digit of the coordinates "
            "counts); choose other ids with --prefix"
            for one in documents
            if now.get(key := key_of(one["_id"]))
            != self._result(one).steps[self._options.step]["_run"]["molecule"]
        }

    def _asking(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except PyMongoError as error:
            raise DatabaseError(
                f"the database failed during the adoption: {reason(error)}; once it works again, "
                "repeat the command: it continues",
                code=ErrorCode.DATABASE_FAILED,
            ) from error
