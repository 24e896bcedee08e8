"""A campaign's words resolved: task function, options, parsers; and the hash of what was asked.

The recipe's hash covers what determines a result: function, options, the content of files that the
options name, and the fields of a document that the molecule is read from. Parsers, resources and
places are not part of it; `_run` holds the program's version separately.
"""

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

import wqmaster.parsers
import wqmaster.tasks
from wqmaster.campaign.loading import LoadedCampaign, describe
from wqmaster.campaign.models import Step, nearest
from wqmaster.errors import CampaignError
from wqmaster.jobs.job import SOFTWARE, Asked, Job, check_file_name
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Parser, ProgramParsers
from wqmaster.recipe import retry
from wqmaster.recipe.hashing import asked_of, hash_of, is_ours
from wqmaster.recipe.ladders import ladders_of
from wqmaster.recipe.names import current, function_named, program_named, resolve_parser
from wqmaster.software.supplies import keep, supplies
from wqmaster.tasks import held
from wqmaster.tasks.base import Build, Ladders, Software, StepRequest, Traits, traits_of
from wqmaster.tasks.program import Program

_STREAMS = frozenset({"stdout", "stderr"})


@dataclass(frozen=True)
class ParserCall:
    """One parser on one file of a step."""

    name: str  # under which its value is stored
    file: str
    function: Parser


@dataclass(frozen=True)
class StepRecipe:
    """One step, resolved."""

    request: StepRequest
    parsers: tuple[ParserCall, ...]
    keep_files: tuple[tuple[str, str], ...]  # file -> name with {id}
    # Files without which there is no result.
    needed: frozenset[str]
    # Options as plain data, for the hash and for diagnosis.
    options: dict[str, Any]
    # All that determines this step's results: its own options and those of the steps before it,
    # which may leave something to it; and the hash of that.
    asked: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""
    # The hash that versions before 0.2 stored, which did not cover the fields of the molecule.
    old_hash: str = ""


@dataclass(frozen=True)
class Recipe:
    """All that turns a molecule into a job, and its output into values."""

    function: str  # dotted name
    program: Program | None  # whose parsers diagnose
    steps: tuple[StepRecipe, ...]
    software: Software
    hash: str
    ladders: Ladders
    # The campaign, with the fields that the task function needs.
    loaded: LoadedCampaign
    # Hash of where results go and which files they are read from: what is in the spool for
    # another target is not for this one.
    target: str
    # Fields of a document, beside those of its molecule, that decide the result. None: all that
    # are fetched, since a user's task function may read any of them.
    fields: tuple[str, ...] | None
    _build: Build
    # What is likely wrong with the steps, each with file and line.
    warnings: tuple[str, ...] = ()

    def build(
        self,
        molecule: Molecule,
        plan: retry.Plan | None = None,
        rescued: Mapping[str, Mapping[str, bytes]] | None = None,
    ) -> Job:
        """The job of `molecule`. What a user's task function raises passes through.

        `plan` are the remedies it takes, `rescued` by step the files that a failed attempt left.

        Raises:
            TypeError: the task function returned no Job, or one with other steps.
        """
        requests, software = [step.request for step in self.steps], self.software
        if plan:
            requests = [
                replace(
                    request,
                    remedies=retry.rungs(self.ladders, plan.get(request.name, ())),
                    rescued=(rescued or {}).get(request.name, {}),
                )
                for request in requests
            ]
            if software.memory is not None:
                more = retry.factors(self.ladders, plan).memory
                software = replace(software, memory=int(software.memory * more))
        job = self._build(molecule, requests, software)
        if not isinstance(job, Job):
            raise TypeError(f"a task function returns a Job, not {type(job).__name__}")
        wanted = [step.request.name for step in self.steps]
        if [step.name for step in job.steps] != wanted:
            raise TypeError(f"the steps of its Job must be {', '.join(wanted)}")
        return software.supplied(job)

    def inspect(self, molecule: Molecule) -> None:
        """See that the document of `molecule` has what the steps need, as far as that is quick.

        Raises:
            BadDocument: it has not; says what.
        """
        inspect = traits_of(self._build).inspect
        if inspect is not None:
            for step in self.steps:
                inspect(molecule, step.request.options)

    def asked_of(
        self, molecule: Molecule, attempt: int = 1, plan: retry.Plan | None = None
    ) -> Asked:
        """What the job of `molecule` is asked for."""
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
        """The programs that a worker has to have: names, or paths; not those that it is sent."""
        traits = traits_of(self._build)
        if traits.runs is not None:
            called = [
                name
                for step in self.steps
                for name in traits.runs(step.request.options, self.software)
            ]
        else:
            called = [self.software.argv(self.program.name)[0]] if self.program else []
        return list(dict.fromkeys(name for name in called if not name.startswith(SOFTWARE)))

    def impostor(self, path: Path) -> str | None:
        """Why the file at `path` is not the recipe's program; None if nothing speaks against it."""
        refuse = self.program.impostor if self.program is not None else None
        return refuse(path) if refuse is not None else None

    def prepare(self) -> None:
        """Make what all jobs share (archives, maps of a receptor), once, on this machine.

        Raises:
            WqmasterError: it cannot be made; says why.
        """
        make = traits_of(self._build).prepare
        cache = self.software.cache
        if cache is not None:
            keep(self.software.supplies.values(), cache / "archives")
        if make is not None and cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            make([step.request for step in self.steps], replace(self.software, here=True))

    @property
    def diagnosis(self) -> ProgramParsers | None:
        """The module that judges the program's output, if there is one."""
        return self.program.module if self.program is not None else None


