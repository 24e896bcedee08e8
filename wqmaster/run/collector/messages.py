"""The messages between the master and its collectors: JSON Lines, one message per line."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

# Replaces a job's number: the archive of all jobs.
WHOLE_ARCHIVE = -1


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        """The message as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Configuration(_Message):
    """The first message to a collector. It holds secrets, so it is sent only through a pipe."""

    recipe: str  # the hash that the campaign's files must still have
    campaign: str  # as MongoDB's extended JSON
    path: str  # of the campaign file
    folder: str  # of the campaign
    uri: str  # of the database
    number: int = 0  # of the collector, from 1


class Collect(_Message):
    """To a collector: judge and commit a returned task."""

    task: str
    # Jobs to leave out, because collectors have crashed on them.
    skip: tuple[int, ...] = ()


class Begins(_Message):
    """From a collector: what it begins to judge, so that a crash can be attributed to it."""

    kind: Literal["begins"] = "begins"
    task: str
    job: int  # its number in the task, or WHOLE_ARCHIVE


class Commits(_Message):
    """From a collector: it stores a batch, so that no job is to blame for a crash."""

    kind: Literal["commits"] = "commits"
    jobs: int


class Waits(_Message):
    """From a collector: what it is waiting for, such as a database that cannot be reached."""

    kind: Literal["waits"] = "waits"
    reason: str


class JobFailure(BaseModel):
    """Why a job has no result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure_class: str  # the label of its class
    message: str
    final: bool  # whether its document has failed


class EndedJob(BaseModel):
    """How a job ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str  # `key_of` its document
    host: str  # as the engine names it
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
        ValueError: `line` is not a message.
    """
    return _ADAPTER.validate_json(line)
