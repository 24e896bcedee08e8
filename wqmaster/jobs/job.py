"""Jobs, tasks, inputs and outcomes as frozen dataclasses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol

# Marks a program from one of a job's supplies in a command line, as SOFTWARE + KEY + "/" + COMMAND.
# The runner replaces this with the program's real path on the worker.
SOFTWARE = "../software/"
# The folder with shared inputs, as a command line must name it.
SHARED = "../shared"
# The shared input that makes software ready on a worker, and the time that it may take.
SOFTWARE_SCRIPT = "wqmaster.software.sh"
_SOFTWARE_TIMEOUT_SECONDS = 1800

# The time of a task that goes before half of those of its priority.
_LONG_SECONDS = 3600.0
# Until which share of its time the memory of a step must have been looked at.
_SEEN_SHARE = 0.75

_FILE_NAME = re.compile(r"^(?!\.\.?$)[A-Za-z0-9_.][A-Za-z0-9._-]*$")


def check_file_name(name: str) -> str:
    """Return `name` if a file in a sandbox may have this name.

    It may contain letters, digits, `.`, `_` and `-`, but no folder, and must not begin with `-`.

    Raises:
        ValueError: a file may not have this name.
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

    path: Path  # the file's path on the master's machine
    name: str  # the file's name on the worker

    def __post_init__(self) -> None:
        check_file_name(self.name)
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no file {self.path}")


@dataclass(frozen=True)
class Supply:
    """Software that a worker makes ready before a step calls it."""

    key: str  # the supply's name on workers; different contents have different names
    kind: Literal["archive", "url", "module"]
    source: str  # the archive's path on the master's machine, the URL, or the module's name
    sha256: str = ""  # checksum of the archive, or of the file at the URL if known

    def __post_init__(self) -> None:
        check_file_name(self.key)


@dataclass(frozen=True)
class Execution:
    """One program run: a step as the worker executes it."""

    name: str  # the step's name
    # The program and its arguments. Nothing here comes from a document. A program that begins with
    # SOFTWARE belongs to one of the job's supplies.
    argv: tuple[str, ...]
    # Files to return, besides stdout and stderr. If earlier steps left files with these names, they
    # are removed first, so that they are not mistaken for results of this step.
    outputs: tuple[str, ...] = ()
    continues: tuple[str, ...] = ()  # outputs that the program updates, so they are not removed
    clean: tuple[str, ...] = ()  # other files from earlier steps to remove
    rename: tuple[tuple[str, str], ...] = ()  # (file from an earlier step, new name), done first
    copy: tuple[tuple[str, str], ...] = ()  # (file from an earlier step, copy), before `rename`
    rescue: tuple[str, ...] = ()  # files to return if the exit code is not 0, for a remedy
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A string is a sequence of strings too, so its letters would be taken as separate words.
        for field_name in ("argv", "outputs", "continues", "clean", "rescue"):
            value = getattr(self, field_name)
            if isinstance(value, str):
                raise TypeError(
                    f"{field_name} of step {self.name!r} is one string, {value!r}; it must be a "
                    f"list of words: {field_name}={tuple(value.split())!r}"
                )
        if not self.argv or not all(isinstance(word, str) for word in self.argv):
            raise TypeError(f"the command of step {self.name!r} must be a list of strings")
        moved = [name for pair in (*self.copy, *self.rename) for name in pair]
        names = (*self.outputs, *self.continues, *self.clean, *moved, *self.rescue)
        for name in (self.name, *names):
            check_file_name(name)


@dataclass(frozen=True)
class Job:
    """All steps for one document: the unit of result, retry and failure."""

    steps: tuple[Execution, ...]
    files: Mapping[str, bytes]  # the sandbox's initial files: name -> content
    inputs: tuple[Input, ...] = ()  # shared files that the steps use
    supplies: tuple[Supply, ...] = ()  # software that the steps call

    def __post_init__(self) -> None:
        if not self.steps or not all(isinstance(step, Execution) for step in self.steps):
            raise TypeError("a job needs steps, each of which must be an Execution")
        for name, content in self.files.items():
            if not isinstance(content, bytes):
                raise TypeError(f"the content of {name!r} must be bytes")
            check_file_name(name)

    def removed_before(self, position: int) -> tuple[str, ...]:
        """The files that the runner removes before the step at `position`.

        These are the step's `clean` files and its outputs, except the outputs that it `continues`
        or that `copy` or `rename` creates. Before the first step, the sandbox contains only the
        job's files.
        """
        step = self.steps[position]
        if position == 0:
            return tuple(name for name in step.clean if name in self.files)
        kept = {*step.continues, *(new for _, new in (*step.copy, *step.rename))}
        outputs = (name for name in step.outputs if name not in kept)
        return tuple(dict.fromkeys((*step.clean, *outputs)))


