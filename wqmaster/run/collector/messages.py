"""The messages between the master and its collectors: JSON Lines, one message per line."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

# Stands for the archive of all jobs, in place of a job's number.
WHOLE_ARCHIVE = -1


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        """The message as one line of JSON, as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class Configuration(_Message):
    """The first message to a collector. It holds secrets, so it is sent only through a pipe.

    A later one replaces the settings of the campaign for the tasks that follow.
    """

    # No error and no log quotes it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    recipe: str  # the recipe's hash, which must still be that of the campaign's files
    campaign: str = Field(repr=False)  # the campaign, in MongoDB's extended JSON
    path: str  # path of the campaign file
    folder: str  # the campaign's folder
    uri: str = Field(repr=False)  # address of the database
    number: int = 0  # the collector's number, counted from 1


class Collect(_Message):
    """To a collector: judge and commit a returned task."""

    task: str
    # Jobs to leave out, because collectors have crashed on them.
    skip: tuple[int, ...] = ()


class Begins(_Message):
    """From a collector: it begins to judge a job, so that a crash can be attributed to that job."""

    kind: Literal["begins"] = "begins"
    task: str
    job: int  # the job's number in the task, or WHOLE_ARCHIVE


class Commits(_Message):
    """From a collector: it begins to store a batch; if it crashes now, no job is to blame."""

    kind: Literal["commits"] = "commits"
    jobs: int  # the number of jobs in the batch


class Waits(_Message):
    """From a collector: it is waiting, for example because the database cannot be reached."""

    kind: Literal["waits"] = "waits"
    reason: str
    lasts: bool = False  # whether somebody has to mend that; otherwise it can pass by itself


class Refuses(_Message):
    """From a collector, before it ends: files of the campaign's recipe have changed."""

    kind: Literal["refuses"] = "refuses"
    reason: str


class JobFailure(BaseModel):
    """Why a job has no result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    failure_class: str  # the label of the failure class
    message: str
    final: bool  # whether the job's document has failed


class EndedJob(BaseModel):
    """How a job ended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str  # the document's `key_of`
    host: str  # the worker's host, as the engine names it
    failure: JobFailure | None = None
    warned: bool = False  # whether a check warns about its result
    natoms: int | None = None  # the number of atoms of its molecule
    # The wall time of its steps on the worker; None if it has remedies, which change the time.
    seconds: float | None = None
    # The number with which its memory grows; the memory in MB that it had, and that it used; None
    # if that is unknown.
    size: float | None = None
    memory: int | None = None
    used: float | None = None


class Ended(_Message):
    """From a collector: a task is committed. Jobs that could not be read are not listed."""

    kind: Literal["ended"] = "ended"
    task: str
    jobs: tuple[EndedJob, ...] = ()


FromCollector = Begins | Commits | Waits | Refuses | Ended
_ADAPTER: TypeAdapter[FromCollector] = TypeAdapter(
    Annotated[FromCollector, Field(discriminator="kind")]
)
_ORDERS: TypeAdapter[Collect | Configuration] = TypeAdapter(Collect | Configuration)


def order(line: bytes) -> Collect | Configuration:
    """The message that a master sent as `line`.

    Raises:
        ValueError: `line` is not such a message.
    """
    return _ORDERS.validate_json(line)


def message(line: bytes) -> FromCollector:
    """The message that a collector sent as `line`.

    Raises:
        ValueError: `line` is not a message.
    """
    return _ADAPTER.validate_json(line)
