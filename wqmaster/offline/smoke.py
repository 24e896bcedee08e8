"""Try one job before a run: build it (for `check`), or build and run it (for `smoke`)."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from wqmaster.checks.base import Measurement
from wqmaster.database import records
from wqmaster.database.documents import Store
from wqmaster.database.results import refusal
from wqmaster.engines.base import TaskResult
from wqmaster.engines.local import LocalEngine
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ArchiveError, BadDocument, NothingMatches, WqmasterError
from wqmaster.jobs import wire
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Job, Outcome, Task
from wqmaster.jobs.molecule import Document, Molecule, from_document, shown_id
from wqmaster.parsers.quantities import misfit
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import JobUnfit, Recipe
from wqmaster.recipe.retry import NO_REMEDIES, Remedies
from wqmaster.run.hiring import worker_environment
from wqmaster.run.programs import unnamed
from wqmaster.system.tracebacks import told

# How many failed documents are skipped in the search for one that a run would compute.
_MAX_PASSED_OVER = 1000
# How many documents are tried until a job can be built; each can take a while.
MAX_TRIED_DOCUMENTS = 100


class State(Enum):
    """What a run would do with a document; the value completes "a document that ..."."""

    PENDING = "has no result yet"
    DONE = "is already done"
    FAILED = "has failed"


def state_of(recipe: Recipe, store: Store, document_id: Any) -> State:
    """Whether the document with this id is done, has failed, or would be computed.

    A run computes documents that failed with another recipe.
    """
    if not store.get([document_id]):
        return State.DONE
    known = store.ledger.histories([document_id])
    finals = (final for history in known.values() for final in history.finals)
    failed = any(final.recipe == recipe.hash for final in finals)
    return State.FAILED if failed else State.PENDING


@dataclass(frozen=True)
class Rehearsal:
    """One job that was run in a worker's sandbox and judged; nothing is stored."""

    document: Any
    job: Job
    outcome: Outcome | None
    verdict: Verdict

    @property
    def checks(self) -> dict[str, tuple[Measurement, ...]]:
        """For each step whose values could be checked, the checks that applied."""
        found = {result.step: result.checks for result in self.verdict.results}
        failure = self.verdict.failure
        if failure is not None and failure.step is not None and self.verdict.checks:
            found[failure.step] = self.verdict.checks
        return found

    def warnings(self, recipe: Recipe, natoms: int) -> list[str]:
        """Likely mistakes in the campaign, in the job, and in the shapes of values."""
        found = [*recipe.warnings, *doubts(recipe, self.job)]
        found += [
            f"step '{result.step}': {name} is None; a parser without a value must raise ParseError"
            for result in self.verdict.results
            for name, value in result.values.items()
            if value is None
        ]
        steps = {step.request.name: step for step in recipe.steps}
        for result in self.verdict.results:
            program = steps[result.step].function.program
            for call in steps[result.step].parsers:
                why = misfit(call.name, result.values[call.name], natoms)
                if why is not None and program is not None and program.owns(call.function):
                    found.append(
                        f"step '{result.step}': {why}, unlike the '{call.name}' of other programs "
                        "(wqmaster/parsers/quantities.py)"
                    )
        return found


def doubts(recipe: Recipe, job: Job) -> list[str]:
    """Likely mistakes in a job, one per line."""
    return [*unnamed(recipe, job), *recipe.doubts(job)]


def first_molecule(recipe: Recipe, store: Store, document_id: Any | None = None) -> Molecule:
    """The molecule of the document with this id, or of the first usable document to compute.

    Raises:
        NothingMatches: there is no such document.
        BadDocument: the document has no usable molecule, or none of the documents has.
    """
    if document_id is not None:
        document = store.one(document_id)
        if document is None:
            raise NothingMatches(
                f"there is no document {shown_id(document_id)} in {store.documents.full_name}",
                code=ErrorCode.DOCUMENT_NOT_FOUND,
            )
        return _molecule(store, document)
    first: BadDocument | None = None
    for found in _candidates(recipe, store):
        if isinstance(found, Molecule):
            return found
        first = first or found
    if first is None:
        raise NothingMatches(f"the query selects no document in {store.documents.full_name}")
    raise BadDocument(f"no document has a usable molecule; the first: {first.message}")


def _candidates(recipe: Recipe, store: Store) -> Iterator[Molecule | BadDocument]:
    """The molecule of each of the store's candidates, or why it has none.

    Failed documents come last, since a run would not compute them.
    """
    failed: list[Molecule] = []
    for document in store.candidates():
        try:
            molecule = _molecule(store, document)
        except BadDocument as error:
            yield error
            continue
        if len(failed) < _MAX_PASSED_OVER and state_of(recipe, store, molecule.id) is State.FAILED:
            failed.append(molecule)
        else:
            yield molecule
    yield from failed


