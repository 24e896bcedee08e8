"""The campaign file as frozen, validated models.

An error gives the file and line, what is wrong there, and the closest valid word.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import FIELD, NAME, Model, allowing, nearest
from wqmaster.campaign.units import Megabytes, Seconds
from wqmaster.campaign.workers import LocalWorkers, Workers

__all__ = [
    "FIELD",
    "GEOMETRY_FIELDS",
    "NAME",
    "Archive",
    "Bundle",
    "Campaign",
    "CampaignConfig",
    "Database",
    "Engine",
    "Kwargs",
    "Model",
    "MoleculeFields",
    "Program",
    "Resources",
    "Step",
    "Submit",
    "Workers",
    "nearest",
]


_DATABASE_NAME = allowing(
    'all characters but spaces and / \\ . " $ * < > : | ?', r"^[^/\\. \"$*<>:|?\x00]+$"
)
_COLLECTION_NAME = allowing("all characters but '$'", r"^[^$\x00]+$")
_URL = allowing(
    "SCHEME://..., without spaces, quotes and backslashes", r"^[a-z][a-z0-9+.-]*://[^\s'\"\\]+$"
)
_SHA256 = allowing("64 hexadecimal digits, in lower case", r"^[0-9a-f]{64}$")
_MODULE = allowing(
    "letters, digits and _ . + / -, with a letter or digit first",
    r"^[A-Za-z0-9][A-Za-z0-9_.+/-]*$",
)
_CATALOG = allowing("HOST or HOST:PORT", r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")


def _typed(value: Any) -> Any:
    """`engine: local` is short for `engine: {type: local}`."""
    return {"type": value} if isinstance(value, str) else value


class Step(Model):
    """One entry of `args:`; its other keys are options of the task function."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(pattern=NAME)
    # Parsers of the step: a list, or file -> parsers that read it.
    parsers: dict[str, list[str]] | list[str] = Field(default_factory=list)
    # Files to keep in addition to the results: name in the sandbox -> name with {id}.
    keep_files: dict[str, str] = Field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options of the task function, as written in the file."""
        return dict(self.model_extra or {})


class Kwargs(Model):
    """`campaign_config.kwargs`: where in a document results are stored."""

    mongo_output_key: str = Field(pattern=FIELD)


class CampaignConfig(Model):
    """`campaign_config`: the calculation."""

    func_name: str
    # How long all steps of one job may take together.
    job_timeout: Seconds = 3600
    args: list[Step] = Field(min_length=1)
    kwargs: Kwargs | None = None

    @model_validator(mode="after")
    def _names_differ(self) -> "CampaignConfig":
        names = [step.name for step in self.args]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise PydanticCustomError(
                    "step_twice",
                    "two steps are named '{name}'",
                    {"name": name, "keys": ("args", position, "name")},
                )
        return self


class Submit(Model):
    """`submit`: the documents to compute."""

    query: dict[str, Any] = Field(default_factory=dict)
    # Fields that the task function needs besides those of the molecule.
    projection: list[Annotated[str, Field(pattern=FIELD)]] = Field(default_factory=list)
    # Category of the tasks in the engine, named `queue` as in the RQ framework.
    queue: str | None = None


class Database(Model):
    """`database`: without a URI, a private MongoDB server runs in the campaign's folder."""

    uri: str | None = Field(default=None, repr=False)
    name: str = Field(default="wqmaster", pattern=_DATABASE_NAME)
    collection: str = Field(default="molecules", pattern=_COLLECTION_NAME)

    @model_validator(mode="before")
    @classmethod
    def _address_is_whole(cls, data: Any) -> Any:
        """See that no address was divided at a comma: `{uri: mongodb://me:pass,word@host}`.

        Its pieces would be told as unknown keys, and may be those of a password.
        """
        if isinstance(data, Mapping) and any(
            data[key] is None and key not in cls.model_fields for key in data
        ):
            raise PydanticCustomError(
                "address_divided",
                "a key has no value; if it is a piece of the address, write 'uri:' in quotes",
            )
        return data

    @field_validator("uri")
    @classmethod
    def _not_empty(cls, uri: str | None) -> str | None:
        if uri is not None and not uri.strip():
            raise PydanticCustomError(
                "empty_uri",
                "the address is empty: write mongodb://HOST, or remove the key 'uri' for a "
                "private server",
            )
        return uri


# The keys of `molecule:` that name fields, and so determine what is computed.
GEOMETRY_FIELDS = ("atomic_numbers", "coordinates", "charge", "multiplicity")


class MoleculeFields(Model):
    """`molecule`: the fields of a document that describe its molecule."""

    # Atomic numbers, or element symbols.
    atomic_numbers: str = Field(default="atomic_numbers", pattern=FIELD)
    # Angstrom; [[x, y, z], ...] or flat.
    coordinates: str = Field(default="coordinates", pattern=FIELD)
    # A document without it has 0.
    charge: str = Field(default="charge", pattern=FIELD)
    # A document without it has 1.
    multiplicity: str = Field(default="multiplicity", pattern=FIELD)
    # Whether a document without atoms is refused; some task functions need none (docking).
    required: bool = True

    @property
    def names(self) -> set[str]:
        """The fields to fetch."""
        return {self.atomic_numbers, self.coordinates, self.charge, self.multiplicity}


