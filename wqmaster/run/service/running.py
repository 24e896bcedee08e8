"""Whether a service is running, according to its status file, and the lock on its folder."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import SERVICE_FOLDER, show_command
from wqmaster.errors import CampaignLocked
from wqmaster.run.service.seat_state import SeatState
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


@dataclass(frozen=True)
class Served:
    """A campaign of a service that is running on this machine."""

    state: SeatState
    error: str | None  # why it ended
    pid: int  # of the service

    @property
    def in_words(self) -> str:
        """Its state, with the reason if it failed."""
        why = f": {self.error}" if self.error else ""
        return f"{self.state}{why}"


def served(loaded: LoadedCampaign) -> Served | None:
    """The campaign in the service that is running on this machine; None if no service has it."""
    if loaded.service is None:
        return None
    # A damaged status shows nothing; the locks of folders still keep two masters apart.
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        text = (loaded.service.folder / STATUS_FILE).read_text(encoding="utf-8")
        found = json.loads(text)
        if found.get("state") == "ended" or not lives(found):
            return None
        path = loaded.source.path
        for one in found["campaigns"]:
            if Path(one["file"]).samefile(path):
                return Served(SeatState(one["state"]), one["error"], int(found["pid"]))
    return None


def runs_campaign(loaded: LoadedCampaign) -> bool:
    """Whether a service that is running on this machine has this campaign, in whatever state."""
    return served(loaded) is not None


def check_not_served(loaded: LoadedCampaign) -> None:
    """Check that no running service has this campaign, whose workers it would wait for.

    Raises:
        CampaignLocked: a service has it.
    """
    found = served(loaded)
    if found is None:
        return
    folder = loaded.source.path.parent
    how = (
        f"is running this campaign; after a pause, continue it with '{this_command()} resume "
        f"{loaded.typed}'"
    )
    if found.state is SeatState.STOPPED:
        how = (
            f"has stopped this campaign; after a drain, continue it with '{this_command()} resume "
            f"{loaded.typed}'"
        )
    elif found.state.is_end:
        how = (
            f"has this campaign ({found.in_words}); it looks for documents to compute at "
            f"intervals, and at once after: kill -HUP {found.pid}"
        )
    raise CampaignLocked(f"the service in {folder} {how}; to see its state: {show_command(folder)}")
