"""What an audit found: the noise of labels, where it is, and what removes it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from wqmaster.database.audits import Estimate, Noise
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.source import LeftOut
from wqmaster.jobs.molecule import Document
from wqmaster.offline.audit.recipes import Recomputation, in_words, told
from wqmaster.offline.audit.sampling import Stratum
from wqmaster.offline.audit.signs import powers, signs
from wqmaster.offline.audit.statistics import Difference, difference, summary

_WORST = 5
# A setting that removes less than this share of the noise is not worth a recommendation.
_WORTHWHILE_SHARE = 0.3
# Below this number of structures, a bootstrap finds intervals that are too narrow.
_FEWEST_STRUCTURES = 10
# What helps if there are fewer.
_MORE = "compute more documents, or draw a larger --sample"
_MEV = "meV/Angstrom"


@dataclass(frozen=True)
class Compared:
    """The labels of a sample beside those of a tighter calculation, and what was left out."""

    pairs: Sequence[tuple[Frame, Frame]]
    left_out: LeftOut
    refused: Mapping[str, int]  # failure class -> structures among `pairs` that a check had refused


@dataclass(frozen=True)
class Single:
    """The effect of one setting on the worst structures."""

    name: str
    # Differences from the tighter calculation: of the labels, and of a calculation in which this
    # setting alone is tighter.
    differences: Sequence[tuple[Difference, Difference]]

    @property
    def removes(self) -> float:
        """The share of the noise that the setting removes; negative if it adds some."""
        before = sum(one.badness for one, _ in self.differences)
        after = sum(two.badness for _, two in self.differences)
        return 1 - after / before if before else 0.0


@dataclass(frozen=True)
class Report:
    """The result of an audit."""

    noise: Noise
    how: Recomputation
    strata: Sequence[Mapping[str, Any]]
    worst: Sequence[Mapping[str, Any]]
    checks: Mapping[str, Mapping[str, float]]
    settings: Sequence[Mapping[str, Any]]  # setting, share of the noise that it removes
    left_out: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    level: str = ""

    def as_document(self) -> Document:
        """The report as plain data, for the database and for programs."""
        return {
            "noise": self.noise.as_document(),
            "level": self.level,
            "changes": {
                name: {"before": before, "tighter": now}
                for name, (before, now) in self.how.differences().items()
            },
            "strata": [dict(one) for one in self.strata],
            "worst": [dict(one) for one in self.worst],
            "checks": {name: dict(values) for name, values in self.checks.items()},
            "settings": [dict(one) for one in self.settings],
            "left_out": dict(self.left_out),
            "examples": {reason: list(ids) for reason, ids in self.examples.items()},
            "advice": advice(self),
            "change": change(self),
        }

    def lines(self) -> Iterator[str]:
        """The report as lines of text."""
        noise = self.noise
        yield f"label noise of step {noise.step}, {self.level}"
        yield f"  compared    {noise.structures} of {noise.sample} structures (seed {noise.seed})"
        if noise.refused:
            yield f"  refused     {refused(noise)}; their values are from kept archives"
        for line in told(self.how.differences()):
            yield f"  tighter     {line}"
        for reason, count in self.left_out.items():
            ids = ", ".join(self.examples.get(reason, ()))
            yield f"  left out    {count}: {reason} ({ids})"
        yield f"  energy      {_both(noise.energy_mean, noise.energy_p95)} meV per atom"
        if noise.force_mean is not None and noise.force_p95 is not None:
            yield f"  forces      {_both(noise.force_mean, noise.force_p95)} {_MEV} per component"
        if noise.rms_mean is not None and noise.rms_p95 is not None:
            yield f"  structures  {_both(noise.rms_mean, noise.rms_p95)} {_MEV}, RMS of the forces"
        if noise.structures < _FEWEST_STRUCTURES:
            yield (
                f"  note        {noise.structures} structures are too few for intervals and "
                f"percentiles; {_MORE}"
                if noise.structures > 1
                else f"  note        1 structure cannot represent others; {_MORE}"
            )
        for stratum in self.strata:
            yield f"  {_size(stratum)}"
        for one in self.worst:
            yield f"  worst       {_structure(one)}"
        for name, power in self.checks.items():
            yield (
                f"  check       {name}: AUC {power['auc']:.2f} for the worst tenth, of which it "
                f"ranks {power['found']:.0%} in its own highest tenth"
            )
        for setting in self.settings:
            share = round(100 * setting["removes"]) or 0  # not -0
            yield f"  setting     {setting['name']} alone removes {share}%"
        yield f"  advice      {advice(self)}"


def _both(mean: Estimate, p95: Estimate) -> str:
    return f"mean {_estimate(mean)}, 95th percentile {_estimate(p95)}"


def _estimate(found: Estimate) -> str:
    if found.low == found.high == found.value:
        return f"{found.value:.3g}"
    return f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g})"


def _atoms(count: int) -> str:
    return f"{count} atom{'' if count == 1 else 's'}"


def _size(stratum: Mapping[str, Any]) -> str:
    low, high = stratum["smallest"], stratum["largest"]
    atoms = _atoms(low) if low == high else f"{low} to {high} atoms"
    text = f"size        {atoms}: {stratum['structures']} of {stratum['documents']:,} structures"
    if not stratum["structures"]:
        return text
    text += f", energy {stratum['energy_mean']:.3g} meV per atom"
    if stratum["force_mean"] is not None:
        text += f", forces {stratum['force_mean']:.3g} {_MEV}"
    return text


def _structure(one: Mapping[str, Any]) -> str:
    text = f"{one['document']} ({_atoms(one['atoms'])}): energy {one['energy']:.3g} meV per atom"
    if one["force_rms"] is not None:
        text += f", forces RMS {one['force_rms']:.3g}, largest {one['force_max']:.3g} {_MEV}"
    return text


def refused(noise: Noise) -> str:
    """How many of the compared structures the checks had refused, and which checks."""
    counts = noise.refused
    total = sum(counts.values())
    by = ", ".join(counts if len(counts) == 1 else (f"{name} ({n})" for name, n in counts.items()))
    verb = "was" if total == 1 else "were"
    return f"{total} of {noise.structures} structures {verb} also refused by {by}"


def advice(report: Report) -> str:
    """What to change in the campaign if the noise is too large."""
    if _is_without_effect(report.noise):
        return (
            "the tighter options changed no digit of any value, so the noise was not measured; "
            "name others with --tighter FILE"
        )
    return f"if the noise is too large, {change(report)}"


def _is_without_effect(noise: Noise) -> bool:
    """Whether the tighter calculations gave the same values to the last digit."""
    means = (noise.energy_mean, noise.force_mean)
    return all(one is None or one.value == 0 for one in means)


def change(report: Report) -> str:
    """What to change in the campaign, as far as the effects of single settings show it."""
    useful = [one for one in report.settings if one["removes"] >= _WORTHWHILE_SHARE]
    differences = report.how.differences()
    if not useful and report.settings:
        return (
            f"combine settings, since none alone removes most of the noise: {in_words(differences)}"
        )
    if not useful:
        return f"tighten {in_words(differences)}"
    best = useful[0]
    changed = next(one for one in report.how.changes if one.name == best["name"])
    after = changed.apply(report.how.base)
    pairs = {
        name: (report.how.base.get(name), value)
        for name, value in after.items()
        if report.how.base.get(name) != value
    }
    return (
        f"change {in_words(pairs) or best['name']}, which removes {best['removes']:.0%} of "
        "the noise from the worst structures"
    )


def reported(
    how: Recomputation,
    strata: Sequence[Stratum],
    compared: Compared,
    singles: Iterable[Single],
    about: Mapping[str, Any],
    level: str,
    finished: datetime,
) -> Report:
    """The report on compared structures; `about` has the keys step, recipe, sample and seed."""
    differences = [difference(*pair) for pair in compared.pairs]
    found = summary(differences, about["seed"])
    noise = Noise(
        structures=len(differences),
        tighter=how.options,
        # The database stores times only to the millisecond.
        finished=finished.replace(microsecond=finished.microsecond // 1000 * 1000),
        refused=dict(compared.refused),
        **vars(found),
        **about,
    )
    checks = {}
    if all(one.forces is not None for one in differences):
        errors = np.array([one.badness for one in differences])
        checks = powers([signs(label) for label, _ in compared.pairs], errors)
    settings = [{"name": one.name, "removes": one.removes} for one in singles]
    return Report(
        noise=noise,
        how=how,
        strata=[_stratum(one, differences) for one in strata],
        worst=[_worst(one) for one in sorted(differences, key=lambda one: -one.badness)[:_WORST]],
        checks=checks,
        settings=sorted(settings, key=lambda one: -float(str(one["removes"]))),
        left_out=dict(compared.left_out.counts),
        examples=dict(compared.left_out.examples),
        level=level,
    )


def _stratum(stratum: Stratum, differences: Sequence[Difference]) -> dict[str, Any]:
    mine = [one for one in differences if stratum.smallest <= one.natoms <= stratum.largest]
    forces = [one.forces for one in mine if one.forces is not None]
    return {
        **{name: value for name, value in asdict(stratum).items() if name != "drawn"},
        "structures": len(mine),
        "energy_mean": float(np.mean([one.energy for one in mine])) if mine else None,
        "force_mean": float(np.concatenate(forces).mean()) if forces else None,
    }


def _worst(one: Difference) -> dict[str, Any]:
    return {
        "document": one.document,
        "atoms": one.natoms,
        "energy": one.energy,
        "force_rms": one.rms,
        "force_max": None if one.forces is None else float(np.max(one.forces)),
    }
