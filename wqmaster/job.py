"""The former path of `wqmaster.jobs.job`, for users' modules that import from it."""

from wqmaster.jobs.job import Asked, Execution, Input, Job, Outcome, StepOutcome, Task

__all__ = ["Asked", "Execution", "Input", "Job", "Outcome", "StepOutcome", "Task"]
