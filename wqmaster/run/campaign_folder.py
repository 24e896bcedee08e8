"""A campaign's folder, which only its owner (and the campaign's `group:`) can read."""

import os

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.errors import FolderError
from wqmaster.system.files import check_writable
from wqmaster.system.private import access_of, make_folder


def prepare(loaded: LoadedCampaign) -> None:
    """Create the campaign's folder if necessary, and tighten what wqmaster made in it.

    Raises:
        FolderError: the folder cannot be created, or is not writable.
    """
    if os.path.lexists(loaded.folder):
        check_writable(loaded.folder)  # before anything is written into it
    try:
        access = access_of(loaded.campaign.group)
        make_folder(loaded.folder, access, default=loaded.campaign.folder is None)
    except OSError as error:
        raise FolderError(
            f"cannot write to the folder {loaded.folder} ({error.strerror or error}); make it "
            "writable, or name another one with 'folder:' in the campaign file"
        ) from error
    check_writable(loaded.folder)


def enter(loaded: LoadedCampaign) -> None:
    """Prepare the folder, and let this process and its children make only private files.

    Raises:
        FolderError: as for `prepare`.
    """
    prepare(loaded)
    os.umask(access_of(loaded.campaign.group).umask)
