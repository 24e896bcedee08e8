"""How large a task is: what a job needs, and how many jobs form a task."""

from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import Model
from wqmaster.campaign.units import Megabytes, Seconds


class Resources(Model):
    """`resources`: the cores, memory and disk that one job may use."""

    cores: int = Field(default=1, gt=0)
    # In MB. Default: a share of the worker's memory in proportion to the job's cores.
    memory: Megabytes | None = None
    # In MB. Default: a share of the worker's disk in proportion to the job's cores.
    disk: Megabytes | None = None
    # The shortest time that a job takes, in seconds. A worker with less time left gets no job.
    running_time_min: Seconds | None = None


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
