"""Jobs, tasks, inputs and outcomes as frozen dataclasses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

# The folder of a job's software in a command line, as SOFTWARE + KEY + "/" + COMMAND: the runner
# replaces it with the real folder on the worker.
SOFTWARE = "../software/"
# The folder of shared inputs in a command line.
SHARED = "../shared"
# The shared input that gets the software ready, and the time that this may take.
SOFTWARE_SCRIPT = "wqmaster.software.sh"
_SOFTWARE_TIMEOUT_SECONDS = 1800

_FILE_NAME = re.compile(r"^(?!\.\.?$)[A-Za-z0-9_.][A-Za-z0-9._-]*$")


def check_file_name(name: str) -> str:
    """Return `name` if a file in a sandbox may have it: letters, digits, `.`, `_`, `-`, no folder.

    Raises:
        ValueError: it may not.
    """
    if not _FILE_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be the name of a file in the sandbox; allowed: letters, digits, '.', "
            "'_' and '-', without '-' first"
        )
    return name


@dataclass(frozen=True)
class Input:
    """A file that many tasks share and workers cache. Jobs find it as `../shared/NAME`."""

    path: Path  # on the master's machine
    name: str  # on the worker

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {self.path}")


@dataclass(frozen=True)
class Supply:
    """Software that a worker gets ready before a step calls it."""

    key: str  # its name on workers; other content has another name
    kind: Literal["archive", "url", "module"]
    source: str  # path of the archive on the master's machine, URL, name of the module
    sha256: str = ""  # of the archive, or of the file at the URL if known

    def __post_init__(self) -> None:
        check_file_name(self.key)


@dataclass(frozen=True)
class Execution:
    """One program run: a step as the worker executes it."""

    name: str  # of the step
    # Program and arguments; nothing here comes from a document. A program that begins with
    # SOFTWARE belongs to one of the job's supplies.
    argv: tuple[str, ...]
    # Files to return, besides stdout and stderr. Files of these names that an earlier step left are
    # removed first, so that they are not taken for results of this one.
    outputs: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()  # outputs that the program updates: not removed
    clean: tuple[str, ...] = ()  # other files of earlier steps to remove
    rename: tuple[tuple[str, str], ...] = ()  # (file of an earlier step, new name), done first
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
    """All steps for one document: the unit of result, retry and failure."""

    steps: tuple[Execution, ...]
    files: Mapping[str, bytes]  # the initial files of the sandbox: name -> content
    inputs: tuple[Input, ...] = ()  # shared files that the steps use
    supplies: tuple[Supply, ...] = ()  # software that the steps call

    def __post_init__(self) -> None:
        if not self.steps or not all(isinstance(step, Execution) for step in self.steps):
            raise TypeError("a job needs steps, each of which must be an Execution")
        for name, content in self.files.items():
            if not isinstance(content, bytes):
                raise TypeError(f"the content of {name!r} must be bytes")
            if check_file_name(name) == "job.sh":
                raise ValueError("the file name job.sh is reserved for the runner")

    def removed_before(self, position: int) -> tuple[str, ...]:
        """The files that the runner removes before the step at `position`.

        These are its `clean` files and its outputs, except those that it `continues` and those that
        are renamed for it. Before the first step, the sandbox holds only the files of the job.
        """
        step = self.steps[position]
        if position == 0:
            return tuple(name for name in step.clean if name in self.files)
        kept = {*step.continues, *(new for _, new in step.rename)}
        outputs = (name for name in step.outputs if name not in kept)
        return tuple(dict.fromkeys((*step.clean, *outputs)))


@dataclass(frozen=True)
class Asked:
    """What was asked of a job, to compare with its output. Travels with it through the spool."""

    document: Any  # the document's _id
    attempt: int  # counted from 1
    natoms: int
    charge: int  # units of e
    multiplicity: int  # 2 S + 1
    molecule: str  # fingerprint of the molecule that was computed
    recipe: str  # the recipe's hash
    target: str  # where results go, and which files they need: the recipe's `target`
    # Step -> names of its remedies.
    remedy: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # The parts of the fingerprint (`Molecule.parts`); {} in a spool of an older version.
    computed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """What the engine runs: one or more jobs, bundled."""

    id: str  # never used twice: <master's token>-<count>
    jobs: int  # the number of bundled jobs
    time_limit_per_job: int  # seconds; enforced by the runner
    inputs: tuple[Input, ...] = ()
    category: str = "default"
    cores: int = 1
    memory: int | None = None  # MB
    disk: int | None = None  # MB
    compression: str = "none"  # none or gzip, of outputs.tar
    running_time_min: int | None = None  # the least time that it takes, in seconds
    plain: bool = True  # whether its resources are those of the campaign, not of a remedy

    @property
    def time_limit(self) -> int:
        """The time limit of the whole task (s): the engine's backstop in case the runner hangs."""
        supplied = any(shared.name == SOFTWARE_SCRIPT for shared in self.inputs)
        return self.jobs * self.time_limit_per_job + 120 + supplied * _SOFTWARE_TIMEOUT_SECONDS


@dataclass(frozen=True)
class StepOutcome:
    """What one step returned."""

    name: str
    exit_code: int
    wall_time: float  # seconds
    timed_out: bool
    files: Mapping[str, bytes]  # stdout, stderr and those declared outputs that exist
    software: str | None = None  # the key of the supply that its program came from


@dataclass(frozen=True)
class Outcome:
    """What one job returned: the steps that ran, in order."""

    host: str
    steps: tuple[StepOutcome, ...]
