"""Load the campaign file as text and as validated models. Error messages give the line."""

import contextlib
import difflib
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bson import ObjectId
from pydantic import ValidationError

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.service import (
    SERVICE_FILE,
    LoadedService,
    load_service,
    serve_command,
    service_beside,
    show_command,
)
from wqmaster.campaign.source import Source, describe, parsed, read
from wqmaster.campaign.workers import BatchWorkers
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.system.private import access_of

# How many files a message about a missing one names.
_MAX_NAMES = 4

__all__ = ["LoadedCampaign", "Source", "describe", "load", "parse"]


class LoadedCampaign:
    """A validated campaign and the text it came from."""

    def __init__(
        self,
        campaign: Campaign,
        source: Source,
        variables: frozenset[str],
        service: LoadedService | None = None,
        typed: str | None = None,
    ) -> None:
        self.campaign = campaign
        self.source = source
        # The names of the environment variables that the file uses. Their values can be secret.
        self.variables = variables
        # The service to which the campaign belongs, because service.yaml is next to its file.
        self.service = service
        # The path of the campaign file as it was given, quoted for a shell, for suggested commands.
        self.typed = typed or shlex.quote(str(source.path))

    def copy(self, **changes: Any) -> "LoadedCampaign":
        """A copy in which `changes` replace keys at the top level of the campaign."""
        campaign = self.campaign.model_copy(update=changes)
        return LoadedCampaign(campaign, self.source, self.variables, self.service, self.typed)

    def typed_as(self, typed: str) -> "LoadedCampaign":
        """A copy whose file has another name in suggested commands, quoted for a shell."""
        return LoadedCampaign(self.campaign, self.source, self.variables, self.service, typed)

    def with_settings(self, settings: Mapping[str, Any]) -> "LoadedCampaign":
        """A copy with other values of `engine` or `workers`, given as plain data."""
        base = self.campaign.model_dump(include={"campaign", "campaign_config"})
        found = Campaign.model_validate({**base, **settings})
        return self.copy(**{name: getattr(found, name) for name in settings})

    def completed(self, fields: Iterable[str], molecule: bool) -> "LoadedCampaign":
        """A copy of the campaign, adapted to its task function.

        The function needs the document fields `fields`, which are fetched too. `molecule` states
        whether it needs a molecule. If not, documents without a molecule are accepted.
        """
        campaign = self.campaign
        projection = list(dict.fromkeys([*campaign.submit.projection, *fields]))
        required = campaign.molecule.required and molecule
        changes = {
            "submit": campaign.submit.model_copy(update={"projection": projection}),
            "molecule": campaign.molecule.model_copy(update={"required": required}),
        }
        return self.copy(**changes)

    def replaced(self, *, engine: str | None = None, port: int | None = None) -> "LoadedCampaign":
        """A copy of the campaign in which settings from the command line replace the file's."""
        given = {"type": engine, "port": port}
        changes = {name: value for name, value in given.items() if value is not None}
        settings = self.campaign.engine.model_copy(update=changes)
        return self.copy(engine=settings)

    @property
    def folder(self) -> Path:
        """The absolute path of the folder with the spool, the logs and the kept files."""
        beside = self.source.path.parent
        folder = self.campaign.folder or Path(f"{self.campaign.campaign}.run")
        return (beside / folder).absolute()

    @property
    def mongod_folder(self) -> Path:
        """The folder of the private database: the service's, unless the campaign has its own."""
        own = self.folder / "mongod"
        if self.service is None or (own / "data").exists():
            return own
        return self.service.folder / "mongod"

    @property
    def workforce_folder(self) -> Path:
        """The folder with the workers' password and factory: the service's, if there is one."""
        return self.folder if self.service is None else self.service.folder

    @property
    def worker_program(self) -> Path | None:
        """The worker program that the file names (absolute); None if it names none.

        As in all paths of a campaign file, `~` is not expanded; `${HOME}` is.
        """
        workers = self.campaign.workers
        if not isinstance(workers, BatchWorkers) or workers.worker is None:
            return None
        return (self.source.path.parent / workers.worker).absolute()


def _extended(value: Any) -> Any:
    """`value` with each {$oid: ...} of MongoDB's extended JSON converted to an ObjectId."""
    if isinstance(value, dict):
        if set(value) == {"$oid"}:
            return ObjectId(str(value["$oid"]))
        return {key: _extended(item) for key, item in value.items()}
    return [_extended(item) for item in value] if isinstance(value, list) else value


