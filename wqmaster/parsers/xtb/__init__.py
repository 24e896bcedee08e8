"""Parsers of xtb's files, tested with 6.7.1: single points, optimizations, Hessians, MD.

They read xtbout.json and the other files that xtb writes, if these exist. The printout alone
contains fewer values, with fewer decimals. The module `evaluation` lists the geometry and state
that each file belongs to.
"""

from wqmaster.parsers.xtb.course import frames
from wqmaster.parsers.xtb.diagnosis import diagnose
from wqmaster.parsers.xtb.engrad import gradient_geometry
from wqmaster.parsers.xtb.molecular import (
    charge,
    charges,
    dipole,
    energy,
    gradient,
    gradient_norm,
    method,
    net_charge,
    solvation_energy,
)
from wqmaster.parsers.xtb.moving import (
    geometry,
    geometry_trajectory,
    md_energies,
    md_frames,
    md_summary,
    opt_cycles,
    opt_trajectory_energies,
    optimized_geometry,
    symbols,
)
from wqmaster.parsers.xtb.orbitals import (
    bond_orders,
    homo_lumo_gap,
    multiplicity,
    orbital_energies,
    orbital_occupations,
    unpaired_electrons,
)
from wqmaster.parsers.xtb.run import file_name, program_version
from wqmaster.parsers.xtb.vibrational import (
    enthalpy,
    entropy,
    entropy_term,
    frequencies,
    gibbs_free_energy,
    hessian,
    imaginary_frequencies,
    ir_intensities,
    stationary,
    thermochemistry,
    zero_point_energy,
)

__all__ = [
    "VERSION",
    "bond_orders",
    "charge",
    "charges",
    "diagnose",
    "dipole",
    "energy",
    "enthalpy",
    "entropy",
    "entropy_term",
    "file_name",
    "frames",
    "frequencies",
    "geometry",
    "geometry_trajectory",
    "gibbs_free_energy",
    "gradient",
    "gradient_geometry",
    "gradient_norm",
    "hessian",
    "homo_lumo_gap",
    "imaginary_frequencies",
    "ir_intensities",
    "md_energies",
    "md_frames",
    "md_summary",
    "method",
    "multiplicity",
    "net_charge",
    "opt_cycles",
    "opt_trajectory_energies",
    "optimized_geometry",
    "orbital_energies",
    "orbital_occupations",
    "program_version",
    "solvation_energy",
    "stationary",
    "symbols",
    "thermochemistry",
    "unpaired_electrons",
    "zero_point_energy",
]

VERSION = "4"
