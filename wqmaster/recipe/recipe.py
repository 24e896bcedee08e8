"""A campaign's recipe, which turns a molecule into a job, and the job's output into values.

The recipe's hash covers everything that determines a result: the task function, its options, the
contents of the files that the options name, and the document fields that the molecule is read from.
It does not cover parsers, resources, or where results are stored. The program's version is stored
separately in `_run`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.checks.table import NO_CHECKS, Checks
from wqmaster.jobs.job import SHARED, SOFTWARE, Asked, Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Parser, ProgramParsers
from wqmaster.recipe.hashing import hash_of
from wqmaster.recipe.joining import FilesCollide, joined, with_geometries
from wqmaster.recipe.retry import NO_REMEDIES, JobLadders, Plan, Remedies
from wqmaster.recipe.task_function import TaskFunction, blaming
from wqmaster.software.supplies import keep
from wqmaster.tasks import stages
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.calling import called, listed, needs
from wqmaster.tasks.needs import Needs
from wqmaster.tasks.program import Program

_STREAMS = frozenset({"stdout", "stderr"})


class JobUnfit(TypeError):
    """A job cannot produce a result on any worker, and other jobs probably cannot either."""


@dataclass(frozen=True)
class ParserCall:
    """One parser and the file of a step that it reads."""

    name: str  # the key under which its value is stored
    file: str
    function: Parser


@dataclass(frozen=True)
class StepRecipe:
    """A resolved step."""

    request: StepRequest
    function: TaskFunction
    parsers: tuple[ParserCall, ...]
    keep_files: tuple[tuple[str, str], ...]  # (file, name of its kept copy, which contains {id})
    # Files that the step must return, because a parser reads them or `keep_files` names them.
    needed: frozenset[str]
    # Options as plain data, for the hash and for the diagnosis.
    options: dict[str, Any]
    # The XYZ file with its final geometry; None if it leaves none.
    final_geometry: str | None = None
    # Whether its values certainly belong to the geometry that it starts from.
    keeps_geometry: bool = False
    # The checks that make no sense for this step, each with the reason.
    inapplicable_checks: Mapping[str, str] = field(default_factory=dict)
    # Everything that determines this step's results, including the options of earlier steps, whose
    # files this step can read.
    asked: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""  # the hash of `asked`
    # The hash that versions before 0.2 stored. It did not cover the molecule's document fields.
    old_hash: str = ""

    @cached_property
    def read_files(self) -> frozenset[str]:
        """The files that its parsers read, and the geometry that a later step starts from."""
        files = {file for call in self.parsers for file in getattr(call.function, "files", ())}
        files |= {call.file for call in self.parsers}
        return frozenset(files | ({self.final_geometry} if self.final_geometry else set()))

    @property
    def diagnosis(self) -> ProgramParsers | None:
        """The module that diagnoses the step's output; None if its function has no program."""
        return self.function.program.module if self.function.program is not None else None


