"""Task functions, which are pure and build a Job from a molecule. Each program has a package."""

from wqmaster.tasks.base import Build, Rung, Software, StepRequest, Traits, task, traits_of
from wqmaster.tasks.program import Change, DataFolder, Program, Trial

__all__ = [
    "Build",
    "Change",
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
