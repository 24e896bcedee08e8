"""The process of one campaign in a service: its master, with the broker's engine.

    python -m wqmaster.run.service.campaign_process

The first line on standard input is Start; see messages.py. The process ends when standard input
closes, and is killed when the broker ends. What it leaves in the spool is for the next one.
"""

import contextlib
import os
import sys
import time

from wqmaster.errors import WqmasterError
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.master import Master
from wqmaster.run.progress import Progress
from wqmaster.run.service.files import loaded_from
from wqmaster.run.service.messages import Begun, Finished, Report, Start
from wqmaster.run.service.proxy import BrokerGone, Link, ProxyStaff
from wqmaster.system.crashes import die_with_parent

# The longest time between two reports; the broker takes a silent campaign for a hung one.
REPORT_INTERVAL_SECONDS = 1.0
# Time limit for the first message, which the broker sends at once.
_START_TIMEOUT_SECONDS = 60.0


def report_of(progress: Progress) -> Report:
    """The progress as a message."""
    hold = progress.hold
    return Report(
        campaign=progress.campaign,
        engine=progress.engine,
        state=str(progress.state),
        done_before=progress.done_before,
        failures_before=dict(progress.failures_before),
        total=progress.total,
        done=progress.done,
        warned=progress.warned,
        sent=progress.sent,
        spooled=progress.spooled,
        failures=dict(progress.failures),
        attempts_failed=progress.attempts_failed,
        requeued=progress.requeued,
        mended=progress.mended,
        running=progress.running,
        per_second=progress.rate.per_second(),
        seconds=progress.seconds,
        trouble=progress.trouble,
        hold=None if hold is None or hold.is_routine else str(hold),
        hold_kind=None if hold is None or hold.is_routine else str(hold.kind),
        notes=tuple(progress.notes),
        limit_left=progress.limit_left,
    )


class _Process:
    """One run of one campaign."""

    def __init__(self, link: Link, start: Start) -> None:
        self._link = link
        self._start = start
        self._master: Master | None = None
        self._reported = 0.0

    def run(self) -> Progress:
        """Run the campaign to its end.

        Raises:
            WqmasterError: the campaign cannot begin, or had to end early.
        """
        loaded = loaded_from(self._start)
        recipe = resolve(loaded)
        staff = ProxyStaff(self._link, self._start, loaded.campaign.bundle.fixed, self._stop)
        options = assembly.RunOptions(
            watch=self._start.watch,
            limit=self._start.limit,
            canary=self._start.canary,
            exit_on_trouble=self._start.exit_on_trouble,
        )

        def begins(master: Master, why: str) -> None:
            self._master = master
            self._link.tell(Begun(recipe=recipe.hash, target=recipe.target).line())
            self._report(master.progress)

        progress = assembly.run(recipe, options, begins=begins, show=self._show, staff=staff)
        self._report(progress)
        return progress

    def _stop(self, grace: float) -> None:
        if self._master is not None:
            self._master.stop(grace)

    def _show(self, progress: Progress) -> None:
        if time.monotonic() >= self._reported + REPORT_INTERVAL_SECONDS or progress.left == 0:
            self._report(progress)

    def _report(self, progress: Progress) -> None:
        self._reported = time.monotonic()
        self._link.tell(report_of(progress).line())


def main() -> None:
    """Run the campaign that standard input names."""
    # The broker's end must end its campaigns at once, so that another broker can take over.
    die_with_parent(os.getppid())
    # What users' modules print must not get into the messages.
    writes = os.dup(sys.stdout.fileno())
    os.set_inheritable(writes, False)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    link = Link(sys.stdin.fileno(), writes)
    finished = Finished()
    try:
        first = link.first(_START_TIMEOUT_SECONDS)
        if first is None:
            return
        progress = _Process(link, Start.model_validate_json(first)).run()
        finished = Finished(stopped=progress.stopped, drained=progress.drained)
    except WqmasterError as error:
        finished = Finished(message=error.message, code=str(error.code), exit_code=error.exit_code)
    with contextlib.suppress(BrokerGone):
        link.tell(finished.line())


if __name__ == "__main__":
    main()
