"""Build jobs from the documents that the feed supplies, or record why that is impossible."""

import logging
from dataclasses import dataclass, replace

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Job
from wqmaster.jobs.molecule import Document, Molecule
from wqmaster.recipe import retry
from wqmaster.recipe.recipe import JobUnfit, Recipe
from wqmaster.recipe.retry import Remedies
from wqmaster.run.feed import Fed
from wqmaster.run.memory_needs import MemoryNeeds
from wqmaster.run.spool import Spool
from wqmaster.system.passing import can_pass
from wqmaster.system.tracebacks import told

log = logging.getLogger("wqmaster.master")


@dataclass(frozen=True)
class Built:
    """The job for the next attempt at a document."""

    asked: Asked
    job: Job
    remedies: Remedies
    memory: int | None = None  # in MB, if it is learned


def class_of(defect: Defect) -> FailureClass:
    """The failure class of a document whose molecule has this defect."""
    if defect is Defect.COINCIDENT_ATOMS:
        return FailureClass.COINCIDENT_ATOMS
    if defect is Defect.CLOSE_ATOMS:
        return FailureClass.CHECK_CLOSEST_ATOMS
    return FailureClass.BAD_DOCUMENT


@dataclass(frozen=True)
class GivenUp:
    """A document from which no job can be built."""

    record: Document  # the failed attempt, as the database stores it


def record_of(entry: Fed, recipe: Recipe, kind: FailureClass, message: str) -> Document:
    """A final failed attempt at a document of which no job was returned, as it is stored."""
    molecule = entry.molecule
    held = (
        {"unusable": entry.unusable}
        if molecule is None
        else {"molecule": molecule.fingerprint, "computed": molecule.parts(recipe.fields)}
    )
    return {
        "document": entry.document,
        "attempt": entry.attempt,
        "final": True,
        "recipe": recipe.hash,
        "class": kind.label,
        "family": kind.family.value,
        "message": message,
        **held,
    }


class Builder:
    """Builds the jobs of a campaign."""

    def __init__(self, recipe: Recipe, spool: Spool, memory: MemoryNeeds) -> None:
        self._recipe = recipe
        self._memory = memory
        self._spool = spool
        self._has_built = False

    def follow(self, recipe: Recipe) -> None:
        """Use another form of the recipe from now on."""
        self._recipe = recipe

    def build(self, entry: Fed) -> Built | GivenUp:
        """Build the next attempt at a document, with the remedies that earlier failures call for.

        Raises:
            CampaignError: no worker could run the first job. The campaign is at fault, and every
                document would fail.
            OSError: the disk is full, for example; the document is not to blame.
        """
        kind, message = FailureClass.BAD_DOCUMENT, entry.problem
        recipe, molecule = self._recipe, entry.molecule
        if molecule is not None:
            past = entry.history.of(recipe.hash, molecule.fingerprint)
            remedies = retry.remedies(recipe.ladders, retry.decide(recipe.ladders, past).plan)
            try:
                needs = recipe.needs(molecule)
                memory = self._memory.asked(needs, past, remedies.factors.memory)
                rescued = self.rescued(entry, molecule, remedies)
                job = recipe.build(molecule, remedies, rescued, memory)
                asked = recipe.asked_of(molecule, entry.attempt, remedies.plan)
                self._has_built = True
                return Built(replace(asked, size=needs.size), job, remedies, memory)
            except BadDocument as error:
                kind, message = class_of(error.defect), error.message
            except JobUnfit as error:
                if not self._has_built:
                    raise recipe.loaded.source.error(
                        f"{recipe.named}: {error}",
                        *recipe.functions[0].place,
                        code=ErrorCode.TASK_FUNCTION_FAILED,
                    ) from error
                kind, message = FailureClass.TASK_FUNCTION, f"{recipe.named}: {error}"
            except Exception as error:  # a user's task function can raise anything
                if can_pass(error):
                    raise
                log.debug("the task function failed", exc_info=True)
                kind, message = (
                    FailureClass.TASK_FUNCTION,
                    f"{recipe.named} raised {told(error)}",
                )
        return GivenUp(record_of(entry, recipe, kind, message))

    def rescued(
        self, entry: Fed, molecule: Molecule, remedies: Remedies
    ) -> dict[str, dict[str, bytes]]:
        """For each step, the files of a failed attempt from which a remedy continues.

        Only attempts with the same molecule and recipe count.
        """
        found: dict[str, dict[str, bytes]] = {}
        for step, rungs in remedies.rungs.items():
            left = entry.history.rescues.get(step)
            if left is None:
                continue
            if (left.molecule, left.recipe) != (molecule.fingerprint, self._recipe.hash):
                continue
            if any(rung.restart for rung in rungs):
                found[step] = self._spool.rescued(left)
        return found
