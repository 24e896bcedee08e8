"""A campaign's words resolved: task function, options, parsers; and the hash of what was asked.

The recipe's hash covers what determines a result: function and options. Parsers, resources and
places are not in it; the program's version stands beside it in `_run`.
"""

import hashlib
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

from pydantic import BaseModel, ValidationError

import wqmaster.parsers
import wqmaster.tasks
from wqmaster.campaign import LoadedCampaign, Step, describe, nearest
from wqmaster.errors import CampaignError
from wqmaster.job import Job, check_file_name
from wqmaster.molecule import Molecule
from wqmaster.parsers import Parser, ProgramParsers
from wqmaster.tasks import Build, NoOptions, Software, StepRequest

# Names of the RQ framework -> ours.
_OLD_NAMES = (
    ("htrq.htrun.scripts.", "wqmaster.tasks."),
    ("htrq.htrun.parser.", "wqmaster.parsers."),
)
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


@dataclass(frozen=True)
class Recipe:
    """All that turns a molecule into a job, and its output into values."""

    function: str  # dotted name
    program: str | None  # whose parsers diagnose
    steps: tuple[StepRecipe, ...]
    software: Software
    hash: str
    # Hash of where results go and which files they are read from: what is in the spool for
    # another target is not for this one.
    target: str
    _build: Build

    def build(self, molecule: Molecule) -> Job:
        """The job of `molecule`. What a user's task function raises passes through.

        Raises:
            TypeError: the task function returned no Job, or one with other steps.
        """
        job = self._build(molecule, [step.request for step in self.steps], self.software)
        if not isinstance(job, Job):
            raise TypeError(f"a task function returns a Job, not {type(job).__name__}")
        wanted = [step.request.name for step in self.steps]
        if [step.name for step in job.steps] != wanted:
            raise TypeError(f"the steps of its Job must be {', '.join(wanted)}")
        return job

    @property
    def diagnosis(self) -> ProgramParsers | None:
        """The module that judges the program's output, if there is one."""
        if self.program is None:
            return None
        module = importlib.import_module(f"wqmaster.parsers.{self.program}")
        return cast("ProgramParsers", module)


def _current(name: str) -> str:
    for old, new in _OLD_NAMES:
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def _functions(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and (hasattr(value, "files") or hasattr(value, "program"))
    ]


def _resolve(name: str, what: str, package: ModuleType) -> Any:
    """The function of this dotted name; ValueError says what is wrong and the nearest right one."""
    module_name, _, function = name.rpartition(".")
    if not module_name:
        raise ValueError(f"'{name}' is no dotted path of a {what}")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ValueError(f"the module '{module_name}' fails to import: {error}") from error
        ours = [f"{package.__name__}.{m.name}" for m in pkgutil.iter_modules(package.__path__)]
        hint = nearest(module_name, ours)
        raise ValueError(
            f"there is no module '{module_name}' for the {what} '{name}'; {hint}"
        ) from error
    except (Exception, SystemExit) as error:  # a user's module may do anything
        raise ValueError(f"the module '{module_name}' fails to import: {error!r}") from error
    found = getattr(module, function, None)
    if not callable(found):
        hint = nearest(name, [f"{module_name}.{known}" for known in _functions(module)])
        raise ValueError(f"unknown {what} '{name}'; {hint}")
    return found


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

    def error(self, message: str, *keys: str | int) -> CampaignError:
        return self.loaded.source.error(message, "campaign_config", *keys)

    def function(self) -> Build:
        try:
            found = _resolve(_current(self.config.func_name), "task function", wqmaster.tasks)
        except ValueError as error:
            raise self.error(str(error), "func_name") from error
        return cast("Build", found)

    def step(self, position: int, step: Step, function: Build) -> StepRecipe:
        keys: tuple[str | int, ...] = ("args", position)
        model: type[BaseModel] = getattr(function, "options", NoOptions)
        for key in step.options:
            if key not in model.model_fields and model.model_config.get("extra") == "forbid":
                hint = nearest(key, {*model.model_fields, *Step.model_fields})
                raise self.error(f"unknown key '{key}'; {hint}", *keys, key)
        try:
            options = model.model_validate(step.options)
        except ValidationError as error:
            raise describe(error, self.loaded.source, "campaign_config", *keys) from error
        parsers = tuple(self.parsers(step, keys, getattr(function, "program", None)))
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
        return StepRecipe(
            request=StepRequest(step.name, options, frozenset(files - _STREAMS)),
            parsers=parsers,
            keep_files=tuple(step.keep_files.items()),
            needed=frozenset(needed),
            options=options.model_dump(mode="json", exclude_none=True),
        )

    def parsers(
        self, step: Step, keys: tuple[str | int, ...], program: str | None
    ) -> Iterable[ParserCall]:
        seen: set[str] = set()
        for file, name, place in _listed(step):
            full = _current(name)
            if "." not in full and program is not None:
                full = f"wqmaster.parsers.{program}.{full}"
            try:
                function = _resolve(full, "parser", wqmaster.parsers)
            except ValueError as error:
                raise self.error(str(error), *keys, *place) from error
            stored = full.rpartition(".")[2]
            if stored in seen or stored == "_run":
                raise self.error(f"two values would be stored as '{stored}'", *keys, *place)
            seen.add(stored)
            yield ParserCall(stored, file or getattr(function, "files", ("stdout",))[0], function)


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve(loaded: LoadedCampaign) -> Recipe:
    """The recipe of a campaign. The folder of the campaign file is searched for its own modules.

    Raises:
        CampaignError: a function, parser or option is unknown; with file, line and the nearest.
    """
    beside = str(loaded.source.path.parent.absolute())
    if beside not in sys.path:
        sys.path.append(beside)
    resolver = _Resolver(loaded)
    campaign = loaded.campaign
    function = resolver.function()
    steps = tuple(
        resolver.step(position, step, function) for position, step in enumerate(campaign.steps)
    )
    name = _current(campaign.campaign_config.func_name)
    program = getattr(function, "program", None)
    for called in campaign.software:
        if name.startswith(f"{wqmaster.tasks.__name__}.") and called != program:
            raise loaded.source.error(
                f"{name} calls no program '{called}'; {nearest(called, [str(program)])}",
                "software",
                called,
            )
    asked = {"function": name, "steps": [step.options for step in steps]}
    place = campaign.database
    target = [
        *(campaign.campaign, place.name, place.collection, campaign.output_key),
        *([step.request.name, sorted(step.request.files)] for step in steps),
    ]
    return Recipe(
        function=name,
        program=program,
        steps=steps,
        software=Software(
            commands={name: program.command for name, program in campaign.software.items()},
            cores=campaign.resources.cores,
            memory=campaign.resources.memory,
        ),
        hash=_hash(asked),
        target=_hash(target),
        _build=function,
    )
