"""The checks that make no sense for an ORCA calculation, as its route tells."""

import re
from collections.abc import Mapping
from typing import Any

from wqmaster.tasks.orca.route import read

# Words of "!" lines with which the atoms of the gradient are not all that forces act on.
_EMBEDDED = re.compile(r"qm/.*|qmmm.*|.*oniom.*|ionic-crystal-.*|mol-crystal-.*|.*ecrism.*")
# Settings of %scf and %geom with which something outside acts on the molecule. ORCA prints the
# gradient of frozen or constrained coordinates as zero in some versions.
_FIELD = re.compile(r"\befield\b")
_HELD = re.compile(r"\b(constraints|frozen|invertconstraints|optimizehydrogens)\b")
# Words with which an SCF is meant to end in a state other than the lowest.
_EXCITED = re.compile(r".*deltascf.*|afteryou.*")
_OUTSIDE = ("net_force", "net_torque")


def inapplicable_checks(options: Any) -> Mapping[str, str]:
    """The checks that do not apply to a step of `sequential`, each with the reason."""
    route = read(options.route)
    found: dict[str, str] = {}
    reason = None
    if route.has_block("pointcharges"):
        reason = "point charges act on the molecule"
    elif route.has_block("qmmm", "ecrism") or any(map(_EMBEDDED.fullmatch, route.words)):
        reason = "the molecule is embedded in others"
    elif _FIELD.search(route.block("scf")):
        reason = "an electric field acts on the molecule"
    elif _HELD.search(route.block("geom")):
        reason = "atoms are constrained"
    if reason is not None:
        found |= dict.fromkeys(_OUTSIDE, reason)
    if any(map(_EXCITED.fullmatch, route.words)):
        found["homo_lumo_gap"] = "the SCF is meant to end in an excited state"
    return found
