"""The private databases of other campaigns beside a campaign file, should it have been renamed."""

import contextlib
import shlex
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign

# Folders that a message names.
_MAX_SHOWN_FOLDERS = 3


def _others(loaded: LoadedCampaign) -> list[Path]:
    """The folders of other campaigns beside the file that have a database, the newest first."""
    beside = loaded.source.path.parent.absolute()
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for data in beside.glob("*/mongod/data"):
            folder = data.parent.parent
            if folder != loaded.folder:
                found.append((data.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def where_else(loaded: LoadedCampaign) -> str:
    """What to do if an empty private database is that of a renamed campaign; "": it cannot be.

    The words continue a sentence: "the collection is empty" + "; the data ...".
    """
    if loaded.campaign.database.uri is not None:
        return ""
    others = _others(loaded)
    if not others:
        return ""
    names = ", ".join(f"'{folder.name}'" for folder in others[:_MAX_SHOWN_FOLDERS])
    more = ", ..." if len(others) > _MAX_SHOWN_FOLDERS else ""
    first = others[0].name
    place = " in the place of the empty one" if loaded.folder.exists() else ""
    return (
        f"; there are data of another campaign beside this file, in {names}{more}: if the campaign "
        f"was renamed, write 'folder: {first}' into {shlex.quote(str(loaded.source.path))}, or "
        f"rename that folder to '{loaded.folder.name}'{place}"
    )
