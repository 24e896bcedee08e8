"""Why a campaign has no worker factory, for people."""

import contextlib

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.workers import NoWorkers
from wqmaster.engines import choosing
from wqmaster.errors import EngineError

LOCAL_ENGINE = "the engine 'local' runs jobs on this machine without workers"


def why_no_factory(loaded: LoadedCampaign) -> str:
    """Why no factory was ever started for a campaign, and how to start one."""
    campaign = loaded.campaign
    if isinstance(campaign.workers, NoWorkers):
        return "no factory: the campaign has 'workers: none', so you start its workers yourself"
    with contextlib.suppress(EngineError):
        if choosing.choose(campaign)[0] == "local":
            return f"no factory: {LOCAL_ENGINE}"
    how = f"'wqmaster factory {loaded.typed} --start' starts one"
    if campaign.workers.managed:
        how = f"'wqmaster run {loaded.typed}' starts one"
    return f"no factory was started for this campaign; {how}"
