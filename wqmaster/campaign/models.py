"""The campaign file as frozen, validated models.

An error states the file and line, what is wrong there, and the closest valid word.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign import checks as checks_of_campaign
from wqmaster.campaign.base import FIELD, NAME, Model, allowing, nearest
from wqmaster.campaign.molecule_fields import GEOMETRY_FIELDS, MoleculeFields
from wqmaster.campaign.submit import Submit
from wqmaster.campaign.task_sizes import Bundle, Resources
from wqmaster.campaign.units import ForceNoise, Megabytes, Seconds, force_noise
from wqmaster.campaign.waste import Breaker, BreakerKey, Canary, CanaryKey
from wqmaster.campaign.watching import Metrics, Notify
from wqmaster.campaign.workers import BatchWorkers, LocalWorkers, Workers

__all__ = [
    "FIELD",
    "GEOMETRY_FIELDS",
    "NAME",
    "Archive",
    "Audit",
    "Bundle",
    "Campaign",
    "CampaignConfig",
    "Database",
    "Engine",
    "Kwargs",
    "Limits",
    "Model",
    "MoleculeFields",
    "Program",
    "ReferenceAtoms",
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


def engine_typed(value: Any) -> Any:
    """`engine: local` is short for `engine: {type: local}`."""
    if isinstance(value, str):
        return {"type": value}
    if not isinstance(value, (Mapping, BaseModel)):
        raise PydanticCustomError("no_engine", "must be the name of an engine or a mapping")
    return value


class Step(Model):
    """One entry of `args:`. Its other keys are options for the task function."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str = Field(pattern=NAME)
    # The step's own task function, in a chain of programs (default: the campaign's).
    func_name: str | None = None
    # The step's parsers, as a list or as a mapping of each file to the parsers that read it.
    parsers: dict[str, list[str]] | list[str] = Field(default_factory=list)
    # Files to keep in addition to the results. Maps the name in the sandbox to the name of the
    # kept file, which contains {id}.
    keep_files: dict[str, str] = Field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The options for the task function, as written in the file."""
        return dict(self.model_extra or {})


class Kwargs(Model):
    """`campaign_config.kwargs`: the field of a document in which results are stored."""

    mongo_output_key: str = Field(pattern=FIELD)


class CampaignConfig(Model):
    """`campaign_config`: the calculation."""

    # The task function of all steps that name none.
    func_name: str | None = None
    # What is stored if a step fails: nothing, or the results of the steps before it.
    commit: Literal["job", "step"] = "job"
    # How long all steps of one job may take together, in seconds.
    job_timeout: Seconds = 3600
    args: list[Step] = Field(min_length=1)
    kwargs: Kwargs | None = None

    @model_validator(mode="after")
    def _functions_are_named(self) -> "CampaignConfig":
        for step in self.args:
            if self.func_name is None and step.func_name is None:
                raise PydanticCustomError(
                    "no_function",
                    "the key 'func_name' is missing; name a task function, such as "
                    "'wqmaster.tasks.xtb.singlepoint'",
                )
        return self

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


class Database(Model):
    """`database`: without a URI, a private MongoDB server runs.

    It runs in the campaign's folder, or in the folder of its service.
    """

    uri: str | None = Field(default=None, repr=False)
    name: str = Field(default="wqmaster", pattern=_DATABASE_NAME)
    collection: str = Field(default="molecules", pattern=_COLLECTION_NAME)

    @model_validator(mode="before")
    @classmethod
    def _address_is_whole(cls, data: Any) -> Any:
        """Refuse an address that YAML split at a comma: `{uri: mongodb://me:pass,word@host}`.

        Otherwise a message would list the pieces as unknown keys, and they can be parts of a
        password.
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


class Program(Model):
    """One entry of `software:`: how to call a program, and where workers get it."""

    # The program and its first arguments, quoted as in a shell. If there is an archive or a URL,
    # the program's path is relative to the archive's root.
    command: str
    # A .tar, .tar.gz, .tar.bz2 or .tar.xz file, which each worker receives once. The path is
    # relative to the campaign file.
    archive: Path | None = None
    # The URL of such an archive (https, osdf, ...), which workers fetch.
    url: str | None = Field(default=None, pattern=_URL)
    # The checksum of the file at the URL, in hexadecimal.
    sha256: str | None = Field(default=None, pattern=_SHA256)
    # The name of an environment module to load first, as for `module load`.
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
                "many_ways", "give only one of {ways}", {"ways": " and ".join(map(repr, ways))}
            )
        if self.sha256 is not None and self.url is None:
            raise PydanticCustomError(
                "no_url", "'sha256' is the checksum of the file at 'url', but there is no 'url'"
            )
        return self


class Engine(Model):
    """`engine`: the engine that runs the tasks, and its settings."""

    type: Literal["auto", "work_queue", "taskvine", "local"] = "auto"
    # The port that workers connect to; 0: any free port.
    port: int = Field(default=0, ge=0, le=65535)
    # The project name under which a catalog lists the master.
    name: str | None = Field(default=None, pattern=NAME)
    # HOST or HOST:PORT of that catalog; default: the environment variable CATALOG_HOST.
    catalog: str | None = Field(default=None, pattern=_CATALOG)
    # Whether the traffic between master and workers is encrypted.
    ssl: bool = False
    # How resources are allocated to tasks without a remedy. "fixed" uses `resources`; the other
    # values let the manager learn from earlier tasks.
    allocation: Literal["fixed", "max", "min_waste", "max_throughput"] = "fixed"
    # A task that takes longer than this multiple of the average in its category is restarted
    # elsewhere, a few times at most.
    fast_abort: float | None = Field(default=None, ge=1)
    # Whether the debug log records everything that the manager does.
    debug: bool = False


