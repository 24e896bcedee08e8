"""The file service.yaml: what the campaigns in its folder share."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError

from wqmaster.campaign.base import NAME, Model
from wqmaster.campaign.models import Database, Engine, engine_typed
from wqmaster.campaign.source import Source, describe, parsed, read
from wqmaster.campaign.workers import LocalWorkers, Workers
from wqmaster.system.this_command import this_command

# A folder with this file is a service, whose campaigns are the other YAML files in it.
SERVICE_FILE = "service.yaml"
# The folder of a service's private database, password, factory, logs and status.
SERVICE_FOLDER = "service.run"
# The folder of a service of single files, in the folder of the first campaign.
FILES_FOLDER = "service"


class Limits(Model):
    """`limits`: how much of this computer the service may use."""

    # How many collectors all campaigns may have together; each campaign has at least one
    # (default: one per core but one).
    collectors: int | None = Field(default=None, gt=0)


class ServiceFile(Model):
    """The keys of service.yaml."""

    service: str = Field(pattern=NAME)
    engine: Annotated[Engine, BeforeValidator(engine_typed)] = Field(default_factory=Engine)
    workers: Workers = Field(default_factory=LocalWorkers)
    # The database of all campaigns that name no server themselves.
    database: Database = Field(default_factory=Database)
    limits: Limits = Field(default_factory=Limits)


class LoadedService:
    """A validated service.yaml and the text it came from."""

    def __init__(
        self, file: ServiceFile, source: Source, variables: frozenset[str], text: str
    ) -> None:
        self.file = file
        self.source = source
        # The names of the environment variables that the file uses. Their values can be secret.
        self.variables = variables
        self.text = text

    @property
    def folder(self) -> Path:
        """The absolute path of the folder with what the campaigns share."""
        return (self.source.path.parent / SERVICE_FOLDER).absolute()


def service_beside(path: Path) -> Path | None:
    """The service.yaml next to a campaign file; None if there is none."""
    found = path.parent / SERVICE_FILE
    return found if path.name != SERVICE_FILE and found.is_file() else None


def show_command(folder: Path) -> str:
    """The command that shows the campaigns of the service in `folder`."""
    return f"{this_command()} status {shlex.quote(str(folder))}"


def serve_command(folder: Path) -> str:
    """The command that runs the service in `folder`."""
    return f"{this_command()} serve {shlex.quote(str(folder))}"


def run_command(path: Path) -> str:
    """The command that runs the campaign file at `path`, or its service."""
    if service_beside(path) is not None:
        return serve_command(path.parent)
    return f"{this_command()} run {shlex.quote(str(path))}"


def next_run(path: Path) -> str:
    """What computes documents of the campaign file at `path` next, for the end of a message."""
    if service_beside(path) is None:
        return f"next: {run_command(path)}"
    return f"next: the service, within a minute; if it is not running: {run_command(path)}"


def load_service(path: str | Path, environ: Mapping[str, str] = os.environ) -> LoadedService:
    """Read and validate a service.yaml.

    Raises:
        CampaignError: the file cannot be read, is not valid YAML, or is not valid.
    """
    path = Path(path)
    return parse_service(path, read(path, "service"), environ)


def parse_service(
    path: str | Path, text: str, environ: Mapping[str, str] = os.environ
) -> LoadedService:
    """Validate `text`, which the service.yaml at `path` held when it was read.

    Raises:
        CampaignError: it is not valid.
    """
    data, source, variables = parsed(Path(path), text, environ, "service")
    try:
        file = ServiceFile.model_validate(data)
    except ValidationError as error:
        raise describe(error, source) from error
    return LoadedService(file, source, variables, text)
