"""All checks, and the limits that a campaign's `checks:` gives them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wqmaster.checks.atoms import CLOSEST_ATOMS, too_close
from wqmaster.checks.base import NO_LIMITS, Check, Limits, Measurement, Rule
from wqmaster.checks.composition import ENERGY_BY_COMPOSITION
from wqmaster.checks.electrons import CHARGES, ELECTRONS, HOMO_LUMO_GAP, S_SQUARED, SCF_CYCLES
from wqmaster.checks.evaluated import Evaluated
from wqmaster.checks.forces import MAX_FORCE, NET_FORCE, NET_TORQUE
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.molecule import Molecule

# Checks are shown in this order, and the first one that refuses becomes the failure.
_ALL = (
    *(CLOSEST_ATOMS, MAX_FORCE, NET_FORCE, NET_TORQUE, ELECTRONS, S_SQUARED, HOMO_LUMO_GAP),
    *(SCF_CYCLES, CHARGES, ENERGY_BY_COMPOSITION),
)
CHECKS: Mapping[str, Check] = {check.name: check for check in _ALL}
# Checks of a molecule before it is computed, or of a whole campaign, rather than of one result.
_ELSEWHERE = frozenset({CLOSEST_ATOMS.name, ENERGY_BY_COMPOSITION.name})


@dataclass(frozen=True)
class Checks:
    """The checks of a campaign, with their limits; without rules, nothing is checked."""

    rules: Mapping[str, Rule] = field(default_factory=dict)

    def applied(self, evaluated: Evaluated) -> list[Measurement]:
        """The measurements of the checks that apply to the values of a step."""
        found = (
            rule.applied(evaluated)
            for name, rule in self.rules.items()
            if name not in _ELSEWHERE and name not in evaluated.inapplicable
        )
        return [measurement for measurement in found if measurement is not None]

    def without_limits(self) -> "Checks":
        """Checks that measure the same numbers but neither warn nor refuse."""
        rules = {name: Rule(rule.check, NO_LIMITS, NO_LIMITS) for name, rule in self.rules.items()}
        return Checks(rules)

    def limits(self, name: str) -> Limits:
        """The limits of the check with this name; none if it is off."""
        rule = self.rules.get(name)
        return NO_LIMITS if rule is None else rule.limits

    def inspect(self, molecule: Molecule) -> None:
        """Refuse a molecule with atoms that are too close, before anything is computed.

        Raises:
            BadDocument: two atoms are closer than the limit of `closest_atoms`.
        """
        limit = self.limits(CLOSEST_ATOMS.name).refuse
        why = too_close(molecule, limit) if limit is not None else None
        if why is not None:
            raise BadDocument(why, Defect.CLOSE_ATOMS)


NO_CHECKS = Checks()


def _preset(check: Check, preset: str) -> Rule | None:
    if preset == "off":
        return None
    if preset == "strict":
        return Rule(check, check.strict, check.special_strict)
    return Rule(check, check.default, check.special_default)


def _own(check: Check, preset: str, given: Mapping[str, float | None]) -> Rule:
    """The rule for the limits that a campaign states; the preset supplies the one that it omits.

    If the preset's warning would come only after the stated refusal, the check does not warn.
    """
    base = inherited(check, preset)
    warn = given.get("warn", base.warn)
    refuse = given.get("refuse", base.refuse)
    if "warn" not in given and contradicts(check, warn, refuse):
        warn = None
    limits = Limits(warn, refuse)
    return Rule(check, limits, limits)


def inherited(check: Check, preset: str) -> Limits:
    """The limits of a preset, which apply if the campaign states none of its own for the check."""
    before = _preset(check, preset)
    return before.limits if before is not None else NO_LIMITS


def contradicts(check: Check, warn: float | None, refuse: float | None) -> bool:
    """Whether a check would refuse before it warns."""
    return warn is not None and refuse is not None and check.exceeds(warn, refuse)


def checks_of(preset: str, own: Mapping[str, Any]) -> Checks:
    """The checks of a campaign: those of a preset, with exceptions for some checks.

    `own` maps the names of these to "default", "strict", "off" or a mapping with one or both of the
    keys "warn" and "refuse", whose values are a number or None.
    """
    return Checks(dict(_rules(preset, own)))


def _rules(preset: str, own: Mapping[str, Any]) -> Iterable[tuple[str, Rule]]:
    for name, check in CHECKS.items():
        given = own.get(name, preset)
        rule = _preset(check, given) if isinstance(given, str) else _own(check, preset, given)
        if rule is not None and (rule.limits, rule.special) != (NO_LIMITS, NO_LIMITS):
            yield name, rule
