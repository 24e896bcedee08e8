"""The memory of an ORCA job before any has run, by the rule of OMol25.

OMol25 gave each process `max(a * nbasis**1.5 + b, 1000)` MB, with different numbers for restricted
and unrestricted calculations (github.com/Open-Catalyst-Project/om-data, omdata/orca/calc.py).
"""

from collections.abc import Iterator
from typing import Any

from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.basis_sets import basis_functions, known
from wqmaster.tasks.needs import Needs
from wqmaster.tasks.orca.remedies import comments_out

# The share of the memory that %maxcore gets. ORCA sometimes exceeds %maxcore (manual, "Memory").
MAXCORE_SHARE = 0.75
# (a, b) in MB.
_RESTRICTED = (0.0076739752, 361.47)
_UNRESTRICTED = (0.0164605184, -320.39)
_LEAST_MB = 1000.0
# The basis sets of composite methods, or known ones of about their size.
_COMPOSITE = {
    "hf-3c": "sto-3g",
    "pbeh-3c": "def2-svp",
    "wb97x-3c": "def2-svp",
    "b97-3c": "def2-tzvp",
    "r2scan-3c": "def2-tzvp",
}
# Methods without a basis set in this sense.
_SEMIEMPIRICAL = frozenset(
    ("am1", "gfn-xtb", "gfn0-xtb", "gfn1-xtb", "gfn2-xtb", "mndo", "pm3", "xtb", "xtb0", "xtb1")
) | {"xtb2", "gfn-ff", "xtbff"}
_USUAL = "def2-tzvpd"


def _keywords(route: str) -> Iterator[str]:
    for line in comments_out(route).lower().splitlines():
        if line.lstrip().startswith("!"):
            yield from line.replace("!", " ").split()


def needs(molecule: Molecule, options: Any, cores: int) -> Needs | None:
    """The number of basis functions of a job, and its memory.

    A basis set that is not known counts as def2-TZVPD, OMol25's. None for semiempirical methods.
    """
    words = list(_keywords(options.route))
    if _SEMIEMPIRICAL.intersection(words):
        return None
    names = [_COMPOSITE.get(word) or known(word) for word in words]
    name = next((found for found in names if found is not None), _USUAL)
    size = basis_functions(molecule.numbers, lambda number: name)
    if size is None:
        return None
    unrestricted = molecule.multiplicity > 1 or {"uks", "uhf"}.intersection(words)
    factor, constant = _UNRESTRICTED if unrestricted else _RESTRICTED
    each = max(factor * size**1.5 + constant, _LEAST_MB)
    return Needs(size, each * cores / MAXCORE_SHARE)
