"""How a master passes its campaign to the processes that work for it, and how they read it."""

import os
from pathlib import Path

from bson import json_util

from wqmaster.campaign.loading import LoadedCampaign, Source
from wqmaster.campaign.models import Campaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run.collector.messages import Configuration


class RecipeChanged(CampaignError):
    """The files that a recipe names are no longer those of the run."""

    code = ErrorCode.FILE_CHANGED


def configuration(loaded: LoadedCampaign, uri: str, recipe: str) -> Configuration:
    """The configuration of a process that works for the run of a recipe, named by its hash."""
    campaign = loaded.campaign.model_dump(exclude={"folder", "notify", "metrics"})
    return Configuration(
        recipe=recipe,
        # Paths become text; MongoDB's extended JSON covers the other types.
        campaign=json_util.dumps(campaign, default=os.fspath),
        path=str(loaded.source.path.absolute()),
        folder=str(loaded.folder),
        uri=uri,
    )


def followed(configured: Configuration) -> Recipe:
    """The recipe of the campaign in a configuration.

    Raises:
        CampaignError: the recipe cannot be read.
        RecipeChanged: the files that it names are no longer those of the run. A process that is
            started later reads the user's files again, and would work with another recipe.
    """
    folder = Path(configured.folder)
    campaign = Campaign.model_validate({**json_util.loads(configured.campaign), "folder": folder})
    loaded = LoadedCampaign(campaign, Source(Path(configured.path), None), frozenset())
    recipe = resolve(loaded, runs=False)
    if recipe.hash != configured.recipe:
        raise RecipeChanged("files of the campaign's recipe have changed since the run began")
    return recipe
