"""command: run any program with input files that are filled from the document."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from wqmaster.campaign.models import nearest
from wqmaster.errors import BadDocument
from wqmaster.jobs.job import Execution, Input, Job, check_file_name
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.base import Software, StepRequest, task
from wqmaster.tasks.campaign_files import (
    SharedInputs,
    check_shared,
    kept_inputs,
    read,
    shared_inputs,
    threads,
    words,
)
from wqmaster.tasks.command.templates import Template
from wqmaster.tasks.fields import shortest
from wqmaster.tasks.program import Program

_STREAMS = ("stdout", "stderr")
_OF_A_SHELL = re.compile(r"\||&|\|\||&&|;|\d?[<>].*|.*;")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _constant(word: str) -> str:
    if "{{" in word:
        raise ValueError(
            f"{word!r}: values of a document are not allowed here; write them to a file with "
            "'files:', which the program reads"
        )
    if "\0" in word:
        raise ValueError(f"{word!r} contains a NUL character")
    return word


class Command(SharedInputs):
    """The options for a step of `run`."""

    # The program and its arguments, as a list or as one line quoted as for a shell. They are run
    # without a shell.
    command: tuple[str, ...] = Field(min_length=1)
    # The files to write for each document. Maps names in the sandbox to templates.
    files: dict[str, str] = Field(default_factory=dict)
    # Like `files`, but with templates that are in files. Maps names in the sandbox to paths
    # relative to the campaign file.
    templates: dict[str, str] = Field(default_factory=dict)
    # Files that the program writes and that are returned. Files that parsers read may be omitted.
    outputs: tuple[str, ...] = ()
    # The outputs from which the program continues. An earlier step or `files` wrote them. All other
    # outputs are removed before the step, so that they are not mistaken for its results.
    continues: tuple[str, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    # The XYZ file with the geometry that the program ends with, for steps with `geometry:`. A step
    # that starts from another one's geometry finds it in the file STEP.xyz.
    final_geometry: str | None = None

    @field_validator("command", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return words(value)
        try:
            found = shlex.split(value)
        except ValueError as error:
            raise ValueError("a quotation mark is not closed, or a '\\' ends the text") from error
        if not found:
            raise ValueError("the command is empty")
        # This splits at unquoted shell operators, even within a word: prog>out.
        signs = shlex.shlex(value, posix=True, punctuation_chars="|&;<>")
        signs.whitespace_split, signs.commenters = True, ""
        for word in [*found, *signs]:
            if _OF_A_SHELL.fullmatch(word):
                raise ValueError(
                    f"'{word}' needs a shell, but no shell runs this command; use ['sh', '-c', "
                    "'...'], or a list if it is an argument"
                )
        return found

    @field_validator("command")
    @classmethod
    def _plain_command(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value[0] or "=" in value[0]:
            raise ValueError(f"{value[0]!r} is not a program; set variables in 'environment:'")
        return tuple(_constant(word) for word in value)

    @field_validator("environment", mode="before")
    @classmethod
    def _number_is_text(cls, value: Any) -> Any:
        return words(value)

    @field_validator("environment")
    @classmethod
    def _plain_environment(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is not a valid name of a variable")
            _constant(text)
        return value

    @model_validator(mode="after")
    def _names(self) -> "Command":
        final = [self.final_geometry] if self.final_geometry is not None else []
        for name in (*self.files, *self.templates, *self.outputs, *self.continues, *final):
            if check_file_name(name) in _STREAMS:
                raise ValueError(f"the file name '{name}' is reserved for the runner; rename it")
        for name in self.templates:
            if name in self.files:
                raise ValueError(f"'{name}' is in both 'files' and 'templates'; remove one")
        for name in self.outputs:
            if name in self.sent and name not in self.continues:
                raise ValueError(
                    f"'{name}' is written before the program runs and would be returned as its "
                    "output; if the program changes it, name it in 'continues:' too"
                )
        return self

    @property
    def sent(self) -> set[str]:
        """The names of the files that are written for each document."""
        return {*self.files, *self.templates}


@dataclass(frozen=True)
class LoadedCommand:
    """A step's options with the compiled templates."""

    options: Command
    templates: tuple[Template, ...]


