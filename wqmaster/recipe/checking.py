"""Apply the campaign's checks to the values of a step. All functions are pure.

A check sees only quantities that programs share, read by parsers that belong to the step's program.
A quantity that the campaign does not store is read from the step's output for the check. If its
parser finds nothing, the value is unknown, which is never a failure.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from wqmaster.campaign.checks import PRESET
from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.models import nearest
from wqmaster.checks.atoms import CLOSEST_ATOMS
from wqmaster.checks.base import Level, Measurement
from wqmaster.checks.evaluated import Evaluated
from wqmaster.checks.table import CHECKS, Checks, checks_of, contradicts, inherited
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output
from wqmaster.parsers.quantities import QUANTITIES
from wqmaster.recipe.recipe import StepRecipe
from wqmaster.recipe.values import plain

# Quantities that are checked only if the campaign stores them: their checks say nothing about other
# values, and reading them takes time.
_ONLY_STORED = frozenset({"gradient", "charges", "mulliken_charges", "loewdin_charges"})
# The function, which a module of parsers can have, that reads the geometry of its gradients.
_OF_GRADIENT = "gradient_geometry"


class _Values:
    """The common quantities of one step's output."""

    def __init__(
        self, output: Output, wanted: StepRecipe, values: Mapping[str, Any], natoms: int
    ) -> None:
        self._output = output
        self._program = wanted.function.program
        self._natoms = natoms
        self._stored: dict[str, Any] = {}
        if self._program is not None:
            self._stored = {
                call.name: values[call.name]
                for call in wanted.parsers
                if call.name in values and self._program.owns(call.function)
            }

    def read(self, name: str) -> Any:
        """A common quantity, or None if it is unknown or not what its name promises."""
        if name == "geometry":
            value = self._parsed(_OF_GRADIENT)
            if value is not None:
                return self._sound("geometry", value)
        value = self._stored.get(name)
        if value is None and name not in _ONLY_STORED:
            value = self._parsed(name)
        return self._sound(name, value)

    def _parsed(self, name: str) -> Any:
        function = getattr(self._program.module, name, None) if self._program is not None else None
        if function is None:
            return None
        files = getattr(function, "files", None)
        if name != _OF_GRADIENT and (files is None or not self._output.has(files[0])):
            return None
        try:
            return plain(function(self._output.beside(files[0]) if files else self._output))
        except ParseError:
            return None
        except (Exception, SystemExit):  # a user's parser can raise anything, and nobody named it
            return None

    def _sound(self, name: str, value: Any) -> Any:
        """`value` if its numbers are finite and it has the shape of the quantity, else None."""
        quantity = QUANTITIES.get(name)
        shape = quantity.shape if quantity is not None else None
        if value is None or (shape is not None and not self._fits(value, shape)):
            return None
        return value if _is_finite(value) else None

    def _fits(self, value: Any, shape: Sequence[int | str]) -> bool:
        """Whether nested lists have this shape; "n" in it stands for the number of atoms."""
        if not shape or not isinstance(value, list):
            return not shape and not isinstance(value, list)
        wanted = {"n": self._natoms, "3n": 3 * self._natoms, "any": len(value)}.get(
            str(shape[0]), shape[0]
        )
        if len(value) != wanted:
            return False
        return len(shape) == 1 or all(self._fits(item, shape[1:]) for item in value)


def _is_finite(value: Any) -> bool:
    """Whether all numbers of a plain value are finite, and no item of a list is None."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(map(_is_finite, value))
    if isinstance(value, Mapping):
        return all(map(_is_finite, (item for item in value.values() if item is not None)))
    return value is not None


def checked(
    checks: Checks,
    wanted: StepRecipe,
    asked: Asked,
    output: Output,
    values: Mapping[str, Any],
) -> list[Measurement]:
    """The measurements of the checks that apply to a step with these values."""
    if not checks.rules or wanted.function.program is None:
        return []
    reader = _Values(output, wanted, values, asked.natoms)
    evaluated = Evaluated(
        reader.read,
        natoms=asked.natoms,
        charge=asked.charge,
        multiplicity=asked.multiplicity,
        inapplicable=wanted.inapplicable_checks,
    )
    return checks.applied(evaluated)


def refused(measurements: list[Measurement]) -> Failure | None:
    """The failure of the first check that refuses; None if none does."""
    for found in measurements:
        if found.level is Level.REFUSE and found.check.kind is not None:
            return Failure(found.check.kind, found.message, value=found.value)
    return None


def resolved(loaded: LoadedCampaign) -> Checks:
    """The checks of a campaign.

    Raises:
        CampaignError: `checks:` names an unknown check, or limits that contradict each other.
    """
    given = loaded.campaign.checks
    preset = given[PRESET]
    own = {name: value for name, value in given.items() if name != PRESET}
    for name, limits in own.items():
        if name not in CHECKS:
            known = [*CHECKS, PRESET] if difflib.get_close_matches(name, [PRESET]) else CHECKS
            hint = nearest(name, known)
            raise loaded.source.error(f"there is no check '{name}'; {hint}", "checks", name)
        if not isinstance(limits, Mapping):
            continue
        check = CHECKS[name]
        base = inherited(check, preset)
        warn, refuse = limits.get("warn"), limits.get("refuse", base.refuse)
        if check is CLOSEST_ATOMS and warn is not None:
            raise loaded.source.error(
                f"'{name}' cannot warn: it is applied before anything is computed; give only "
                "'refuse'",
                *("checks", name, "warn"),
            )
        if contradicts(check, warn, refuse):
            side = "below" if check.low_is_bad else "above"
            of_preset = "" if "refuse" in limits else f", the limit of the preset '{preset}'"
            raise loaded.source.error(
                f"'{name}' would refuse {side} {refuse:g}{of_preset} before it warns {side} "
                f"{warn:g}; change one of them, or write 'refuse: null'",
                *("checks", name, "warn"),
            )
    return checks_of(preset, own)
