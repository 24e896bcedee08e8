"""What the campaigns of an export have in common: level of theory, labels, limits of checks."""

from collections.abc import Sequence
from typing import Any

from wqmaster.datasets.base import Level, Target
from wqmaster.datasets.source import Source
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError


def common_level(sources: Sequence[Source]) -> Level:
    """The level of theory that is written into the files."""
    levels = list({source.level().name: source.level() for source in sources}.values())
    if len(levels) == 1:
        return levels[0]
    return Level(
        " + ".join(level.name for level in levels),
        " + ".join(dict.fromkeys(level.program for level in levels)),
    )


def common_labels(sources: Sequence[Source], target: Target) -> list[str]:
    """The labels to write: those that all campaigns have, if the target needs the same in all.

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
    """What each label is: the value's name, with its step and program."""
    found: dict[str, list[str]] = {}
    for source in sources:
        program = source.labels.step.function.program or "a function of the user"
        for label, value in source.labels.values.items():
            words = f"'{value}' of step '{source.labels.name}' ({program})"
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
