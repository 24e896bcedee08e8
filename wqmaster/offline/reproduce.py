"""Run the calculation of one stored result again, from its record, and compare every value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.database import recipe_guard
from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import (
    BadDocument,
    NothingMatches,
    RecipeMismatch,
    StaleResults,
    WqmasterError,
)
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.molecule import Document, Molecule, differences, from_document
from wqmaster.offline.differences import Agreement, ValueDifference, compared
from wqmaster.offline.smoke import rehearse
from wqmaster.recipe import retry
from wqmaster.recipe.recipe import Recipe, StepRecipe
from wqmaster.recipe.retry import WHOLE_JOB, Remedies
from wqmaster.system.this_command import this_command

_MAX_DIFFERENCES = 3


@dataclass(frozen=True)
class Reproduction:
    """A stored result, compared with that of the same calculation, now and here."""

    document: Any
    values: list[ValueDifference]
    # Step -> (version of the program that computed the result, version here).
    versions: Mapping[str, tuple[str | None, str | None]]
    failure: Failure | None = None
    remarks: list[str] = field(default_factory=list)

    @property
    def agreement(self) -> Agreement:
        """The worst agreement of any value; a failure counts as a difference."""
        found = {value.agreement for value in self.values}
        order = (Agreement.DIFFERS, Agreement.WITHIN, Agreement.IDENTICAL)
        if self.failure is not None:
            return Agreement.DIFFERS
        return next((one for one in order if one in found), Agreement.NOT_COMPARED)


def reproduced(recipe: Recipe, store: Store, document: Document) -> Reproduction:
    """Compute a document's result on this machine in the way it was computed, and compare the two.

    Raises:
        NothingMatches: the document has no result.
        BadDocument: the document holds no molecule.
        RecipeMismatch: the result was computed with another recipe than the campaign's, or with a
            remedy that the campaign no longer has.
        StaleResults: the document has changed since.
        WqmasterError: the result does not state how it was computed (code `results-undeclared`).
    """
    stored = store.results.of([document["_id"]]).get(key_of(document["_id"]), {})
    if not stored:
        raise NothingMatches(
            f"document {document['_id']!r} has no result in {store.documents.full_name}, field "
            f"{store.campaign.output_key}",
            code=ErrorCode.RESULT_NOT_FOUND,
        )
    try:
        molecule = from_document(document, store.campaign.molecule)
    except BadDocument as error:
        raise BadDocument(f"document {document['_id']!r}: {error.message}", error.defect) from error
    steps = [step for step in recipe.steps if step.request.name in stored]
    for step in steps:
        _check(recipe, store, molecule, step, stored[step.request.name].get("_run"))
    remedies = _remedies(recipe, {name: values["_run"] for name, values in stored.items()})
    remarks = []
    if any(rung.restart for rungs in remedies.rungs.values() for rung in rungs):
        remarks.append(
            "a remedy of the stored result continued from files of a failed attempt, which are not "
            "used here"
        )
    rehearsal = rehearse(recipe, molecule, remedies)
    results = {result.step: result for result in rehearsal.verdict.results}
    values: list[ValueDifference] = []
    versions = {}
    for step in steps:
        name = step.request.name
        if name in results:
            values += compared(name, stored[name], results[name].values)
            before = stored[name]["_run"].get("program_version")
            versions[name] = (before, results[name].program_version)
    return Reproduction(document["_id"], values, versions, rehearsal.verdict.failure, remarks)


def _check(
    recipe: Recipe, store: Store, molecule: Molecule, step: StepRecipe, run: Document | None
) -> None:
    """Refuse a result that the campaign would not compute in the same way today.

    Raises:
        WqmasterError, RecipeMismatch, StaleResults: as `reproduced`.
    """
    name = f"document {molecule.id!r}, step '{step.request.name}'"
    if not isinstance(run, Mapping) or not run.get("recipe") or not run.get("molecule"):
        raise WqmasterError(
            f"{name}: the result does not state how it was computed",
            code=ErrorCode.RESULTS_UNDECLARED,
        )
    if isinstance(adopted := run.get("adopted"), Mapping):
        raise RecipeMismatch(
            f"{name}: the result was adopted from {adopted.get('file')!r}, so it has the settings "
            "of that output, and no record from which it could be computed again"
        )
    # Versions before 0.2 hashed less, and recorded no parts of the molecule.
    known = step.hash if run.get("computed") else step.old_hash
    if run["recipe"] not in (step.hash, known):
        before = store.recipe(run["recipe"])
        told = (
            ["the database has no record of it"]
            if before is None
            else [
                recipe_guard.naming_steps(line, [step.request.name for step in recipe.steps])
                for line in recipe_guard.differences(before, step.asked)
            ]
        )
        raise RecipeMismatch(
            f"{name}: the result was computed with another recipe ({run['recipe']}, now "
            f"{step.hash}): {'; '.join(told[:_MAX_DIFFERENCES])}"
        )
    changed = list(differences(run, molecule, recipe.fields))
    if changed:
        raise StaleResults(
            f"{name}: the document has changed since its result was computed ("
            f"{'; '.join(changed)}); compute it again: {this_command()} rerun "
            f"{recipe.loaded.typed} --stale"
        )


def _remedies(recipe: Recipe, runs: Mapping[str, Document]) -> Remedies:
    """The remedies that the results state, as the campaign defines them now.

    Raises:
        RecipeMismatch: the campaign no longer has one of them.
    """
    plan: dict[str, tuple[str, ...]] = {}
    for step, run in runs.items():
        names = [name for name in str(run.get("remedy") or "").split(", ") if name]
        for name in names:
            of = next((one for one in (step, WHOLE_JOB) if name in _names(recipe, one)), None)
            if of is None:
                raise RecipeMismatch(
                    f"step '{step}' used the remedy '{name}', which the campaign no longer has; "
                    "add it to 'remedies:'"
                )
            plan[of] = tuple(dict.fromkeys((*plan.get(of, ()), name)))
    return retry.remedies(recipe.ladders, plan)


def _names(recipe: Recipe, step: str) -> set[str]:
    ladders = recipe.ladders.get(step, {})
    return {rung.name for ladder in ladders.values() for rung in ladder}
