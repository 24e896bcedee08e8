"""What the campaigns of a service share, from service.yaml or from the first campaign file."""

import contextlib
import os
import shlex
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign, load
from wqmaster.campaign.service import (
    FILES_FOLDER,
    SERVICE_FILE,
    LoadedService,
    load_service,
    service_beside,
)
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.errors import CampaignError, UsageError
from wqmaster.factory import worker_size
from wqmaster.run.service.examiner import Answer
from wqmaster.run.service.folder import Stamp, in_folder, single
from wqmaster.run.service.workforce import Staffing, as_campaign, largest
from wqmaster.system.this_command import this_command


@dataclass(frozen=True)
class Shared:
    """Engine, workers and database of a service."""

    name: str
    staffing: Staffing
    place: Path  # the folder with the service's lock, logs and status
    found: Callable[[], dict[Path, Stamp]]  # the campaign files that are there now
    engine: str = ""
    loaded: LoadedService | None = None  # None without service.yaml
    settings: dict[str, Any] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()  # variables that workers do not see
    # The campaign file that decides about engine and workers; None with service.yaml.
    first: Path | None = None

    @property
    def service(self) -> tuple[str, str] | None:
        """The path and the text of service.yaml; None if there is none."""
        found = self.loaded
        return None if found is None else (str(found.source.path), found.text)

    @property
    def collectors(self) -> int | None:
        """How many collectors the campaigns may have together; None: as many as the cores allow."""
        return None if self.loaded is None else self.loaded.file.limits.collectors

    @property
    def mongod_folder(self) -> Path | None:
        """The folder of the private database that campaigns share; None if there is none."""
        if self.loaded is None or self.loaded.file.database.uri is not None:
            return None
        return self.loaded.folder / "mongod"

    @property
    def open_folder(self) -> Path | None:
        """The folder with service.yaml if every user of the computer can write to it."""
        if self.loaded is None:
            return None
        folder = self.loaded.source.path.parent
        return folder if folder.stat().st_mode & stat.S_IWOTH else None

    def why_not(self, answer: Answer) -> str | None:
        """Why the workers cannot serve a campaign; None if they can."""
        campaign = self.staffing.loaded.campaign
        size = worker_size(campaign)
        limited = campaign.workers.on_this_machine or isinstance(campaign.workers, BatchWorkers)
        if limited and answer.cores > size.cores:
            return (
                f"its jobs need {answer.cores} cores, but the service's workers have {size.cores}; "
                "change 'workers:' or 'resources:', and restart the service"
            )
        seen = sorted(set(answer.variables) - self.hidden)
        if campaign.workers.on_this_machine and seen:
            return (
                f"it uses the environment variable '{seen[0]}', which the service's workers can "
                "see; restart the service to hide it from them"
            )
        return None


def _readable(paths: Sequence[Path]) -> list[LoadedCampaign]:
    found = []
    for path in paths:
        with contextlib.suppress(CampaignError):
            found.append(load(path))
    return found


def _environ(hidden: frozenset[str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in hidden}


def shared_by(paths: Sequence[Path]) -> Shared:
    """The service in a folder, or of these campaign files.

    Raises:
        CampaignError: service.yaml or the first file is missing or invalid.
        UsageError: the paths are not one folder, or files of one service.
    """
    paths = [path.parent if path.name == SERVICE_FILE else path for path in paths]
    folders = [path for path in paths if path.is_dir()]
    if folders and len(paths) > 1:
        raise UsageError(
            f"{folders[0]} is a folder; serve one folder, or campaign files of the same folder"
        )
    if folders:
        folder = folders[0]
        if not (folder / SERVICE_FILE).exists():
            raise CampaignError(
                f"{folder / SERVICE_FILE}: there is no such file; to serve the folder, write one "
                "with the line 'service: NAME', or name the campaign files: "
                f"{this_command()} serve FILE..."
            )
        return _of_service(load_service(folder / SERVICE_FILE), in_folder(folder.absolute()))
    seen: dict[Path, Path] = {}
    for path in paths:
        real = path.resolve()
        if real in seen:
            raise UsageError(f"{seen[real]} and {path} are the same file; name it once")
        seen[real] = path
    besides = {service_beside(path.absolute()) for path in paths}
    if len(besides) > 1:
        raise UsageError("these files belong to different services; serve files of one folder")
    beside = service_beside(paths[0])
    if beside is not None:
        return _of_service(load_service(beside), single(_absolute(paths)))
    return _of_files(paths)


def _absolute(paths: Sequence[Path]) -> list[Path]:
    """The paths as the service's messages have them: their readers can be in other folders."""
    return [path.absolute() for path in paths]


def _of_service(service: LoadedService, found: Callable[[], dict[Path, Stamp]]) -> Shared:
    present = _readable(list(found()))
    hidden = service.variables.union(*(one.variables for one in present))
    loaded = as_campaign(service, present)
    return Shared(
        name=service.file.service,
        staffing=Staffing(loaded, _environ(hidden)),
        place=service.folder,
        found=found,
        loaded=service,
        hidden=hidden,
    )


def _of_files(paths: Sequence[Path]) -> Shared:
    first = load(paths[0])
    present = _readable(paths)
    hidden = frozenset[str]().union(*(one.variables for one in present))
    loaded = first.copy(resources=largest([one.campaign for one in present]))
    loaded = loaded.typed_as(shlex.quote(str(paths[0].absolute())))
    settings = {
        "engine": first.campaign.engine.model_dump(mode="json"),
        "workers": first.campaign.workers.model_dump(mode="json"),
    }
    return Shared(
        name=first.campaign.campaign,
        staffing=Staffing(loaded, _environ(hidden)),
        place=first.folder / FILES_FOLDER,
        found=single(_absolute(paths)),
        first=paths[0].absolute(),
        settings=settings,
        hidden=hidden,
    )