def _molecule(store: Store, document: Document) -> Molecule:
    try:
        return from_document(document, store.campaign.molecule)
    except BadDocument as error:
        raise _naming(document["_id"], error) from error


def _naming(document: Any, error: BadDocument) -> BadDocument:
    """`error` with the `_id` of `document` at the start of its message."""
    return BadDocument(f"document {shown_id(document)}: {error.message}", error.defect)


def first_job(recipe: Recipe, store: Store) -> tuple[Molecule, Job]:
    """The first job that can be built, with its molecule.

    Raises:
        NothingMatches: the query selects no document.
        BadDocument: none of the documents that were tried can be computed; the message is that of
            the first one.
        WqmasterError: the task function fails.
    """
    first: BadDocument | None = None
    ready: Recipe | None = None
    tried = 0
    for found in _candidates(recipe, store):
        if isinstance(found, BadDocument):
            first = first or found
            continue
        try:
            try:
                recipe.inspect(found)
            except BadDocument as error:
                raise _naming(found.id, error) from error
            tried += 1
            ready = ready or recipe.prepared()
            return found, build(ready, found)
        except BadDocument as error:
            first = first or error
        if tried == MAX_TRIED_DOCUMENTS:
            break
    if first is None:
        raise NothingMatches(f"the query selects no document in {store.documents.full_name}")
    raise first


def build(recipe: Recipe, molecule: Molecule, remedies: Remedies = NO_REMEDIES) -> Job:
    """Build the job for `molecule`; `recipe` must be prepared.

    Raises:
        BadDocument: the molecule cannot be computed.
        WqmasterError: the task function fails.
    """
    try:
        return recipe.build(molecule, remedies)
    except BadDocument as error:
        named = _naming(molecule.id, error)
        if error.place is not None:
            keys, line = error.place
            where = recipe.loaded.source.where("campaign_config", *keys, line=line)
            named.message = f"{where}: {named.message}"
        raise named from error
    except WqmasterError:
        raise
    except JobUnfit as error:
        raise recipe.loaded.source.error(
            f"{recipe.named}: {error}",
            *recipe.functions[0].place,
            code=ErrorCode.TASK_FUNCTION_FAILED,
        ) from error
    except Exception as error:
        raise WqmasterError(
            f"document {shown_id(molecule.id)}: {recipe.named} raised {told(error)}",
            code=ErrorCode.TASK_FUNCTION_FAILED,
        ) from error


def rehearse(recipe: Recipe, molecule: Molecule, remedies: Remedies = NO_REMEDIES) -> Rehearsal:
    """Run the job for `molecule` on this machine, in the same sandbox as on a worker."""
    loaded = recipe.loaded
    job = build(recipe.prepared(), molecule, remedies)
    asked = recipe.asked_of(molecule, plan=remedies.plan)
    limit = int(loaded.campaign.campaign_config.job_timeout * remedies.factors.time)
    most_bytes = loaded.campaign.archive.most_bytes
    engine = LocalEngine(1, worker_environment(loaded))
    try:
        with tempfile.TemporaryDirectory(prefix="wqmaster-smoke-") as name:
            folder = Path(name)
            (folder / "inputs.tar").write_bytes(wire.pack([job], most_bytes))
            engine.submit(Task("smoke-1", 1, limit, job.inputs), folder)
            returned = None
            while returned is None:
                returned = engine.wait(1)
            if returned.result is not TaskResult.OK:
                failure = Failure(FailureClass.TRANSFER, f"{returned.result}: {returned.message}")
                return Rehearsal(molecule.id, job, None, Verdict(failure=failure))
            try:
                with wire.Archive(folder / "outputs.tar", most_bytes=most_bytes) as archive:
                    outcome = archive.outcome(0, recipe.read_files)
            except ArchiveError as error:
                failure = Failure(FailureClass.TRUNCATED, error.message)
                return Rehearsal(molecule.id, job, None, Verdict(failure=failure))
    finally:
        engine.close()
    verdict = judge(recipe, asked, outcome)
    if verdict.failure is None:
        result = records.result(recipe, asked, returned, outcome, verdict.results)
        why = refusal(result.steps)
        if why is not None:
            verdict = Verdict(failure=Failure(FailureClass.NOT_STORED, why))
    return Rehearsal(molecule.id, job, outcome, verdict)
