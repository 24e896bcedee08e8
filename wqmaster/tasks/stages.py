"""The stages that a step passes before its jobs are built, each with the last one's value."""

from dataclasses import replace

from wqmaster.tasks.base import Software, StepRequest, Traits
from wqmaster.tasks.calling import called


def loaded(traits: Traits, step: StepRequest, software: Software) -> StepRequest:
    """`step` after the stage `load`.

    Raises:
        ValueError: a file that the step's options name is missing or wrong.
        BrokenTrait: `load` raised anything else.
    """
    return replace(step, loaded=called(traits, "load", step.options, software))


def prepared(traits: Traits, step: StepRequest, software: Software) -> StepRequest:
    """`step` after the stage `prepare`, if the function has one.

    Raises:
        WqmasterError: the files that the step's jobs share cannot be made.
        BrokenTrait: `prepare` raised anything else.
    """
    if traits.prepare is None:
        return step
    return replace(step, prepared=called(traits, "prepare", step.loaded, software))
