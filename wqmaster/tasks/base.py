"""The contract of task functions, and what they say of themselves.

A task function is called as `(molecule, steps, software) -> Job`. What it takes from a document
reaches the worker as the content of files, never inside a command line.
"""

import difflib
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from wqmaster.campaign.models import NAME, Model
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import SOFTWARE, SOFTWARE_SCRIPT, Input, Job, Supply
from wqmaster.jobs.molecule import Molecule
from wqmaster.system.signatures import misfit
from wqmaster.tasks.leaves import Leaves, Remark
from wqmaster.tasks.program import Program

SCRIPT = Path(__file__).parent.parent / "software" / "software.sh"


class Rung(Model):
    """One remedy: what of the *way* to the answer is changed, never the answer's level of theory.

    A program's own rungs are subclasses that add settings of the program. They are tried in the
    order of their ladder, and each at most once for a document.
    """

    # Stored in `_run.remedy`.
    name: str = Field(pattern=NAME)
    # Begin from what the failed attempt left: orbitals, geometry.
    restart: bool = False
    # Factors on `resources:` and `job_timeout`.
    memory: float | None = Field(default=None, gt=1, le=100)
    disk: float | None = Field(default=None, gt=1, le=100)
    time: float | None = Field(default=None, gt=1, le=100)


Ladders = Mapping[FailureClass, Sequence[Rung]]


@dataclass(frozen=True)
class StepRequest:
    """One step as a task function gets it."""

    name: str
    options: Any  # an instance of the function's options model
    files: frozenset[str]  # files of the sandbox that parsers and keep_files want
    remedies: tuple[Any, ...] = ()  # rungs that this attempt takes, of the function's rung model
    rescued: Mapping[str, bytes] = field(default_factory=dict)  # files of the attempt that failed
    loaded: Any = None  # what the stage `load` returned; the options where a function has none
    prepared: Any = None  # what the stage `prepare` returned; None before that


@dataclass(frozen=True)
class Software:
    """How programs are called, and what they may use."""

    commands: Mapping[str, str] = field(default_factory=dict)  # of `software:` in the campaign
    cores: int = 1
    memory: int | None = None  # MB
    beside: Path = Path()  # folder of the campaign file; paths in options start there
    cache: Path | None = None  # folder of what the function's `prepare` has made
    supplies: Mapping[str, Supply] = field(default_factory=dict)  # program -> where it comes from
    here: bool = False  # whether programs are called on this machine, and not by a worker

    def argv(self, program: str) -> tuple[str, ...]:
        """The first words of the command line of `program`; its own name by default."""
        words = shlex.split(self.commands.get(program, program))
        supply = self.supplies.get(program)
        if supply is None:
            return tuple(words)
        if not self.here:
            return (f"{SOFTWARE}{supply.key}/{words[0]}", *words[1:])
        asked = (supply.key, supply.kind, supply.source, supply.sha256)
        return ("sh", str(SCRIPT), str(self.unpacked), *asked, *words)

    @property
    def unpacked(self) -> Path:
        """The folder of what is unpacked on this machine, for `prepare`."""
        return self.the_cache / "unpacked"

    @property
    def the_cache(self) -> Path:
        """The cache, where there is one: in the stage `prepare`."""
        if self.cache is None:
            raise RuntimeError("there is no cache here")
        return self.cache

    def kept(self, supply: Supply) -> Path:
        """Where the archive of `supply` is: the copy that `keep` made, if it has."""
        if self.cache is not None:
            copy = self.cache / "archives" / supply.key
            if copy.exists():
                return copy
        return Path(supply.source)

    def supplied(self, job: Job) -> Job:
        """`job` with the software that its steps call."""
        called = {step.argv[0] for step in job.steps if step.argv[0].startswith(SOFTWARE)}
        keys = {program.removeprefix(SOFTWARE).partition("/")[0] for program in called}
        used = {supply.key: supply for supply in self.supplies.values() if supply.key in keys}
        if not used:
            return job
        archives = (
            Input(self.kept(supply), supply.key)
            for supply in used.values()
            if supply.kind == "archive"
        )
        inputs = (*job.inputs, Input(SCRIPT, SOFTWARE_SCRIPT), *archives)
        return replace(job, inputs=inputs, supplies=tuple(used.values()))