class Resources(Model):
    """`resources`: what one job may use."""

    cores: int = Field(default=1, gt=0)
    # Default: the share of the worker's memory that goes with the job's cores.
    memory: Megabytes | None = None
    # Default: the share of the worker's disk that goes with the job's cores.
    disk: Megabytes | None = None
    # The least time that a job takes: a worker with less wall time left gets no job.
    running_time_min: Seconds | None = None


class Program(Model):
    """How to call one program of `software:`, and where workers get it from."""

    # Program and first arguments, quoted as in a shell. If there is an archive or a URL, the path
    # of the program in the archive.
    command: str
    # A .tar, .tar.gz, .tar.bz2 or .tar.xz, relative to the campaign file; sent once to each worker.
    archive: Path | None = None
    # The URL of such an archive (https, osdf, ...), which workers fetch.
    url: str | None = Field(default=None, pattern=_URL)
    # Checksum of the file at the URL, in hexadecimal.
    sha256: str | None = Field(default=None, pattern=_SHA256)
    # An environment module to load first, named as for `module load`.
    module: str | None = Field(default=None, pattern=_MODULE)

    @field_validator("command")
    @classmethod
    def _words(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise PydanticCustomError(
                "no_command",
                "'{command}' is not a command: {why}",
                {"command": command, "why": str(error)},
            ) from error
        if not words or not words[0]:
            raise PydanticCustomError("no_command", "the command is empty")
        return command

    @model_validator(mode="after")
    def _one_way(self) -> "Program":
        ways = [name for name in ("archive", "url", "module") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise PydanticCustomError(
                "many_ways", "give only one of {ways}", {"ways": " and ".join(ways)}
            )
        if self.sha256 is not None and self.url is None:
            raise PydanticCustomError(
                "no_url", "'sha256' is the checksum of the file at 'url', but there is no 'url'"
            )
        return self


class Engine(Model):
    """`engine`: what runs the tasks."""

    type: Literal["auto", "work_queue", "taskvine", "local"] = "auto"
    # The port that workers connect to; 0: any free port.
    port: int = Field(default=0, ge=0, le=65535)
    # The project name under which a catalog lists the master.
    name: str | None = Field(default=None, pattern=NAME)
    # HOST or HOST:PORT of that catalog; default: CATALOG_HOST of the environment.
    catalog: str | None = Field(default=None, pattern=_CATALOG)
    # Whether the traffic between master and workers is encrypted.
    ssl: bool = False
    # What tasks without a remedy get: what `resources` says (default: the share of the worker that
    # goes with their cores), or what is learned from earlier tasks.
    allocation: Literal["fixed", "max", "min_waste", "max_throughput"] = "fixed"
    # A task slower than this multiple of its category's average restarts elsewhere, a few times.
    fast_abort: float | None = Field(default=None, ge=1)
    # Whether the debug log records all that the manager does.
    debug: bool = False


class Bundle(Model):
    """`bundle`: how many jobs form one task."""

    size: int = Field(default=1, gt=0, le=1000)


class Archive(Model):
    """`archive`: how outputs travel, and which are kept."""

    # gzip for a wide-area network; none if workers are near.
    compression: Literal["gzip", "none"] = "none"
    # Which raw outputs are kept: of failed attempts, all (for `wqmaster reparse`), or none.
    keep: Literal["failed", "all", "none"] = "failed"


def _command(value: Any) -> Any:
    return {"command": value} if isinstance(value, str) else value


class Campaign(Model):
    """A whole campaign file."""

    campaign: str = Field(pattern=NAME)
    campaign_config: CampaignConfig
    submit: Submit = Field(default_factory=Submit)
    database: Database = Field(default_factory=Database)
    molecule: MoleculeFields = Field(default_factory=MoleculeFields)
    resources: Resources = Field(default_factory=Resources)
    software: dict[str, Annotated[Program, BeforeValidator(_command)]] = Field(default_factory=dict)
    engine: Annotated[Engine, BeforeValidator(_typed)] = Field(default_factory=Engine)
    workers: Workers = Field(default_factory=LocalWorkers)
    bundle: Bundle = Field(default_factory=Bundle)
    archive: Archive = Field(default_factory=Archive)
    # Failure class -> its ladder of remedies, instead of the program's own; false: no remedies.
    remedies: dict[str, list[dict[str, Any] | str]] | Literal[False] = Field(default_factory=dict)
    # The folder of spool, logs and kept files; default: CAMPAIGN.run next to the campaign file.
    folder: Path | None = None

    @property
    def output_key(self) -> str:
        """The field of a document that holds its results."""
        kwargs = self.campaign_config.kwargs
        return kwargs.mongo_output_key if kwargs else self.campaign

    @property
    def steps(self) -> list[Step]:
        """The steps of a job, in order."""
        return self.campaign_config.args
