"""Private databases of other campaigns next to a campaign file, in case it was renamed."""

import contextlib
import shlex
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign

# How many folders a message names.
_MAX_SHOWN_FOLDERS = 3


def _others(loaded: LoadedCampaign) -> list[Path]:
    """The folders of other campaigns next to the file that have a database, newest first."""
    parent = loaded.source.path.parent.absolute()
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for data in parent.glob("*/mongod/data"):
            folder = data.parent.parent
            if folder != loaded.folder:
                found.append((data.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def where_else(loaded: LoadedCampaign) -> str:
    """What to do if a private database is empty because the campaign was renamed; "" if it is not.

    The text continues a sentence: "the collection is empty" + "; another campaign's data ...".
    """
    if loaded.campaign.database.uri is not None:
        return ""
    others = _others(loaded)
    if not others:
        return ""
    names = ", ".join(f"'{folder.name}'" for folder in others[:_MAX_SHOWN_FOLDERS])
    more = ", ..." if len(others) > _MAX_SHOWN_FOLDERS else ""
    first = others[0].name
    path = shlex.quote(str(loaded.source.path))
    return (
        f"; another campaign's data is next to this file, in {names}{more}: if this is that "
        f"campaign under a new name, write 'folder: {first}' into {path}"
    )
