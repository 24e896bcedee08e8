"""The collectors as a part of a run that can fail and be mended."""

from wqmaster.error_codes import ErrorCode
from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.collector.pool import Collectors
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.run.upkeep import RunTrouble


class CollectorPart:
    """Reports what is wrong with collectors, and holds a run whose results none may judge."""

    def __init__(self, collectors: Collectors, again: str) -> None:
        self._collectors = collectors
        self._again = again

    def tend(self) -> None:
        """Do nothing: `Collectors.listen` starts collectors again."""

    def trouble(self) -> RunTrouble | None:
        """What is wrong with the collectors; None if nothing is."""
        text = self._collectors.trouble
        if text is None:
            return None
        return RunTrouble(text, ErrorCode.COLLECTORS_FAILED, lasts=self._collectors.lasts)

    def in_trouble(self) -> bool:
        """Whether anything is wrong with the collectors."""
        return self._collectors.trouble is not None

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while every collector refuses the files of the recipe."""
        reason = self._collectors.refusal
        if reason is None:
            return None
        command = (
            "restore them, or stop this run, which keeps what has returned, and start it again: "
            f"{self._again}"
        )
        return Hold(
            HoldKind.COLLECTORS, reason, command, afterwards=f"to begin again: {self._again}"
        )
