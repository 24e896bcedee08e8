"""The status file of a service, for `wqmaster status FOLDER`."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

from wqmaster.campaign.service import FILES_FOLDER, SERVICE_FILE, SERVICE_FOLDER
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NothingMatches
from wqmaster.run.service.running import STATUS_FILE, runs
from wqmaster.system.this_command import this_command


def published(folder: Path) -> dict[str, Any]:
    """The last status of the service in `folder`, and whether it is `running`.

    Raises:
        NothingMatches: the folder is not a service, or was never served.
    """
    try:
        found = json.loads((folder / SERVICE_FOLDER / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        how = f"{this_command()} serve {shlex.quote(str(folder))}"
        what = f"has never been served; to serve its campaigns: {how}"
        if not (folder / SERVICE_FILE).exists():
            what = f"is not a service; to make it one, write a {SERVICE_FILE}, then: {how}"
            file = _served_file(folder)
            if file is not None:
                what = (
                    f"is not a service, but some of its files are served; to see one of these "
                    f"campaigns: {this_command()} status {shlex.quote(file)}"
                )
        raise NothingMatches(
            f"{folder} {what}",
            code=ErrorCode.MASTER_NOT_RUNNING,
        ) from None
    return {**found, "running": runs(found)}


def typed_here(file: str, folder: Path) -> str:
    """The path of a campaign file in a form that is short where the user named `folder`."""
    path = Path(file)
    with contextlib.suppress(OSError):
        if path.parent.samefile(folder):
            return str(folder / path.name)
    return file


def _served_file(folder: Path) -> str | None:
    """A campaign file of a running service of single files in `folder`; None if there is none."""
    for path in sorted(folder.glob(f"*/{FILES_FOLDER}/{STATUS_FILE}")):
        # Another program may have made a file of this name.
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            found = json.loads(path.read_text(encoding="utf-8"))
            if runs(found):
                return typed_here(found["campaigns"][0]["file"], folder)
    return None