def _listed(step: Step) -> Iterable[tuple[str | None, str, tuple[str | int, ...]]]:
    """(file or None, name, keys in the campaign file) of each parser of the step."""
    if isinstance(step.parsers, list):
        for position, name in enumerate(step.parsers):
            yield None, name, ("parsers", position)
    else:
        for file, names in step.parsers.items():
            for position, name in enumerate(names):
                yield file, name, ("parsers", file, position)


class _Resolver:
    def __init__(self, loaded: LoadedCampaign) -> None:
        self.loaded = loaded
        self.config = loaded.campaign.campaign_config
        self.kept: set[str] = set()  # names of kept files, of all steps
        self.warnings: list[str] = []

    def error(self, message: str, *keys: str | int) -> CampaignError:
        return self.loaded.source.error(message, "campaign_config", *keys)

    def function(self) -> Build:
        try:
            found = function_named(current(self.config.func_name), "task function", wqmaster.tasks)
        except ValueError as error:
            raise self.error(str(error), "func_name") from error
        return cast("Build", found)

    def program(self, traits: Traits) -> Program | None:
        if traits.program is None:
            return None
        try:
            return program_named(traits.program)
        except ValueError as error:
            raise self.error(str(error), "func_name") from error

    def step(
        self, position: int, step: Step, traits: Traits, program: Program | None
    ) -> StepRecipe:
        keys: tuple[str | int, ...] = ("args", position)
        model: type[BaseModel] = traits.options
        for key in step.options:
            if key not in model.model_fields and model.model_config.get("extra") == "forbid":
                hint = nearest(key, {*model.model_fields, *Step.model_fields})
                raise self.error(f"unknown key '{key}'; {hint}", *keys, key)
        try:
            options = model.model_validate(step.options)
        except ValidationError as error:
            raise describe(error, self.loaded.source, "campaign_config", *keys) from error
        parsers = tuple(self.parsers(step, keys, program))
        needed = {call.file for call in parsers} | set(step.keep_files)
        files = {file for call in parsers for file in getattr(call.function, "files", ())} | needed
        for file, name in step.keep_files.items():
            if not re.fullmatch(r"[A-Za-z0-9._{}-]{4,60}", name) or "{id}" not in name:
                raise self.error(
                    f"'{name}' must be a plain file name of at most 60 characters, with {{id}}",
                    *keys,
                    "keep_files",
                    file,
                )
            if name in self.kept:
                raise self.error(f"two files would be kept as '{name}'", *keys, "keep_files", file)
            self.kept.add(name)
        for file in files:
            try:
                check_file_name(file)
            except ValueError as error:
                raise self.error(str(error), *keys) from error
        self.hold(step, position, options, parsers, traits, program)
        return StepRecipe(
            request=StepRequest(step.name, options, frozenset(files - _STREAMS)),
            parsers=parsers,
            keep_files=tuple(step.keep_files.items()),
            needed=frozenset(needed),
            options=options.model_dump(mode="json", exclude_none=True),
        )

    def hold(
        self,
        step: Step,
        position: int,
        options: Any,
        calls: Sequence[ParserCall],
        traits: Traits,
        program: Program | None,
    ) -> None:
        """Keep the warnings of what is likely wrong with a step; refuse what certainly is."""
        asked = (
            (held.Asked(name, call.function, call.file, file is not None), place)
            for (file, name, place), call in zip(_listed(step), calls, strict=True)
        )
        errors: list[str] = []
        for found in held.complaints(traits, program, options, asked, step.keep_files):
            keys = ("campaign_config", "args", position, *found.keys)
            message = f"{self.loaded.source.where(*keys, line=found.line)}: {found.message}"
            (errors if found.certain else self.warnings).append(message)
        if errors:
            raise CampaignError("\n".join(errors))

    def parsers(
        self, step: Step, keys: tuple[str | int, ...], program: Program | None
    ) -> Iterable[ParserCall]:
        seen: set[str] = set()
        for file, name, place in _listed(step):
            try:
                function = resolve_parser(name, program)
            except ValueError as error:
                raise self.error(str(error), *keys, *place) from error
            stored = name.rpartition(".")[2]
            if stored in seen or stored == "_run":
                raise self.error(f"two values would be stored as '{stored}'", *keys, *place)
            seen.add(stored)
            yield ParserCall(stored, file or getattr(function, "files", ("stdout",))[0], function)


