"""The audit that precedes a run: compute a sample, recompute it, and stop if the noise is large.

Each stage can be stopped or killed. The sample is recorded before anything is computed, so that the
same command continues with the same sample.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wqmaster.campaign.base import nearest
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import Audit as AuditKey
from wqmaster.database.audits import Noise, noise_of
from wqmaster.database.documents import Store
from wqmaster.datasets.labels import Labels, Wishes, labels_of
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError, LabelNoise, WqmasterError
from wqmaster.jobs.molecule import Document
from wqmaster.offline.audit import auditing
from wqmaster.offline.audit.originals import Originals
from wqmaster.offline.audit.recipes import recomputation
from wqmaster.offline.audit.report import Report, change, refused
from wqmaster.offline.audit.sampling import draw
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.opening import opened
from wqmaster.system.this_command import this_command

# If less of the sample can be compared, it says too little about the rest of the campaign.
_LEAST_SHARE = 0.5
_STAGE = "audit: computing the sample"


@dataclass(frozen=True)
class Passed:
    """An audit whose noise the campaign accepts."""

    noise: Noise
    computed: int = 0  # documents of the sample that this run computed, or that failed


def checked(recipe: Recipe) -> tuple[auditing.Settings, Labels] | None:
    """Check the section `audit:` of a campaign; returns its settings and the labels to audit.

    None if there is no such section.

    Raises:
        CampaignError: the labels have no forces, or cannot be recomputed with tighter settings.
    """
    asked = recipe.loaded.campaign.audit
    if asked is None:
        return None
    settings = _settings(recipe.loaded, asked)
    source = recipe.loaded.source
    steps = [step.request.name for step in recipe.steps]
    if settings.step is not None and settings.step not in steps:
        hint = nearest(settings.step, steps)
        raise source.error(f"there is no step '{settings.step}'; {hint}", "audit", "step")
    labels = labels_of(recipe, Wishes(step=settings.step, has_options=False))
    if "gradient" not in labels.values:
        raise source.error(
            f"step '{labels.name}' has no parser 'gradient', so its forces cannot be audited; add "
            "the parser, or remove 'audit'",
            *("audit", "stop_above"),
        )
    try:
        recomputation(recipe, labels, settings.tighter, None)
    except CampaignError as error:
        raise source.error(error.message, "audit", "tighter", code=error.code) from error
    return settings, labels


def _settings(loaded: LoadedCampaign, asked: AuditKey) -> auditing.Settings:
    tighter = asked.tighter
    if tighter is not None:
        file = loaded.source.path.parent / Path(tighter)
        tighter = str(file) if file.is_file() else tighter
    return auditing.Settings(asked.sample, asked.seed, tighter, asked.step)


def audit_first(recipe: Recipe, run: auditing.Run, show: Callable[[Report], None]) -> Passed | None:
    """Make the audit that the campaign asks for, unless an earlier run made it.

    `show` receives the report of a new audit. Returns None if the campaign asks for none, or has no
    documents.

    Raises:
        LabelNoise: the noise is larger than the campaign accepts.
        WqmasterError: less than half of the sample could be compared.
        Stopped: a run was stopped.
    """
    found = checked(recipe)
    if found is None:
        return None
    settings, labels = found
    key = auditing.key_for(labels, settings)
    with opened(recipe.loaded) as store:
        before = store.audits.finished(key)
        noise = None if before is None else noise_of(before["report"]["noise"])
        if before is not None and noise is not None and _is_enough(noise):
            _judge(recipe, noise, _change_in(before["report"]))
            return Passed(noise)
        record = store.audits.unfinished(key) or _begun(store, labels, settings, key)
        if record is None:
            return None
        computed = _compute(recipe, record, run)
        originals = Originals(recipe, store, labels)
        record["sample"] = auditing.with_runs(originals, record["sample"])
        store.audits.set_sample(record, record["sample"])
        how = recomputation(recipe, labels, settings.tighter, originals.version())
        strata = auditing.strata_in(record)
        audit = auditing.Audit(
            recipe, store, settings, labels, how, key, record["sample"], strata, record
        )
        report = audit.run(run)
    show(report)
    if not _is_enough(report.noise):
        raise WqmasterError(
            f"{recipe.loaded.source.where('audit')}: only {report.noise.structures} of "
            f"{report.noise.sample} documents of the audit's sample could be compared "
            f"({auditing.reasons(report.left_out)}); correct the others and run again, or go on "
            f"without an audit: {this_command()} run {recipe.loaded.typed} --no-audit",
            code=ErrorCode.AUDIT_FAILED,
        )
    _judge(recipe, report.noise, change(report))
    return Passed(report.noise, computed)


def _begun(
    store: Store, labels: Labels, settings: auditing.Settings, key: str
) -> dict[str, Any] | None:
    """The record of a new audit, with a sample of all documents of the campaign."""
    strata = draw(store.sizes(store.without_results()), settings.sample, settings.seed)
    if not strata:
        return None
    about = auditing.stated(labels, settings)
    return store.audits.begin(key, about, auditing.entries_of(strata))


def _compute(recipe: Recipe, record: Document, run: auditing.Run) -> int:
    """Compute the documents of the sample that have no result; returns how many there were.

    Raises:
        Stopped: the run was stopped.
    """
    ids = [entry["document"] for entry in record["sample"]]
    loaded, campaign = recipe.loaded, recipe.loaded.campaign
    query = {"$and": [campaign.submit.query, {"_id": {"$in": ids}}]}
    submit = campaign.submit.model_copy(update={"query": query})
    narrowed = replace(recipe, loaded=loaded.copy(submit=submit, reference_atoms=None))
    with opened(narrowed.loaded) as store:
        if not store.any_left():
            return 0
    progress = run(narrowed, _STAGE)
    if progress.stopped:
        raise auditing.Stopped
    return progress.done + progress.failed


def _is_enough(noise: Noise) -> bool:
    return noise.structures >= _LEAST_SHARE * noise.sample


def _change_in(report: Document) -> str:
    """What a stored report advises to change; the earliest reports have only the whole advice."""
    return str(report.get("change") or report.get("advice", ""))


def _judge(recipe: Recipe, noise: Noise, what_to_do: str) -> None:
    asked = recipe.loaded.campaign.audit
    mean = noise.force_mean
    if asked is None or mean is None or mean.value <= asked.limit:
        return
    where = recipe.loaded.source.where("audit", "stop_above")
    details = f"{noise.structures} documents; 95% confidence: {mean.low:.3g} to {mean.high:.3g}"
    if noise.refused:
        details += f"; {refused(noise)}"
    raise LabelNoise(
        f"{where}: the labels are noisier than 'stop_above: {asked.stop_above}' accepts: force "
        f"components are off by {mean.value:.3g} meV/Angstrom on average ({details}); "
        f"{what_to_do}; to go on with this noise: {this_command()} run {recipe.loaded.typed} "
        "--no-audit"
    )
