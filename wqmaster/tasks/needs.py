"""What the jobs of a task function need, before any of them has run."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a job needs for one molecule."""

    # The number with which its memory grows: that of the basis functions, or of the atoms.
    size: float
    # How much memory it needs, in MB; None: that is unknown.
    memory: float | None = None

    def __post_init__(self) -> None:
        if not self.size > 0:
            raise ValueError(f"the size of a job must be above 0, not {self.size!r:.60}")
        if self.memory is not None and not self.memory > 0:
            raise ValueError(f"the memory of a job must be above 0, not {self.memory!r:.60}")
