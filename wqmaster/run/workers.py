"""What a run knows of its workers: their factory, its troubles, and the demand for workers."""

import logging

from wqmaster.factory import Demand, Handle, Trouble
from wqmaster.run.factory_part import factory_trouble
from wqmaster.run.progress import Progress
from wqmaster.run.upkeep import RunTrouble

log = logging.getLogger("wqmaster.master")

# How many notes a run shows at its end; further problems with workers appear only in the log.
_MAX_NOTES = 10


class Workers:
    """Looks after the factory of a run, if it has one."""

    def __init__(self, factory: Handle | None, progress: Progress) -> None:
        self._factory = factory
        self._progress = progress
        # The present problem with the factory or its workers.
        self.trouble: Trouble | None = None

    def look(self, wanted: int | None, *, is_needed: bool) -> None:
        """Note the factory's trouble, and report to it how many jobs workers have yet to do.

        With `is_needed`, a factory that has ended is started again.
        """
        factory = self._factory
        if factory is None:
            return
        if is_needed:
            factory.check()
        trouble = factory.trouble()
        if trouble and trouble.is_new(self.trouble):
            log.warning("workers: %s", trouble)
            for line in factory.last():
                log.warning("last output of a worker: %s", line)
            if len(self._progress.notes) < _MAX_NOTES:
                self._progress.notes.append(f"workers: {trouble}")
        self.trouble = trouble
        self._progress.waits_for_workers = factory.awaited()
        factory.tell(Demand(wanted, self._progress.stats.workers))

    def lasting_trouble(self) -> RunTrouble | None:
        """The factory's trouble, if it does not end by itself."""
        return factory_trouble(self._factory)
