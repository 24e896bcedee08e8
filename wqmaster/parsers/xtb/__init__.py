"""Parsers of xtb's files, seen with 6.7.1: single points, optimisations, hessians, MD.

Where xtbout.json or another file that xtb writes is there, it is read; the printout alone gives
what is printed, with the decimals printed. Which evaluation each file is of is in `evaluation`.
"""

from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb.course import frames
from wqmaster.parsers.xtb.diagnosis import diagnose
from wqmaster.parsers.xtb.molecular import (
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
    orbital_energies,
    orbital_occupations,
    unpaired_electrons,
)
from wqmaster.parsers.xtb.text import last_line
from wqmaster.parsers.xtb.vibrational import (
    enthalpy,
    entropy,
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
    "charges",
    "diagnose",
    "dipole",
    "energy",
    "enthalpy",
    "entropy",
    "file_name",
    "frames",
    "frequencies",
    "geometry",
    "geometry_trajectory",
    "gibbs_free_energy",
    "gradient",
    "gradient_norm",
    "hessian",
    "homo_lumo_gap",
    "imaginary_frequencies",
    "ir_intensities",
    "md_energies",
    "md_frames",
    "md_summary",
    "method",
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
_FILES = frozenset(
    {
        "xtbout.json",
        "xtbopt.xyz",
        "xtbopt.log",
        "xtbscan.log",
        "xtb.trj",
        "hessian",
        "vibspectrum",
        "wbo",
    }
    | {"gfnff_charges", "molecule.xyz"}
)


def file_name(name: str) -> str | None:
    """What a job calls a file that xtb named `name`; None if it is none that parsers read."""
    if name in _FILES:
        return name
    return "molecule.engrad" if name.endswith(".engrad") else None


def program_version(output: Output) -> str | None:
    """The version of xtb, as its output states it."""
    rest = last_line(output.text, "* xtb version ")
    words = rest.split() if rest else []
    return words[0] if words else None