def _instead(path: Path) -> str:
    """A hint at the campaign files that exist; "" if there are none nearby."""
    there: list[str] = []
    with contextlib.suppress(OSError):
        there = sorted(found.name for found in path.parent.iterdir() if found.is_file())
    names = [name for name in there if name.endswith((".yaml", ".yml")) and name != SERVICE_FILE]
    # The endings are alike, whatever the names are.
    stems = {Path(name).stem: name for name in names}
    near = [stems[stem] for stem in difflib.get_close_matches(path.stem, stems, n=1, cutoff=0.5)]
    if not near and len(names) == 1:
        near = names
    if near:
        return f"; did you mean '{path.parent / near[0]}'?"
    if service_beside(path) is not None:
        return f"; to see the campaigns of the service there: {show_command(path.parent)}"
    if not names:
        return ""
    *others, last = names[:_MAX_NAMES]
    more = f" (and {len(names) - _MAX_NAMES} more)" if len(names) > _MAX_NAMES else ""
    where = "this folder" if path.parent == Path() else str(path.parent)
    listed = f"{', '.join(others)} and {last}" if others else last
    return f"; the YAML files in {where} are {listed}{more}"


def _of_all(folder: Path) -> str:
    """The commands for all campaigns of the service in `folder`, for the end of a message."""
    return f"to run all: {serve_command(folder)}; to see all: {show_command(folder)}"


def load(path: str | Path, environ: Mapping[str, str] = os.environ) -> LoadedCampaign:
    """Read and validate the campaign file at `path`, and service.yaml next to it.

    Raises:
        CampaignError: a file cannot be read, is not valid YAML, or is not valid.
    """
    path = Path(path)
    if path.is_dir():
        is_service = (path / SERVICE_FILE).is_file()
        more = f"; {_of_all(path)}" if is_service else ""
        raise CampaignError(
            f"{path} is a folder; name a campaign file in it{more}",
            code=ErrorCode.CAMPAIGN_NOT_FOUND,
        )
    text = read(path, hint=_instead(path))
    beside = service_beside(path)
    service = None if beside is None else load_service(beside, environ)
    return parse(path, text, environ, service)


def parse(
    path: str | Path,
    text: str,
    environ: Mapping[str, str] = os.environ,
    service: LoadedService | None = None,
) -> LoadedCampaign:
    """Validate `text`, which the campaign file at `path` held when it was read.

    Raises:
        CampaignError: it is not valid YAML, or not a valid campaign of the service.
    """
    path = Path(path)
    data, source, variables = parsed(path, text, environ)
    if path.name == SERVICE_FILE and "service" in data and "campaign" not in data:
        raise CampaignError(
            f"{path} describes a service; name one of its campaign files; {_of_all(path.parent)}"
        )
    if service is not None:
        data = _with_database(data, service)
        variables |= service.variables
    try:
        if isinstance(data.get("submit"), dict):
            data["submit"] = _extended(data["submit"])
        campaign = Campaign.model_validate(data)
    except ValidationError as error:
        raise describe(error, source) from error
    except (Exception, RecursionError) as error:
        raise source.error(f"the query cannot be read: {error}", "submit", "query") from error
    try:
        access_of(campaign.group)
    except ValueError as error:
        raise source.error(str(error), "group") from error
    if service is not None:
        campaign = _with_workers(campaign, data, source, service)
    return LoadedCampaign(campaign, source, variables, service)


def _with_database(data: dict[str, Any], service: LoadedService) -> dict[str, Any]:
    """The values of a campaign file, with the service's database if the file names no server."""
    own = data.get("database")
    if own is not None and (not isinstance(own, dict) or "uri" in own):
        return data
    shared = service.file.database.model_dump(exclude_unset=True)
    return {**data, "database": {**shared, **(own or {})}}


def _with_workers(
    campaign: Campaign, data: Mapping[str, Any], source: Source, service: LoadedService
) -> Campaign:
    """The campaign with engine and workers of its service.

    Raises:
        CampaignError: the campaign file asks for others.
    """
    shared = {"engine": service.file.engine, "workers": service.file.workers}
    for name, value in shared.items():
        if name in data and getattr(campaign, name) != value:
            raise source.error(
                f"'{name}' differs from that of the service in {service.source.path}, whose "
                f"campaigns share it; remove '{name}' here",
                name,
                code=ErrorCode.SERVICE_DIFFERS,
            )
    return campaign.model_copy(update=shared)
