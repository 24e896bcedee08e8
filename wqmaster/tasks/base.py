"""The contract for task functions, and the traits that describe them.

A task function is called as `(molecule, steps, software) -> Job`. Values from a document reach the
worker as contents of files, never in a command line.
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
from wqmaster.tasks.needs import Needs
from wqmaster.tasks.program import Program

SCRIPT = Path(__file__).parent.parent / "software" / "software.sh"


class OptionError(ValueError):
    """A stage refuses an option of a step: its keys, and the line of its text (from 1).

    `check`, which sees several steps, states the name of the step.
    """

    def __init__(
        self,
        message: str,
        keys: tuple[str | int, ...],
        line: int | None = None,
        step: str | None = None,
    ) -> None:
        super().__init__(message)
        self.keys = keys
        self.line = line
        self.step = step


class Rung(Model):
    """One remedy: it changes *how* the answer is computed, never the level of theory.

    A program can use a subclass with additional settings. The rungs of a ladder are tried in order,
    each at most once per document and step.
    """

    # The remedy's name, which is stored in `_run.remedy`.
    name: str = Field(pattern=NAME)
    # Whether to start from files of the failed attempt: orbitals, geometry.
    restart: bool = False
    # Factors by which `resources:` and `job_timeout` are multiplied.
    memory: float | None = Field(default=None, gt=1, le=100)
    disk: float | None = Field(default=None, gt=1, le=100)
    time: float | None = Field(default=None, gt=1, le=100)


Ladders = Mapping[FailureClass, Sequence[Rung]]


@dataclass(frozen=True)
class StepRequest:
    """One step as a task function receives it."""

    name: str
    options: Any  # an instance of the function's options model
    files: frozenset[str]  # files in the sandbox that parsers and keep_files need
    remedies: tuple[Any, ...] = ()  # this attempt's rungs, instances of the function's rung model
    rescued: Mapping[str, bytes] = field(default_factory=dict)  # files of the failed attempt
    loaded: Any = None  # the value of the stage `load`; by default the options
    prepared: Any = None  # the value of the stage `prepare`; None until it has run
    # The earlier step from whose final geometry this one starts; None: from the document's.
    geometry: str | None = None

    @property
    def geometry_file(self) -> str | None:
        """The XYZ file in the sandbox to start from; None if it is the document's geometry."""
        return f"{self.geometry}.xyz" if self.geometry is not None else None


@dataclass(frozen=True)
class Software:
    """How programs are called, and the resources that they may use."""

    # Program -> command, from the campaign's `software:`.
    commands: Mapping[str, str] = field(default_factory=dict)
    cores: int = 1
    memory: int | None = None  # MB
    beside: Path = Path()  # the campaign file's folder, to which paths in options are relative
    cache: Path | None = None  # the folder for files that the stage `prepare` makes
    supplies: Mapping[str, Supply] = field(default_factory=dict)  # supplies by the program's name
    here: bool = False  # whether programs are called on this machine, not by a worker

    def argv(self, program: str) -> tuple[str, ...]:
        """The first words of a command line that calls `program`; by default its name."""
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
        """The folder on this machine in which software for `prepare` is unpacked."""
        return self.the_cache / "unpacked"

    @property
    def the_cache(self) -> Path:
        """The folder `cache`.

        Raises:
            RuntimeError: there is no cache.
        """
        if self.cache is None:
            raise RuntimeError("there is no cache in this stage")
        return self.cache

    def kept(self, supply: Supply) -> Path:
        """The path of the archive for `supply`: the copy that `keep` made, if there is one."""
        if self.cache is not None:
            copy = self.cache / "archives" / supply.key
            if copy.exists():
                return copy
        return Path(supply.source)

    def supplied(self, job: Job) -> Job:
        """`job` with the supplies that its steps call, and the shared inputs that they need."""
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
    """The options model of a function that declares none. Any option is passed on unchecked."""

    model_config = {"extra": "allow", "frozen": True}


def _as_they_are(options: Any, software: Software) -> Any:
    return options


def _nothing(loaded: Any) -> Iterable[Any]:
    return ()


def _unknown(options: Any) -> bool:
    return False


