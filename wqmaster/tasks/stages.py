"""The stages of a step before its jobs are built. Each receives the value of the last one."""

from dataclasses import replace

from wqmaster.tasks.base import Software, StepRequest, Traits
from wqmaster.tasks.calling import called


def loaded(traits: Traits, step: StepRequest, software: Software) -> StepRequest:
    """Run the stage `load` and return `step` with its value.

    Raises:
        ValueError: a file that the step's options name is missing or wrong.
        BrokenTrait: `load` raised anything else.
    """
    return replace(step, loaded=called(traits, "load", step.options, software))


def prepared(traits: Traits, step: StepRequest, software: Software) -> StepRequest:
    """Run the stage `prepare`, if the function has one, and return `step` with its value.

    Raises:
        WqmasterError: the files that the step's jobs share cannot be made.
        BrokenTrait: `prepare` raised anything else.
    """
    if traits.prepare is None:
        return step
    return replace(step, prepared=called(traits, "prepare", step.loaded, software))
