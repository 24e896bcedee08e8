"""Parsers of pyscf.json, which the driver of `wqmaster.tasks.pyscf` writes.

All values are of the final evaluation: that at `geometry`, with a converged SCF.
"""

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output
from wqmaster.parsers.pyscf.course import (
    basis_functions,
    charge,
    frames,
    geometry,
    linear_dependencies,
    method,
    multiplicity,
    opt_cycles,
    optimized_geometry,
    scf_cycles,
    scf_settings,
    symbols,
    timings,
)
from wqmaster.parsers.pyscf.density import (
    charges,
    dipole,
    homo_lumo_gap,
    iao_charges,
    iao_spins,
    integrated_electrons,
    loewdin_charges,
    loewdin_spins,
    mulliken_charges,
    mulliken_spins,
    orbital_energies,
    orbital_occupations,
    quadrupole,
    s_squared,
)
from wqmaster.parsers.pyscf.diagnosis import diagnose
from wqmaster.parsers.pyscf.energies import (
    dispersion_energy,
    energy,
    energy_parts,
    frequencies,
    gradient,
    hessian,
    nl_energy,
    nuclear_energy,
    one_electron_energy,
    solvation_energy,
    versions,
    xc_energy,
    zero_point_energy,
)
from wqmaster.parsers.pyscf.report import FILE, report

__all__ = [
    "VERSION",
    "basis_functions",
    "charge",
    "charges",
    "diagnose",
    "dipole",
    "dispersion_energy",
    "energy",
    "energy_parts",
    "file_name",
    "frames",
    "frequencies",
    "geometry",
    "gradient",
    "hessian",
    "homo_lumo_gap",
    "iao_charges",
    "iao_spins",
    "integrated_electrons",
    "linear_dependencies",
    "loewdin_charges",
    "loewdin_spins",
    "method",
    "mulliken_charges",
    "mulliken_spins",
    "multiplicity",
    "nl_energy",
    "nuclear_energy",
    "one_electron_energy",
    "opt_cycles",
    "optimized_geometry",
    "orbital_energies",
    "orbital_occupations",
    "program_version",
    "quadrupole",
    "s_squared",
    "scf_cycles",
    "scf_settings",
    "solvation_energy",
    "symbols",
    "timings",
    "versions",
    "xc_energy",
    "zero_point_energy",
]

VERSION = "1"


def program_version(output: Output) -> str | None:
    """The version of PySCF that the report states; None if it states none."""
    try:
        found = report(output).get("versions")
    except ParseError:
        return None
    version = found.get("pyscf") if isinstance(found, dict) else None
    return version if isinstance(version, str) else None


def file_name(name: str) -> str | None:
    """The name in a step of a file that `wqmaster parse` is given; None if it is not one."""
    return FILE if name.endswith(FILE) else None
