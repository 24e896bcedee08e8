"""Bounds on the total energy of a molecule, from the energies of its neutral atoms.

The non-relativistic energy of a neutral atom is E = -0.768745 Z**(7/3) + Z**2 / 2 -
0.2699 Z**(5/3) Eh to within one percent (Thomas, Fermi, Scott, Schwinger; J. Schwinger, Phys. Rev.
A 24 (1981) 2353). Relativity adds about 0.2 (Z alpha)**2 E. Binding adds far less than a tenth of
E. Effective core potentials, semiempirical methods and force fields give energies that are smaller
in magnitude.
"""

import math
from collections.abc import Sequence

from wqmaster.jobs.molecule import SYMBOLS

_NUMBERS = {symbol.upper(): number for number, symbol in enumerate(SYMBOLS) if number}
_FINE_STRUCTURE_CONSTANT = 1 / 137.036
# Allowances for functionals, relativistic Hamiltonians and numerical noise.
_LOWEST_RATIO = 1.06
_RELATIVITY_RATIO = 0.8
# Allowance for bonds, solvent and external point charges (Eh).
_BINDING_EH_PER_ATOM = 0.5
# A bound molecule's all-electron energy is always below this fraction of its atoms' energies.
# Hydrogen does not count, because the energy of H+ is zero.
_HIGHEST_RATIO = 0.7


def atomic_number(label: str) -> int:
    """The atomic number for an ORCA label, or 0 if it is not an element."""
    return _NUMBERS.get(label.rstrip(":>*").strip().upper(), 0)


def _atom(number: int) -> float:
    """The non-relativistic energy of a neutral atom in Eh."""
    charge = float(number)
    return -0.768745 * math.pow(charge, 7 / 3) + charge**2 / 2 - 0.2699 * math.pow(charge, 5 / 3)


def lowest(numbers: Sequence[int]) -> float:
    """The lowest energy (Eh) that atoms with these atomic numbers can have."""
    return sum(
        _atom(number)
        * (_LOWEST_RATIO + _RELATIVITY_RATIO * (number * _FINE_STRUCTURE_CONSTANT) ** 2)
        - _BINDING_EH_PER_ATOM
        for number in numbers
    )


def highest(numbers: Sequence[int], all_electrons: bool) -> float:
    """The highest energy (Eh) that atoms with these atomic numbers can have.

    It is 0, or lower if the energy includes all electrons.
    """
    if not all_electrons:
        return 0.0
    return _HIGHEST_RATIO * sum(_atom(number) for number in numbers if number > 1)


def implausible(
    energy: float, numbers: Sequence[int], all_electrons: bool, of_more: bool = False
) -> str | None:
    """Why `energy` (Eh) is impossible for atoms with these atomic numbers, or None.

    `all_electrons`: whether the run is known to treat all electrons, with a small charge.
    `of_more`: whether the energy includes further atoms, which lower it.
    """
    if not math.isfinite(energy):
        return f"the energy is {energy} Eh"
    bottom, top = lowest(numbers), highest(numbers, all_electrons)
    if energy >= 0 or energy > top:
        return f"an energy of {energy} Eh is above the maximum for these atoms, {top:.1f} Eh"
    if numbers and energy < bottom and not of_more:
        return f"an energy of {energy} Eh is below the minimum for these atoms, {bottom:.1f} Eh"
    return None
