"""Document + steps -> Job: one module or package a program, of pure functions."""

from wqmaster.tasks.base import Build, Rung, Software, StepRequest, Traits, task, traits_of

__all__ = ["Build", "Rung", "Software", "StepRequest", "Traits", "task", "traits_of"]
