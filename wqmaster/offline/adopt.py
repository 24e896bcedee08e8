"""Adopt existing outputs: each becomes a document with a judged result, or is refused and listed.

Each document is inserted together with its result, so that nothing is half-adopted. Its `_id` is
the output's path below the folder, so that the same command adds nothing twice and continues what a
kill interrupted. The recipe in `_run` is the one that the output states, never the campaign's.
"""

import contextlib
import itertools
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bson import decode
from pymongo.errors import PyMongoError

from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.reasons import reason
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, DatabaseError, RecipeMismatch
from wqmaster.jobs.molecule import Document
from wqmaster.offline.adopting.base import Found, Reason, Taken
from wqmaster.offline.adopting.finding import Walk
from wqmaster.offline.adopting.judging import Judge, Options
from wqmaster.offline.adopting.pool import BATCH_OUTPUTS, Item, Pool
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.system.files import replacing

REFUSED_FILE = "adopt-refused.jsonl"
# How many examples of each class, and how many recipes, a report lists.
MAX_EXAMPLES = 3
MAX_RECIPES = 20
# The limits of a batch that is inserted.
_BATCH_DOCUMENTS = 200
_BATCH_BYTES = 32 << 20
# Time limit for reading the recipes that results under the key have.
_SCAN_SECONDS = 60.0


@dataclass(frozen=True)
class Wish:
    """What the user asks for, besides the `Options`."""

    mix: bool = False  # adopt outputs of several recipes
    limit: int | None = None  # stop after this many outputs
    dry: bool = False  # change nothing
    processes: int = 1


@dataclass
class Account:
    """How an adoption ended, in numbers of outputs."""

    folder: str
    adopted: int = 0  # with --dry-run: that would be adopted
    there: int = 0  # adopted earlier
    refused: Counter[str] = field(default_factory=Counter)  # by class
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)  # path, message
    lacking: Counter[str] = field(default_factory=Counter)  # parser -> results without its value
    # Recipe -> adopted outputs, and outputs that were refused because they have it.
    recipes: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    asked: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # of the first recipes
    files: int = 0  # all files in the folder, outputs or not
    skipped: Counter[str] = field(default_factory=Counter)  # links, hidden and special files
    refused_file: Path | None = None

    @property
    def outputs(self) -> int:
        """The number of outputs that were settled."""
        return self.adopted + self.there + self.refused.total()

    def as_json(self) -> dict[str, Any]:
        """The account as plain data."""
        return {
            "folder": self.folder,
            "files": self.files,
            "skipped": dict(self.skipped),
            "outputs": self.outputs,
            "adopted": self.adopted,
            "already_there": self.there,
            "refused": dict(self.refused),
            "examples": {
                name: [{"path": path, "message": message} for path, message in found]
                for name, found in self.examples.items()
            },
            "lacking": dict(self.lacking),
            "recipes": [
                {
                    "recipe": name,
                    "adopted": self.recipes[name],
                    "refused": self.others[name],
                    "asked": self.asked[name],
                }
                for name in self.asked
            ],
            "refused_file": self.refused_file and str(self.refused_file),
        }


