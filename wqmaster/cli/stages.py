"""Run one recipe after another in one view. A signal stops the current run, and no other follows.

Ctrl-C stops a run within its grace period, SIGTERM drains it. SIGHUP makes it read the campaign
file again, unless it means that the terminal is gone.
"""

import math
import signal
import sys
from types import FrameType

from wqmaster.cli.view import View
from wqmaster.recipe.recipe import Recipe
from wqmaster.run import assembly
from wqmaster.run.master import Master
from wqmaster.run.progress import Progress, RunState


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
                drains = number == signal.SIGTERM and not master.stopping
                self._stopped_by.append(number)
                (master.drain if drains else master.stop)()
                grace = math.inf if drains else self._grace
                by_key = number == signal.SIGINT
                self._shown.stopping(len(self._stopped_by), grace, by_key=by_key)

            def reload(number: int, frame: FrameType | None) -> None:
                master.reload()

            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, stop)
            signal.signal(signal.SIGHUP, stop if has_terminal() else reload)
            self._shown.begins(master.progress, why)

        progress = assembly.run(recipe, options, begins=begins, show=self._shown.show)
        self.notes += progress.notes
        if progress.state is RunState.STOPPED and not self._stopped_by:
            self._stopped_by.append(signal.SIGINT)  # `wqmaster drain` stops a run as Ctrl-C does
        return progress

    def exit_if_stopped(self) -> None:
        """Exit with the code of the first signal, if one arrived.

        Raises:
            SystemExit: a signal arrived.
        """
        if self._stopped_by:
            raise SystemExit(128 + self._stopped_by[0])


def has_terminal() -> bool:
    """Whether a terminal can hang up on this command."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return any(stream is not None and not stream.closed and stream.isatty() for stream in streams)
