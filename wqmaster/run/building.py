"""Documents that were fed -> jobs, or why there is none."""

import logging
from dataclasses import dataclass

from wqmaster.errors import BadDocument
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Job
from wqmaster.jobs.molecule import Document
from wqmaster.recipe import retry
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.feed import Fed
from wqmaster.run.spool import Spool

log = logging.getLogger("wqmaster.master")


@dataclass(frozen=True)
class GivenUp:
    """A document of which no job can be built."""

    record: Document  # of its failed attempt, as the database has it


class Builder:
    """Builds the jobs of a campaign."""

    def __init__(self, recipe: Recipe, spool: Spool) -> None:
        self._recipe = recipe
        self._spool = spool

    def build(self, entry: Fed, plan: retry.Plan) -> tuple[Asked, Job] | GivenUp:
        """The job of a document with the remedies of `plan`, and what it is asked for."""
        kind, message = FailureClass.BAD_DOCUMENT, entry.problem
        if entry.molecule is not None:
            try:
                job = self._recipe.build(entry.molecule, plan, self._rescued(entry, plan))
                return self._recipe.asked_of(entry.molecule, entry.attempt, plan), job
            except BadDocument as error:
                message = error.message
            except Exception as error:  # a user's task function may raise anything
                log.debug("the task function failed", exc_info=True)
                kind, message = FailureClass.TASK_FUNCTION, f"{self._recipe.function}: {error!r}"
        return GivenUp(
            {
                "document": entry.document,
                "attempt": entry.attempt,
                "final": True,
                "recipe": self._recipe.hash,
                "class": kind.label,
                "family": kind.family.value,
                "message": message,
            }
        )

    def _rescued(self, entry: Fed, plan: retry.Plan) -> dict[str, dict[str, bytes]]:
        """By step, what an attempt that failed in it left, where a remedy begins from it.

        Only of this very molecule, and of the same recipe.
        """
        molecule = entry.molecule
        found: dict[str, dict[str, bytes]] = {}
        for step, names in plan.items():
            left = entry.history.rescues.get(step)
            if left is None or molecule is None:
                continue
            if (left.molecule, left.recipe) != (molecule.fingerprint, self._recipe.hash):
                continue
            if any(rung.restart for rung in retry.rungs(self._recipe.ladders, names)):
                found[step] = self._spool.rescued(left)
        return found