Build = Callable[[Molecule, Sequence[StepRequest], Software], Job]


class NoOptions(BaseModel):
    """For a function that declares no options: any are handed over as they are."""

    model_config = {"extra": "allow", "frozen": True}


def _as_they_are(options: Any, software: Software) -> Any:
    return options


def _nothing(loaded: Any) -> Iterable[Any]:
    return ()


# How each function that `@task` takes is called.
_CALLED_WITH: Mapping[str, tuple[str, ...]] = {
    "load": ("options", "software"),
    "uses": ("loaded",),
    "fields": ("loaded",),
    "check": ("steps", "software"),
    "prepare": ("loaded", "software"),
    "runs": ("options", "software"),
    "remarks": ("options",),
    "leaves": ("options",),
    "inspect": ("molecule", "options"),
}
# Those of them that a task function may have or not; each of the others has a default.
_OPTIONAL = frozenset(("check", "prepare", "runs", "leaves", "inspect"))


@dataclass(frozen=True)
class Traits:
    """What `@task` says about a task function.

    Its stages, in their order, each with the value of the one before:
    `load(options, software) -> loaded` for each step, when the campaign is read;
    `check(steps, software)` for all steps, right after that;
    `prepare(loaded, software) -> prepared` for each step, once before jobs are built;
    the task function itself, `(molecule, steps, software) -> Job`, for each document.
    """

    # Whose parsers judge its output. A name is that of a program that is known (`programs`).
    program: Program | str | None = None
    options: type[BaseModel] = NoOptions  # the model of a step's options
    # Of the function itself, part of the recipe: another one where its jobs give other results.
    version: str | None = None
    rung: type[Rung] = Rung  # the model of its remedies
    ladders: Ladders = field(default_factory=dict)  # remedies where the campaign names none
    # Whether a document without a molecule is refused. Else it comes as one of no atoms.
    molecule: bool = True
    # Reads the files beside the campaign that the options of a step name: raises ValueError with
    # what is wrong with them. Its value is `step.loaded`, and what the next two get.
    load: Callable[[Any, Software], Any] = _as_they_are
    # Files beside the campaign that determine a result (relative paths).
    uses: Callable[[Any], Iterable[str]] = _nothing
    # Fields of a document that the step needs, to be fetched with it.
    fields: Callable[[Any], Iterable[str]] = _nothing
    # Refuses steps that cannot be: raises ValueError with the reason.
    check: Callable[[Sequence[StepRequest], Software], None] | None = None
    # Makes, on the master's machine, what all jobs of a step share, in `software.cache`. It gets
    # what `load` returned, and its value is `step.prepared`. Raises WqmasterError.
    prepare: Callable[[Any, Software], Any] | None = None
    # First words of the commands that a step with these options runs; the program's by default.
    runs: Callable[[Any, Software], Iterable[str]] | None = None
    # What is wrong with the options of a step, or may be, found without its molecule.
    remarks: Callable[[Any], Iterable[Remark]] = _nothing
    # What a step with these options does not leave; None: it is not known.
    leaves: Callable[[Any], Leaves] | None = None
    # Refuses a document that lacks what a step with these options needs, as far as it takes no
    # time to see: raises BadDocument.
    inspect: Callable[[Molecule, Any], None] | None = None

    def __post_init__(self) -> None:
        """See that each is of its type: a mistake is said at the line of `@task`.

        Raises:
            TypeError: one is not; says which, and what to write.
        """
        if not isinstance(self.program, (Program, str, type(None))):
            raise TypeError(
                f"@task(program=...) is a wqmaster.tasks.Program or the name of one, not "
                f"{self.program!r:.60}"
            )
        for name, value, base in (("options", self.options, BaseModel), ("rung", self.rung, Rung)):
            if not (isinstance(value, type) and issubclass(value, base)):
                known = "wqmaster.campaign.models.Model" if name == "options" else "Rung"
                raise TypeError(
                    f"@task({name}=...) is a class derived from {known}, not {value!r:.60}"
                )
        if not isinstance(self.version, (str, type(None))):
            raise TypeError(f"@task(version=...) is a string, not {self.version!r:.60}")
        for name, arguments in _CALLED_WITH.items():
            function = getattr(self, name)
            why = misfit(function, *arguments)
            if why is not None and not (function is None and name in _OPTIONAL):
                called = getattr(function, "__name__", "...")
                raise TypeError(f"@task({name}={called}): {why}")
        _check_ladders(self.ladders)
        try:
            # Every program has this remedy, where the campaign says how much disk a job has.
            self.rung(name="disk_2x", disk=2)
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(map(str, first["loc"])) or "a setting"
            raise TypeError(
                f"@task(rung={self.rung.__name__}): {setting} has no default ({first['msg']}); "
                "each setting of a remedy needs one, which changes nothing"
            ) from error