@dataclass(frozen=True)
class Recipe:
    """Everything that turns a molecule into a job, and the job's output into values."""

    steps: tuple[StepRecipe, ...]
    software: Software
    hash: str
    ladders: JobLadders
    # The campaign, with the fields that the task functions need.
    loaded: LoadedCampaign
    # A hash of where results are stored and which files they are read from. Spool entries with
    # another target do not belong to this recipe.
    target: str
    # Document fields, besides the molecule's, that affect the result. None means all fetched
    # fields, since a user's task function can read any of them.
    fields: tuple[str, ...] | None
    # Warnings about the steps, each with its file and line.
    warnings: tuple[str, ...] = ()
    ignored: str | None = None  # which keys of the campaign file have no effect
    checks: Checks = NO_CHECKS

    @property
    def functions(self) -> list[TaskFunction]:
        """The task functions, each once, in the order of the steps."""
        return list({step.function.name: step.function for step in self.steps}.values())

    @property
    def named(self) -> str:
        """The names of the task functions, for messages."""
        return " + ".join(function.name for function in self.functions)

    @property
    def code(self) -> str | None:
        """The checksum of the users' task functions (`code_of`); None if there are none."""
        codes = [function.code for function in self.functions if function.code is not None]
        return codes[0] if len(codes) == 1 else hash_of(codes) if codes else None

    @property
    def commits_steps(self) -> bool:
        """Whether the results of the steps before one that fails are stored."""
        return self.loaded.campaign.campaign_config.commit == "step"

    @cached_property
    def read_files(self) -> dict[str, frozenset[str]]:
        """For each step, the files that must be read to judge it."""
        return {step.request.name: step.read_files for step in self.steps}

    def of(self, function: TaskFunction) -> list[StepRecipe]:
        """The steps of a task function."""
        return [step for step in self.steps if step.function.name == function.name]

    def build(
        self,
        molecule: Molecule,
        remedies: Remedies = NO_REMEDIES,
        rescued: Mapping[str, Mapping[str, bytes]] | None = None,
        memory: int | None = None,
    ) -> Job:
        """Build the job for `molecule`. Exceptions from a user's task function pass through.

        `rescued` maps steps to the files that a failed attempt left. `memory` is how much memory
        the job gets, in MB, if that is learned.

        Raises:
            BadDocument: the document lacks something that the steps need.
            TypeError: the task function did not return a Job with the campaign's steps.
            JobUnfit: the Job cannot produce the results that the campaign asks for.
        """
        self.inspect(molecule)
        requests = {step.request.name: step.request for step in self.steps}
        software = self.software
        if remedies:
            requests = {
                name: replace(
                    request,
                    remedies=remedies.rungs.get(name, ()),
                    rescued=(rescued or {}).get(name, {}),
                )
                for name, request in requests.items()
            }
            if software.memory is not None:
                more = int(software.memory * remedies.factors.memory)
                software = replace(software, memory=more)
        if memory is not None:
            software = replace(software, memory=memory)
        jobs = []
        for function in self.functions:
            wanted = [step.request.name for step in self.of(function)]
            job = function.build(molecule, [requests[name] for name in wanted], software)
            if not isinstance(job, Job):
                raise TypeError(f"a task function must return a Job, not {type(job).__name__}")
            if [step.name for step in job.steps] != wanted:
                raise TypeError(f"the steps of its Job must be {', '.join(wanted)}")
            jobs.append(job)
        try:
            job = with_geometries(joined(jobs, list(requests)), self.passed_geometries)
        except FilesCollide as error:
            raise JobUnfit(str(error)) from error
        why = self._unable(job)
        if why is not None:
            raise JobUnfit(why)
        return software.supplied(job)

    @property
    def passed_geometries(self) -> dict[str, str]:
        """The file with the final geometry of each step that another step starts from."""
        sources = {step.request.geometry for step in self.steps}
        return {
            step.request.name: step.final_geometry
            for step in self.steps
            if step.request.name in sources and step.final_geometry is not None
        }

    def _unable(self, job: Job) -> str | None:
        """Why `job` cannot produce a result on any worker; None if no reason is known."""
        for step, execution in zip(self.steps, job.steps, strict=True):
            lost = sorted(step.needed - _STREAMS - {*execution.outputs})
            if lost:
                return (
                    f"step '{execution.name}' does not return {', '.join(lost)}, which a parser or "
                    "'keep_files' needs; name it in 'outputs' of its Execution"
                )
        program = job.steps[0].argv[0]
        if "/" not in program or program.startswith(("/", SOFTWARE)):
            return None
        folder, _, name = program.rpartition("/")
        there = {".": {*job.files}, SHARED: {one.name for one in job.inputs}}
        if name in there.get(folder, ()):
            return None
        return (
            f"step '{job.steps[0].name}' calls '{program}', which is not among the files of its "
            "job; give the program's absolute path or an archive in 'software:'"
        )

    def doubts(self, job: Job) -> list[str]:
        """Warnings about the task function that built `job`, one line each.

        They report programs in `software:` that no step of `job` calls (perhaps mistyped names).
        For a user's function they also report files that are removed before a step whose command
        names them.
        """
        return [*self._uncalled(job), *self._removed(job)]

    def _removed(self, job: Job) -> Iterator[str]:
        where = self.loaded.source.where
        left: dict[str, str] = {}  # file -> the last step that returned it
        for position, step in enumerate(job.steps):
            named = {part for word in step.argv for part in (word, word.partition("=")[2])}
            # Only users' functions have this problem.
            own = self.steps[position].function.code is not None
            for file in job.removed_before(position) if own else ():
                if file in named and file in left and file not in step.clean:
                    place = where("campaign_config", "args", position)
                    yield (
                        f"{place}: {file}, written by '{left[file]}', is removed before "
                        f"'{step.name}' starts; if '{step.name}' reads it, name it in 'continues' "
                        "of its Execution"
                    )
            left |= dict.fromkeys(step.outputs, step.name)

    def _uncalled(self, job: Job) -> list[str]:
        words = {word for step in job.steps for word in step.argv}
        where = self.loaded.source.where
        return [
            f"{where('software', name)}: the first job does not call '{name}'; "
            f"{self.named} must begin a command with software.argv(NAME)"
            for name in self.software.commands
            if self.software.argv(name)[0] not in words
        ]

    def inspect(self, molecule: Molecule) -> None:
        """Check quickly that the document of `molecule` has everything that the steps need.

        Raises:
            BadDocument: the document lacks something, or two atoms are closer than `checks:` allow;
                the message names it.
            CampaignError: the trait `inspect` raised anything else.
        """
        for step in self.steps:
            if step.function.traits.inspect is not None:
                with blaming(self.loaded, step.function):
                    called(step.function.traits, "inspect", molecule, step.request.options)
        self.checks.inspect(molecule)

    def needs(self, molecule: Molecule) -> Needs:
        """What the job for `molecule` needs: of each kind, what the most demanding step does.

        Raises:
            CampaignError: the trait `needs` raised or returned something wrong.
        """
        found = []
        for step in self.steps:
            with blaming(self.loaded, step.function):
                traits, options = step.function.traits, step.request.options
                found.append(needs(traits, molecule, options, self.software.cores))
        memory = [one.memory for one in found if one.memory is not None]
        return Needs(max(one.size for one in found), max(memory, default=None))

    def asked_of(self, molecule: Molecule, attempt: int = 1, plan: Plan | None = None) -> Asked:
        """The record of what the job for `molecule` is asked to compute."""
        return Asked(
            document=molecule.id,
            attempt=attempt,
            natoms=len(molecule.numbers),
            charge=molecule.charge,
            multiplicity=molecule.multiplicity,
            molecule=molecule.fingerprint,
            recipe=self.hash,
            target=self.target,
            remedy={step: list(names) for step, names in (plan or {}).items()},
            computed=molecule.parts(self.fields),
        )

    def programs(self) -> list[str]:
        """The programs (names or paths) that workers must have, without those sent with jobs."""
        return list(dict.fromkeys(name for name, _ in self._calls()))

    def _calls(self) -> Iterator[tuple[str, Program | None]]:
        """Yield the name or path of each program that workers must have, with its `Program`."""
        for step in self.steps:
            program, traits = step.function.program, step.function.traits
            if traits.runs is not None:
                with blaming(self.loaded, step.function):
                    names = list(listed(traits, "runs", str, step.request.options, self.software))
            else:
                names = [self.software.argv(program.name)[0]] if program is not None else []
            yield from ((name, program) for name in names if not name.startswith(SOFTWARE))

    def program_called(self, name: str) -> Program | None:
        """The program that a step calls by this name or path; None if it is unknown."""
        return next((program for called, program in self._calls() if called == name), None)

    @property
    def known_programs(self) -> list[Program]:
        """The programs of the task functions, each once."""
        found = (step.function.program for step in self.steps)
        return list({program.name: program for program in found if program is not None}.values())

    def prepared(self) -> "Recipe":
        """Make the files that all jobs share (archives, receptor maps); return a recipe with them.

        Raises:
            WqmasterError: a file cannot be made; the message gives the reason.
            CampaignError: the trait `prepare` raised anything else.
        """
        cache = self.software.the_cache
        keep(self.software.supplies.values(), cache / "archives")
        software = replace(self.software, here=True)
        if all(function.traits.prepare is None for function in self.functions):
            return self  # `check` and `smoke` must not leave an unneeded folder
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        steps = []
        for step in self.steps:
            with blaming(self.loaded, step.function):
                request = stages.prepared(step.function.traits, step.request, software)
            steps.append(replace(step, request=request))
        return replace(self, steps=tuple(steps))
