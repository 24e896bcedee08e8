"""From document and steps to Job, by pure functions: one package per program."""

from wqmaster.tasks.base import Build, Rung, Software, StepRequest, Traits, task, traits_of
from wqmaster.tasks.program import DataFolder, Program, Trial

__all__ = [
    "Build",
    "DataFolder",
    "Program",
    "Rung",
    "Software",
    "StepRequest",
    "Traits",
    "Trial",
    "task",
    "traits_of",
]