@dataclass(frozen=True)
class Asked:
    """What a job is asked to compute, for comparison with its output.

    It accompanies the job through the spool.
    """

    document: Any  # the document's _id
    attempt: int  # counted from 1
    natoms: int
    charge: int  # units of e
    multiplicity: int  # 2 S + 1
    molecule: str  # the molecule's fingerprint
    recipe: str  # the recipe's hash
    target: str  # `Recipe.target`, a hash of where results go and which files they need
    # Maps each step to the names of its remedies.
    remedy: Mapping[str, Sequence[str]] = field(default_factory=dict)
    # The parts of the fingerprint (`Molecule.parts`); {} in a spool from an older version.
    computed: Mapping[str, Any] = field(default_factory=dict)
    # The number with which its memory grows (`tasks.needs`), and the memory in MB that its task
    # has; None if that is not stated.
    size: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Task:
    """The unit of work for the engine: a bundle of one or more jobs."""

    id: str  # <master's token>-<count>, never used twice
    jobs: int  # the number of bundled jobs
    time_limit_per_job: int  # seconds; enforced by the runner
    inputs: tuple[Input, ...] = ()
    category: str = "default"
    cores: int = 1
    memory: int | None = None  # MB
    # The memory, in MB, beyond which the runner ends a job; 0: it only measures; None: not even.
    memory_limit: int | None = None
    disk: int | None = None  # MB
    compression: str = "none"  # compression of outputs.tar: "none" or "gzip"
    running_time_min: int | None = None  # the shortest time that the task takes, in seconds
    plain: bool = True  # whether the task has the campaign's resources, unchanged by a remedy
    priority: int = 0  # waiting tasks with a larger number go first
    seconds: float = 0.0  # how long it is expected to take; 0: that is unknown

    @property
    def rank(self) -> float:
        """The place of a waiting task: by its priority and, among equals, the longest first.

        Short tasks fill the cores at the end better than long ones.
        """
        return self.priority + self.seconds / (self.seconds + _LONG_SECONDS)

    @property
    def runner_arguments(self) -> tuple[str, ...]:
        """The arguments with which runner.sh runs the task."""
        limit = () if self.memory_limit is None else (str(self.memory_limit),)
        return (self.compression, str(self.time_limit_per_job), *limit)

    @property
    def time_limit(self) -> int:
        """The time limit of the whole task, in seconds.

        The engine enforces it, in case the runner, which limits each job, hangs.
        """
        supplied = any(shared.name == SOFTWARE_SCRIPT for shared in self.inputs)
        return self.jobs * self.time_limit_per_job + 120 + supplied * _SOFTWARE_TIMEOUT_SECONDS


class LargeFile(Protocol):
    """A returned file that is not held in memory, because it is larger than may be read."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    def tail(self, most: int) -> bytes:
        """At most this many bytes from its end."""

    def copy_to(self, target: IO[bytes]) -> None:
        """Write it to `target`, a part at a time.

        Raises:
            ArchiveError: its content is not what the runner reported.
        """


@dataclass(frozen=True)
class MemoryUse:
    """How much memory a step used, as its runner saw it from time to time."""

    megabytes: float
    until: float  # how long after the start of the step that was last looked at, in seconds


@dataclass(frozen=True)
class StepOutcome:
    """The exit status and the files that one step returned."""

    name: str
    exit_code: int
    wall_time: float  # seconds
    timed_out: bool
    files: Mapping[str, bytes]  # stdout, stderr and those declared outputs that exist
    software: str | None = None  # key of the supply that contained the program, if there was one
    # Further files, which are too large to be held in memory.
    large: Mapping[str, LargeFile] = field(default_factory=dict)
    # The original sizes in bytes of the files in `files` that lack their middle parts.
    cut: Mapping[str, int] = field(default_factory=dict)
    memory: "MemoryUse | None" = None  # None if it was not measured

    @property
    def names(self) -> set[str]:
        """The names of all files that came back."""
        return {*self.files, *self.large}

    def tail(self, name: str, most: int) -> bytes:
        """At most this many bytes from the end of a file; b"" if it did not come back."""
        large = self.large.get(name)
        return self.files.get(name, b"")[-most:] if large is None else large.tail(most)


@dataclass(frozen=True)
class Outcome:
    """The output of one job: the steps that ran, in order, and the worker's host name."""

    host: str
    steps: tuple[StepOutcome, ...]

    @property
    def memory(self) -> float | None:
        """The memory that the job used, in MB; None if the runner did not look at it late enough.

        A step that was looked at early may have used more afterwards.
        """
        used = [
            step.memory.megabytes
            for step in self.steps
            if step.memory is not None and step.memory.until >= _SEEN_SHARE * step.wall_time
        ]
        return max(used) if used and len(used) == len(self.steps) else None
