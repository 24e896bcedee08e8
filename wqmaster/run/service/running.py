"""Whether a service is running, according to its status file, and the lock on its folder."""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import SERVICE_FOLDER, show_command
from wqmaster.errors import CampaignLocked
from wqmaster.system.locks import FolderLock
from wqmaster.system.processes import lives
from wqmaster.system.this_command import this_command

STATUS_FILE = "status.json"


def runs(found: Mapping[str, Any]) -> bool:
    """Whether the service with this status is running, as far as this machine can see."""
    return found.get("state") != "ended" and lives(found) is not False


def lock_workforce(place: Path, loaded: LoadedCampaign) -> FolderLock:
    """Lock the folder `place` of a service, or of campaigns that run together.

    `loaded` is the service's file, or the first of the campaigns, which decides about the workers.

    Raises:
        CampaignLocked: the service, or such a run, is running already.
        FolderError: the lock file cannot be opened.
    """
    try:
        is_service = runs(json.loads((place / STATUS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        is_service = False  # the status is missing or damaged
    if not is_service:
        return FolderLock(place)
    show = f"{this_command()} status {loaded.typed}"
    if place.name == SERVICE_FOLDER:
        show = show_command(loaded.source.path.parent)
    return FolderLock(place, f"to see its campaigns: {show}", "the service")


def runs_campaign(loaded: LoadedCampaign) -> bool:
    """Whether a service that is running on this machine has this campaign, in whatever state."""
    if loaded.service is None:
        return False
    # A damaged status shows nothing; the locks of folders still keep two masters apart.
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        text = (loaded.service.folder / STATUS_FILE).read_text(encoding="utf-8")
        found = json.loads(text)
        if found.get("state") == "ended" or not lives(found):
            return False
        path = loaded.source.path
        return any(Path(one["file"]).samefile(path) for one in found["campaigns"])
    return False


def check_not_served(loaded: LoadedCampaign) -> None:
    """Check that no running service has this campaign, whose workers it would wait for.

    Raises:
        CampaignLocked: a service has it.
    """
    if not runs_campaign(loaded):
        return
    folder = loaded.source.path.parent
    raise CampaignLocked(
        f"the service in {folder} is running this campaign; after a drain or a pause, continue it "
        f"with '{this_command()} resume {loaded.typed}'; to see its state: {show_command(folder)}"
    )
