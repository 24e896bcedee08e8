"""A process that compares the results of a large collection with their documents during a run.

    python -m wqmaster.run.guard_process

Its first line of standard input is a `Configuration`. On standard output it reports, in JSON Lines
of `Compared`, how far it has come and what it has found. It ends when all are compared, or when
standard input closes.
"""

import os
import select
import sys
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from wqmaster.database import recipe_guard, stale
from wqmaster.database.documents import Store
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.configured import followed
from wqmaster.run.collector.messages import Configuration
from wqmaster.run.spool import Spool
from wqmaster.system.channel import Channel

# Seconds between two reports.
_REPORT_INTERVAL_SECONDS = 2.0
# The jobs of the run, and its master, go first.
_NICENESS = 10


class Compared(BaseModel):
    """What was found so far."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    survey: dict[str, Any]  # `Survey.as_json`
    stale: str | None = None  # what is wrong with stale results, and what to do
    notes: list[str] = []  # remarks about the results, once all are compared
    is_all: bool = False

    def line(self) -> bytes:
        """The report as one line of JSON, as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class _Reporter:
    """Reports what was found, now and then; the first stale result at once."""

    def __init__(self, channel: Channel, store: Store, recipe: Recipe) -> None:
        self._channel = channel
        self._store = store
        self._recipe = recipe
        self._next = 0.0
        self._has_stale = False

    def show(self, made: stale.Survey) -> None:
        """Report what was found so far, if that is due; end if the master is gone."""
        if select.select([sys.stdin], [], [], 0)[0]:
            sys.exit(0)
        now = time.monotonic()
        if now < self._next and (self._has_stale or not made.stale):
            return
        self._next = now + _REPORT_INTERVAL_SECONDS
        self._has_stale = made.stale > 0
        self._send(made)

    def end(self, made: stale.Survey, notes: list[str]) -> None:
        """Report what was found in all."""
        self._send(made, notes=notes, is_all=True)

    def _send(self, made: stale.Survey, **more: Any) -> None:
        found = recipe_guard.stale_reason(self._store, self._recipe, made) if made.stale else None
        report = Compared(survey=made.as_json(), stale=found, **more)
        self._channel.send(report.line())


def main() -> None:
    """Compare all results."""
    channel = Channel()
    os.nice(_NICENESS)
    configured = Configuration.model_validate_json(sys.stdin.buffer.readline())
    recipe = followed(configured)
    archived = Spool(recipe.loaded.folder / "spool").keeps_results
    store = Store(configured.uri, recipe.loaded.campaign)
    try:
        reporter = _Reporter(channel, store, recipe)
        made = stale.survey(store, recipe, show=reporter.show)
        notes = [
            *recipe_guard.unrecorded(made),
            *recipe_guard.check_parsers(store, recipe, archived=archived),
        ]
        reporter.end(made, list(map(str, notes)))
    finally:
        store.close()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        sys.exit(0)  # the master is gone
