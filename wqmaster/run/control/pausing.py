"""The gate that holds a run while a user has paused it."""

from wqmaster.database.orders import Orders
from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.holds import Hold, HoldKind


class PauseGate:
    """Holds a run from `wqmaster pause` to `wqmaster resume`.

    `resume` is the command with which a user lets the run go on.
    """

    def __init__(self, resume: str) -> None:
        self._resume = resume
        # The orders that are in force; `Control` keeps them up to date.
        self.orders = Orders()

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while the campaign is paused."""
        if self.orders.pause is None:
            return None
        return Hold(HoldKind.PAUSE, str(self.orders.pause), self._resume)
