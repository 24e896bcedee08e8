"""Signs of wrong forces that need no second calculation.

Without an external field the forces and torques of an isolated molecule add up to zero; what
remains is noise (Kuryla et al., J. Chem. Phys. 163, 224313, 2025).
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.units import EV_PER_ANGSTROM

_MEV_PER_ANGSTROM = 1000 * EV_PER_ANGSTROM
# A check should find the worst tenth of the structures.
_WORST_SHARE = 0.1
# Fewer structures have no whole tenth.
_FEWEST_STRUCTURES = 10


def signs(frame: Frame) -> dict[str, float]:
    """The values of a frame's checks: those stored with its result, and the net force and torque.

    The net force is in meV/Angstrom per atom, the net torque about the centroid in meV per atom.
    """
    found = dict(frame.checks)
    if frame.gradient is not None:
        arms = frame.coordinates - frame.coordinates.mean(axis=0)
        torque = np.cross(arms, frame.gradient).sum(axis=0)
        for name, vector in (("net_force", frame.gradient.sum(axis=0)), ("net_torque", torque)):
            length = float(np.linalg.norm(vector)) * _MEV_PER_ANGSTROM / frame.natoms
            found.setdefault(name, length)
    return found


def powers(
    values: list[Mapping[str, float]], errors: npt.NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """How well each check finds the structures with the largest errors.

    `errors` has one entry for each mapping in `values`. For each check that all structures have,
    `auc` is the probability that a structure of the worst tenth has a larger value than one of the
    others (0.5: no better than chance), and `found` is the share of the worst tenth that is in the
    tenth with the largest values. {} if there are fewer than ten structures.
    """
    count = len(values)
    if count < _FEWEST_STRUCTURES:
        return {}
    number = max(1, round(_WORST_SHARE * count))
    order = np.argsort(-errors, kind="stable")
    worst, others = order[:number], order[number:]
    found = {}
    for name in sorted(set.intersection(*({*value} for value in values))):
        of = np.array([value[name] for value in values])
        above = of[worst][:, None] - of[others][None, :]
        auc = float(((above > 0) + 0.5 * (above == 0)).mean())
        shown = np.argsort(-of, kind="stable")[:number]
        found[name] = {"auc": auc, "found": len({*shown} & {*worst}) / number}
    return found
