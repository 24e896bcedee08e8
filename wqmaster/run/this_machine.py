"""What this machine lacks for a campaign, besides programs of steps: for `check` and `doctor`."""

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.run.hiring import cores
from wqmaster.run.outward import hook_words


def missing_hook(loaded: LoadedCampaign) -> CampaignError | None:
    """Why the program that `notify:` names cannot be called; None if it can, or there is none."""
    try:
        hook_words(loaded)
    except CampaignError as error:
        return error
    return None


def missing_cores(loaded: LoadedCampaign, engine: str) -> CampaignError | None:
    """Why jobs are too large for this machine; None if they are not, or run on other machines."""
    campaign = loaded.campaign
    here, needed = cores(), campaign.resources.cores
    if engine != "local" and not campaign.workers.on_this_machine:
        return None
    if needed <= here:
        return None
    return loaded.source.error(
        f"each job uses {needed} cores, but this machine has {here}, so its threads slow each "
        f"other down; write 'cores: {here}' at most, or run the jobs on other machines with "
        "'workers:'",
        *("resources", "cores"),
        code=ErrorCode.CORES_TOO_FEW,
    )
