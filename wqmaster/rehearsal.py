"""One job before a campaign: what it would run (`check`), and what comes of it (`smoke`)."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster import bundle
from wqmaster.engines.local import LocalEngine
from wqmaster.errors import ArchiveError, BadDocument, NothingMatches, WqmasterError
from wqmaster.failures import Failure, FailureClass
from wqmaster.job import Job, Outcome, Task
from wqmaster.judgement import Verdict, judge
from wqmaster.molecule import Molecule, from_document
from wqmaster.recipe import Recipe
from wqmaster.session import worker_environment
from wqmaster.source import LoadedCampaign
from wqmaster.store import Store


@dataclass(frozen=True)
class Rehearsal:
    """One job, run in a worker's sandbox, and judged; nothing of it is stored."""

    document: Any
    job: Job
    outcome: Outcome | None
    verdict: Verdict


def first_molecule(store: Store, document_id: Any | None = None) -> Molecule:
    """The molecule of the document of this id, or of the first one that the query selects.

    Raises:
        NothingMatches: there is no such document.
        BadDocument: it holds no molecule.
    """
    document = store.one(document_id)
    if document is None:
        what = "the query selects no document" if document_id is None else f"no {document_id!r}"
        raise NothingMatches(f"{what} in {store.documents.full_name}")
    try:
        return from_document(document, store.campaign.molecule)
    except BadDocument as error:
        raise BadDocument(f"document {document['_id']!r}: {error.message}") from error


def build(recipe: Recipe, molecule: Molecule) -> Job:
    """The job of `molecule`; an error of the task function in words."""
    try:
        recipe.prepare()
        return recipe.build(molecule)
    except WqmasterError:
        raise
    except Exception as error:
        raise WqmasterError(
            f"{recipe.function} fails for document {molecule.id!r}: {error!r}"
        ) from error


def rehearse(loaded: LoadedCampaign, recipe: Recipe, molecule: Molecule) -> Rehearsal:
    """Run the job of `molecule` on this machine, in exactly a worker's sandbox."""
    job = build(recipe, molecule)
    asked = recipe.asked_of(molecule)
    limit = loaded.campaign.campaign_config.job_timeout
    engine = LocalEngine(1, worker_environment(loaded))
    try:
        with tempfile.TemporaryDirectory(prefix="wqmaster-smoke-") as name:
            folder = Path(name)
            (folder / "inputs.tar").write_bytes(bundle.pack([job]))
            engine.submit(Task("smoke-1", 1, limit, job.inputs), folder)
            returned = None
            while returned is None:
                returned = engine.wait(1)
            if returned.result != "ok":
                failure = Failure(FailureClass.TRANSFER, f"{returned.result}: {returned.message}")
                return Rehearsal(molecule.id, job, None, Verdict(failure=failure))
            try:
                with bundle.Archive(folder / "outputs.tar") as archive:
                    outcome = archive.outcome(0)
            except ArchiveError as error:
                failure = Failure(FailureClass.TRUNCATED, error.message)
                return Rehearsal(molecule.id, job, None, Verdict(failure=failure))
    finally:
        engine.close()
    return Rehearsal(molecule.id, job, outcome, judge(recipe, asked, outcome))
