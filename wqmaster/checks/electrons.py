"""Checks of the density: electrons on the grid, spin, orbitals, SCF cycles and atomic charges."""

import math
from collections.abc import Sequence
from typing import Any

from wqmaster.checks.base import Check, Limits
from wqmaster.checks.evaluated import Evaluated
from wqmaster.jobs.failures import FailureClass

# A core potential replaces at least two electrons. No grid is so bad that it loses as many.
_FEWEST_CORE_ELECTRONS = 2
# Occupations below this count as empty; averaged and smeared states have fractional ones.
_EMPTY = 1e-3
# The quantities that hold atomic charges, in order of preference.
_CHARGES = ("charges", "mulliken_charges", "loewdin_charges")
# Further decimals make no difference: the charges count as rounded to this many.
_MAX_DECIMALS = 12


def _electrons(evaluated: Evaluated) -> float | None:
    found = evaluated.read("integrated_electrons")
    if not isinstance(found, dict) or not isinstance(found.get("total"), float):
        return None
    total: float = found["total"]
    expected = evaluated.read("electrons")
    if expected is None and evaluated.numbers is not None:
        expected = sum(evaluated.numbers) - evaluated.charge
        if expected - total > _FEWEST_CORE_ELECTRONS - 0.5:
            return None
    return abs(total - expected) / expected if expected else None


def _spin(evaluated: Evaluated) -> float | None:
    found = evaluated.read("s_squared")
    if not isinstance(found, dict) or not isinstance(found.get("deviation"), float):
        return None
    deviation: float = found["deviation"]
    return abs(deviation)


def _is_coupled(evaluated: Evaluated) -> bool:
    return evaluated.multiplicity == 1 or evaluated.has_metal


def _of_one_spin(energies: Sequence[float], occupations: Sequence[float]) -> float:
    """The gap of the orbitals of one spin; infinite if all of them are occupied or all empty."""
    pairs = list(zip(energies, occupations, strict=True))
    top = max((energy for energy, filled in pairs if filled > _EMPTY), default=-math.inf)
    bottom = min((energy for energy, filled in pairs if filled <= _EMPTY), default=math.inf)
    return bottom - top


def _are_two(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], list)


def _gap(evaluated: Evaluated) -> float | None:
    found: float | None = evaluated.read("homo_lumo_gap")
    if found is None or found >= 0:
        return found
    settings = evaluated.read("scf_settings")
    if isinstance(settings, dict) and settings.get("stable") is True:
        return None
    energies = evaluated.read("orbital_energies")
    occupations = evaluated.read("orbital_occupations")
    if not _are_two(energies) or not _are_two(occupations):
        # If unpaired electrons share one set of orbitals, energies need not follow occupations.
        return found if evaluated.multiplicity == 1 else None
    if any(abs(filled - round(filled)) > _EMPTY for spin in occupations for filled in spin):
        return None
    gaps = [
        _of_one_spin(*of_spin)
        for of_spin in zip(energies, occupations, strict=True)
        if len(of_spin[0]) == len(of_spin[1])
    ]
    gap = min(gaps, default=math.inf)
    return gap if math.isfinite(gap) else None


def _cycles_left(evaluated: Evaluated) -> float | None:
    found = evaluated.read("scf_cycles")
    if not isinstance(found, dict):
        return None
    cycles, limit = found.get("cycles"), found.get("limit")
    if not isinstance(cycles, int) or not isinstance(limit, int):
        return None
    return float(max(limit - cycles, 0))


def _decimals(values: Sequence[float]) -> int:
    """The number of decimals with which `values` were printed: the most that one of them has."""
    most = 0
    for value in values:
        _, _, after = f"{value:.{_MAX_DECIMALS}f}".rstrip("0").partition(".")
        most = max(most, len(after))
    return most


def _charge_error(evaluated: Evaluated) -> float | None:
    for name in _CHARGES:
        values = evaluated.read(name)
        if values is not None and None not in values:
            error = abs(math.fsum(values) - evaluated.charge)
            # Each printed charge is off by at most half a unit of its last digit.
            rounding = 0.5 * 10.0 ** -_decimals(values) * len(values)
            return max(error - rounding, 0.0)
    return None


