"""Document + steps -> Job: one module a program, of pure functions.

A task function is called as `(molecule, steps, software) -> Job`. What it takes from a document
reaches the worker as the content of files, never inside a command line.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from wqmaster.job import Job
from wqmaster.molecule import Molecule


@dataclass(frozen=True)
class StepRequest:
    """One step as a task function gets it."""

    name: str
    options: Any  # an instance of the function's options model
    files: frozenset[str]  # files of the sandbox that parsers and keep_files want


@dataclass(frozen=True)
class Software:
    """How programs are called, and what they may use."""

    commands: Mapping[str, str] = field(default_factory=dict)  # of `software:` in the campaign
    cores: int = 1
    memory: int | None = None  # MB

    def argv(self, program: str) -> tuple[str, ...]:
        """The first words of the command line of `program`; its own name by default."""
        return tuple(shlex.split(self.commands.get(program, program)))


Build = Callable[[Molecule, Sequence[StepRequest], Software], Job]


class NoOptions(BaseModel):
    """For a function that declares no options: any are handed over as they are."""

    model_config = {"extra": "allow", "frozen": True}


def task(*, program: str, options: type[BaseModel] = NoOptions) -> Callable[[Build], Build]:
    """Mark a task function: the program whose parsers judge its output, and its options."""

    def mark(function: Build) -> Build:
        function.program = program  # type: ignore[attr-defined]
        function.options = options  # type: ignore[attr-defined]
        return function

    return mark
