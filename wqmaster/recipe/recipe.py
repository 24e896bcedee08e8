"""A campaign's recipe, which turns a molecule into a job, and the job's output into values.

The recipe's hash covers everything that determines a result: the task function, its options, the
contents of the files that the options name, and the document fields that the molecule is read from.
It does not cover parsers, resources, or where results are stored. The program's version is stored
separately in `_run`.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.jobs.job import SHARED, SOFTWARE, Asked, Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Parser, ProgramParsers
from wqmaster.recipe.retry import NO_REMEDIES, Plan, Remedies
from wqmaster.software.supplies import keep
from wqmaster.tasks import stages
from wqmaster.tasks.base import (
    Build,
    Ladders,
    Software,
    StepRequest,
    traits_of,
)
from wqmaster.tasks.calling import BrokenTrait, called, listed
from wqmaster.tasks.program import Program

_STREAMS = frozenset({"stdout", "stderr"})


class JobUnfit(TypeError):
    """A job cannot produce a result on any worker, and other jobs probably cannot either."""


@contextlib.contextmanager
def blaming(loaded: LoadedCampaign) -> Iterator[None]:
    """Report a broken trait at the line of the campaign file that names its task function.

    Raises:
        CampaignError: a trait raised an error or returned a value that it must not.
    """
    try:
        yield
    except BrokenTrait as error:
        function = loaded.campaign.campaign_config.func_name
        raise loaded.source.error(
            f"the task function '{function}': {error.message}",
            *("campaign_config", "func_name"),
            code=error.code,
        ) from error


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
    parsers: tuple[ParserCall, ...]
    keep_files: tuple[tuple[str, str], ...]  # (file, name of its kept copy, which contains {id})
    # Files that the step must return, because a parser reads them or `keep_files` names them.
    needed: frozenset[str]
    # Options as plain data, for the hash and for the diagnosis.
    options: dict[str, Any]
    # Everything that determines this step's results, including the options of earlier steps, whose
    # files this step can read.
    asked: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""  # the hash of `asked`
    # The hash that versions before 0.2 stored. It did not cover the molecule's document fields.
    old_hash: str = ""


@dataclass(frozen=True)
class Recipe:
    """Everything that turns a molecule into a job, and the job's output into values."""

    function: str  # dotted name
    program: Program | None  # the program whose parsers and diagnosis judge the output
    steps: tuple[StepRecipe, ...]
    software: Software
    hash: str
    ladders: Ladders
    # The campaign, with the fields that the task function needs.
    loaded: LoadedCampaign
    # A hash of where results are stored and which files they are read from. Spool entries with
    # another target do not belong to this recipe.
    target: str
    # Document fields, besides the molecule's, that affect the result. None means all fetched
    # fields, since a user's task function can read any of them.
    fields: tuple[str, ...] | None
    task_function: Build
    # The checksum of a user's task function (`code_of`); None for wqmaster's own functions, which
    # have versions.
    code: str | None = None
    # Warnings about the steps, each with its file and line.
    warnings: tuple[str, ...] = ()

    def build(
        self,
        molecule: Molecule,
        remedies: Remedies = NO_REMEDIES,
        rescued: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> Job:
        """Build the job for `molecule`. Exceptions from a user's task function pass through.

        `rescued` maps steps to the files that a failed attempt left.

        Raises:
            BadDocument: the document lacks something that the steps need.
            TypeError: the task function did not return a Job with the campaign's steps.
            JobUnfit: the Job cannot produce the results that the campaign asks for.
        """
        self.inspect(molecule)
        requests, software = [step.request for step in self.steps], self.software
        if remedies:
            requests = [
                replace(
                    request,
                    remedies=remedies.rungs.get(request.name, ()),
                    rescued=(rescued or {}).get(request.name, {}),
                )
                for request in requests
            ]
            if software.memory is not None:
                memory = int(software.memory * remedies.factors.memory)
                software = replace(software, memory=memory)
        job = self.task_function(molecule, requests, software)
        if not isinstance(job, Job):
            raise TypeError(f"a task function must return a Job, not {type(job).__name__}")
        wanted = [step.request.name for step in self.steps]
        if [step.name for step in job.steps] != wanted:
            raise TypeError(f"the steps of its Job must be {', '.join(wanted)}")
        why = self._unable(job)
        if why is not None:
            raise JobUnfit(why)
        return software.supplied(job)

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
        if self.code is None:  # wqmaster's own functions do not have this problem
            return
        where = self.loaded.source.where
        left: dict[str, str] = {}  # file -> the last step that returned it
        for position, step in enumerate(job.steps):
            named = {part for word in step.argv for part in (word, word.partition("=")[2])}
            for file in job.removed_before(position):
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
            f"{self.function} must begin a command with software.argv(NAME)"
            for name in self.software.commands
            if self.software.argv(name)[0] not in words
        ]

    def inspect(self, molecule: Molecule) -> None:
        """Check quickly that the document of `molecule` has everything that the steps need.

        Raises:
            BadDocument: the document lacks something; the message names it.
            CampaignError: the trait `inspect` raised anything else.
        """
        traits = traits_of(self.task_function)
        if traits.inspect is not None:
            with blaming(self.loaded):
                for step in self.steps:
                    called(traits, "inspect", molecule, step.request.options)

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
        traits = traits_of(self.task_function)
        if traits.runs is not None:
            with blaming(self.loaded):
                names = [
                    name
                    for step in self.steps
                    for name in listed(traits, "runs", str, step.request.options, self.software)
                ]
        else:
            names = [self.software.argv(self.program.name)[0]] if self.program else []
        return list(dict.fromkeys(name for name in names if not name.startswith(SOFTWARE)))

    def impostor(self, path: Path) -> str | None:
        """Why the file at `path` is not the recipe's program; None if it can be."""
        refuse = self.program.impostor if self.program is not None else None
        return refuse(path) if refuse is not None else None

    def prepared(self) -> "Recipe":
        """Make the files that all jobs share (archives, receptor maps); return a recipe with them.

        Raises:
            WqmasterError: a file cannot be made; the message gives the reason.
            CampaignError: the trait `prepare` raised anything else.
        """
        cache = self.software.the_cache
        keep(self.software.supplies.values(), cache / "archives")
        traits, software = traits_of(self.task_function), replace(self.software, here=True)
        if traits.prepare is None:
            return self  # `check` and `smoke` must not leave an unneeded folder
        cache.mkdir(parents=True, exist_ok=True)
        with blaming(self.loaded):
            steps = tuple(
                replace(step, request=stages.prepared(traits, step.request, software))
                for step in self.steps
            )
        return replace(self, steps=steps)

    @property
    def diagnosis(self) -> ProgramParsers | None:
        """The module that diagnoses the program's output; None if the recipe has no program."""
        return self.program.module if self.program is not None else None
