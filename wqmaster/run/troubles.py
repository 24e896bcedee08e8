"""What is wrong in a run now, from all its parts."""

from wqmaster.engines.base import Engine
from wqmaster.run.collector.base import CollectorPool
from wqmaster.run.database_link import DatabaseLink
from wqmaster.run.progress import Progress
from wqmaster.run.upkeep import TroubleLog, Upkeep
from wqmaster.run.workers import Workers


class Troubles:
    """Collects the troubles of a run."""

    def __init__(
        self,
        progress: Progress,
        link: DatabaseLink,
        collectors: CollectorPool,
        engine: Engine,
        upkeep: Upkeep,
        workers: Workers,
    ) -> None:
        self._progress = progress
        self._link = link
        self._collectors = collectors
        self._engine = engine
        self._upkeep = upkeep
        self._workers = workers
        self._log = TroubleLog()

    def note(self) -> None:
        """Put all troubles into the progress, and log those that are new."""
        hold = self._progress.hold
        parts = (
            self._link.trouble(),
            None if hold is None or hold.is_routine else hold,
            self._collectors.trouble,
            *self._upkeep.troubles(),
            self._engine.trouble(),
            self._workers.trouble,
        )
        texts = dict.fromkeys(str(part) for part in parts if part)
        self._progress.trouble = "; ".join(texts) or None
        self._log.note(self._progress.trouble, hold)

    def look(self) -> None:
        """End the run if something is wrong, and the run is not to wait.

        Raises:
            RunTroubled: see `Upkeep.look`.
        """
        mine = (self._link.trouble(), self._workers.lasting_trouble())
        known = [trouble for trouble in mine if trouble is not None]
        self._upkeep.look([*known, *self._upkeep.troubles()], self._progress.hold)
