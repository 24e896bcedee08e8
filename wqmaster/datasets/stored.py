"""Values as they are stored, checked before they become labels: anybody can edit a document."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from wqmaster.datasets.frame import Floats


class Unusable(Exception):
    """A frame that cannot be exported; the reason names neither the frame nor its document."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = str(reason)


def checks_of(run: Mapping[str, Any]) -> tuple[dict[str, float], tuple[str, ...]]:
    """The value of each check that the record of a result states, and the checks that warned.

    What has another form, because somebody has edited it, is left out.
    """
    stated = run.get("checks")
    checks = stated if isinstance(stated, Mapping) else {}
    values, warned = checks.get("values"), checks.get("warned")
    measured = {
        str(name): float(value)
        for name, value in (values.items() if isinstance(values, Mapping) else ())
        if isinstance(value, (int, float)) and math.isfinite(value)
    }
    return measured, tuple(map(str, warned if isinstance(warned, list) else ()))


def shape_of(label: str, natoms: int) -> tuple[int, ...]:
    """The shape of a label of a molecule with `natoms` atoms."""
    shapes: dict[str, tuple[int, ...]] = {
        "energy": (),
        "gradient": (natoms, 3),
        "charges": (natoms,),
        "spins": (natoms,),
        "dipole": (3,),
        "quadrupole": (3, 3),
    }
    return shapes[label]


def array_of(value: Any, shape: tuple[int, ...], name: str) -> Floats:
    """The stored value `name` as an array of this shape.

    Raises:
        Unusable: it is missing, has another shape, or holds something that is not finite.
    """
    if value is None:
        raise Unusable(f"the value '{name}' is missing")
    try:
        read = np.array(value)
        # NumPy would turn true into 1 and "1" into 1.
        found = read.astype(np.float64) if read.dtype.kind not in "bSU" else None
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise Unusable(f"the value '{name}' is not a table of numbers")
    if found.shape != shape:
        raise Unusable(f"the value '{name}' does not fit the number of atoms")
    if not np.isfinite(found).all():
        raise Unusable(f"the value '{name}' is not finite")
    return found
