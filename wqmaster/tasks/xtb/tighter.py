"""How a single point of xtb becomes tighter: a smaller `accuracy` (xtb's --acc)."""

from collections.abc import Mapping, Sequence
from typing import Any

from wqmaster.tasks.program import Change
from wqmaster.tasks.xtb.options import Singlepoint

# It scales all thresholds; xtb's default is 1 (xtb's documentation, "Single Point Calculations").
_USUAL_ACCURACY = 1.0
_ACCURACY = 0.01
_MOVING = frozenset({"md"})


def tighter(options: Mapping[str, Any], version: str | None) -> Sequence[Change]:
    """The change for a single point: a hundredth of the usual thresholds."""
    if options.get("accuracy", _USUAL_ACCURACY) <= _ACCURACY:
        return ()
    return (Change("accuracy", lambda given: {**given, "accuracy": _ACCURACY}),)


def theory(options: Mapping[str, Any]) -> dict[str, Any]:
    """The method and the solvent."""
    keys = ("gfn", "solvent", "solvation")
    return {key: options[key] for key in keys if options.get(key) is not None}


def single_point(function: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The single point with the gradient, at the level of a step of any function but `md`."""
    package, _, name = function.rpartition(".")
    if name in _MOVING:
        return None
    kept = {key: value for key, value in options.items() if key in Singlepoint.model_fields}
    return f"{package}.singlepoint", {**kept, "gradient": True}
