"""`run` with several campaigns: one line for each, or a table on a terminal."""

import contextlib
import math
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path
from types import FrameType
from typing import Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.source import read
from wqmaster.cli.common import counted
from wqmaster.cli.stages import has_terminal
from wqmaster.cli.view import PLAIN_LINE_INTERVAL_SECONDS, say, stop_words, summary
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import UsageError
from wqmaster.recipe.resolving import resolve
from wqmaster.run.control.wording import no_reload
from wqmaster.run.holds import state_of
from wqmaster.run.progress import duration, line, speed
from wqmaster.run.service.broker import Broker
from wqmaster.run.service.files import parsed_campaign
from wqmaster.run.service.seat_state import SeatState
from wqmaster.run.service.table import Row
from wqmaster.run.service.together import Asked, run_together

HEADINGS = (
    *("campaign", "priority", "weight", "share", "done", "failed", "running", "spooled"),
    *("pending", "speed", "left", "state"),
)


# In a terminal narrower than this, the table omits the columns below.
_WIDE_CHARACTERS = 110
_FOR_WIDE = ("priority", "weight", "spooled")


def cells(row: Row) -> tuple[str, ...]:
    """A campaign as cells of a table with HEADINGS."""
    progress = row.progress
    total = "?" if progress.total is None else f"{progress.total:,}"
    pending = "?" if progress.pending is None else f"{progress.pending:,}"
    running = row.state is SeatState.RUNNING
    return (
        row.name,
        str(row.priority),
        f"{row.weight:g}",
        f"{row.share:.0%}",
        f"{progress.all_done:,}/{total}",
        f"{progress.all_failed:,}",
        f"{progress.running:,}",
        f"{progress.spooled:,}",
        pending,
        speed(progress.rate.per_second()) if running else "",
        duration(progress.seconds_left) if running and not row.hold else "",
        state_of(row.hold_kind) if running and row.hold else str(row.state),
    )


def remarks(rows: Sequence[Row]) -> Iterator[str]:
    """What the table cannot show: the troubles, holds and errors of campaigns.

    A trouble that several campaigns share is shown once, without a name.
    """
    troubles = Counter(row.progress.trouble for row in rows if row.progress.trouble)
    held = {row.hold for row in rows}
    shared = [one for one, count in troubles.items() if count > 1 and one not in held]
    yield from shared
    for row in rows:
        # A hold is often the trouble, too.
        for text in dict.fromkeys((row.hold, row.progress.trouble, row.error)):
            if text and text not in shared:
                yield f"{row.name}: {text}"


class View(Protocol):
    """Shows the progress of several campaigns."""

    def begins(self, broker: Broker) -> None:
        """Show that the run begins."""

    def show(self, rows: Sequence[Row]) -> None:
        """Show the campaigns; called several times a second."""

    def notice(self, text: str) -> None:
        """Show a sentence soon. Signal handlers call this method."""


def _first_line(broker: Broker) -> str:
    workforce = broker.workforce
    return f"{counted(len(broker.seats), 'campaign')}; engine {workforce.name} ({workforce.why})"


class PlainView:
    """Prints one line for each campaign every ten seconds, and each error once."""

    _err = False  # whether notices go to standard error

    def __init__(self) -> None:
        self._next = 0.0
        self._notices: list[str] = []
        self._said: set[str] = set()
        self._how_to_connect: str | None = None

    def begins(self, broker: Broker) -> None:
        """Print the first line."""
        say(_first_line(broker))
        self._how_to_connect = broker.workforce.how_to_connect
        if self._how_to_connect:
            say(f"no worker is connected; start one with: {self._how_to_connect}")
        self._next = time.monotonic() + PLAIN_LINE_INTERVAL_SECONDS

    def show(self, rows: Sequence[Row]) -> None:
        """Print what is due."""
        while self._notices:
            say(self._notices.pop(0), err=self._err)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PLAIN_LINE_INTERVAL_SECONDS
        for row in rows:
            if row.state in (SeatState.RUNNING, SeatState.STOPPING):
                say(line(row.progress))
            else:
                say(f"{row.name}: {row.state}{f': {row.error}' if row.error else ''}")

    def notice(self, text: str) -> None:
        """Let the next `show` print a notice, since a signal handler must not print."""
        self._notices.append(text)


class QuietView(PlainView):
    """Shows nothing but notices, such as that the run is stopping."""

    _err = True

    def begins(self, broker: Broker) -> None:
        """Print nothing."""
        self._next = math.inf


