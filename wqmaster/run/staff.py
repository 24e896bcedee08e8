"""The engine and workers of a run, if other runs share them."""

from collections.abc import Collection
from typing import Protocol

from wqmaster.engines.base import Engine
from wqmaster.factory import Handle
from wqmaster.run.progress import Progress
from wqmaster.run.spool import Spool


class Staff(Protocol):
    """Engine and workers that outlive a run, and that a service owns."""

    why: str  # the reason for the choice of the engine
    collectors: int  # how many collectors the run may have
    follows_file: bool  # whether the service takes up changes of the campaign file by itself
    files: tuple[str, ...]  # if it does not: the campaign files that run together, as given

    @property
    def engine(self) -> Engine:
        """The engine, with an interface for this run alone."""

    @property
    def factory(self) -> Handle:
        """The worker factory, with an interface for this run alone."""

    @property
    def held(self) -> Collection[str]:
        """The tasks that an earlier process of this run has submitted, and that did not end."""

    def adopt(self, spool: Spool) -> list[str]:
        """Give up the held tasks that are not in the spool, and return the others."""

    def describe(self, progress: Progress) -> None:
        """Note in `progress` how workers connect."""
