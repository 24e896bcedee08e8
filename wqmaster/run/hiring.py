"""The workers of a run: how many, with which environment, and the factory that starts them."""

import logging
import os

from wqmaster import factory
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import BatchWorkers, LocalWorkers, NoWorkers
from wqmaster.engines.base import Engine
from wqmaster.factory import Handle
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.programs import asked_for_version
from wqmaster.run.progress import Progress
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster")


def cores() -> int:
    """The number of cores that this process can use."""
    return len(os.sched_getaffinity(0))


def local_count(campaign: Campaign) -> int:
    """The number of workers, if they run on this machine."""
    stated = campaign.workers.count if isinstance(campaign.workers, LocalWorkers) else None
    return stated or max(1, cores() // campaign.resources.cores)


def most_slots(campaign: Campaign) -> int | None:
    """How many tasks workers run at most at the same time; None if users start the workers."""
    if isinstance(campaign.workers, NoWorkers):
        return None
    most = factory.numbers(campaign, local_count(campaign)).max
    return most * factory.worker_size(campaign).slots


def worker_environment(loaded: LoadedCampaign) -> dict[str, str]:
    """The environment for workers, without variables of the campaign file, which can be secret."""
    return {name: value for name, value in os.environ.items() if name not in loaded.variables}


def hire(recipe: Recipe, name: str, engine: Engine, progress: Progress) -> Handle | None:
    """The worker factory; None if the campaign uses none."""
    loaded, campaign = recipe.loaded, recipe.loaded.campaign
    folder = loaded.workforce_folder
    port = engine.port
    if isinstance(campaign.workers, NoWorkers) or port is None:
        return None
    progress.port = port
    progress.host = campaign.workers.host or factory.this_host()
    manager = factory.manager_of(campaign, None, port)
    plan = factory.planned(
        loaded, name, manager, recipe.programs(), local_count(campaign), asked_for_version(recipe)
    )
    size, slots = campaign.bundle.fixed, factory.worker_size(campaign).slots
    if campaign.workers.managed:
        environ = worker_environment(loaded)
        try:
            wanted = factory.Demand(progress.left, 0)
            return factory.LastingFactory(
                lambda: factory.Factory(
                    plan, folder, environ, bundle=size, slots=slots, wanted=wanted
                )
            )
        except factory.Locked as error:
            log.warning("no factory was started: %s", error.message)
            progress.notes.append(f"the master started no factory: {error.message}")
    return factory.Detached(plan, folder, bundle=size, slots=slots)


def dismiss(workforce: Handle, progress: Progress) -> None:
    """End the workers that the master has started, and note those that remain."""
    left = workforce.close()
    if left:
        log.warning("%s", left)
        progress.notes.append(left)


def how_to_connect(loaded: LoadedCampaign, engine: Engine) -> str | None:
    """The command that starts workers; None if the engine needs none or the master starts them."""
    workers = loaded.campaign.workers
    by_hand = engine.how_to_connect()
    if by_hand is None or not isinstance(workers, BatchWorkers):
        return by_hand
    return None if workers.managed else f"{this_command()} factory {loaded.typed} --start"
