"""What a job is expected to take, from the times of earlier ones and its number of atoms."""

from wqmaster.run.size_fit import SizeFit

# Times below this, in seconds, are those of the operating system.
_MIN_SECONDS = 0.01
# The spread of the logarithms is at least this, since hosts differ.
_MIN_SPREAD = 0.1


class RunTimes(SizeFit):
    """The times, in seconds, of a recipe's jobs that ran without remedies."""

    def __init__(self) -> None:
        super().__init__(_MIN_SECONDS, _MIN_SPREAD)
