"""Compare two sets of values: which are identical, which agree within a tolerance, which differ."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wqmaster.parsers.quantities import QUANTITIES

# The largest differences between runs of one calculation on different machines, by unit: a few
# times the usual convergence thresholds of the SCF (1e-8 Eh) and of optimizations (1e-4 Angstrom).
TOLERANCES: Mapping[str, float] = {
    "Eh": 1e-6,
    "Eh/a0": 1e-5,
    "Eh/a0^2": 1e-4,
    "Angstrom": 1e-4,
    "e": 1e-4,
    "e a0": 1e-4,
    "e a0^2": 1e-3,
    "a0^3": 1e-2,
    "1/cm": 1.0,
    "km/mol": 0.5,
    "": 1e-4,
}
# For values without a known unit: a share of the larger one.
_RELATIVE_TOLERANCE = 1e-6
# How a calculation went, not what it found: these differ between machines.
_COURSE = frozenset(
    {"timings", "total_run_time", "scf_cycles", "opt_cycles", "scf_settings", "scf_steps"}
)


class Agreement(StrEnum):
    """How two values compare."""

    IDENTICAL = "identical"
    WITHIN = "within tolerance"
    DIFFERS = "differs"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class ValueDifference:
    """The comparison of one stored value with a new one."""

    step: str
    name: str
    agreement: Agreement
    largest: float | None = None  # the largest difference of two numbers, in `unit`
    tolerance: float | None = None  # None: relative, or there is no number
    unit: str | None = None  # None: unknown
    why: str = ""  # if it is not a matter of numbers


@dataclass
class _Found:
    largest: float = 0.0
    excess: float = 0.0  # largest ratio of a difference to its tolerance
    why: str = ""


def compared(step: str, stored: Mapping[str, Any], new: Mapping[str, Any]) -> list[ValueDifference]:
    """Compare the stored values of a step with new ones, without `_run`."""
    return list(_compared(step, stored, new))


def _compared(
    step: str, stored: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[ValueDifference]:
    for name in sorted({*stored, *new} - {"_run"}):
        quantity = QUANTITIES.get(name)
        unit = quantity.unit if quantity is not None else None
        if name not in new:
            why = "the campaign no longer names its parser"
        elif name not in stored:
            why = "it was not stored"
        elif name in _COURSE:
            why = "it describes the course of the run"
        else:
            found = _Found()
            _walk(stored[name], new[name], unit, name, found)
            agreement = Agreement.WITHIN
            if found.why or found.excess > 1:
                agreement = Agreement.DIFFERS
            elif found.largest == 0:
                agreement = Agreement.IDENTICAL
            tolerance = None if unit is None else TOLERANCES.get(unit)
            yield ValueDifference(step, name, agreement, found.largest, tolerance, unit, found.why)
            continue
        yield ValueDifference(step, name, Agreement.NOT_COMPARED, unit=unit, why=why)


def _walk(stored: Any, new: Any, unit: str | None, place: str, found: _Found) -> None:
    """Compare two values and their parts; record the largest difference."""
    if isinstance(stored, Mapping) and isinstance(new, Mapping):
        if stored.keys() != new.keys():
            found.why = found.why or f"{place} has other keys"
            return
        for key, value in stored.items():
            quantity = QUANTITIES.get(key)
            inner = quantity.unit if quantity is not None else unit
            _walk(value, new[key], inner, f"{place}.{key}", found)
    elif isinstance(stored, list) and isinstance(new, list):
        if len(stored) != len(new):
            found.why = found.why or f"{place} has {len(stored)} entries, now {len(new)}"
            return
        for number, (one, two) in enumerate(zip(stored, new, strict=True)):
            _walk(one, two, unit, f"{place}[{number}]", found)
    elif _is_number(stored) and _is_number(new) and math.isfinite(stored) and math.isfinite(new):
        apart = abs(stored - new)
        if apart == 0:
            return
        tolerance = TOLERANCES.get(unit) if unit is not None else None
        if tolerance is None:
            tolerance = _RELATIVE_TOLERANCE * max(abs(stored), abs(new))
        found.largest = max(found.largest, apart)
        found.excess = max(found.excess, apart / tolerance)
    elif stored != new:
        found.why = found.why or f"{place} is {stored!r:.40}, now {new!r:.40}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
