"""Keys of a campaign file that have no effect with its engine."""

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Engine
from wqmaster.campaign.workers import BatchWorkers


def keys_ignored(loaded: LoadedCampaign) -> str | None:
    """A remark on keys that the engine 'local' ignores; None if there are none.

    If the engine is not that of the file, because the command line replaces it, there is no remark.
    """
    source, campaign = loaded.source, loaded.campaign
    stated = source.scalar("engine") or source.scalar("engine", "type")
    if stated != "local" or campaign.engine.type != "local":
        return None
    names = [name for name in Engine.model_fields if name != "type" and source.has("engine", name)]
    if source.has("workers") and isinstance(campaign.workers, BatchWorkers):
        names.append("workers")
    if not names:
        return None
    *others, last = (f"'{name}'" for name in names)
    listed = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    return f"{source.where('engine')}: {listed} no effect with engine 'local'"