def _all_apply(options: Any) -> Mapping[str, str]:
    return {}


# The arguments that each function passed to `@task` receives.
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
    "final_geometry": ("options",),
    "keeps_geometry": ("options",),
    "inapplicable_checks": ("options",),
    "needs": ("molecule", "options", "cores"),
}
# The functions that can be None. Each of the others has a default.
_OPTIONAL = frozenset(("check", "prepare", "runs", "leaves", "inspect", "final_geometry", "needs"))


@dataclass(frozen=True)
class Traits:
    """The properties of a task function, which `@task` sets.

    The function's stages run in this order, and each receives the value of the one before:
    `load(options, software) -> loaded` for each step, when the campaign is read;
    `check(steps, software)` for all steps, right after that;
    `prepare(loaded, software) -> prepared` for each step, once before jobs are built;
    the task function itself, `(molecule, steps, software) -> Job`, for each document.
    """

    # The program whose parsers judge the output, or the name of a known program (`programs`).
    program: Program | str | None = None
    options: type[BaseModel] = NoOptions  # the model of a step's options
    # The function's version, part of the recipe. Change it when jobs begin to give other results.
    version: str | None = None
    rung: type[Rung] = Rung  # the model of the function's remedies
    ladders: Ladders = field(default_factory=dict)  # used if the campaign names no remedies
    # Whether a document without a molecule is refused. If not, its molecule has no atoms.
    molecule: bool = True
    # Reads the files that a step's options name (relative to the campaign file). Raises ValueError
    # if a file is wrong. The value becomes `step.loaded`, which `uses`, `fields` and `prepare`
    # receive.
    load: Callable[[Any, Software], Any] = _as_they_are
    # Returns the files that determine a result (paths relative to the campaign file).
    uses: Callable[[Any], Iterable[str]] = _nothing
    # Returns the document fields that the step needs, which are fetched with the document.
    fields: Callable[[Any], Iterable[str]] = _nothing
    # Raises ValueError with the reason if the steps cannot work.
    check: Callable[[Sequence[StepRequest], Software], None] | None = None
    # Makes the files that all jobs of a step share, in `software.cache` on the master's machine.
    # It receives the value of `load` and returns `step.prepared`. Raises WqmasterError if a file
    # cannot be made.
    prepare: Callable[[Any, Software], Any] | None = None
    # Returns the first word of each command that a step runs (default: that of the program).
    runs: Callable[[Any, Software], Iterable[str]] | None = None
    # Returns errors and warnings about a step's options that do not depend on the molecule.
    remarks: Callable[[Any], Iterable[Remark]] = _nothing
    # Returns the files and quantities that a step does not produce; None: they are unknown.
    leaves: Callable[[Any], Leaves] | None = None
    # Raises BadDocument if a document lacks something that a step needs. It must be quick, because
    # it runs for every document.
    inspect: Callable[[Molecule, Any], None] | None = None
    # Whether a step can start from the geometry in `step.geometry_file` (the key `geometry: STEP`).
    takes_geometry: bool = False
    # Returns the name of the XYZ file with the geometry that a step with these options ends with;
    # None, or no function: other steps cannot start from it.
    final_geometry: Callable[[Any], str | None] | None = None
    # Returns whether the values of a step with these options certainly belong to the geometry that
    # it starts from. If not, only the step's own value `geometry` states where they were computed.
    keeps_geometry: Callable[[Any], bool] = _unknown
    # Returns the checks (`wqmaster.checks`) that make no sense for a step, each with the reason:
    # forces need not add up to zero next to point charges, for instance.
    inapplicable_checks: Callable[[Any], Mapping[str, str]] = _all_apply
    # Returns with what the memory of a job grows, and how much it needs (in MB) as far as that is
    # known before any job has run; None, or no function: it grows with the number of atoms.
    needs: Callable[[Molecule, Any, int], Needs | None] | None = None
    # Why steps of this function cannot share a job with those of other functions; None: they can.
    alone: str | None = None

    def __post_init__(self) -> None:
        """Check all types, so that a mistake is reported at the line of `@task`.

        Raises:
            TypeError: a trait has the wrong type; the message names the trait and the right type.
        """
        if not isinstance(self.program, (Program, str, type(None))):
            raise TypeError(
                f"@task(program=...) must be a wqmaster.tasks.Program or the name of one, not "
                f"{self.program!r:.60}"
            )
        for name, value, base in (("options", self.options, BaseModel), ("rung", self.rung, Rung)):
            if not (isinstance(value, type) and issubclass(value, base)):
                known = "wqmaster.campaign.models.Model" if name == "options" else "Rung"
                raise TypeError(
                    f"@task({name}=...) must be a class derived from {known}, not {value!r:.60}"
                )
        if not isinstance(self.version, (str, type(None))):
            raise TypeError(f"@task(version=...) must be a string, not {self.version!r:.60}")
        if not isinstance(self.takes_geometry, bool):
            raise TypeError(
                f"@task(takes_geometry=...) must be True or False, not {self.takes_geometry!r:.60}"
            )
        if not isinstance(self.alone, (str, type(None))):
            raise TypeError(f"@task(alone=...) must be the reason, not {self.alone!r:.60}")
        for name, arguments in _CALLED_WITH.items():
            function = getattr(self, name)
            why = misfit(function, *arguments)
            if why is not None and not (function is None and name in _OPTIONAL):
                called = getattr(function, "__name__", "...")
                raise TypeError(f"@task({name}={called}): {why}")
        _check_ladders(self.ladders)
        try:
            # Every program has this remedy if the campaign states how much disk a job has.
            self.rung(name="disk_2x", disk=2)
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(map(str, first["loc"])) or "a setting"
            raise TypeError(
                f"@task(rung={self.rung.__name__}): {setting} has no default ({first['msg']}); "
                "each setting of a remedy needs a default that changes nothing"
            ) from error