ELECTRONS = Check(
    name="electrons",
    quantity="the relative error of the number of electrons on the grid",
    unit="",
    default=Limits(warn=1e-5, refuse=1e-4),
    strict=Limits(warn=1e-6, refuse=1e-5),
    measure=_electrons,
    kind=FailureClass.CHECK_ELECTRONS,
)
"""|N(integrated) - N| / N, with N electrons outside core potentials.

N is the number that the program states (`electrons`), because only the program knows which core
potentials belong to its basis set: def2 has 28 core electrons for Rb to Xe, 46 for Cs to La, 28 for
Ce to Lu and 60 for Hf to Rn, but other sets (ccECP, LANL2DZ, SDD) have others, and relativistic
all-electron sets none. If the program does not state it, N is the nuclear charge minus the charge
of the molecule, and a deficit of two electrons or more is taken for a core potential: the check
then does not apply. Semiempirical methods and Hartree-Fock have no grid.

Source: OMol25 stores the integrated number of electrons. The limits are ours. The error is at most
3e-6 in public outputs of ORCA 4 to 6; in PySCF it is 4e-4 with grid level 0, 5e-6 with level 1 and
3e-7 with level 2 (methanol, H2S, CHCl3; def2-SVP).
"""

S_SQUARED = Check(
    name="s_squared",
    quantity="the deviation of <S**2> from S (S + 1)",
    unit="",
    default=Limits(refuse=0.5),
    strict=Limits(warn=0.1, refuse=0.5),
    measure=_spin,
    kind=FailureClass.CHECK_S_SQUARED,
    is_special=_is_coupled,
    special_default=Limits(refuse=1.1),
    special_strict=Limits(warn=0.5, refuse=1.1),
)
"""Absolute value of `s_squared.deviation`.

The presets allow 1.1 for molecules with an atom of the d- or f-block, and for unrestricted
singlets: a broken-symmetry solution of a diradical has <S**2> = 1 on purpose, while a restricted
one has 0. Limits that the campaign states apply to all molecules alike.

Source: 1.1 is the limit of OMol25 for metal complexes and reactive geometries (om-data,
omdata/assess_smooth.py); 0.5 is common practice. The strict warnings are ours.
"""

HOMO_LUMO_GAP = Check(
    name="homo_lumo_gap",
    quantity="the HOMO-LUMO gap",
    unit="Eh",
    default=Limits(refuse=0.0),
    strict=Limits(warn=0.02, refuse=0.0),
    measure=_gap,
    kind=FailureClass.CHECK_HOMO_LUMO_GAP,
    low_is_bad=True,
)
"""Lowest empty minus highest occupied orbital energy, in Eh.

If it is negative, the SCF ended in a state that is not its ground state. If the gap over both spins
is negative, the smaller of the two spins' own gaps replaces it: in the lowest triplet of a
molecule, the hole of one spin usually lies below the electron of the other. The check does not
apply to a restricted open shell with a negative gap or to fractional occupations, where energies
need not follow occupations. Nor does it apply if the program has shown that the solution is stable
(`stable` in PySCF's `scf_settings`, after a remedy): the lowest solutions of stretched F2, LiF, C2
and water with PBE have gaps of -0.001 to -0.039 Eh.

Source: common practice. The strict warning (0.5 eV) is ours.
"""

SCF_CYCLES = Check(
    name="scf_cycles",
    quantity="the number of SCF cycles that were left",
    unit="",
    default=Limits(warn=1.0),
    strict=Limits(refuse=1.0),
    measure=_cycles_left,
    kind=FailureClass.CHECK_SCF_CYCLES,
    low_is_bad=True,
)
"""The limit of SCF cycles minus the cycles that the SCF needed; 0 at the limit.

An SCF that reached the limit has converged, since its output is otherwise refused anyway, so only
the preset `strict` refuses it. Source: OMol25 stores the cycles; the rule is ours.
"""

CHARGES = Check(
    name="charges",
    quantity="the error of the sum of the atomic charges",
    unit="e",
    default=Limits(warn=1e-3, refuse=1e-2),
    strict=Limits(warn=1e-4, refuse=1e-3),
    measure=_charge_error,
    kind=FailureClass.CHECK_CHARGES,
)
"""|sum of the atomic charges - total charge|, minus what rounding explains.

The sum of n charges that were printed with k decimals can be off by n/2 10**-k. The check uses the
first of `charges`, `mulliken_charges` and `loewdin_charges` that the campaign stores. Source: the
definition of atomic charges; the limits are ours.
"""