def resolve(loaded: LoadedCampaign, *, runs: bool = True) -> Recipe:
    """The recipe of a campaign. The folder of the campaign file is searched for its own modules.

    `runs`: whether jobs are to be built, so that the archives of `software:` are looked into. Who
    reads outputs alone needs none of them.

    Raises:
        CampaignError: a function, parser, option or archive is not there or wrong; with file, line
            and the nearest.
    """
    beside = loaded.source.path.parent.absolute()
    if str(beside) not in sys.path:
        sys.path.append(str(beside))
    resolver = _Resolver(loaded)
    campaign = loaded.campaign
    function = resolver.function()
    traits = traits_of(function)
    program = resolver.program(traits)
    steps = tuple(
        resolver.step(position, step, traits, program)
        for position, step in enumerate(campaign.steps)
    )
    name = current(campaign.campaign_config.func_name)
    calls = [program.name if program is not None else str(None)]
    if traits.runs is not None:
        # A function may look for one of several names; a name calls itself here.
        named = Software(commands={called: shlex.quote(called) for called in campaign.software})
        calls = [run for step in steps for run in traits.runs(step.request.options, named)]
    for called in campaign.software:
        if is_ours(name) and called not in calls:
            raise loaded.source.error(
                f"{name} calls no program '{called}'; {nearest(called, calls)}",
                "software",
                called,
            )
    software = Software(
        commands={name: program.command for name, program in campaign.software.items()},
        cores=campaign.resources.cores,
        memory=campaign.resources.memory,
        beside=beside,
        cache=loaded.folder / "cache",
        supplies=supplies(loaded) if runs else {},
    )
    if traits.check is not None:
        try:
            traits.check([step.request for step in steps], software)
        except ValueError as error:
            raise resolver.error(str(error), "args") from error
    steps = tuple(
        replace(step, asked=asked, hash=hash_of(asked), old_hash=hash_of(before))
        for step, (asked, before) in zip(
            steps, asked_of(loaded, name, [step.request for step in steps], traits), strict=True
        )
    )
    place = campaign.database
    target = [
        *(campaign.campaign, place.name, place.collection, campaign.output_key),
        *([step.request.name, sorted(step.request.files)] for step in steps),
    ]
    fields = [field for step in steps for field in traits.fields(step.request.options)]
    decisive = tuple(sorted(set(fields))) if is_ours(name) else None
    return Recipe(
        function=name,
        program=program,
        steps=steps,
        software=software,
        hash=steps[-1].hash,
        ladders=ladders_of(loaded, traits),
        loaded=loaded.completed(fields, traits.molecule),
        target=hash_of(target),
        fields=decisive,
        _build=function,
        warnings=tuple(resolver.warnings),
    )
