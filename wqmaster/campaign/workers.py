"""The section `workers:` of a campaign file, with a separate model for each type of workers.

Code that serves only one type takes that type's model, so it cannot read a key that does not apply.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from wqmaster.campaign.base import HOST, Model, allowing, unknown_key
from wqmaster.campaign.units import Megabytes, Seconds

_PROJECT = allowing("letters, digits, '_', '.' and '-'", r"^[A-Za-z0-9_.-]+$")
_PARTITION = allowing("letters, digits and _ . , -", r"^[A-Za-z0-9_.,-]+$")
_IMAGE = allowing("all characters but spaces, quotes and backslashes", r"^[^\s\"'\\]+$")
_LINE = allowing("one line", r"^[^\n]+$")
_OPTION = allowing("one line without backslashes", r"^[^\n\\]+$")


class _TypedWorkers(Model):
    """The base class. It refuses another type's key unless the key has its default value."""

    # Whether all workers run on the master's machine.
    on_this_machine: ClassVar[bool] = False
    # Keys that are accepted, but can change nothing.
    unlisted_keys: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        own = cls.model_fields
        for key, value in data.items():
            if key in own:
                continue
            if key not in _all_keys():
                raise unknown_key(key, _all_keys())
            if not _is_default(key, value):
                raise PydanticCustomError(
                    "other_type",
                    "'{key}' does not apply to workers of type {type}; valid keys: {known}",
                    {
                        "key": key,
                        "type": own["type"].default,
                        "known": ", ".join(sorted({*own} - cls.unlisted_keys)),
                    },
                )
        return {key: value for key, value in data.items() if key in own}


class LocalWorkers(_TypedWorkers):
    """Workers on this machine, started and stopped by the master."""

    on_this_machine = True
    unlisted_keys = frozenset(("manage",))
    type: Literal["local"] = "local"
    # Default: as many as this machine's cores allow.
    count: int | None = Field(default=None, gt=0)
    # May be true but not false, since the master always manages local workers.
    manage: bool | None = None

    @model_validator(mode="after")
    def _are_managed(self) -> "LocalWorkers":
        if self.manage is False:
            raise PydanticCustomError(
                "not_managed", "local workers are always started by the master; see 'workers: none'"
            )
        return self

    @property
    def managed(self) -> bool:
        """True, since the master starts and stops the factory of local workers."""
        return True

    @property
    def host(self) -> None:
        """None, since local workers run on the master's machine and need no name for it."""
        return


class NoWorkers(_TypedWorkers):
    """Workers that the user starts by hand."""

    type: Literal["none"] = "none"
    # The name or address by which workers reach the master's machine.
    host: str | None = Field(default=None, pattern=HOST)

    @property
    def managed(self) -> bool:
        """False, since the master starts no factory."""
        return False


class BatchWorkers(_TypedWorkers):
    """The base class for workers that run in a batch system, with their common keys."""

    type: Literal["condor", "slurm"]
    # The smallest and the largest number of workers that the factory keeps.
    min: int = Field(default=0, ge=0)
    max: int = Field(default=100, gt=0)
    # The largest number of workers that may be queued or not yet connected.
    per_cycle: int = Field(default=100, gt=0)
    # One worker's cores (default: those of a job), memory in MB and disk in MB.
    cores: int | None = Field(default=None, gt=0)
    memory: Megabytes | None = None
    disk: Megabytes | None = None
    # A worker leaves after this time without work, in seconds.
    timeout: Seconds = 900
    # A worker leaves after this time in any case, in seconds, because its batch job ends then.
    walltime: Seconds | None = None
    # Whether the master starts and stops the factory.
    manage: bool | None = None
    # The name or address by which workers reach the master's machine.
    host: str | None = Field(default=None, pattern=HOST)
    # The worker program to send instead of the one on this machine.
    worker: Path | None = None
    # The account to charge: a project name in OSG, an account in SLURM.
    project: str | None = Field(default=None, pattern=_PROJECT)
    # Additional lines for the submit file (condor) or arguments for sbatch (slurm).
    options: tuple[Annotated[str, Field(pattern=_OPTION)], ...] = ()

    @model_validator(mode="after")
    def _bounds(self) -> "BatchWorkers":
        if self.min > self.max:
            raise PydanticCustomError("min_max", "'min' is larger than 'max'")
        return self

    @property
    def managed(self) -> bool:
        """Whether the master starts and stops the factory."""
        return bool(self.manage)


class CondorWorkers(BatchWorkers):
    """Workers that run as HTCondor jobs."""

    type: Literal["condor"] = "condor"
    # The container image that workers run in.
    image: str | None = Field(default=None, pattern=_IMAGE)
    # An HTCondor expression that a machine must satisfy.
    requirements: str | None = Field(default=None, pattern=_LINE)


class SlurmWorkers(BatchWorkers):
    """Workers that run as SLURM jobs."""

    type: Literal["slurm"] = "slurm"
    partition: str | None = Field(default=None, pattern=_PARTITION)


# The model of each type, in the order in which messages list the types.
_MODELS: dict[str, type[_TypedWorkers]] = {
    "local": LocalWorkers,
    "none": NoWorkers,
    "condor": CondorWorkers,
    "slurm": SlurmWorkers,
}


def _all_keys() -> set[str]:
    return {key for model in _MODELS.values() for key in model.model_fields}


def _is_default(key: str, value: Any) -> bool:
    """Whether a key that belongs to another type has its default value, which is allowed."""
    owner = next(model for model in _MODELS.values() if key in model.model_fields)
    try:
        meant = getattr(owner.model_validate({key: value}), key)
    except ValidationError:
        return False
    return bool(meant == owner.model_fields[key].default)


def _typed(value: Any) -> Any:
    """Expand `workers: none` to `workers: {type: none}`; the default type is local."""
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, str):
        value = {"type": value}
    if not isinstance(value, Mapping):
        raise PydanticCustomError(
            "no_workers", "must be a type of workers or a mapping such as {count: 4}"
        )
    named = value.get("type", "local")
    if not isinstance(named, str) or named not in _MODELS:
        *types, last = (f"'{name}'" for name in _MODELS)
        expected = {"expected": f"{', '.join(types)} or {last}"}
        wrong = [InitErrorDetails(type="literal_error", loc=("type",), input=named, ctx=expected)]
        wrong += [
            InitErrorDetails(type=unknown_key(key, _all_keys()), loc=(), input=value)
            for key in value
            if key not in _all_keys()
        ]
        raise ValidationError.from_exception_data("workers", wrong)
    return {**value, "type": named}


def without_type(place: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """The keys in `place`, which is pydantic's location of an error in `workers:`.

    Pydantic puts the type of workers before the key. No key has the same name as a type.
    """
    return tuple(key for key in place if key not in _MODELS)


# Workers that a factory starts.
FactoryWorkers = LocalWorkers | CondorWorkers | SlurmWorkers
# The value of `workers:` in a campaign file.
Workers = Annotated[
    FactoryWorkers | NoWorkers, Field(discriminator="type"), BeforeValidator(_typed)
]
