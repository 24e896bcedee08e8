"""The words job, task, input, outcome as frozen dataclasses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

# Where a worker has the software that comes with a job, as a command line names it: the runner puts
# the real folder there. SOFTWARE + KEY + "/" + COMMAND.
SOFTWARE = "../software/"
# The folder of shared inputs, as a command line names it.
SHARED = "../shared"
# The shared input that knows how to get it, and the seconds that may take.
SOFTWARE_SCRIPT = "wqmaster.software.sh"
_SOFTWARE_TIMEOUT_SECONDS = 1800

_FILE_NAME = re.compile(r"^(?!\.\.?$)[A-Za-z0-9_.][A-Za-z0-9._-]*$")


def check_file_name(name: str) -> str:
    """`name` again, if it can be a file in a sandbox: letters, digits, `.`, `_`, `-`, no folder.

    Raises:
        ValueError: it cannot.
    """
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a file in the sandbox")
    return name


@dataclass(frozen=True)
class Input:
    """A file that many tasks share; a worker keeps it. Jobs find it as `../shared/NAME`."""

    path: Path  # where it lies on the master's machine
    name: str  # how it is called on the worker

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {self.path}")


@dataclass(frozen=True)
class Supply:
    """Software that a worker gets ready before a step calls it."""

    key: str  # its name on workers; another content has another one
    kind: Literal["archive", "url", "module"]
    source: str  # path of the archive on the master's machine, URL, name of the module
    sha256: str = ""  # of the archive, or of what is at the URL where that is known

    def __post_init__(self) -> None:
        check_file_name(self.key)


@dataclass(frozen=True)
class Execution:
    """One program run: a step as the worker executes it."""

    name: str  # of the step
    # Program and arguments; nothing in it comes from a document. A program that begins with
    # SOFTWARE is one of the job's supplies.
    argv: tuple[str, ...]
    # Files to return, beside stdout and stderr. What an earlier step left under these names is
    # removed first, so that it is not taken for a result of this one.
    outputs: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()  # outputs that the program reads and changes: not removed
    clean: tuple[str, ...] = ()  # further files of an earlier step to remove first
    rename: tuple[tuple[str, str], ...] = ()  # (file of an earlier step, new name), before that
    rescue: tuple[str, ...] = ()  # files to return if the exit code is not 0, for a remedy
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A string is a sequence of strings as well, and would be taken letter by letter.
        for field_name in ("argv", "outputs", "continues", "clean", "rescue"):
            value = getattr(self, field_name)
            if isinstance(value, str):
                raise TypeError(
                    f"{field_name} of step {self.name!r} is one string, {value!r}; it must be a "
                    f"list of words: {field_name}={tuple(value.split())!r}"
                )
        if not self.argv or not all(isinstance(word, str) for word in self.argv):
            raise TypeError(f"the command of step {self.name!r} must be a list of strings")
        moved = [name for pair in self.rename for name in pair]
        names = (*self.outputs, *self.continues, *self.clean, *moved, *self.rescue)
        for name in (self.name, *names):
            check_file_name(name)


@dataclass(frozen=True)
class Job:
    """One document and all the steps: the unit of result, retry and failure."""

    steps: tuple[Execution, ...]
    files: Mapping[str, bytes]  # what lies in the sandbox at the start: name -> content
    inputs: tuple[Input, ...] = ()  # shared files that the steps use
    supplies: tuple[Supply, ...] = ()  # software that the steps call

    def __post_init__(self) -> None:
        if not self.steps or not all(isinstance(step, Execution) for step in self.steps):
            raise TypeError("a job needs steps, each of them an Execution")
        for name, content in self.files.items():
            if not isinstance(content, bytes):
                raise TypeError(f"the content of {name!r} must be bytes")
            if check_file_name(name) == "job.sh":
                raise ValueError("job.sh is the name of a file of the runner")

    def removed_before(self, position: int) -> tuple[str, ...]:
        """The files that the runner removes before the step at `position`.

        These are its `clean` and its outputs, except those that it `continues` and those that are
        renamed for it. The sandbox of the first step holds the files of the job and no others.
        """
        step = self.steps[position]
        if position == 0:
            return tuple(name for name in step.clean if name in self.files)
        kept = {*step.continues, *(new for _, new in step.rename)}
        outputs = (name for name in step.outputs if name not in kept)
        return tuple(dict.fromkeys((*step.clean, *outputs)))


@dataclass(frozen=True)
class Asked:
    """What a job was asked for, to hold its output against. Travels with it through the spool."""

    document: Any  # the document's _id
    attempt: int  # counted from 1
    natoms: int
    charge: int  # units of e
    multiplicity: int  # 2 S + 1
    molecule: str  # fingerprint of the molecule that was computed
    recipe: str  # the recipe's hash
    target: str  # where results go, and which files they need: the recipe's `target`
    # By step, the names of the remedies it takes.
    remedy: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # What the fingerprint was made of (`Molecule.parts`); {} in a spool of an older version.
    computed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What the engine runs: one or more jobs, bundled."""

    id: str  # unique for ever: <master's token>-<count>
    jobs: int  # how many are bundled
    time_limit_per_job: int  # seconds; kept by the runner
    inputs: tuple[Input, ...] = ()
    category: str = "default"
    cores: int = 1
    memory: int | None = None  # MB
    disk: int | None = None  # MB
    compression: str = "none"  # none or gzip, of outputs.tar
    running_time_min: int | None = None  # seconds that it takes at least
    plain: bool = True  # whether it asks for what the campaign says, and not for a remedy's more

    @property
    def time_limit(self) -> int:
        """Seconds for the whole task: the engine's backstop, should the runner hang."""
        supplied = any(shared.name == SOFTWARE_SCRIPT for shared in self.inputs)
        return self.jobs * self.time_limit_per_job + 120 + supplied * _SOFTWARE_TIMEOUT_SECONDS


@dataclass(frozen=True)
class StepOutcome:
    """What came back of one step."""

    name: str
    exit_code: int
    wall_time: float  # seconds
    timed_out: bool
    files: Mapping[str, bytes]  # stdout, stderr and the declared outputs that are there
    software: str | None = None  # the key of the supply that its program was of


@dataclass(frozen=True)
class Outcome:
    """What came back of one job: the steps that ran, in order."""

    host: str
    steps: tuple[StepOutcome, ...]
