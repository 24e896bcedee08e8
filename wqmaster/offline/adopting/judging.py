"""Turn one output into a document with a judged result, or into the reason why it is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import encode
from bson.errors import BSONError
from pydantic import ValidationError

from wqmaster.database import records
from wqmaster.database.results import refusal
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.errors import BadDocument, NotApplicable, ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Outcome, StepOutcome
from wqmaster.jobs.molecule import Document, from_document
from wqmaster.offline.adopting import orca, xtb, xtb_molecule
from wqmaster.offline.adopting.base import Found, Reason, Stated, Taken, Unfit
from wqmaster.offline.adopting.content import Content, content_of
from wqmaster.offline.adopting.run_files import Run, files_of
from wqmaster.parsers.base import Output
from wqmaster.recipe.diagnosing import diagnosed
from wqmaster.recipe.hashing import hash_of
from wqmaster.recipe.judgement import judge
from wqmaster.recipe.recipe import ParserCall, Recipe, StepRecipe
from wqmaster.system.tracebacks import told
from wqmaster.tasks import held
from wqmaster.tasks.calling import left
from wqmaster.tasks.leaves import Leaves

_MAX_DOCUMENT_BYTES = 16 << 20  # MongoDB's limit


@dataclass(frozen=True)
class Options:
    """How outputs are adopted."""

    step: str  # the name of the campaign's step whose results they become
    prefix: str | None = None  # what precedes the relative path in the `_id`
    most_bytes: int = 256 << 20
    lenient: bool = False  # whether values that the run did not compute may be missing
    # Whether settings other than the step's are accepted, each as its own recipe.
    any_settings: bool = False
    recipe: str | None = None  # the hash of the only recipe to accept, whatever the step asks for


class Judge:
    """Makes documents of outputs, for one step of a campaign."""

    def __init__(self, recipe: Recipe, options: Options) -> None:
        self._recipe = recipe
        self._options = options
        self._step = next(one for one in recipe.steps if one.request.name == options.step)
        program = self._step.function.program
        assert program is not None  # noqa: S101  # the command has checked it
        self._program = program

    def id_of(self, found: Found) -> str:
        """The `_id` of the document for an output."""
        prefix = self._options.prefix
        return found.relative if prefix is None else f"{prefix}/{found.relative}"

    def take(self, found: Found, known: Mapping[str, Any] | None) -> Taken:
        """Read and judge an output.

        `known` is the `_run` in the document with the output's `_id`: empty if the document has no
        result of the step, None if there is no such document. Whatever the output contains, the
        worst consequence is that it is refused.
        """
        taken = Taken(found.relative)
        try:
            main = content_of(found.path, self._options.most_bytes)
            taken = replace(taken, content=main.digest)
            if known:
                return self._compared(taken, main, known)
            taken = replace(taken, exists=known is not None)
            run = files_of(found, main, self._step, self._options.most_bytes)
            return self._judged(found, run, taken)
        except _WithRecipe as error:
            taken = replace(taken, recipe=error.recipe, asked=error.asked)
            return replace(taken, reason=error.reason, message=error.message)
        except Unfit as error:
            return replace(taken, reason=error.reason, message=error.message)
        except (Exception, SystemExit) as error:  # an output can contain anything
            words = f"it cannot be judged: {told(error)}"
            return replace(taken, reason=FailureClass.PARSE_ERROR.label, message=words)

    def _compared(self, taken: Taken, main: Content, known: Mapping[str, Any]) -> Taken:
        adopted = known.get("adopted")
        if isinstance(adopted, Mapping) and adopted.get("sha256") == main.sha256:
            return replace(taken, there=True, recipe=str(known.get("recipe", "")))
        what = (
            "adopted from an earlier version of this file" if adopted else "which was not adopted"
        )
        raise Unfit(
            Reason.ID_TAKEN,
            f"the document of this _id has a result, {what}; choose other ids with --prefix",
        )

    # --- judging -----------------------------------------------------------------------------

    def _judged(self, found: Found, run: Run, taken: Taken) -> Taken:
        output = Output(run.files)
        stated, asked = self._stated(found, run, output)
        recipe = hash_of(asked)
        taken = replace(taken, recipe=recipe, asked=asked)
        document = self._document(found, stated)
        try:
            molecule = from_document(document, self._recipe.loaded.campaign.molecule)
            self._recipe.inspect(molecule)
        except BadDocument as error:
            self._diagnose(output)
            raise Unfit(FailureClass.BAD_DOCUMENT.label, error.message) from error
        ask = replace(self._recipe.asked_of(molecule), recipe=recipe)
        step, lacking = self._wanted(output, recipe)
        outcome = Outcome(
            stated.host or "",
            (StepOutcome(step.request.name, 0, stated.wall_time or 0.0, False, run.files),),
        )
        of_one = replace(self._recipe, steps=(step,))
        verdict = judge(of_one, ask, outcome, of_a_job=False)
        if verdict.failure is not None:
            raise Unfit.of(verdict.failure)
        values = self._stored(found, run, stated, ask, outcome, of_one, verdict.results)
        why = refusal({step.request.name: values})
        if why is not None:
            raise Unfit(FailureClass.NOT_STORED.label, why)
        put(document, f"{self._recipe.loaded.campaign.output_key}.{step.request.name}", values)
        try:
            encoded = encode(document)
        except (BSONError, OverflowError, ValueError, TypeError) as error:
            raise Unfit(FailureClass.NOT_STORED.label, str(error)) from error
        if len(encoded) > _MAX_DOCUMENT_BYTES:
            raise Unfit(FailureClass.NOT_STORED.label, "it exceeds the maximum size of a document")
        return replace(taken, document=encoded, lacking=lacking)

    def _stated(self, found: Found, run: Run, output: Output) -> tuple[Stated, dict[str, Any]]:
        """The molecule and the recipe that the output states.

        Raises:
            Unfit: it does not state them, has failed, or has a recipe that is not to be adopted.
        """
        try:
            if self._program.name == "orca":
                asked = orca.asked(output)
                self._as_the_step(asked, list(orca.differences(asked, self._step.options)))
                return orca.stated(output), asked
            asked = xtb.asked(output, run.sums)
            self._as_the_step(asked, list(xtb.differences(asked, self._step.function.name)))
            return xtb_molecule.stated(output, alone=found.alone), asked
        except (Unfit, ParseError) as error:
            if isinstance(error, _WithRecipe):
                raise
            self._diagnose(output)
            if isinstance(error, Unfit):
                raise
            raise Unfit(FailureClass.PARSE_ERROR.label, error.message) from error

    def _diagnose(self, output: Output) -> None:
        """Refuse the output of a failed run here: the diagnosis explains missing values better.

        Raises:
            Unfit: the diagnosis finds a failure.
        """
        failure = diagnosed(self._program.module.diagnose, output, None, {})
        if failure is not None:
            raise Unfit.of(failure)

    def _as_the_step(self, asked: Mapping[str, Any], found: Sequence[str]) -> None:
        wanted = self._options.recipe
        if wanted is not None and hash_of(asked) != wanted:
            raise _WithRecipe(f"its recipe is {hash_of(asked)}, not {wanted}", asked)
        if found and not self._options.any_settings:
            raise _WithRecipe("; ".join(found)[:1000], asked)

    def _wanted(self, output: Output, recipe: str) -> tuple[StepRecipe, tuple[str, ...]]:
        """The step with the recipe that the output states, and the parsers that are left out."""
        step = self._step
        lacking = []
        if self._options.lenient:
            leaves = self._leaves(output)
            lacking = [call.name for call in step.parsers if self._lacks(output, call, leaves)]
        kept = tuple(call for call in step.parsers if call.name not in lacking)
        needed = frozenset(call.file for call in kept)
        options = {} if self._options.any_settings else step.options
        changed = replace(
            step, hash=recipe, parsers=kept, needed=needed, keep_files=(), options=options
        )
        return changed, tuple(lacking)

    def _leaves(self, output: Output) -> Leaves:
        """What a run of the input that ORCA echoes does not produce; for xtb, this is not known.

        It cannot be taken from the step's options, since the output can have other settings.
        """
        if self._program.name != "orca":
            return Leaves()
        route = orca.route_of(output.file("stdout"))
        traits = self._step.function.traits
        try:
            return left(traits, traits.options.model_validate({"route": route}))
        except ValidationError:
            return Leaves()  # such as a compound job, which can produce anything

    def _lacks(self, output: Output, call: ParserCall, leaves: Leaves) -> bool:
        """Whether the run did not compute the value of a parser, or the parser's file is missing.

        A block that is missing although the run should have printed it is damage, not absence.
        """
        if not output.has(call.file):
            return True
        explicit = call.file != getattr(call.function, "files", ("stdout",))[0]
        lack = held.parser_lack(
            held.Asked(call.name, call.function, call.file, explicit), self._program, leaves
        )
        if lack is not None and lack.certain:
            return True
        try:
            call.function(output.beside(call.file))
        except NotApplicable:
            return True
        except (Exception, SystemExit):  # the judgement reports it
            return False
        return False

    def _document(self, found: Found, stated: Stated) -> Document:
        fields = self._recipe.loaded.campaign.molecule
        document: Document = {"_id": self.id_of(found)}
        put(document, fields.atomic_numbers, list(stated.numbers))
        put(document, fields.coordinates, [list(row) for row in stated.coordinates])
        put(document, fields.charge, stated.charge)
        put(document, fields.multiplicity, stated.multiplicity)
        return document

    def _stored(
        self,
        found: Found,
        run: Run,
        stated: Stated,
        ask: Asked,
        outcome: Outcome,
        recipe: Recipe,
        results: Any,
    ) -> Document:
        returned = Returned("", TaskResult.OK, 0, stated.host or "", 0.0, run.main.modified)
        made = records.result(recipe, ask, returned, outcome, results)
        values = dict(made.steps[self._options.step])
        if stated.final != stated.coordinates:
            # Otherwise the values would seem to belong to the document's geometry.
            values.setdefault("geometry", [list(row) for row in stated.final])
        values["_run"] = {
            **values["_run"],
            "host": stated.host,
            "wall_time": stated.wall_time,
            "adopted": {
                "file": found.relative,
                "sha256": run.main.sha256,
                "bytes": run.main.size,
                "beside": [{"file": name, "sha256": one} for name, one in run.sums.items()],
                "molecule": stated.source,
            },
        }
        return values


class _WithRecipe(Unfit):
    """A refusal because of the settings; it carries the recipe of the output."""

    def __init__(self, message: str, asked: Mapping[str, Any]) -> None:
        super().__init__(Reason.OTHER_RECIPE, message)
        self.asked = dict(asked)
        self.recipe = hash_of(self.asked)


def put(document: Document, name: str, value: Any) -> None:
    """Set the field `name` of a document; dots separate nested fields."""
    *parents, last = name.split(".")
    for part in parents:
        document = document.setdefault(part, {})
    document[last] = value
