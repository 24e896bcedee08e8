"""The progress of `run`: a live view on a terminal, a plain line every ten seconds elsewhere."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.cli.common import counted, typed
from wqmaster.run.progress import (
    Progress,
    RunState,
    counts,
    duration,
    line,
    slowest,
    speed,
    time_left,
)
from wqmaster.system.this_command import this_command

# Seconds between two plain lines, and between two hints that no worker is connected.
PLAIN_LINE_INTERVAL_SECONDS = 10.0


class View(Protocol):
    """Shows the progress of a run."""

    def begins(self, progress: Progress, why: str) -> None:
        """Show that the run begins; `why` is the reason for the choice of the engine."""

    def show(self, progress: Progress) -> None:
        """Show the counts; called several times a second."""

    def stopping(self, times: int, grace: float, *, by_key: bool) -> None:
        """Show that `times` signals to stop have come; `by_key`: the last is that of Ctrl-C."""


def _first_line(progress: Progress, why: str) -> str:
    stage = f"{progress.stage}; " if progress.stage else ""
    return f"{progress.campaign}: {stage}engine {progress.engine} ({why})"


def _no_worker(progress: Progress) -> str | None:
    """A hint on how to start a worker; None if one is connected or a factory starts them."""
    if (
        progress.stats.workers
        or not progress.how_to_connect
        or progress.state is not RunState.RUNNING
    ):
        return None
    if not progress.waits_for_workers:
        return None
    return f"no worker is connected; start one with: {progress.how_to_connect}"


def stop_words(times: int, grace: float, *, by_key: bool) -> str:
    """What happens after `times` signals to stop; `by_key`: the last is that of Ctrl-C."""
    # A service, or a batch job, has no terminal for Ctrl-C.
    at_once = "a second signal stops immediately"
    if by_key:
        at_once = "press Ctrl-C again to stop immediately"
    if times == 1 and grace == math.inf:
        return f"draining: running tasks may finish, and what they return is stored; {at_once}"
    if times == 1:
        return (
            f"stopping: running tasks may finish within {grace:.0f} s, and what they return is "
            f"stored; {at_once}"
        )
    return "stopping immediately; returned tasks stay in the spool for the next run"


def say(text: str, *, err: bool = False) -> None:
    """Print `text`; if the reader has exited, as `head` does, let the run continue silently."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if err else sys.stdout).fileno())
        os.close(nowhere)


class PlainView:
    """Prints one line every ten seconds, for pipes and batch logs, and troubles as they begin."""

    _err = False  # whether notices go to standard error
    _interval = PLAIN_LINE_INTERVAL_SECONDS  # between two lines if nothing begins

    def __init__(self) -> None:
        self._next = 0.0
        self._notices: list[str] = []
        self._in_trouble = self._is_slow = False

    def begins(self, progress: Progress, why: str) -> None:
        """Print the first line."""
        say(_first_line(progress, why))
        self._next = time.monotonic() + self._interval
        hint = _no_worker(progress)
        if hint:
            say(f"{progress.campaign}: {hint}")

    def show(self, progress: Progress) -> None:
        """Print a line if one is due."""
        while self._notices:
            say(self._notices.pop(0), err=self._err)
        in_trouble, is_slow = bool(progress.trouble), bool(progress.slow)
        begins = (in_trouble and not self._in_trouble) or (is_slow and not self._is_slow)
        self._in_trouble, self._is_slow = in_trouble, is_slow
        if begins or time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._print(progress)

    def _print(self, progress: Progress) -> None:
        say(line(progress))
        for hint in (_no_worker(progress), slowest(progress.slow)):
            if hint:
                say(f"{progress.campaign}: {hint}")

    def stopping(self, times: int, grace: float, *, by_key: bool) -> None:
        """Let the next `show` print a notice, since a signal handler must not print."""
        self._notices.append(stop_words(times, grace, by_key=by_key))


