"""Whether a total energy can be that of the atoms: bounds from the energies of neutral atoms.

The non-relativistic energy of a neutral atom is -0.768745 Z**(7/3) + Z**2 / 2 - 0.2699 Z**(5/3)
Eh within one per cent (Thomas, Fermi, Scott, Schwinger; J. Schwinger, Phys. Rev. A 24 (1981)
2353). Relativity adds about 0.2 (Z alpha)**2 of it. A molecule is bound by far less than a tenth
of it, and effective core potentials, semiempirical methods and force fields take away from it.
"""

import math
from collections.abc import Sequence

from wqmaster.jobs.molecule import SYMBOLS

_NUMBERS = {symbol.upper(): number for number, symbol in enumerate(SYMBOLS) if number}
_FINE_STRUCTURE_CONSTANT = 1 / 137.036
# Functionals, relativistic Hamiltonians and numerical noise are allowed this much.
_LOWEST_RATIO = 1.06
_RELATIVITY_RATIO = 0.8
# Bonds, solvent, point charges outside; Eh for each atom.
_BINDING_EH_PER_ATOM = 0.5
# An all-electron energy above this part of the atoms' is that of no bound molecule. Hydrogen is
# left out: H+ has no energy at all.
_HIGHEST_RATIO = 0.7


def atomic_number(label: str) -> int:
    """The atomic number of an atom as ORCA names it; 0 for what is none."""
    return _NUMBERS.get(label.rstrip(":>*").strip().upper(), 0)


def _atom(number: int) -> float:
    """The non-relativistic energy of a neutral atom in Eh."""
    charge = float(number)
    return -0.768745 * math.pow(charge, 7 / 3) + charge**2 / 2 - 0.2699 * math.pow(charge, 5 / 3)


def lowest(numbers: Sequence[int]) -> float:
    """Below this (Eh) no energy of these atoms can be."""
    return sum(
        _atom(number)
        * (_LOWEST_RATIO + _RELATIVITY_RATIO * (number * _FINE_STRUCTURE_CONSTANT) ** 2)
        - _BINDING_EH_PER_ATOM
        for number in numbers
    )


def highest(numbers: Sequence[int], all_electrons: bool) -> float:
    """Above this (Eh) none can be: zero, or less where all electrons are in the energy."""
    if not all_electrons:
        return 0.0
    return _HIGHEST_RATIO * sum(_atom(number) for number in numbers if number > 1)


def implausible(
    energy: float, numbers: Sequence[int], all_electrons: bool, of_more: bool = False
) -> str | None:
    """Why `energy` (Eh) cannot be that of atoms of these numbers; None if it can.

    `all_electrons`: the run is known to have treated all of them, and its charge is small.
    `of_more`: it is the energy of these atoms and of others, which lower it.
    """
    if not math.isfinite(energy):
        return f"the energy is {energy} Eh"
    bottom, top = lowest(numbers), highest(numbers, all_electrons)
    if energy >= 0 or energy > top:
        return f"an energy of {energy} Eh is above the {top:.1f} Eh that these atoms can have"
    if numbers and energy < bottom and not of_more:
        return f"an energy of {energy} Eh is below the {bottom:.1f} Eh that these atoms can have"
    return None
