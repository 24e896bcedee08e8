"""wqmaster run: compute all documents of a campaign."""

from functools import partial
from pathlib import Path

import click

from wqmaster.cli.common import Duration, Whole, loaded, outlive
from wqmaster.cli.stages import Stages
from wqmaster.cli.view import say, summary, view
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.progress import Progress


@click.command()
@click.argument("campaigns", metavar="[CAMPAIGN]...", type=click.Path(path_type=Path), nargs=-1)
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
@click.option("--no-audit", is_flag=True, help="Run without the audit that CAMPAIGN asks for.")
@click.option(
    "--exit-on-trouble",
    is_flag=True,
    help="End with exit code 3 instead of waiting until trouble is fixed.",
)
@click.option(
    "--no-canary", is_flag=True, help="Do not wait for the results of the first documents."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only errors and the summary.")
def command(
    campaigns: tuple[Path, ...],
    engine: str | None,
    port: int | None,
    limit: int | None,
    watch: bool,
    grace: float,
    no_audit: bool,
    exit_on_trouble: bool,
    no_canary: bool,
    quiet: bool,
) -> None:
    """Run CAMPAIGN: compute all documents without a result.

    --engine and --port apply to the first campaign, whose engine and workers all share; other
    options apply to each.

    Ctrl-C stops the run: running tasks may finish within the grace period, and what they return is
    stored. Press it twice to stop immediately. Nothing is lost either way; rerun the command to
    continue. SIGTERM does the same, but waits for running tasks however long they take; SIGHUP
    makes it read CAMPAIGN again, unless several are given. If a fault in a library ends the
    process, the run starts again, unless --limit or --exit-on-trouble is given.
    """
    if limit is None and not exit_on_trouble:
        outlive(say)
    if len(campaigns) > 1:
        from wqmaster.cli.several import run_several
        from wqmaster.run.service.together import Asked

        asked = Asked(
            limit=limit,
            watch=watch,
            canary=not no_canary,
            exit_on_trouble=exit_on_trouble,
            engine=engine,
            port=port,
            grace=grace,
        )
        run_several(campaigns, asked, audits=not no_audit, quiet=quiet)
        return
    campaign = campaigns[0] if campaigns else Path("campaign.yaml")
    recipe = resolve(loaded(campaign).replaced(engine=engine, port=port))
    audit = recipe.loaded.campaign.audit
    settings = partial(
        assembly.RunOptions,
        grace=grace,
        exit_on_trouble=exit_on_trouble,
        canary=not no_canary,
    )
    with view(quiet=quiet) as shown:
        stages = Stages(shown, grace)

        def stage(part: Recipe, name: str) -> Progress:
            return stages.run(part, settings(stage=name))

        if audit is not None and not no_audit:
            if limit is not None and limit < audit.sample:
                stages.notes.append(
                    f"not audited: --limit {limit} is below the audit's sample ({audit.sample})"
                )
            else:
                # NumPy would take 16 MB of a master that may run for months.
                from wqmaster.cli.first_audit import audited

                passed = audited(recipe, stages, stage, quiet=quiet)
                if limit is not None:
                    limit = max(0, limit - passed)
        asked_for = {"engine": engine, "port": port}
        progress = stages.run(recipe, settings(watch=watch, limit=limit, asked_for=asked_for))
    progress.notes = list(dict.fromkeys(stages.notes))
    summary(progress, recipe.loaded, campaign)
    stages.exit_if_stopped()
    if progress.failed or progress.failed_before or (progress.left and limit is None):
        raise SystemExit(1)
