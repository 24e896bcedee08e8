"""The section `submit:` of a campaign file: the documents, and the campaign's part of the workers.

Its `queue` is written as in the RQ framework, NAME:LEVEL, where LEVEL is a word for a priority.
"""

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from wqmaster.campaign.base import FIELD, Model, nearest

# The priority that each level of a queue stands for.
LEVELS = {"low": -10, "normal": 0, "high": 10}
MAX_PRIORITY = 1000


class Submit(Model):
    """`submit`: the documents to compute, and which jobs go first."""

    query: dict[str, Any] = Field(default_factory=dict)
    # Document fields, besides the molecule's, that the task function needs.
    projection: list[Annotated[str, Field(pattern=FIELD)]] = Field(default_factory=list)
    # NAME or NAME:LEVEL. NAME is the category of the campaign's tasks, LEVEL their priority.
    queue: str | None = None
    # Jobs of a campaign with a larger number go first (default: that of the queue's level).
    priority: int | None = Field(default=None, ge=-MAX_PRIORITY, le=MAX_PRIORITY)
    # The campaign's share of the workers, relative to other campaigns of the same priority.
    weight: float = Field(default=1.0, gt=0, le=1e6)

    @field_validator("queue")
    @classmethod
    def _level_is_known(cls, queue: str | None) -> str | None:
        if queue is None:
            return None
        name, colon, level = queue.partition(":")
        if not name:
            raise PydanticCustomError("no_queue", "the queue has no name; write NAME or NAME:LEVEL")
        if colon and level not in LEVELS:
            raise PydanticCustomError(
                "no_level",
                "'{level}' is not a level of priority; {hint}",
                {"level": level, "hint": nearest(level, LEVELS)},
            )
        return queue

    @model_validator(mode="after")
    def _one_priority(self) -> "Submit":
        if self.priority is not None and self.queue is not None and ":" in self.queue:
            raise PydanticCustomError(
                "two_priorities",
                "the queue's level is a priority, too; give the priority only once",
                {"keys": ("priority",)},
            )
        return self

    @property
    def category(self) -> str | None:
        """The category of the campaign's tasks; None: the campaign's name."""
        return None if self.queue is None else self.queue.partition(":")[0]

    @property
    def level(self) -> int:
        """The campaign's priority: a larger number goes first, and 0 is the default."""
        if self.priority is not None:
            return self.priority
        return LEVELS[(self.queue or "").partition(":")[2] or "normal"]
