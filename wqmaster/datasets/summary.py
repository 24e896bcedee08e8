"""What the campaigns of an export have in common: level of theory, labels, limits of checks."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from wqmaster.datasets.base import Level, Target
from wqmaster.datasets.source import Source
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError

# If there are more levels of theory, the files do not name them.
_MOST_LEVELS = 3
# What a program's quadrupole moment is about. It matters unless the dipole moment is zero, too.
# PySCF: `intor_symmetric('int1e_rr')` with the common origin at zero; ORCA's outputs state "The
# origin for moment calculation is the CENTER OF MASS".
_ORIGINS = {
    "pyscf": "about the origin of the coordinates",
    "orca": "about the center of mass unless %elprop Origin names another point",
}


def common_level(sources: Sequence[Source]) -> Level:
    """The level of theory that is written into the files."""
    levels = [level for source in sources for level in source.levels()]
    names = list(dict.fromkeys(level.name for level in levels))
    if len(names) == 1:
        return levels[0]
    # The recipe of each frame and the data card say which is which.
    return Level(
        " + ".join(names) if len(names) <= _MOST_LEVELS else "several levels of theory",
        " + ".join(dict.fromkeys(level.program for level in levels)),
    )


def common_labels(sources: Sequence[Source], target: Target) -> list[str]:
    """The labels to write: those of any campaign; for a `uniform` target, those of all campaigns.

    Raises:
        CampaignError: the campaigns do not store a label that the target needs.
    """
    found = [
        {"gradient"} if "frames" in source.labels.values else set(source.labels.values)
        for source in sources
    ]
    common = set.intersection(*found) if target.uniform else set.union(*found)
    common &= target.carries
    if target.uniform:
        common -= {"dipole", "quadrupole"}  # ions have none
    missing = target.requires - common
    if missing:
        raise CampaignError(
            f"{', '.join(source.name for source in sources)}: {target.name} needs "
            f"{', '.join(sorted(missing))}, which the campaign does not store; add the parser",
            code=ErrorCode.LABELS_MISSING,
        )
    return sorted(common)


def meanings(sources: Sequence[Source]) -> dict[str, str]:
    """What each label is, by its name in `Frame`: the name, step and program of the value."""
    found: dict[str, list[str]] = {}
    for source in sources:
        known = source.labels.step.function.program
        program = known or "a function of the user"
        origin = _ORIGINS.get(known.name if known is not None else "", "about an unknown origin")
        for label, value in source.labels.values.items():
            words = f"'{value}' of step '{source.labels.name}' ({program})"
            if value in source.labels.foreign:
                words += ", by a parser of the user, taken to be in atomic units"
            if label == "quadrupole":
                words += f", {origin}"
            for name in ("energy", "gradient") if label == "frames" else (label,):
                found.setdefault(name, []).append(words)
    return {name: "; ".join(dict.fromkeys(words)) for name, words in found.items()}


def limits(sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """The limits of each check that is on, by its name."""
    return {
        name: {
            "unit": rule.check.unit,
            "warn": rule.limits.warn,
            "refuse": rule.limits.refuse,
        }
        for source in sources
        for name, rule in source.recipe.checks.rules.items()
    }


def noise(sources: Sequence[Source]) -> dict[str, Any] | None:
    """The noise of the labels that audits found, by quantity and unit; None if there is none."""
    found: dict[str, Any] = {}
    for source in sources:
        known = source.noise()
        if known is None:
            continue
        prefix = f"{source.name}: " if len(sources) > 1 else ""
        for name, estimate, unit in (
            ("energy per atom, mean", known.energy_mean, "meV"),
            ("energy per atom, 95th percentile", known.energy_p95, "meV"),
            ("force component, mean", known.force_mean, "meV/Angstrom"),
            ("force component, 95th percentile", known.force_p95, "meV/Angstrom"),
        ):
            if estimate is not None:
                found[f"{prefix}{name} ({unit})"] = asdict(estimate)
        found[f"{prefix}structures compared"] = known.structures
        if known.refused:
            found[f"{prefix}structures among these that checks refused"] = dict(known.refused)
        found[f"{prefix}settings of the comparison"] = dict(known.tighter)
        found[f"{prefix}date"] = known.finished.isoformat() if known.finished is not None else None
    return found or None
