"""Quantities that have the same name, unit and shape for every program that computes them.

Atomic units follow CODATA, and n is the number of atoms. A quantity that a program names
differently or computes in several ways (`mulliken_charges`, `hess_hessian`) also has a name that
is specific to that program.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """A common quantity: the kind of value that a parser with its name returns."""

    unit: str
    meaning: str
    # The length of each axis: a number, "n" (atoms), "3n" or "any". () stands for a single value,
    # None for a shape that depends on the calculation.
    shape: tuple[int | str, ...] | None = ()


_PER_ATOM = ("n",)
_VECTORS = ("n", 3)

QUANTITIES: Mapping[str, Quantity] = {
    "energy": Quantity("Eh", "total energy at `geometry`"),
    "gradient": Quantity("Eh/a0", "gradient of `energy`, the negative of the forces", _VECTORS),
    "geometry": Quantity("Angstrom", "coordinates of the atoms", _VECTORS),
    "optimized_geometry": Quantity("Angstrom", "`geometry` after an optimization", _VECTORS),
    "geometry_trajectory": Quantity("Angstrom", "all geometries of a run", ("any", "n", 3)),
    "symbols": Quantity("", "elements of the atoms", _PER_ATOM),
    "charge": Quantity("e", "total charge"),
    "multiplicity": Quantity("", "2 S + 1"),
    "charges": Quantity(
        "e", "the program's usual atomic charges (Mulliken if available)", _PER_ATOM
    ),
    "mulliken_charges": Quantity("e", "Mulliken charges", _PER_ATOM),
    "mulliken_spins": Quantity("", "Mulliken spin populations", _PER_ATOM),
    "loewdin_charges": Quantity("e", "Loewdin charges", _PER_ATOM),
    "loewdin_spins": Quantity("", "Loewdin spin populations", _PER_ATOM),
    "dipole": Quantity("e a0", "dipole moment (x, y, z)", (3,)),
    "quadrupole": Quantity("e a0^2", "quadrupole moment, not traceless", (3, 3)),
    "polarizability": Quantity("a0^3", "static dipole polarizability", (3, 3)),
    "bond_orders": Quantity("", "[i, j, order] of bonded atoms, counted from 0", ("any", 3)),
    "hessian": Quantity("Eh/a0^2", "second derivatives, not mass-weighted", ("3n", "3n")),
    "frequencies": Quantity("1/cm", "harmonic, imaginary ones negative, vibrations only", ("any",)),
    "ir_intensities": Quantity("km/mol", "one for each of the `frequencies`", ("any",)),
    "orbital_energies": Quantity("Eh", "lowest first; [up, down] if unrestricted", None),
    "orbital_occupations": Quantity("", "in the shape of `orbital_energies`", None),
    "homo_lumo_gap": Quantity("Eh", "lowest empty minus highest occupied orbital energy"),
    "dispersion_energy": Quantity("Eh", "dispersion correction, a part of `energy`"),
    "nl_energy": Quantity("Eh", "non-local (VV10) correlation energy, a part of `energy`"),
    "solvation_energy": Quantity("Eh", "energy of the implicit solvent, a part of `energy`"),
    "s_squared": Quantity("", "a mapping with `value`, `ideal` and `deviation` of <S**2>", None),
    "integrated_electrons": Quantity("", "a mapping with `total`, `alpha` and `beta`", None),
    "electrons": Quantity("", "number of electrons, without those of core potentials"),
    "basis_functions": Quantity("", "number of orbital basis functions"),
    "scf_cycles": Quantity("", "a mapping with `cycles`, `limit`, `converged`, `at_limit`", None),
    "opt_cycles": Quantity("", "number of cycles of an optimization"),
    "timings": Quantity("s", "a mapping of the program's stages to seconds", None),
    "zero_point_energy": Quantity("Eh", "vibrational energy at 0 K, excluding `energy`"),
    "enthalpy": Quantity("Eh", "H, including `energy`"),
    "gibbs_free_energy": Quantity("Eh", "G, including `energy`"),
    "entropy_term": Quantity("Eh", "T S, enthalpy minus free energy"),
    "thermochemistry": Quantity("", "a mapping with program-specific keys", None),
    "frames": Quantity("", "a list of evaluations, each a mapping with `energy`, `geometry`", None),
}


def not_numeric(name: str, value: Any) -> str | None:
    """Why `value` cannot be a value of the numeric quantity `name`, or None if it can.

    In a list, only the first number is examined. An entry of a list can be None if the program
    gives no number for it. A parser that is not named after a common quantity may return anything.
    """
    quantity = QUANTITIES.get(name)
    if quantity is None or quantity.shape is None or name == "symbols":
        return None
    place = name
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
        place = f"{place}[0]"
    if isinstance(value, (list, tuple)) or (value is None and place != name):
        return None
    if value is None:
        return f"{place} has no value, but must be a number"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return None if is_number else f"{place} is {value!r:.30}, which is not a number"


def misfit(name: str, value: Any, natoms: int) -> str | None:
    """Why `value` does not have the shape of the quantity `name`, or None if it does.

    A parser that is not named after a common quantity may return anything.
    """
    quantity = QUANTITIES.get(name)
    if quantity is None or quantity.shape is None:
        return None
    return _misfit(value, quantity.shape, natoms, name)


def _misfit(value: Any, shape: Sequence[int | str], natoms: int, place: str) -> str | None:
    is_list = isinstance(value, (list, tuple))
    if not shape:
        return f"{place} is a list, not a single value" if is_list else None
    if not is_list:
        return f"{place} is not a list"
    lengths = {"n": natoms, "3n": 3 * natoms, "any": len(value)}
    wanted = lengths[axis] if isinstance(axis := shape[0], str) else axis
    if len(value) != wanted:
        return f"{place} has length {len(value)} instead of {wanted}"
    found = (
        _misfit(item, shape[1:], natoms, f"{place}[{number}]") for number, item in enumerate(value)
    )
    return next((why for why in found if why is not None), None)