def _load(options: Command, software: Software) -> LoadedCommand:
    found = [Template(name, text) for name, text in options.files.items()]
    for name, path in options.templates.items():
        try:
            text = read(software, path).decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"the template {path} is not UTF-8 text: {error}") from error
        found.append(Template(name, text, "templates"))
    return LoadedCommand(options, tuple(found))


def _uses(loaded: LoadedCommand) -> Iterable[str]:
    return (*loaded.options.templates.values(), *loaded.options.inputs)


def _fields(loaded: LoadedCommand) -> Iterable[str]:
    return shortest(field for template in loaded.templates for field in template.fields)


def _runs(options: Command, software: Software) -> Iterable[str]:
    """The program that workers must have; empty if it is sent with the job."""
    name = software.argv(options.command[0])[0]
    return () if "/" in name and not name.startswith("/") else (name,)


def _sent_as(position: int, step: StepRequest, name: str) -> str:
    """The name under which a step's file is sent.

    Files of later steps get their real names when the step begins.
    """
    return name if position == 0 else f"{step.name}.{name}"


def _check(steps: Sequence[StepRequest], software: Software) -> None:
    check_shared(steps, software)
    shared = {f"../shared/{Path(path).name}" for step in steps for path in step.options.inputs}
    sent: set[str] = set()
    for position, step in enumerate(steps):
        for word in step.options.command:
            if word.startswith("../shared/") and word not in shared:
                raise ValueError(f"step '{step.name}': '{word}' is not among its 'inputs:'")
        there = {*step.options.sent, *step.options.outputs, *step.files}
        for name in step.options.continues:
            if name not in there:
                raise ValueError(
                    f"step '{step.name}': '{name}' in 'continues:' is not one of its files; "
                    f"{nearest(name, there)}"
                )
        for name in step.options.sent:
            real = _sent_as(position, step, name)
            if real in sent:
                raise ValueError(
                    f"step '{step.name}': '{name}' would replace another file; rename it"
                )
            sent.add(real)


def _prepare(loaded: LoadedCommand, software: Software) -> tuple[Input, ...]:
    return kept_inputs(loaded.options, software)


PROGRAM = Program("command", "wqmaster.parsers.command", has_own_format=False)


@task(
    program=PROGRAM,
    options=Command,
    molecule=False,
    load=_load,
    uses=_uses,
    fields=_fields,
    runs=_runs,
    check=_check,
    prepare=_prepare,
    takes_geometry=True,
    final_geometry=lambda options: options.final_geometry,
)
def run(molecule: Molecule, steps: Sequence[StepRequest], software: Software) -> Job:
    """Run a program on files that are filled from the document.

    The steps run in order in one sandbox, so each can read the files from earlier steps. If the
    program is not on the worker's PATH, `software:` states how to call it.

    Raises:
        BadDocument: a template asks for something that the document lacks.
    """
    files: dict[str, bytes] = {}
    inputs: list[Input] = []
    executions = []
    for position, step in enumerate(steps):
        options: Command = step.options
        shared = shared_inputs(options, software) if step.prepared is None else step.prepared
        inputs += shared
        for template in step.loaded.templates:
            try:
                content = template.fill(molecule, software).encode()
            except BadDocument as error:
                if error.place is not None:
                    error.place = (("args", position, *error.place[0]), error.place[1])
                raise
            files[_sent_as(position, step, template.name)] = content
        outputs = {*options.outputs, *step.files} - {*_STREAMS}
        executions.append(
            Execution(
                name=step.name,
                argv=(*software.argv(options.command[0]), *options.command[1:]),
                outputs=tuple(sorted(outputs)),
                continues=options.continues,
                rename=tuple(
                    (_sent_as(position, step, name), name) for name in sorted(options.sent)
                )
                if position
                else (),
                environment=_environment(options, software),
            )
        )
    return Job(tuple(executions), files, tuple(dict.fromkeys(inputs)))


def _environment(options: Command, software: Software) -> Mapping[str, str]:
    return {**threads(software.cores), **options.environment}
