"""How large a task is: what a job needs, and how many jobs form a task."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import Model
from wqmaster.campaign.units import Megabytes, Seconds, size_or_auto

# How much memory a core is taken to have if nothing else is known: in workers, and for jobs.
MEMORY_PER_CORE_MB = 2000

_Size = Annotated[int, Field(gt=0)]


class Memory(Model):
    """`resources.memory`: how much memory one job may use, in MB."""

    # A number of MB, or "auto": learned from earlier jobs and the sizes of their molecules.
    size: Annotated[_Size | Literal["auto"], BeforeValidator(size_or_auto)] = "auto"
    # With "auto": what jobs get as long as nothing is known. Default: what the program is known to
    # need, or 2000 MB per core.
    first: Megabytes | None = None
    # The factor between what a job gets and the most that jobs of this size are expected to use.
    safety: float = Field(default=1.15, ge=1, le=10)
    # The least and the most that a job is given.
    min: Megabytes = 100
    max: Megabytes | None = None
    # Whether a job that uses more is killed. Default: with "auto".
    enforce: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _size_alone(cls, data: Any) -> Any:
        """`memory: 4GB` is short for `memory: {size: 4GB}`."""
        return data if isinstance(data, (Mapping, BaseModel)) else {"size": size_or_auto(data)}

    @model_validator(mode="after")
    def _ordered(self) -> "Memory":
        if self.is_learned:
            for low, high in (("min", "first"), ("min", "max"), ("first", "max")):
                least, most = getattr(self, low), getattr(self, high)
                if least is not None and most is not None and least > most:
                    raise PydanticCustomError(
                        "memory_bounds",
                        "'{low}' is larger than '{high}'",
                        {"low": low, "high": high},
                    )
            return self
        # A collector receives all keys, so only other values than the defaults are refused.
        for name in ("first", "min", "max", "safety"):
            if getattr(self, name) != type(self).model_fields[name].default:
                raise PydanticCustomError(
                    "memory_fixed", "'{name}' needs 'size: auto'", {"name": name}
                )
        return self

    @property
    def is_learned(self) -> bool:
        """Whether the size follows from what earlier jobs used."""
        return not isinstance(self.size, int)

    @property
    def is_enforced(self) -> bool:
        """Whether a job is ended that uses more than it was given."""
        return self.is_learned if self.enforce is None else self.enforce


class Resources(Model):
    """`resources`: the cores, memory and disk that one job may use."""

    cores: int = Field(default=1, gt=0)
    # Default: a share of the worker's memory in proportion to the job's cores.
    memory: Memory | None = None
    # In MB. Default: a share of the worker's disk in proportion to the job's cores.
    disk: Megabytes | None = None
    # The shortest time that a job takes, in seconds. A worker with less time left gets no job.
    running_time_min: Seconds | None = None

    @property
    def first_memory(self) -> int | None:
        """The memory in MB that a job gets before anything is known; None if it is not stated."""
        memory = self.memory
        if memory is None or isinstance(memory.size, int):
            return self.fixed_memory
        guess = memory.first or max(memory.min, MEMORY_PER_CORE_MB * self.cores)
        return guess if memory.max is None else min(guess, memory.max)

    @property
    def fixed_memory(self) -> int | None:
        """The memory in MB if it is a fixed number, otherwise None."""
        size = None if self.memory is None else self.memory.size
        return size if isinstance(size, int) else None

    @property
    def learned_memory(self) -> Memory | None:
        """How memory is learned; None if it is not."""
        return self.memory if self.memory is not None and self.memory.is_learned else None


def _bundle_size(value: Any) -> int | str:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)  # from an environment variable, like other numbers
    if value == "auto" or (isinstance(value, int) and value is not True and 0 < value <= 1000):
        return cast("int | str", value)
    raise PydanticCustomError("bundle_size", "must be 'auto', or a whole number from 1 to 1,000")


class Bundle(Model):
    """`bundle`: how many jobs form one task."""

    # A number of jobs, or "auto": as many as take `time`, by the times of earlier jobs.
    size: Annotated[int | Literal["auto"], BeforeValidator(_bundle_size)] = "auto"
    # How long the jobs of a task take together, in seconds. Default: more with more workers.
    time: Seconds | None = None

    @property
    def fixed(self) -> int:
        """The number of jobs if it is fixed, otherwise 1."""
        return self.size if isinstance(self.size, int) else 1

    @model_validator(mode="before")
    @classmethod
    def _size_alone(cls, data: Any) -> Any:
        """`bundle: 20` is short for `bundle: {size: 20}`."""
        return {"size": data} if isinstance(data, (int, str)) else data