class Archive(Model):
    """`archive`: how outputs are transferred, and which of them are kept."""

    # "auto" compresses if outputs come back slowly, as through a wide-area network.
    compression: Literal["auto", "gzip", "none"] = "auto"
    # Which raw outputs are kept: those of failed attempts, all (for `wqmaster reparse`), or none.
    keep: Literal["failed", "all", "none"] = "failed"
    # How much of a job's outputs is read into memory, in MB.
    max_size: Megabytes = 64

    @property
    def most_bytes(self) -> int:
        """`max_size` in bytes."""
        return self.max_size << 20


class Limits(Model):
    """`limits`: how much of this machine a run may use before it waits."""

    # How large the files of returned jobs may become that are not yet committed, in MB.
    spool: Megabytes = 10_000
    # How much of the disk with the campaign's folder stays free, in MB.
    disk: Megabytes = 1000


# The names of a program's own remedies, or new ones.
Ladder = list[dict[str, Any] | str]


def _command(value: Any) -> Any:
    return {"command": value} if isinstance(value, str) else value


class ReferenceAtoms(Model):
    """`reference_atoms`: isolated atoms, computed with the campaign's own recipe."""

    # The symbols of their elements (default: all elements of the documents).
    elements: list[str] | None = Field(default=None, min_length=1)
    # Symbol -> multiplicity (default: that of the neutral atom's ground state).
    multiplicities: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)


def _atoms(value: Any) -> Any:
    """`reference_atoms: true` is short for an empty mapping."""
    if isinstance(value, list):
        return {"elements": value}
    if value is None or isinstance(value, (bool, dict)):
        return {} if value is True else None if value is False else value
    raise PydanticCustomError(
        "reference_atoms",
        "must be true, false, a list of elements or a mapping with 'elements' and 'multiplicities'",
    )


class Audit(Model):
    """`audit`: recompute a sample with tighter settings before the rest of the campaign."""

    # How many documents are computed first, and recomputed.
    sample: int = Field(default=50, ge=1, le=10_000)
    # The largest mean error of the force components with which the run goes on, with its unit.
    stop_above: ForceNoise
    # A YAML file with tighter options (relative to the campaign file), or names of the program's
    # own tighter settings; default: all of these.
    tighter: str | None = None
    # Decides, with the ids, which documents are in the sample; NumPy takes no negative one.
    seed: int = Field(default=0, ge=0)
    # The step whose labels are audited (default: the last one with an energy).
    step: str | None = None

    @property
    def limit(self) -> float:
        """`stop_above` in meV/Angstrom."""
        return force_noise(self.stop_above)


class Campaign(Model):
    """A whole campaign file."""

    campaign: str = Field(pattern=NAME)
    campaign_config: CampaignConfig
    submit: Submit = Field(default_factory=Submit)
    database: Database = Field(default_factory=Database)
    molecule: MoleculeFields = Field(default_factory=MoleculeFields)
    resources: Resources = Field(default_factory=Resources)
    software: dict[str, Annotated[Program, BeforeValidator(_command)]] = Field(default_factory=dict)
    engine: Annotated[Engine, BeforeValidator(engine_typed)] = Field(default_factory=Engine)
    workers: Workers = Field(default_factory=LocalWorkers)
    bundle: Bundle = Field(default_factory=Bundle)
    archive: Archive = Field(default_factory=Archive)
    limits: Limits = Field(default_factory=Limits)
    # Failure class -> a ladder of remedies that replaces the program's: for all steps or, below
    # a step's name, for that step; false: no remedies.
    remedies: dict[str, Ladder | dict[str, Ladder]] | Literal[False] = Field(default_factory=dict)
    # The isolated atoms that are computed in addition to the documents.
    reference_atoms: Annotated[ReferenceAtoms | None, BeforeValidator(_atoms)] = None
    # The preset and the limits of the checks that results must pass (`wqmaster.campaign.checks`).
    checks: Annotated[dict[str, Any], BeforeValidator(checks_of_campaign.checks)] = Field(
        default_factory=lambda: checks_of_campaign.checks("default")
    )
    # The audit that precedes the run.
    audit: Audit | None = None
    # When a run is held because its jobs fail in the same way; false: never.
    canary: CanaryKey = Field(default_factory=Canary)
    breaker: BreakerKey = Field(default_factory=Breaker)
    # Who is told what happens to a run.
    notify: Notify | None = None
    # Where Prometheus finds the numbers of a run.
    metrics: Metrics | None = None
    # The folder for the spool, the logs and the kept files; default: CAMPAIGN.run next to the
    # campaign file.
    folder: Path | None = None
    # A group of this machine whose members may read that folder, except for its secrets.
    group: str | None = None

    @model_validator(mode="after")
    def _one_learns(self) -> "Campaign":
        if self.resources.learned_memory is not None and self.engine.allocation != "fixed":
            raise PydanticCustomError(
                "two_learn",
                "'resources: {{memory: auto}}' and 'engine: {{allocation: {mode}}}' both decide "
                "how much memory a job gets; remove one of them",
                {"mode": self.engine.allocation, "keys": ("resources", "memory")},
            )
        return self

    @property
    def output_key(self) -> str:
        """The field of a document that holds its results."""
        kwargs = self.campaign_config.kwargs
        return kwargs.mongo_output_key if kwargs else self.campaign

    @property
    def walltime(self) -> int | None:
        """After how many seconds a worker leaves in any case; None if that is unknown."""
        return self.workers.walltime if isinstance(self.workers, BatchWorkers) else None

    @property
    def steps(self) -> list[Step]:
        """The steps of a job, in order."""
        return self.campaign_config.args
