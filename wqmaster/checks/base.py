"""What a check is: a number measured on the values of a step, and the limits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from wqmaster.checks.evaluated import Evaluated
from wqmaster.jobs.failures import FailureClass


class Level(StrEnum):
    """What follows from a measured number."""

    PASS = "pass"  # noqa: S105  # not a password
    WARN = "warn"  # the result is stored and marked
    REFUSE = "refuse"  # the result is not stored


@dataclass(frozen=True)
class Limits:
    """The numbers beyond which a check warns and refuses; None: it never does."""

    warn: float | None = None
    refuse: float | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Check:
    """One check. Where it is defined, a text explains its number and gives the limits' source."""

    name: str
    # What the number is, for messages: "the net force per atom".
    quantity: str
    unit: str
    default: Limits
    strict: Limits
    # Returns the number in `unit`; None if the check does not apply, or its values are unknown.
    measure: Callable[[Evaluated], float | None]
    # The class of its failures; None for a check that no single document can fail.
    kind: FailureClass | None = None
    # Whether a number below the limits is bad. If not, one above them is.
    low_is_bad: bool = False
    # Returns whether the special limits below apply instead of `default` and `strict`.
    is_special: Callable[[Evaluated], bool] | None = None
    special_default: Limits = NO_LIMITS
    special_strict: Limits = NO_LIMITS

    def exceeds(self, value: float, limit: float | None) -> bool:
        """Whether `value` is beyond `limit`; a value equal to the limit is not."""
        if limit is None:
            return False
        # Also true for NaN, which no limit allows.
        return not value >= limit if self.low_is_bad else not value <= limit


@dataclass(frozen=True)
class Rule:
    """A check with the limits of a campaign."""

    check: Check
    limits: Limits
    special: Limits

    def limits_for(self, evaluated: Evaluated) -> Limits:
        """The limits that apply to these values."""
        is_special = self.check.is_special
        return self.special if is_special and is_special(evaluated) else self.limits

    def applied(self, evaluated: Evaluated) -> "Measurement | None":
        """The check's number and what follows from it; None if the check does not apply."""
        value = self.check.measure(evaluated)
        if value is None:
            return None
        return measured(self.check, value, self.limits_for(evaluated))


@dataclass(frozen=True)
class Measurement:
    """The number that a check measured, and what follows from it."""

    check: Check
    value: float
    limits: Limits
    level: Level

    @property
    def message(self) -> str:
        """What the number is, with the limit that it exceeds, if any."""
        side = "below" if self.check.low_is_bad else "above"
        limit = self.limits.refuse if self.level is Level.REFUSE else self.limits.warn
        beyond = "" if self.level is Level.PASS else f", {side} the limit of {_number(limit)}"
        unit = f" {self.check.unit}" if self.check.unit else ""
        return f"{self.check.quantity} is {_number(self.value)}{unit}{beyond}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"


def measured(check: Check, value: float, limits: Limits) -> Measurement:
    """The measurement of `value`, judged by `limits`."""
    level = Level.PASS
    if check.exceeds(value, limits.refuse):
        level = Level.REFUSE
    elif check.exceeds(value, limits.warn):
        level = Level.WARN
    return Measurement(check, value, limits, level)
