"""wqmaster audit: recompute a sample with tighter settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from wqmaster.cli.common import Whole, campaign_argument, counted, loaded, typed_id
from wqmaster.cli.output import Output, json_option
from wqmaster.cli.stages import Stages
from wqmaster.cli.view import view
from wqmaster.offline.audit import auditing, recipes
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.run import assembly
from wqmaster.run.opening import opened
from wqmaster.run.progress import Progress


def _planned(audit: auditing.Audit) -> dict[str, Any]:
    return {
        "step": audit.labels.name,
        "function": audit.how.function,
        "options": audit.how.options,
        "changes": {
            name: {"before": before, "tighter": now}
            for name, (before, now) in audit.how.differences().items()
        },
        "settings": [change.name for change in audit.how.changes],
        "sample": [
            {"document": entry["document"], "atoms": entry["atoms"]} for entry in audit.sample
        ],
        "continues": audit.record is not None,
    }


def _lines(audit: auditing.Audit) -> Iterator[str]:
    yield f"step {audit.labels.name}, recomputed by {audit.how.function}"
    for line in recipes.told(audit.how.differences()):
        yield f"  {line}"
    yield f"settings: {', '.join(change.name for change in audit.how.changes)}"
    yield f"sample of {counted(len(audit.sample), 'document')}:"
    for entry in audit.sample:
        yield f"  {typed_id(entry['document'])} ({counted(entry['atoms'], 'atom')})"


@click.command()
@campaign_argument
@click.option(
    "--sample",
    type=Whole(1, auditing.MAX_SAMPLE),
    default=50,
    show_default=True,
    metavar="N",
    help="Number of documents to recompute.",
)
@click.option("--seed", type=Whole(0), default=0, show_default=True, help="Seed of the sample.")
@click.option(
    "--tighter",
    metavar="FILE|NAMES",
    help="YAML mapping of tighter options, or some of the program's own settings (grid,scf).",
)
@click.option("--step", metavar="STEP", help="The step to audit (default: the last with energies).")
@click.option(
    "--engine",
    type=click.Choice(["auto", "work_queue", "taskvine", "local"]),
    help="Engine to use.",
)
@click.option("--port", type=Whole(0, 65535), help="Port for workers (0: any free port).")
@click.option(
    "-n", "--dry-run", is_flag=True, help="Only print the tighter options and the sample."
)
@json_option
def command(
    campaign: Path,
    sample: int,
    seed: int,
    tighter: str | None,
    step: str | None,
    engine: str | None,
    port: int | None,
    dry_run: bool,
    output: Output,
) -> None:
    """Recompute a sample of CAMPAIGN with tighter settings.

    The result is the noise of the labels: how much energies and forces differ from those of the
    same level of theory with a finer grid, tighter thresholds and exact integrals. The report is
    also stored in the collection wqmaster.audits. The same command continues an audit that was
    stopped.
    """
    recipe = resolve(loaded(campaign).replaced(engine=engine, port=port))
    settings = auditing.Settings(sample, seed, tighter, step)
    with opened(recipe.loaded, existing=True) as store:
        audit = auditing.prepared(recipe, store, settings)
        if dry_run:
            audit.tight(None)  # refuses options that the task function does not have
            output.show(_planned(audit), _lines(audit))
            return
        with view(quiet=output.is_for_programs) as shown:
            stages = Stages(shown, assembly.RunOptions.grace)

            def run(tight: Recipe, stage: str) -> Progress:
                return stages.run(tight, assembly.RunOptions(stage=stage))

            try:
                report = audit.run(run)
            except auditing.Stopped:
                stages.exit_if_stopped()
                raise
    for note in dict.fromkeys(stages.notes):
        output.warning(note)
    output.show(report.as_document(), report.lines())
    if report.left_out:
        raise SystemExit(1)
