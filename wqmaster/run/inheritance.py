"""Take over what earlier masters of a campaign have left in its spool and in the engine."""

import logging
from collections.abc import Iterable

from wqmaster.engines.base import Engine
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.base import CollectorPool
from wqmaster.run.flights import Flights
from wqmaster.run.spool import Spool

log = logging.getLogger("wqmaster.master")


def inherit(recipe: Recipe, spool: Spool, flights: Flights, collectors: CollectorPool) -> None:
    """Let the collectors judge the returned tasks in the spool.

    Tasks of another recipe, or whose results have another place, are set aside.
    """
    mine = (recipe.hash, recipe.target)
    for task in spool.waiting():
        try:
            asked, _, _ = spool.read(task)
        except (ValueError, TypeError, KeyError, FileNotFoundError):
            asked = []
        if any((job.recipe, job.target) != mine for job in asked):
            place = spool.set_aside(task)
            log.warning(
                "task %s belongs to another recipe, or its results to another place; it was "
                "moved to %s",
                task,
                place,
            )
            continue
        flights.replay(task, [job.document for job in asked])
        collectors.collect(task)


def adopt(
    tasks: Iterable[str], recipe: Recipe, spool: Spool, flights: Flights, engine: Engine
) -> None:
    """Take over `tasks`, which an earlier master of this run has left in the engine."""
    mine = (recipe.hash, recipe.target)
    for task in tasks:
        try:
            asked = spool.asked(task)
        except (OSError, ValueError, TypeError, KeyError):
            asked = []
        if asked and all((job.recipe, job.target) == mine for job in asked):
            flights.send(task, [job.document for job in asked])
        else:
            engine.cancel(task)
            spool.drop(task)
