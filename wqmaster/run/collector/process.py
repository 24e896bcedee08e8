"""A process that checks, parses, judges and commits the returned tasks in the spool.

    python -m wqmaster.run.collector.process

It reads its configuration from standard input, then one task per line. On standard output it
reports each job that it begins to judge and how each task ended. All messages are JSON. It ends
when standard input closes, so it outlives the master only until its current tasks are committed.
"""

import itertools
import logging
import os
import select
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from wqmaster.database.documents import Store
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import DatabaseError
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.collector.collector import BATCH_TASKS, Collector
from wqmaster.run.collector.configured import RecipeChanged, followed
from wqmaster.run.collector.messages import (
    Collect,
    Configuration,
    Refuses,
    Waits,
    order,
)
from wqmaster.run.spool import Spool
from wqmaster.system.channel import Channel
from wqmaster.system.lines import LineBuffer
from wqmaster.system.log_files import LogFile

log = logging.getLogger("wqmaster.collector")

# Seconds between two attempts to reach a database that does not respond.
_RETRY_SECONDS = 2.0


def _lines(descriptor: int) -> Iterator[list[bytes]]:
    """Yield the lines that arrive, at most a batch at a time, until the input closes."""
    lines = LineBuffer()
    waiting: list[bytes] = []
    while True:
        while len(waiting) < BATCH_TASKS and (
            not waiting or select.select([descriptor], [], [], 0)[0]
        ):
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                # The master is gone; tasks not yet begun stay in the spool for the next master.
                return
            waiting += lines.add(chunk)
        yield waiting[:BATCH_TASKS]
        del waiting[:BATCH_TASKS]


def _followed(configured: Configuration, channel: Channel) -> Recipe:
    """The recipe of a configuration; the master hears if the files of the recipe have changed.

    Raises:
        CampaignError: see `followed`.
    """
    try:
        return followed(configured)
    except RecipeChanged as error:
        channel.send(Refuses(reason=error.message).line())
        raise


def main() -> None:
    """Run until standard input closes."""
    channel = Channel()
    batches = _lines(sys.stdin.fileno())
    first, *waiting = next(batches, [b""])
    if not first:
        return
    configured = Configuration.model_validate_json(first)
    folder = Path(configured.folder)
    form = "%(asctime)s %(process)d %(levelname)s %(message)s"
    name = f"collector-{configured.number}.log"
    handler = LogFile(folder / "logs" / name, form, delay=True)
    logging.getLogger("wqmaster").addHandler(handler)

    recipe = _followed(configured, channel)
    spool = Spool(folder / "spool", recipe.loaded.campaign.archive.most_bytes)
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    store: Store | None = None
    while store is None:
        try:
            store = Store(configured.uri, recipe.loaded.campaign)
        except DatabaseError as error:
            lasts = error.code is ErrorCode.DATABASE_REFUSES
            channel.send(Waits(reason=error.message, lasts=lasts).line())
            time.sleep(_RETRY_SECONDS)
    try:
        collector = Collector(recipe, store, spool, kept)
        for batch in itertools.chain([waiting], batches):
            for asked, lines in itertools.groupby(map(order, batch), type):
                if asked is Configuration:
                    recipe = _followed(cast("Configuration", [*lines][-1]), channel)
                    store.campaign = recipe.loaded.campaign
                    collector = Collector(recipe, store, spool, kept)
                    continue
                for message in collector.process(cast("list[Collect]", [*lines])):
                    channel.send(message.line())
    finally:
        store.close()


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # The master is gone; its tasks are committed or stay in the spool.
        sys.exit(0)
    except Exception:
        log.exception("the collector failed")
        raise
