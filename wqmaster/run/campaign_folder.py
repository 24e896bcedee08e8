"""A campaign's folder, which only its owner (and the campaign's `group:`) can read."""

import os
from pathlib import Path

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.errors import FolderError
from wqmaster.system.files import check_writable, why_no_folder
from wqmaster.system.private import Access, access_of, make_folder


def prepare(loaded: LoadedCampaign) -> None:
    """Create the campaign's folder if necessary, and tighten what wqmaster made in it.

    Raises:
        FolderError: the folder cannot be created, or is not writable.
    """
    access = access_of(loaded.campaign.group)
    _prepare(loaded.folder, access, default=loaded.campaign.folder is None)


def enter(loaded: LoadedCampaign) -> None:
    """Prepare the folder, and let this process and its children make only private files.

    Raises:
        FolderError: as for `prepare`.
    """
    prepare(loaded)
    os.umask(access_of(loaded.campaign.group).umask)


def enter_service(folder: Path, loaded: LoadedCampaign) -> None:
    """Prepare the folder of a service, and let this process make only private files.

    It can be in the folder of the campaign `loaded`, which is prepared first.

    Raises:
        FolderError: as for `prepare`.
    """
    if folder.parent == loaded.folder:
        prepare(loaded)
    access = Access()
    _prepare(folder, access, default=True)
    os.umask(access.umask)


def _prepare(folder: Path, access: Access, *, default: bool) -> None:
    try:
        if os.path.lexists(folder):  # an OSError here, if the name is too long
            check_writable(folder)  # before anything is written into it
        make_folder(folder, access, default=default)
    except OSError as error:
        raise FolderError(why_no_folder(folder, error)) from error
    check_writable(folder)
