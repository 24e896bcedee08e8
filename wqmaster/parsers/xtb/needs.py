"""The outputs that each xtb parser needs and that xtb does not print or write in every step.

`wqmaster.tasks.xtb.leaves` lists the outputs of each kind of step. Parsers that work for every step
are in `PLAIN`. Each parser in the package must be in one of the two tables.
"""

from collections.abc import Mapping

NEEDS: Mapping[str, tuple[str, ...]] = {
    "bond_orders": ("orbitals",),
    "enthalpy": ("hessian",),
    "entropy": ("hessian",),
    "entropy_term": ("hessian",),
    "frames": ("frames",),
    "frequencies": ("hessian",),
    "geometry": ("optimization",),
    "geometry_trajectory": ("optimization",),
    "gibbs_free_energy": ("hessian",),
    "gradient": ("gradient",),
    "hessian": ("hessian",),
    "homo_lumo_gap": ("orbitals",),
    "imaginary_frequencies": ("hessian",),
    "ir_intensities": ("hessian",),
    "md_energies": ("dynamics",),
    "md_frames": ("dynamics",),
    "md_summary": ("dynamics",),
    "multiplicity": ("orbitals",),
    "opt_cycles": ("optimization",),
    "opt_trajectory_energies": ("optimization",),
    "optimized_geometry": ("optimization",),
    "orbital_energies": ("orbitals",),
    "orbital_occupations": ("orbitals",),
    "solvation_energy": ("solvent",),
    "stationary": ("hessian",),
    "symbols": ("optimization",),
    "thermochemistry": ("hessian",),
    "unpaired_electrons": ("orbitals",),
    "zero_point_energy": ("hessian",),
}

PLAIN = frozenset(
    ("charge", "charges", "dipole", "energy", "gradient_norm", "method", "net_charge")
)
