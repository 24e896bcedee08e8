"""The campaign file as frozen, validated models.

An error names file and line, what is wrong there, and the nearest right word.
"""

import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import FIELD, NAME, Model, nearest
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


def _typed(value: Any) -> Any:
    """`engine: local` is short for `engine: {type: local}`."""
    return {"type": value} if isinstance(value, str) else value


class Step(Model):
    """One entry of `args:`. What is not named here are options of the task function."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(pattern=NAME)
    # Parsers of the step: a list, or by the file that each one reads.
    parsers: dict[str, list[str]] | list[str] = Field(default_factory=list)
    # Files to keep beside the results: name in the sandbox -> name with {id}.
    keep_files: dict[str, str] = Field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options for the task function, as the file has them."""
        return dict(self.model_extra or {})


class Kwargs(Model):
    """`campaign_config.kwargs`: where in the document results are stored."""

    mongo_output_key: str = Field(pattern=FIELD)


class CampaignConfig(Model):
    """`campaign_config`: which calculation."""

    func_name: str
    # The time that all the steps of one job may take together.
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
    """`submit`: on which documents."""

    query: dict[str, Any] = Field(default_factory=dict)
    # Further fields that the task function needs, beside those of the molecule.
    projection: list[Annotated[str, Field(pattern=FIELD)]] = Field(default_factory=list)
    # Category of the tasks in the engine, as `queue` of the RQ framework named it.
    queue: str | None = None


class Database(Model):
    """`database`. Without a uri, a private MongoDB server runs in the campaign's folder."""

    uri: str | None = Field(default=None, repr=False)
    name: str = Field(default="wqmaster", pattern=r"^[^/\\. \"$*<>:|?\x00]+$")
    collection: str = Field(default="molecules", pattern=r"^[^$\x00]+$")

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


# The keys of `molecule:` that name fields, and so decide what is computed.
GEOMETRY_FIELDS = ("atomic_numbers", "coordinates", "charge", "multiplicity")


class MoleculeFields(Model):
    """`molecule`: the fields of a document that describe its molecule."""

    # Atomic numbers, or element symbols.
    atomic_numbers: str = Field(default="atomic_numbers", pattern=FIELD)
    # Angstrom; [[x, y, z], ...] or flat.
    coordinates: str = Field(default="coordinates", pattern=FIELD)
    # 0 where a document has none.
    charge: str = Field(default="charge", pattern=FIELD)
    # 1 where a document has none.
    multiplicity: str = Field(default="multiplicity", pattern=FIELD)
    # Whether a document without atoms is refused; some task functions need none (docking).
    required: bool = True

    @property
    def names(self) -> set[str]:
        """The fields that are to be fetched."""
        return {self.atomic_numbers, self.coordinates, self.charge, self.multiplicity}


class Resources(Model):
    """`resources`: what one job may use."""

    cores: int = Field(default=1, gt=0)
    # Without it, a job has its cores' share of the worker's memory.
    memory: Megabytes | None = None
    # Without it, a job has its cores' share of the worker's disk.
    disk: Megabytes | None = None
    # The time that a job takes at least: a worker whose wall time ends before gets none.
    running_time_min: Seconds | None = None


class Program(Model):
    """How to call one program of `software:`, and where workers have it from."""

    # Program and first arguments, quoted as in a shell. Where there is an archive or a URL, the
    # program's place in it.
    command: str
    # A .tar, .tar.gz, .tar.bz2 or .tar.xz beside the campaign file: sent once to each worker.
    archive: Path | None = None
    # The same at a URL (https, osdf, ...), which workers fetch.
    url: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9+.-]*://[^\s'\"\\]+$")
    # Of the file at the URL, in hexadecimal.
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    # An environment module that is loaded first, as `module load` takes it.
    module: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+/-]*$")

    @field_validator("command")
    @classmethod
    def _words(cls, command: str) -> str:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise PydanticCustomError(
                "no_command",
                "'{command}' is no command: {why}",
                {"command": command, "why": str(error)},
            ) from error
        if not words or not words[0]:
            raise PydanticCustomError("no_command", "there is no command here")
        return command

    @model_validator(mode="after")
    def _one_way(self) -> "Program":
        ways = [name for name in ("archive", "url", "module") if getattr(self, name) is not None]
        if len(ways) > 1:
            raise PydanticCustomError(
                "many_ways", "one of {ways} is enough", {"ways": " and ".join(ways)}
            )
        if self.sha256 is not None and self.url is None:
            raise PydanticCustomError(
                "no_url", "sha256 is that of the file at 'url', which is not here"
            )
        return self


class Engine(Model):
    """`engine`: what runs the tasks."""

    type: Literal["auto", "work_queue", "taskvine", "local"] = "auto"
    # The port that workers connect to; 0 takes any that is free.
    port: int = Field(default=0, ge=0, le=65535)
    # Project name, under which a catalog lists the master.
    name: str | None = Field(default=None, pattern=NAME)
    # HOST or HOST:PORT of that catalog; CATALOG_HOST of the environment where it is left out.
    catalog: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]+(:[0-9]{1,5})?$")
    # Whether what travels between master and workers is encrypted.
    ssl: bool = False
    # What tasks of the plain campaign get: what `resources` says and else their cores' share of the
    # worker, or what earlier ones took.
    allocation: Literal["fixed", "max", "min_waste", "max_throughput"] = "fixed"
    # A task that takes this many times the average of its category is begun elsewhere, a few times.
    fast_abort: float | None = Field(default=None, ge=1)
    # Whether the debug log has all that the manager does.
    debug: bool = False


class Bundle(Model):
    """`bundle`: how many jobs make one task."""

    size: int = Field(default=1, gt=0, le=1000)


class Archive(Model):
    """`archive`: how outputs travel and what is kept of them."""

    # gzip for the wide network; none where workers are near.
    compression: Literal["gzip", "none"] = "none"
    # Whose raw outputs are kept: of failed attempts, of all (for `wqmaster reparse`), of none.
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
    # Failure class -> its ladder of remedies, in the place of the program's own; false: none.
    remedies: dict[str, list[dict[str, Any] | str]] | Literal[False] = Field(default_factory=dict)
    # Folder of spool, logs, kept files; beside the campaign file where it is left out.
    folder: Path | None = None

    @property
    def output_key(self) -> str:
        """The field of a document under which its results stand."""
        kwargs = self.campaign_config.kwargs
        return kwargs.mongo_output_key if kwargs else self.campaign

    @property
    def steps(self) -> list[Step]:
        """The steps of a job, in the order in which they run."""
        return self.campaign_config.args
