"""Put the control of a run together."""

from collections.abc import Callable, Mapping
from typing import Any

from wqmaster import factory
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import NoWorkers
from wqmaster.database.documents import Counts, Store
from wqmaster.engines.base import Engine
from wqmaster.engines.local import LocalEngine
from wqmaster.factory import Handle
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.configured import configuration
from wqmaster.run.collector.pool import Collectors
from wqmaster.run.control.control import Control, InService
from wqmaster.run.control.pausing import PauseGate
from wqmaster.run.control.reloading import Reloader
from wqmaster.run.staff import Staff
from wqmaster.system.this_command import this_command


def control(
    recipe: Recipe,
    asked_for: Mapping[str, Any] | None,
    token: str,
    store: Store,
    *,
    engine: Engine,
    collectors: Collectors,
    workforce: Handle | None,
    local_count: Callable[[Campaign], int],
    count: Callable[[Store], Counts | None],
    also: Mapping[str, Callable[[LoadedCampaign], None]],
    staff: Staff | None = None,
) -> Control:
    """The control of a run by the master `token`.

    `asked_for` are the settings of the command line that replace the file's; None if the recipe
    is not the file's, so that the run cannot take changes of the file. `staff` is that of the
    service to which the campaign belongs.
    """
    gate = PauseGate(f"{this_command()} resume {recipe.loaded.typed}")
    if staff is not None:
        service = InService(staff.follows_file, staff.files)
        return Control(token, store.commands, gate, recipe, service=service)
    if asked_for is None:
        return Control(token, store.commands, gate, recipe)

    def apply(new: Recipe) -> None:
        campaign = new.loaded.campaign
        collectors.reconfigure(configuration(new.loaded, store.uri, new.hash))
        if isinstance(engine, LocalEngine):
            engine.resize(local_count(campaign))
        if workforce is not None and not isinstance(campaign.workers, NoWorkers):
            workforce.resize(factory.numbers(campaign, local_count(campaign)))

    reloader = Reloader(
        recipe, apply=apply, count=lambda: count(store), also=also, asked_for=asked_for
    )
    return Control(token, store.commands, gate, recipe, reloader)