class LiveView:
    """A table that is redrawn several times a second."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._title = ""
        self._notice: str | None = None
        self._how_to_connect: str | None = None

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begins(self, broker: Broker) -> None:
        """Set the title."""
        self._title = _first_line(broker)
        self._how_to_connect = broker.workforce.how_to_connect

    def show(self, rows: Sequence[Row]) -> None:
        """Draw the table."""
        self._live.update(self._group(rows), refresh=True)

    def _group(self, rows: Sequence[Row]) -> Group:
        narrow = self._live.console.width < _WIDE_CHARACTERS
        shown = [not (narrow and heading in _FOR_WIDE) for heading in HEADINGS]
        table = Table(*compress(HEADINGS, shown), box=None)
        for row in rows:
            table.add_row(*compress(cells(row), shown))
        stats = rows[0].progress.stats if rows else None
        workers = ""
        if stats is not None:
            workers = f"{counted(stats.workers, 'worker')} with {counted(stats.cores, 'core')}"
        notices = [*remarks(rows)]
        if self._how_to_connect and stats is not None and not stats.workers:
            notices.append(f"no worker is connected; start one with: {self._how_to_connect}")
        if self._notice:
            notices.append(self._notice)
        title = Text(f"{self._title}; {workers}", style="bold")
        lines = (Text(notice, style="yellow") for notice in notices)
        return Group(title, table, *lines)

    def notice(self, text: str) -> None:
        """Show a notice below the table."""
        self._notice = text


@contextlib.contextmanager
def view(*, quiet: bool) -> Iterator[View]:
    """The view that suits standard output: a terminal, or a pipe or file."""
    if quiet:
        yield QuietView()
    elif sys.stdout.isatty():
        with LiveView(Console()) as live:
            yield live
    else:
        yield PlainView()


def check_no_audit(file: LoadedCampaign) -> None:
    """Check that a campaign asks for no audit before its run.

    Raises:
        CampaignError: it does.
    """
    if file.campaign.audit is not None:
        raise file.source.error(
            "an audit before the run needs a run of this campaign alone; run it without the "
            "others until the audit has passed, then all with --no-audit",
            "audit",
            code=ErrorCode.AUDIT_APART,
        )


def run_several(paths: Sequence[Path], asked: Asked, *, audits: bool, quiet: bool) -> None:
    """Run several campaigns until all have ended.

    Raises:
        SystemExit: a signal stopped them, one has failed, or documents are left.
    """
    seen: dict[Path, Path] = {}
    for path in paths:
        other = seen.setdefault(path.resolve(), path)
        if other is not path:
            raise UsageError(f"{other} and {path} are the same file; name it once")
    texts = [read(path) for path in paths]
    files = [parsed_campaign(path, text) for path, text in zip(paths, texts, strict=True)]
    for file in files if audits else ():
        check_no_audit(file)
    recipes = [resolve(file) for file in files]
    signals: list[int] = []
    graces: list[float | None] = []
    with view(quiet=quiet) as shown:

        def stop(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGHUP and not has_terminal():
                shown.notice(f"SIGHUP: {no_reload([str(path) for path in paths])}")
                return
            grace = None if number == signal.SIGTERM else asked.grace
            signals.append(number)
            graces.append(grace)
            words = stop_words(
                len(signals),
                math.inf if grace is None else grace,
                by_key=number == signal.SIGINT,
            )
            shown.notice(words)

        def begins(broker: Broker) -> None:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, stop)
            shown.begins(broker)

        asked = replace(asked, stops=lambda: graces)
        rows, left = run_together(recipes, texts, asked, begins=begins, show=shown.show)
    code = 0
    for row, recipe, path in zip(rows, recipes, paths, strict=True):
        progress = row.progress
        # The process of a campaign that has failed may never have reported.
        failed = str(row.state) if row.state is SeatState.FAILED else None
        summary(progress, recipe.loaded, path, failed)
        if row.exit_code:
            click.echo(f"wqmaster: {row.name}: {row.error}", err=True)
        undone = bool(progress.failed or progress.failed_before)
        undone = undone or bool(progress.left and asked.limit is None)
        code = max(code, row.exit_code, int(undone))
    if left:
        say(f"\n{left}")
    if signals:
        raise SystemExit(128 + signals[0])
    if code:
        raise SystemExit(code)
