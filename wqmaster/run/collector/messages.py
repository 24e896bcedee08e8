"""What the master and its collectors say to each other: JSON Lines, one message a line."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

# In the place of a job's number: the archive of all of them.
WHOLE_ARCHIVE = -1


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        """The message as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Configuration(_Message):
    """The first message to a collector. It holds secrets: it goes through a pipe alone."""

    recipe: str  # the hash that the campaign's files must still have
    campaign: str  # as MongoDB's extended JSON
    path: str  # of the campaign file
    folder: str  # of the campaign
    uri: str  # of the database
    number: int = 0  # which collector it is, from 1


class Collect(_Message):
    """To a collector: bring a returned task to an end."""

    task: str
    # Jobs that are not looked at again: a collector has crashed on them.
    skip: tuple[int, ...] = ()


class Begins(_Message):
    """From a collector: what it looks at now, so that a crash can be blamed on it."""

    kind: Literal["begins"] = "begins"
    task: str
    job: int  # its number in the task, or WHOLE_ARCHIVE


class Commits(_Message):
    """From a collector: it stores a batch, and no job is to blame if it crashes now."""

    kind: Literal["commits"] = "commits"
    jobs: int


class Waits(_Message):
    """From a collector: what it waits for, such as a database that cannot be reached."""

    kind: Literal["waits"] = "waits"
    reason: str


class JobFailure(BaseModel):
    """Why a job has no result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure_class: str  # the label of its class
    message: str
    final: bool  # whether its document was given up


class EndedJob(BaseModel):
    """What became of a job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str  # `key_of` its document
    host: str  # as the engine calls it
    failure: JobFailure | None = None


class Ended(_Message):
    """From a collector: a task is committed. Jobs that it could not read are not listed."""

    kind: Literal["ended"] = "ended"
    task: str
    jobs: tuple[EndedJob, ...] = ()


Message = Annotated[Begins | Commits | Waits | Ended, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[Begins | Commits | Waits | Ended] = TypeAdapter(Message)


def message(line: bytes) -> Begins | Commits | Waits | Ended:
    """The message of a collector in `line`.

    Raises:
        ValueError: it is not a message.
    """
    return _ADAPTER.validate_json(line)