def _check_ladders(ladders: Any) -> None:
    """Check that `@task(ladders=...)` maps failure classes to lists of rungs; TypeError if not."""
    where = "@task(ladders=...)"
    if not isinstance(ladders, Mapping):
        raise TypeError(
            f"{where} must be a mapping, {{FailureClass.SCF_NOT_CONVERGED: [Rung(...)]}}, not "
            f"{ladders!r:.60}"
        )
    for kind, ladder in ladders.items():
        if not isinstance(kind, FailureClass):
            # No failure would ever match a string, so its remedies would have no effect.
            names = {member.label: member.name for member in FailureClass}
            near = difflib.get_close_matches(str(kind).lower(), names, n=1, cutoff=0.6)
            hint = (
                f"write FailureClass.{names[near[0]]} (from wqmaster.failures)"
                if near
                else "write a member of wqmaster.failures.FailureClass"
            )
            raise TypeError(f"{where}: {kind!r:.60} is not a failure class; {hint}")
        if not isinstance(ladder, (list, tuple)):
            raise TypeError(
                f"{where}: the ladder of {kind.name} is {ladder!r:.60}, but must be a list of "
                "remedies, [Rung(...)]"
            )
        for rung in ladder:
            if not isinstance(rung, Rung):
                raise TypeError(
                    f"{where}: the ladder of {kind.name} contains {rung!r:.60}, which is not a "
                    "Rung; write Rung(name=..., memory=2), or use a class derived from it"
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
    takes_geometry: bool = False,
    final_geometry: Callable[[Any], str | None] | None = None,
    keeps_geometry: Callable[[Any], bool] = _unknown,
    inapplicable_checks: Callable[[Any], Mapping[str, str]] = _all_apply,
    needs: Callable[[Molecule, Any, int], Needs | None] | None = None,
    alone: str | None = None,
) -> Callable[[Build], Build]:
    """Attach `Traits` to a task function. The comments in `Traits` describe the arguments."""
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
        takes_geometry=takes_geometry,
        final_geometry=final_geometry,
        keeps_geometry=keeps_geometry,
        inapplicable_checks=inapplicable_checks,
        needs=needs,
        alone=alone,
    )

    def mark(function: Build) -> Build:
        function.traits = traits  # type: ignore[attr-defined]
        return function

    return mark


def traits_of(function: Build) -> Traits:
    """The traits of a task function; the defaults if it has no `@task`."""
    found = getattr(function, "traits", None)
    return found if isinstance(found, Traits) else Traits()
