"""The task function of a step, with its traits and its place in the campaign file."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.tasks.base import Build, Traits
from wqmaster.tasks.calling import BrokenTrait
from wqmaster.tasks.program import Program


@dataclass(frozen=True)
class TaskFunction:
    """A task function that a campaign names."""

    name: str  # dotted
    build: Build
    traits: Traits
    program: Program | None  # its parsers and its diagnosis judge the output
    # The keys that lead to its name in the campaign file.
    place: tuple[str | int, ...]
    # The checksum of a user's file (`code_of`); None for wqmaster's own functions, which have
    # versions.
    code: str | None = None


@contextlib.contextmanager
def blaming(loaded: LoadedCampaign, function: TaskFunction) -> Iterator[None]:
    """Report a broken trait at the line of the campaign file that names its task function.

    Raises:
        CampaignError: a trait raised an error or returned a value that it must not.
    """
    try:
        yield
    except BrokenTrait as error:
        raise loaded.source.error(
            f"the task function '{function.name}': {error.message}",
            *function.place,
            code=error.code,
        ) from error
