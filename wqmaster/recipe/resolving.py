"""Resolve the names in a campaign file: task function, options, parsers and files."""

import re
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from wqmaster.campaign.loading import LoadedCampaign, describe
from wqmaster.campaign.models import Step, nearest
from wqmaster.errors import CampaignError
from wqmaster.jobs.job import SHARED, check_file_name
from wqmaster.recipe.hashing import asked_of, code_of, hash_of, is_ours
from wqmaster.recipe.ladders import ladders_of
from wqmaster.recipe.names import (
    TASK_FUNCTION,
    current,
    function_named,
    program_named,
    resolve_parser,
)
from wqmaster.recipe.recipe import ParserCall, Recipe, StepRecipe, blaming
from wqmaster.software.supplies import supplies
from wqmaster.system.tracebacks import told
from wqmaster.tasks import held, stages
from wqmaster.tasks.base import (
    Build,
    NoOptions,
    OptionError,
    Software,
    StepRequest,
    Traits,
    traits_of,
)
from wqmaster.tasks.calling import called, listed
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_of_package

_STREAMS = frozenset({"stdout", "stderr"})


def _listed(step: Step) -> Iterable[tuple[str | None, str, tuple[str | int, ...]]]:
    """Yield, for each of the step's parsers, its file (or None), its name and its keys."""
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
        self.kept: set[str] = set()  # the names under which steps keep files
        self.warnings: list[str] = []

    def error(self, message: str, *keys: str | int) -> CampaignError:
        return self.loaded.source.error(message, "campaign_config", *keys)

    def function(self) -> Build:
        try:
            found = function_named(current(self.config.func_name), TASK_FUNCTION)
        except ValueError as error:
            raise self.error(str(error), "func_name") from error
        return cast("Build", found)

    def program(self, traits: Traits) -> Program | None:
        try:
            # If one of wqmaster's packages has no valid program, that is an error even if its
            # function could run.
            program_of_package(current(self.config.func_name))
            return program_named(traits.program) if traits.program is not None else None
        except ValueError as error:
            raise self.error(str(error), "func_name") from error
        except CampaignError as error:
            where = ("campaign_config", "func_name")
            raise self.loaded.source.error(error.message, *where, code=error.code) from error

    def step(
        self, position: int, step: Step, traits: Traits, program: Program | None
    ) -> StepRecipe:
        keys: tuple[str | int, ...] = ("args", position)
        model: type[BaseModel] = traits.options
        for key in step.options:
            if key not in model.model_fields and model.model_config.get("extra") != "allow":
                hint = nearest(key, {*model.model_fields, *Step.model_fields})
                raise self.error(f"unknown key '{key}'; {hint}", *keys, key)
        try:
            options = model.model_validate(step.options)
        except ValidationError as error:
            raise describe(error, self.loaded.source, "campaign_config", *keys) from error
        except Exception as error:  # a validator in a user's model can raise anything
            message = f"its options model {model.__name__} raised {told(error)}"
            raise self.error(message, *keys) from error
        if model is NoOptions:
            self.warnings += [
                f"{self.loaded.source.where('campaign_config', *keys, key)}: '{key}' is passed to "
                f"{self.config.func_name} unchecked, because its @task declares no options"
                for key in step.options
            ]
        parsers = tuple(self.parsers(step, keys, program))
        needed = {call.file for call in parsers} | set(step.keep_files)
        files = {file for call in parsers for file in getattr(call.function, "files", ())} | needed
        for file, name in step.keep_files.items():
            if not re.fullmatch(r"[A-Za-z0-9._{}-]{4,60}", name) or "{id}" not in name:
                raise self.error(
                    f"'{name}' cannot be the name of a kept file; it must contain {{id}}, which "
                    "becomes the document's id, and otherwise only letters, digits, '.', '_' and "
                    "'-', at most 60 characters in all",
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

    def reachable(self, called: str) -> None:
        """Check that workers can find a program in `software:` that is not sent to them.

        Raises:
            CampaignError: the program's path is relative.
        """
        program = self.loaded.campaign.software[called]
        path = shlex.split(program.command)[0]
        sent = program.archive or program.url or program.module
        comes_with_job = path.startswith(("./", f"{SHARED}/"))
        if "/" in path and not path.startswith("/") and not comes_with_job and not sent:
            raise self.loaded.source.error(
                f"'{path}' is a relative path, but each job runs in its own folder; write an "
                f"absolute path, or send the program: {{archive: FILE, command: {path}}}",
                "software",
                called,
            )

    def loaded_step(
        self, position: int, step: StepRecipe, traits: Traits, software: Software
    ) -> StepRecipe:
        try:
            return replace(step, request=stages.loaded(traits, step.request, software))
        except OptionError as error:
            keys = ("campaign_config", "args", position, *error.keys)
            where = self.loaded.source.where(*keys, line=error.line)
            raise CampaignError(f"{where}: {error}") from error
        except ValueError as error:
            raise self.error(str(error), "args", position) from error

    def hold(
        self,
        step: Step,
        position: int,
        options: Any,
        calls: Sequence[ParserCall],
        traits: Traits,
        program: Program | None,
    ) -> None:
        """Refuse a step that is certainly wrong; record a warning if it is probably wrong."""
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
            if file is None and not hasattr(function, "files"):
                where = self.loaded.source.where("campaign_config", *keys, *place)
                called = name if "." in name or program is None else f"{program.module_name}.{name}"
                self.warnings.append(
                    f"{where}: {called} has no @reads, so it reads the standard output"
                )
            yield ParserCall(stored, file or getattr(function, "files", ("stdout",))[0], function)


def resolve(loaded: LoadedCampaign, *, runs: bool = True) -> Recipe:
    """Resolve a campaign to its recipe. A user's modules can be in the campaign file's folder.

    `runs` states whether jobs will be built. If not, the archives in `software:` are not inspected,
    because reading outputs does not need them.

    Raises:
        CampaignError: a function, parser, option or archive is missing or wrong. The message
            contains the file, the line and the nearest valid name.
    """
    with blaming(loaded):
        return _resolved(loaded, runs)


def _resolved(loaded: LoadedCampaign, runs: bool) -> Recipe:
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
        # `runs` can look for one of several names in `software:`. Here each name is its own
        # command, so `runs` returns names instead of commands.
        named = Software(commands={word: shlex.quote(word) for word in campaign.software})
        calls = [
            run
            for step in steps
            for run in listed(traits, "runs", str, step.request.options, named)
        ]
    for word in campaign.software:
        if is_ours(name) and word not in calls:
            raise loaded.source.error(
                f"{name} does not call '{word}'; {nearest(word, calls)}", "software", word
            )
        resolver.reachable(word)
    software = Software(
        commands={name: program.command for name, program in campaign.software.items()},
        cores=campaign.resources.cores,
        memory=campaign.resources.memory,
        beside=beside,
        cache=loaded.folder / "cache",
        supplies=supplies(loaded) if runs else {},
    )
    steps = tuple(
        resolver.loaded_step(position, step, traits, software)
        for position, step in enumerate(steps)
    )
    if traits.check is not None:
        try:
            called(traits, "check", [step.request for step in steps], software)
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
    fields = [
        field for step in steps for field in listed(traits, "fields", str, step.request.loaded)
    ]
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
        task_function=function,
        code=None if is_ours(name) else code_of(function),
        warnings=tuple(resolver.warnings),
    )
