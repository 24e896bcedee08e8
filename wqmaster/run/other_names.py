"""Private databases of other campaigns beside a campaign file, in case the campaign was renamed."""

import contextlib
import shlex
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign

# How many folders a message names.
_MAX_SHOWN_FOLDERS = 3


def _others(loaded: LoadedCampaign) -> list[Path]:
    """The folders beside the campaign file that hold another campaign's database, newest first."""
    parent = loaded.source.path.parent.absolute()
    found: list[tuple[float, Path]] = []
    with contextlib.suppress(OSError):
        for data in parent.glob("*/mongod/data"):
            folder = data.parent.parent
            if folder not in (loaded.folder, loaded.mongod_folder.parent):
                found.append((data.stat().st_mtime, folder))
    return [folder for _, folder in sorted(found, reverse=True)]


def where_else(loaded: LoadedCampaign) -> str:
    """Advice for a campaign whose database is empty because it was renamed; "" if it was not.

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
    whose = "another campaign's data is" if len(others) == 1 else "data of other campaigns are"
    which = "that campaign" if len(others) == 1 else "one of them"
    path = shlex.quote(str(loaded.source.path))
    return (
        f"; {whose} next to this file, in {names}{more}: if you have renamed {which}, write "
        f"'folder: {first}' into {path}"
    )