class LiveView:
    """A view that is redrawn several times a second."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._title = ""
        self._notice = ""

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begins(self, progress: Progress, why: str) -> None:
        """Set the title, and draw the view."""
        self._title = _first_line(progress, why)
        self.show(progress)

    def show(self, progress: Progress) -> None:
        """Draw the view."""
        self._live.update(self._drawn(progress), refresh=True)

    def stopping(self, times: int, grace: float, *, by_key: bool) -> None:
        """Show a notice below the view."""
        self._notice = stop_words(times, grace, by_key=by_key)

    def _drawn(self, progress: Progress) -> Group:
        ended = progress.all_done + progress.all_failed
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(
                total=progress.total,
                completed=ended,
                width=40,
                pulse=progress.total is None,
            ),
            f"{ended:,}/{'?' if progress.total is None else f'{progress.total:,}'}",
            speed(progress.rate.per_second()),
            time_left(progress),
        )
        table = Table.grid(padding=(0, 2))
        table.add_row("documents", counts(progress))
        stats = progress.stats
        table.add_row("workers", f"{stats.workers:,} with {counted(stats.cores, 'core')}")
        table.add_row("tasks", f"{stats.running:,} running, {stats.waiting:,} waiting for a worker")
        failures = progress.failures + progress.failures_before
        if progress.warned:
            table.add_row("checks", f"warn about {counted(progress.warned, 'result')}")
        if progress.attempts_failed:
            table.add_row("attempts", f"{progress.attempts_failed:,} failed and retried")
        for name, count in failures.most_common(8):
            table.add_row("", f"{count:,} {name}")
        slow = slowest(progress.slow)
        notices = [progress.trouble, _no_worker(progress), slow, self._notice]
        return Group(
            Text(self._title, style="bold"),
            bar,
            table,
            *(Text(notice, style="yellow") for notice in notices if notice),
        )


class QuietView(PlainView):
    """Shows nothing but troubles, and the notice that the run is stopping."""

    _err = True
    _interval = math.inf

    def begins(self, progress: Progress, why: str) -> None:
        """Print nothing."""
        self._next = math.inf

    def _print(self, progress: Progress) -> None:
        if progress.trouble:
            say(f"{progress.campaign}: {progress.trouble}", err=True)


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


def _of_this_run(count: int, before: int) -> str:
    """A total number of documents, with the shares of this run and of earlier ones."""
    more = f", {before:,} before" if before else ""
    return f"{before + count:,} ({count:,} in this run{more})"


def _speed(progress: Progress) -> str:
    jobs = counted(progress.computed, "job")
    return f"{speed(progress.speed)} ({jobs} done or failed in {duration(progress.seconds)})"


def summary(
    progress: Progress, loaded: LoadedCampaign, path: Path, outcome: str | None = None
) -> None:
    """Print the final table: what was done, where the results are, what to do next.

    `outcome` replaces what the progress says of the end.
    """
    database = loaded.campaign.database
    rows = [
        ("done", _of_this_run(progress.done, progress.done_before)),
        ("failed", _of_this_run(progress.failed, progress.failed_before)),
        *(
            (f"  {name}", f"{count:,}")
            for name, count in (progress.failures + progress.failures_before).most_common()
        ),
        *([("spooled", f"{progress.spooled:,}")] if progress.spooled else ()),
        ("pending", "?" if progress.pending is None else f"{progress.pending:,}"),
        *([("speed", _speed(progress))] if progress.computed else ()),
        ("results", f"{database.name}.{database.collection}, field {loaded.campaign.output_key}"),
        ("folder", str(loaded.folder)),
    ]
    say(f"\n{loaded.campaign.campaign}: {outcome or progress.outcome}")
    for name, value in rows:
        say(f"  {name:<20} {value}")
    notes = [*progress.notes]
    if progress.mended:
        retried = counted(progress.mended, "failed document")
        notes.append(f"retried {retried} that had changed")
    for note in notes:
        say(f"  {'note':<20} {note}")
    # A private server stopped when the run ended, so the user must start it first.
    own = database.uri is None
    suggestions = [
        *([("to continue", "run")] if progress.left else ()),
        *([("to see why documents failed", "failures")] if progress.all_failed else ()),
        ("to start the database and print its address", "db start")
        if own
        else ("to print the database's address", "db url"),
    ]
    for purpose, verb in suggestions:
        say(f"{purpose}: {this_command()} {verb} {typed(path)}")