def _check_ladders(ladders: Any) -> None:
    """See that `@task(ladders=...)` holds lists of rungs by failure class; TypeError if not."""
    where = "@task(ladders=...)"
    if not isinstance(ladders, Mapping):
        raise TypeError(
            f"{where} is a mapping, {{FailureClass.SCF_NOT_CONVERGED: [Rung(...)]}}, not "
            f"{ladders!r:.60}"
        )
    for kind, ladder in ladders.items():
        if not isinstance(kind, FailureClass):
            # A word would never be looked up: the remedies would be without any effect.
            names = {member.label: member.name for member in FailureClass}
            near = difflib.get_close_matches(str(kind).lower(), names, n=1, cutoff=0.6)
            hint = (
                f"write FailureClass.{names[near[0]]} (of wqmaster.failures)"
                if near
                else "write a member of wqmaster.failures.FailureClass"
            )
            raise TypeError(f"{where}: {kind!r:.60} is not a failure class; {hint}")
        if not isinstance(ladder, (list, tuple)):
            raise TypeError(
                f"{where}: the ladder of {kind.name} is {ladder!r:.60}, and should be a list of "
                "remedies, [Rung(...)]"
            )
        for rung in ladder:
            if not isinstance(rung, Rung):
                raise TypeError(
                    f"{where}: the ladder of {kind.name} has {rung!r:.60}, which is not a Rung; "
                    "write Rung(name=..., memory=2), or a class derived from it"
                )


def task(
    *,
    program: Program | str | None = None,
    options: type[BaseModel] = NoOptions,
    version: str | None = None,
    rung: type[Rung] = Rung,
    ladders: Ladders | None = None,
    molecule: bool = True,
    load: Callable[[Any, Software], Any] = _as_they_are,
    uses: Callable[[Any], Iterable[str]] = _nothing,
    fields: Callable[[Any], Iterable[str]] = _nothing,
    check: Callable[[Sequence[StepRequest], Software], None] | None = None,
    prepare: Callable[[Any, Software], Any] | None = None,
    runs: Callable[[Any, Software], Iterable[str]] | None = None,
    remarks: Callable[[Any], Iterable[Remark]] = _nothing,
    leaves: Callable[[Any], Leaves] | None = None,
    inspect: Callable[[Molecule, Any], None] | None = None,
) -> Callable[[Build], Build]:
    """Mark a task function with its `Traits`, which say what each argument means."""
    traits = Traits(
        program=program,
        options=options,
        version=version,
        rung=rung,
        ladders={} if ladders is None else ladders,
        molecule=molecule,
        load=load,
        uses=uses,
        fields=fields,
        check=check,
        prepare=prepare,
        runs=runs,
        remarks=remarks,
        leaves=leaves,
        inspect=inspect,
    )

    def mark(function: Build) -> Build:
        function.traits = traits  # type: ignore[attr-defined]
        return function

    return mark


def traits_of(function: Build) -> Traits:
    """The traits of a task function; those of one that declares none."""
    found = getattr(function, "traits", None)
    return found if isinstance(found, Traits) else Traits()
