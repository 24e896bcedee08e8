"""wqmaster run: compute all documents of a campaign."""

import signal
from pathlib import Path
from types import FrameType

import click

from wqmaster.cli.common import Duration, Whole, campaign_argument, loaded
from wqmaster.cli.view import summary, view
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.master import Master


@click.command()
@campaign_argument
@click.option(
    "--engine",
    type=click.Choice(["auto", "work_queue", "taskvine", "local"]),
    help="Engine to use.",
)
@click.option("--port", type=Whole(0, 65535), help="Port for workers (0: any free port).")
@click.option("--limit", type=Whole(1), metavar="N", help="Compute at most N documents.")
@click.option("--watch", is_flag=True, help="At the end, wait for new documents.")
@click.option(
    "--grace",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Time for running tasks to finish after Ctrl-C, in seconds or with a unit (5min).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print only errors and the summary.")
def command(
    campaign: Path,
    engine: str | None,
    port: int | None,
    limit: int | None,
    watch: bool,
    grace: float,
    quiet: bool,
) -> None:
    """Run CAMPAIGN: compute all documents without a result.

    Ctrl-C stops the run: running tasks may finish within the grace period, and what they return is
    stored. Press it twice to stop immediately. Nothing is lost either way; rerun the command to
    continue.
    """
    recipe = resolve(loaded(campaign).replaced(engine=engine, port=port))
    stopped_by: list[int] = []
    with view(quiet=quiet) as shown:

        def begins(master: Master, why: str) -> None:
            def stop(number: int, frame: FrameType | None) -> None:
                stopped_by.append(number)
                master.stop()
                shown.stopping(len(stopped_by), grace)

            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, stop)
            shown.begins(master.progress, why)

        options = assembly.RunOptions(watch=watch, limit=limit, grace=grace)
        progress = assembly.run(recipe, options, begins=begins, show=shown.show)
    summary(progress, recipe.loaded, campaign)
    if stopped_by:
        raise SystemExit(128 + stopped_by[0])
    if progress.failed or progress.failed_before or (progress.left and limit is None):
        raise SystemExit(1)
