"""The audit that a campaign asks for before its run."""

import click

from wqmaster.cli.stages import Stages
from wqmaster.offline.audit.auditing import Run, Stopped
from wqmaster.offline.audit.canary import audit_first
from wqmaster.offline.audit.report import Report, refused
from wqmaster.recipe.recipe import Recipe


def audited(recipe: Recipe, stages: Stages, stage: Run, *, quiet: bool) -> int:
    """Make the audit of a campaign; return how many documents were computed for it."""

    def show(report: Report) -> None:
        if not quiet:
            click.echo("\n".join(report.lines()))

    try:
        passed = audit_first(recipe, stage, show)
    except Stopped:
        stages.exit_if_stopped()
        raise
    if passed is None:
        return 0
    mean = passed.noise.force_mean
    if mean is not None:
        also = f"; {refused(passed.noise)}" if passed.noise.refused else ""
        stages.notes.append(
            f"audit passed: force components are off by {mean.value:.3g} meV/Angstrom on average "
            f"({passed.noise.structures} documents{also})"
        )
    return passed.computed
