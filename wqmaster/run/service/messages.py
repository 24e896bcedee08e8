"""The messages between the broker and the processes of campaigns: one line of JSON each."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from wqmaster.engines.base import EngineStats, Returned, RunningTask
from wqmaster.jobs.job import Task


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        """The message as one line of JSON, as it is sent."""
        return self.model_dump_json().encode() + b"\n"


# --- from the broker to a campaign ---------------------------------------------------------------


class Start(_Message):
    """The first message. It can hold secrets of the files, so it is sent only through a pipe."""

    kind: Literal["start"] = "start"
    path: str  # the campaign file's path, as it was given
    text: str  # the campaign file's text, when it was accepted
    service: tuple[str, str] | None = None  # path and text of service.yaml
    settings: dict[str, Any] = Field(default_factory=dict)  # `engine` and `workers` of all
    engine: str  # the engine's name
    why: str  # the reason for the choice of the engine
    port: int | None = None  # the port that workers connect to
    host: str | None = None  # the name by which workers reach this machine
    # The campaign file in whose folder the workers' password and factory are; None if that is the
    # service's folder.
    workers_of: str | None = None
    how_to_connect: str | None = None  # the command that starts workers
    collectors: int = 1  # how many collectors the campaign may have
    watch: bool = False
    limit: int | None = None
    canary: bool = True
    exit_on_trouble: bool = False
    follows_file: bool = False  # whether the broker takes up changes of the campaign file
    files: tuple[str, ...] = ()  # if it does not: the campaign files that run together, as given
    # The campaign's tasks that the broker has: in a queue, in the engine, or returned.
    held: tuple[str, ...] = ()


class Back(_Message):
    """The engine has returned a task."""

    kind: Literal["back"] = "back"
    returned: Returned


class Canceled(_Message):
    """The answer to CancelWaiting: these tasks are canceled."""

    kind: Literal["canceled"] = "canceled"
    tasks: tuple[str, ...]


class Room(_Message):
    """The campaign may submit this many tasks more."""

    kind: Literal["room"] = "room"
    tasks: int


class State(_Message):
    """The state of engine and workers; of tasks, only the campaign's own are counted."""

    kind: Literal["state"] = "state"
    stats: EngineStats
    trouble: str | None = None
    # Whether the user must start workers or their factory.
    waits_for_workers: bool = False


class Running(_Message):
    """The campaign's tasks that workers have."""

    kind: Literal["running"] = "running"
    tasks: tuple[RunningTask, ...]


class Stop(_Message):
    """Stop feeding, and end when running tasks have ended, or after `grace` seconds.

    The second such message demands to stop at once.
    """

    kind: Literal["stop"] = "stop"
    grace: float | None = None  # None: no time limit


# --- from a campaign to the broker ---------------------------------------------------------------


class Begun(_Message):
    """The campaign is locked and reads messages from now on."""

    kind: Literal["begun"] = "begun"
    recipe: str  # the recipe's hash
    target: str  # `Recipe.target`


class Submit(_Message):
    """A task, whose inputs are in its folder."""

    kind: Literal["submit"] = "submit"
    task: Task
    folder: str


class Cancel(_Message):
    """End a task, whether it waits or runs, and never return it."""

    kind: Literal["cancel"] = "cancel"
    task: str


class CancelWaiting(_Message):
    """Cancel the campaign's tasks that no worker has received; Canceled is the answer."""

    kind: Literal["cancel-waiting"] = "cancel-waiting"


class Taken(_Message):
    """The campaign has spooled a returned task, or does not know it."""

    kind: Literal["taken"] = "taken"
    task: str


class BlockHost(_Message):
    """Send no tasks to `host` for a while."""

    kind: Literal["block-host"] = "block-host"
    host: str
    seconds: float


class UnblockHost(_Message):
    """Send tasks to `host` as to any other."""

    kind: Literal["unblock-host"] = "unblock-host"
    host: str


class Wants(_Message):
    """The work that is left."""

    kind: Literal["wants"] = "wants"
    tasks: int | None  # None: unknown


class Report(_Message):
    """The campaign's progress; the names are those of `Progress`."""

    kind: Literal["report"] = "report"
    campaign: str
    engine: str
    state: str
    done_before: int = 0
    failures_before: dict[str, int] = Field(default_factory=dict)
    total: int | None = None
    done: int = 0
    warned: int = 0
    sent: int = 0
    spooled: int = 0
    failures: dict[str, int] = Field(default_factory=dict)
    attempts_failed: int = 0
    requeued: int = 0
    mended: int = 0
    running: int = 0
    per_second: float = 0.0
    seconds: float = 0.0
    trouble: str | None = None
    hold: str | None = None
    hold_kind: str | None = None
    notes: tuple[str, ...] = ()
    # How many documents the run may still feed (`--limit`); None: as many as there are.
    limit_left: int | None = None


class Finished(_Message):
    """The last message: the campaign has ended, and its locks are released."""

    kind: Literal["finished"] = "finished"
    # The error that ended it; None: it came to its end, or was stopped.
    message: str | None = None
    code: str | None = None
    exit_code: int = 0
    stopped: bool = False  # whether it was stopped before its end
    drained: str | None = None  # the pause that remains, with the command that ends it


# Any message to a campaign, and any from one.
Told = Back | Canceled | Room | Running | State | Stop
Said = (
    Begun
    | Submit
    | Cancel
    | CancelWaiting
    | Taken
    | BlockHost
    | UnblockHost
    | Wants
    | Report
    | Finished
)
_TO: TypeAdapter[Any] = TypeAdapter(Annotated[Told, Field(discriminator="kind")])
_FROM: TypeAdapter[Any] = TypeAdapter(Annotated[Said, Field(discriminator="kind")])


def to_campaign(line: bytes) -> Told:
    """The message that the broker sent as `line`.

    Raises:
        ValueError: `line` is not such a message.
    """
    found: Told = _TO.validate_json(line)
    return found


def from_campaign(line: bytes) -> Said:
    """The message that a campaign's process sent as `line`.

    Raises:
        ValueError: `line` is not such a message.
        FileNotFoundError: a shared input of a task does not exist.
    """
    found: Said = _FROM.validate_json(line)
    return found
