"""Resolve the names in a campaign file: task function, options, parsers and files."""

import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from wqmaster.campaign.ignored import keys_ignored
from wqmaster.campaign.loading import LoadedCampaign, describe
from wqmaster.campaign.models import Step, nearest
from wqmaster.errors import CampaignError
from wqmaster.jobs.job import SHARED, check_file_name
from wqmaster.recipe import checking
from wqmaster.recipe.hashing import asked_of, code_of, hash_of, is_ours, options_of
from wqmaster.recipe.ladders import job_ladders
from wqmaster.recipe.names import (
    TASK_FUNCTION,
    current,
    function_named,
    program_named,
    resolve_parser,
)
from wqmaster.recipe.output_key import check_output_key
from wqmaster.recipe.recipe import ParserCall, Recipe, StepRecipe
from wqmaster.recipe.reference_atoms import check_reference_atoms
from wqmaster.recipe.task_function import TaskFunction, blaming
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
from wqmaster.tasks.calling import (
    called,
    final_geometry,
    inapplicable_checks,
    keeps_geometry,
    listed,
)
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
        self.functions: dict[str, TaskFunction] = {}  # by dotted name
        self.kept: set[str] = set()  # the names under which steps keep files
        self.warnings: list[str] = []

    def error(self, message: str, *keys: str | int) -> CampaignError:
        return self.loaded.source.error(message, "campaign_config", *keys)

    def function(self, position: int, step: Step) -> TaskFunction:
        """The task function of a step."""
        given = step.func_name or str(self.config.func_name)
        name = current(given)
        if name in self.functions:
            return self.functions[name]
        own = ("args", position, "func_name")
        keys = own if step.func_name is not None else ("func_name",)
        try:
            found = cast("Build", function_named(name, TASK_FUNCTION))
            traits = traits_of(found)
            # A package of ours without a valid program is an error even if its function could run.
            program_of_package(name)
            program = program_named(traits.program) if traits.program is not None else None
        except ValueError as error:
            raise self.error(str(error), *keys) from error
        except CampaignError as error:
            where = ("campaign_config", *keys)
            raise self.loaded.source.error(error.message, *where, code=error.code) from error
        code = None if is_ours(name) else code_of(found)
        place = ("campaign_config", *keys)
        self.functions[name] = TaskFunction(name, found, traits, program, place, code)
        return self.functions[name]

    def geometry(
        self, position: int, step: Step, function: TaskFunction, earlier: Mapping[str, StepRecipe]
    ) -> str | None:
        """The earlier step from whose final geometry this one starts; None if there is none."""
        asked, traits = step.options.get("geometry"), function.traits
        if asked is None or "geometry" in traits.options.model_fields:
            return None
        keys = ("args", position, "geometry")
        if not traits.takes_geometry:
            if traits.options.model_config.get("extra") == "allow":
                return None  # an option of a user's function
            raise self.error(
                f"{function.name} cannot start from the geometry of another step", *keys
            )
        if not isinstance(asked, str) or asked not in earlier:
            known = f"earlier steps: {', '.join(earlier)}" if earlier else "this is the first step"
            raise self.error(f"{asked!r} is not an earlier step; {known}", *keys)
        if earlier[asked].final_geometry is None:
            raise self.error(
                f"step '{asked}' ({earlier[asked].function.name}) leaves no geometry to start from",
                *keys,
            )
        return asked

    def step(self, position: int, step: Step, earlier: Mapping[str, StepRecipe]) -> StepRecipe:
        function = self.function(position, step)
        traits, program = function.traits, function.program
        geometry = self.geometry(position, step, function, earlier)
        given = {key: value for key, value in step.options.items() if key != "geometry"}
        if geometry is None:
            given = step.options
        keys: tuple[str | int, ...] = ("args", position)
        model: type[BaseModel] = traits.options
        for key in given:
            if key not in model.model_fields and model.model_config.get("extra") != "allow":
                hint = nearest(key, {*model.model_fields, *Step.model_fields})
                raise self.error(f"unknown key '{key}'; {hint}", *keys, key)
        try:
            options = model.model_validate(given)
        except ValidationError as error:
            raise describe(error, self.loaded.source, "campaign_config", *keys) from error
        except Exception as error:  # a validator in a user's model can raise anything
            message = f"its options model {model.__name__} raised {told(error)}"
            raise self.error(message, *keys) from error
        if model is NoOptions:
            self.warnings += [
                f"{self.loaded.source.where('campaign_config', *keys, key)}: '{key}' is passed to "
                f"{function.name} unchecked, because its @task declares no options"
                for key in given
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
        with blaming(self.loaded, function):
            self.hold(step, position, options, parsers, traits, program)
            final = final_geometry(traits, options)
            keeps = keeps_geometry(traits, options)
            inapplicable = inapplicable_checks(traits, options)
        request = StepRequest(step.name, options, frozenset(files - _STREAMS), geometry=geometry)
        return StepRecipe(
            request=request,
            function=function,
            parsers=parsers,
            keep_files=tuple(step.keep_files.items()),
            needed=frozenset(needed),
            options=options_of(request),
            final_geometry=final,
            keeps_geometry=keeps,
            inapplicable_checks=inapplicable,
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
            if path.startswith("~"):
                raise self.loaded.source.error(
                    f"'{path}': '~' is not expanded; write '${{HOME}}' or an absolute path",
                    "software",
                    called,
                )
            raise self.loaded.source.error(
                f"'{path}' is a relative path, but each job runs in its own folder; write an "
                f"absolute path, or send the program: {{archive: FILE, command: {path}}}",
                "software",
                called,
            )

    def loaded_step(self, position: int, step: StepRecipe, software: Software) -> StepRecipe:
        try:
            with blaming(self.loaded, step.function):
                request = stages.loaded(step.function.traits, step.request, software)
            return replace(step, request=request)
        except OptionError as error:
            raise self.refused(error, position) from error
        except ValueError as error:
            raise self.error(str(error), "args", position) from error

    def refused(self, error: OptionError, position: int) -> CampaignError:
        """The error of the campaign file for an option of the step at `position`."""
        keys = ("campaign_config", "args", position, *error.keys)
        where = self.loaded.source.where(*keys, line=error.line)
        return CampaignError(f"{where}: {error}")

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
        seen: dict[str, tuple[str | None, str]] = {}
        for file, name, place in _listed(step):
            try:
                function = resolve_parser(name, program)
            except ValueError as error:
                raise self.error(str(error), *keys, *place) from error
            stored = name.rpartition(".")[2]
            if seen.get(stored) == (file, name):
                raise self.error(f"the parser '{name}' is listed twice; remove one", *keys, *place)
            if stored in seen or stored == "_run":
                raise self.error(f"two values would be stored as '{stored}'", *keys, *place)
            seen[stored] = file, name
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
    beside = loaded.source.path.parent.absolute()
    if str(beside) not in sys.path:
        sys.path.append(str(beside))
    resolver = _Resolver(loaded)
    campaign = loaded.campaign
    found: dict[str, StepRecipe] = {}
    for position, entry in enumerate(campaign.steps):
        found[entry.name] = resolver.step(position, entry, found)
    steps = tuple(found.values())
    functions = list(resolver.functions.values())
    _check_company(resolver, functions)
    _check_software(resolver, steps)
    check_reference_atoms(loaded, functions)
    software = Software(
        commands={name: program.command for name, program in campaign.software.items()},
        cores=campaign.resources.cores,
        memory=campaign.resources.fixed_memory,
        beside=beside,
        cache=loaded.folder / "cache",
        supplies=supplies(loaded) if runs else {},
    )
    steps = tuple(
        resolver.loaded_step(position, step, software) for position, step in enumerate(steps)
    )
    for function in functions:
        requests = [step.request for step in steps if step.function.name == function.name]
        if function.traits.check is not None:
            try:
                with blaming(loaded, function):
                    called(function.traits, "check", requests, software)
            except OptionError as error:
                names = [step.request.name for step in steps]
                position = names.index(error.step) if error.step in names else 0
                raise resolver.refused(error, position) from error
            except ValueError as error:
                raise resolver.error(str(error), "args") from error
    everything = asked_of(loaded, [(step.function, step.request) for step in steps])
    steps = tuple(
        replace(step, asked=asked, hash=hash_of(asked), old_hash=hash_of(before))
        for step, (asked, before) in zip(steps, everything, strict=True)
    )
    place = campaign.database
    target = [
        *(campaign.campaign, place.name, place.collection, campaign.output_key),
        *([step.request.name, sorted(step.request.files)] for step in steps),
    ]
    fields: list[str] = []
    for step in steps:
        with blaming(loaded, step.function):
            fields += listed(step.function.traits, "fields", str, step.request.loaded)
    check_output_key(loaded, fields)
    ours = all(is_ours(function.name) for function in functions)
    return Recipe(
        steps=steps,
        # What the first jobs get; in a run, the memory of each job is learned.
        software=replace(software, memory=campaign.resources.first_memory),
        hash=steps[-1].hash,
        ladders=job_ladders(loaded, {step.request.name: step.function.traits for step in steps}),
        loaded=loaded.completed(fields, any(function.traits.molecule for function in functions)),
        target=hash_of(target),
        fields=tuple(sorted(set(fields))) if ours else None,
        warnings=tuple(resolver.warnings),
        ignored=keys_ignored(loaded),
        checks=checking.resolved(loaded),
    )


def _check_company(resolver: _Resolver, functions: Sequence[TaskFunction]) -> None:
    """Refuse a chain with a function whose steps cannot share a job with others."""
    if len(functions) == 1:
        return
    for function in functions:
        if function.traits.alone is not None:
            others = ", ".join(other.name for other in functions if other is not function)
            raise resolver.loaded.source.error(
                f"{function.name} cannot share a job with {others}: {function.traits.alone}",
                *function.place,
            )


def _check_software(resolver: _Resolver, steps: Sequence[StepRecipe]) -> None:
    """Refuse programs of `software:` that no step calls or that workers cannot find."""
    loaded = resolver.loaded
    software = loaded.campaign.software
    # A function may look for one of several names; here each name stands for its command.
    named = Software(commands={word: shlex.quote(word) for word in software})
    calls: list[str] = []
    for step in steps:
        function = step.function
        if function.traits.runs is not None:
            with blaming(loaded, function):
                calls += listed(function.traits, "runs", str, step.request.options, named)
        else:
            calls.append(function.program.name if function.program is not None else str(None))
    names = [function.name for function in resolver.functions.values()]
    for word in software:
        if all(map(is_ours, names)) and word not in calls:
            raise loaded.source.error(
                f"{' + '.join(names)} does not call '{word}'; {nearest(word, calls)}",
                "software",
                word,
            )
        resolver.reachable(word)
