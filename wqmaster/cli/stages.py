"""Run one recipe after another in one view. Ctrl-C stops the current run, and no other follows."""

import signal
from types import FrameType

from wqmaster.cli.view import View
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import assembly
from wqmaster.run.master import Master
from wqmaster.run.progress import Progress


class Stages:
    """The runs of a command."""

    def __init__(self, shown: View, grace: float) -> None:
        self._shown = shown
        self._grace = grace
        self._stopped_by: list[int] = []
        self.notes: list[str] = []  # remarks on all runs

    def run(self, recipe: Recipe, options: assembly.RunOptions) -> Progress:
        """Run a recipe to its end, or until a signal arrives.

        Raises:
            SystemExit: a signal arrived during the previous run, or since.
        """
        self.exit_if_stopped()

        def begins(master: Master, why: str) -> None:
            def stop(number: int, frame: FrameType | None) -> None:
                self._stopped_by.append(number)
                master.stop()
                self._shown.stopping(len(self._stopped_by), self._grace)

            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, stop)
            self._shown.begins(master.progress, why)

        progress = assembly.run(recipe, options, begins=begins, show=self._shown.show)
        self.notes += progress.notes
        return progress

    def exit_if_stopped(self) -> None:
        """Exit with the code of the first signal, if one arrived.

        Raises:
            SystemExit: a signal arrived.
        """
        if self._stopped_by:
            raise SystemExit(128 + self._stopped_by[0])
