"""`canary` and `breaker` of the campaign file: when a run that only fails is held."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from wqmaster.campaign.base import Model
from wqmaster.campaign.units import Seconds


class Canary(Model):
    """`canary`: the first documents of a run, which it computes before the others."""

    # How many documents these are.
    jobs: int = Field(default=50, ge=1, le=10_000)
    # The run is held if this share of them fails with the same class.
    stop_share: float = Field(default=0.8, gt=0, le=1)


class Threshold(Model):
    """How many verdicts, and which share of them, must be failures of the same class."""

    verdicts: int = Field(ge=10, le=100_000)
    stop_share: float = Field(ge=0.5, le=1)


class Breaker(Model):
    """`breaker`: hold a run in which most jobs suddenly fail with the same class."""

    # On how many hosts such jobs must have failed, unless there are fewer.
    hosts: int = Field(default=3, ge=1)
    # The first pause before the run tries a few documents; each further one is twice as long.
    pause: Seconds = Field(default=60, ge=1)
    # How many documents it tries.
    probe: int = Field(default=10, ge=1, le=1000)
    # The thresholds for lost workers, missing programs, full disks and the like.
    infrastructure: Threshold = Threshold(verdicts=100, stop_share=0.8)
    # The thresholds for crashes of the program, missing outputs and outputs that cannot be read.
    program: Threshold = Threshold(verdicts=200, stop_share=0.9)
    # The thresholds for failures that the molecules can cause: convergence, time, memory, checks.
    science: Threshold = Threshold(verdicts=500, stop_share=0.95)


def _switch(value: Any) -> Any:
    """`false` switches it off; `true` is short for the defaults."""
    return {} if value is True else None if value is False else value


CanaryKey = Annotated[Canary | None, BeforeValidator(_switch)]
BreakerKey = Annotated[Breaker | None, BeforeValidator(_switch)]