def step_of(recipe: Recipe, program: str, name: str | None) -> StepRecipe:
    """The step whose results the outputs of `program` become: the one named `name`, or the only one.

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
    names = ", ".join(step.request.name for step in of_program) or "none"
    path = recipe.loaded.source.path
    if name is None and of_program:
        raise CampaignError(
            f"{path}: several steps run {program} ({names}); name one with --step",
            code=ErrorCode.ADOPTION_UNCLEAR,
        )
    which = f"no step '{name}' that runs {program}" if name else f"no step that runs {program}"
    raise CampaignError(
        f"{path}: the campaign has {which} (steps that do: {names}); --program and the step's "
        "func_name must agree",
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
        """Check that the outputs may be stored next to the results that exist.

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
                f"{place}: a run computed {total:,} results under this key, which adopted ones must "
                "not be mixed with; adopt into a campaign with another 'mongo_output_key'"
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
            seen = stack.enter_context(contextlib.closing(_Seen(scratch)))
            if not self._wish.dry:
                path = self._recipe.loaded.folder / REFUSED_FILE
                part = stack.enter_context(_kept(path))
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
        """What became of each output and of each file that cannot be read, in order of the walk."""
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
        """The outputs in batches, each with the `_run` of the document that has its `_id`."""
        source = iter(outputs)
        while batch := list(itertools.islice(source, BATCH_OUTPUTS)):
            ids = {one.relative: self._judge.id_of(one) for one in batch}
            runs = self._asking(
                lambda ids=ids: self._store.results.runs(list(ids.values()), self._options.step)
            )
            yield [(one, runs.get(key_of(ids[one.relative]))) for one in batch]

    # --- settling ----------------------------------------------------------------------------

    def _settle(self, taken: Taken, account: Account, seen: "_Seen") -> None:
        refusal = (taken.reason, taken.message)
        if not taken.reason:
            refusal = self._not_wanted(taken, seen)
        if taken.asked and taken.recipe not in account.asked and len(account.asked) < MAX_RECIPES:
            account.asked[taken.recipe] = taken.asked
        if refusal[0]:
            if refusal[0] == Reason.OTHER_RECIPE:
                account.others[taken.recipe] += 1
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

    def _not_wanted(self, taken: Taken, seen: "_Seen") -> tuple[str, str]:
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
        if len(examples) < MAX_EXAMPLES:
            examples.append((taken.relative, message))
        if self._refused is not None:
            line = {"path": taken.relative, "class": name, "message": message}
            self._refused.write(json.dumps(line) + "\n")

    def _insert(self, account: Account) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if not self._wish.dry:
            for _, taken in batch:
                if taken.recipe not in self._noted:
                    self._asking(
                        lambda one=taken: self._store.note_recipe(one.recipe, one.asked, None)
                    )
                    self._noted.add(taken.recipe)
            if batch:
                documents = [document for document, _ in batch]
                self._asking(lambda: self._store.insert(documents, account.folder))
        for _, taken in batch:
            account.adopted += 1
            account.recipes[taken.recipe] += 1
            account.lacking.update(taken.lacking)

    def _asking(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except PyMongoError as error:
            raise DatabaseError(
                f"the database failed during the adoption: {reason(error)}; once it works again, "
                "repeat the command: it continues",
                code=ErrorCode.DATABASE_FAILED,
            ) from error


@contextlib.contextmanager
def _kept(path: Path) -> Iterator[Path]:
    """A file to write to that replaces `path`, also if the block is stopped by an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stopped: BaseException | None = None
    with replacing(path) as part:
        try:
            yield part
        except BaseException as error:
            stopped = error
    if stopped is not None:
        raise stopped


class _Seen:
    """The contents that were adopted, kept on disk so that memory does not grow with their number."""

    def __init__(self, scratch: Path | None) -> None:
        with tempfile.NamedTemporaryFile(dir=scratch, delete=False) as table:
            self._connection = sqlite3.connect(table.name)
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute(
            "CREATE TABLE seen (digest BLOB PRIMARY KEY, path TEXT) WITHOUT ROWID"
        )
        Path(table.name).unlink()  # the file stays open; if the process is killed, nothing remains

    def add(self, digest: bytes, path: str) -> str | None:
        """Add the digest of an output's content; return the path of an earlier one, or None."""
        found = self._connection.execute(
            "SELECT path FROM seen WHERE digest = ?", (digest,)
        ).fetchone()
        if found is not None:
            return str(found[0])
        self._connection.execute("INSERT INTO seen VALUES (?, ?)", (digest, path))
        return None

    def close(self) -> None:
        """Close the file, which deletes it."""
        self._connection.close()
