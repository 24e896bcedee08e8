"""Parsers of ORCA's files, versions 3 to 6.1. Energies in Eh, gradients in Eh/Bohr, charges in e.

An output can contain many evaluations: optimization cycles, scan points, several jobs. Values come
from the final evaluation, which is the last one with a final energy, so they all belong to one
geometry and one electronic state (see the module `evaluations`). If only an earlier evaluation has
the block that a parser reads, the parser raises an error that names this evaluation. For instance,
ORCA prints no gradient for the final energy after an optimization. `frames` returns the energy,
gradient and geometry of every evaluation. Parsers named `*_trajectory` return all blocks of a kind,
from every evaluation.
"""

from wqmaster.parsers.orca.correlation import (
    ccsd_correlation_energy,
    ccsd_energy,
    ccsd_t_energy,
    correlation_energy,
    dlpno_strong_pairs_energy,
    dlpno_weak_pairs_energy,
    mp2_correlation_energy,
    mp2_energy,
    reference_energy,
    t1_diagnostic,
    triples_correction,
)
from wqmaster.parsers.orca.diagnosis import diagnose
from wqmaster.parsers.orca.energy import (
    dispersion_energy,
    energy,
    energy_trajectory,
    scf_energy,
    total_energy,
)
from wqmaster.parsers.orca.files import (
    diagnose_file,
    engrad_energy,
    engrad_geometry,
    engrad_gradient,
    file_name,
    hess_frequencies,
    hess_geometry,
    hess_hessian,
    hess_ir_intensities,
    hess_masses,
    hess_normal_modes,
    hess_symbols,
    hessian,
)
from wqmaster.parsers.orca.forces import largest_force, net_force, net_torque
from wqmaster.parsers.orca.frames import frames
from wqmaster.parsers.orca.geometry import (
    geometry,
    geometry_trajectory,
    optimisation,  # codespell:ignore optimisation
    optimized_geometry,
    symbols,
)
from wqmaster.parsers.orca.gradient import dispersion_gradient, gradient, gradient_trajectory
from wqmaster.parsers.orca.orbitals import (
    homo_lumo_gap,
    orbital_energies,
    orbital_occupations,
)
from wqmaster.parsers.orca.population import (
    bond_orders,
    charges,
    chelpg_charges,
    hirshfeld_charges,
    hirshfeld_spins,
    loewdin_charges,
    loewdin_spins,
    mayer_bond_orders,
    mbis_charges,
    mbis_spins,
    mulliken_charges,
    mulliken_charges_trajectory,
    mulliken_spins,
)
from wqmaster.parsers.orca.properties import (
    dipole,
    dipole_trajectory,
    nl_energy,
    quadrupole,
    s_squared,
)
from wqmaster.parsers.orca.property_file import (
    json_chelpg_charges,
    json_dipole,
    json_frequencies,
    json_geometry,
    json_gradient,
    json_hessian,
    json_hirshfeld_charges,
    json_loewdin_charges,
    json_mbis_charges,
    json_mulliken_charges,
    json_polarizability,
    json_thermochemistry,
    json_total_energy,
    property_json,
)
from wqmaster.parsers.orca.run import basis, charge, multiplicity, program_version, version
from wqmaster.parsers.orca.scf import (
    basis_functions,
    electrons,
    integrated_electrons,
    scf_cycles,
)
from wqmaster.parsers.orca.spectra import (
    excitation_energies,
    excitations,
    oscillator_strengths,
    polarizability,
)
from wqmaster.parsers.orca.thermochemistry import (
    enthalpy,
    entropy,
    entropy_term,
    gibbs_free_energy,
    thermochemistry,
    zero_point_energy,
)
from wqmaster.parsers.orca.timings import (
    timings,
    total_run_time,
)
from wqmaster.parsers.orca.vibrations import (
    frequencies,
    ir_intensities,
    normal_modes,
)

# In version 2, all values come from the final evaluation. In version 1, each value came from the
# last block of its kind.
VERSION = "2"

__all__ = [
    "VERSION",
    "basis",
    "basis_functions",
    "bond_orders",
    "ccsd_correlation_energy",
    "ccsd_energy",
    "ccsd_t_energy",
    "charge",
    "charges",
    "chelpg_charges",
    "correlation_energy",
    "diagnose",
    "diagnose_file",
    "dipole",
    "dipole_trajectory",
    "dispersion_energy",
    "dispersion_gradient",
    "dlpno_strong_pairs_energy",
    "dlpno_weak_pairs_energy",
    "electrons",
    "energy",
    "energy_trajectory",
    "engrad_energy",
    "engrad_geometry",
    "engrad_gradient",
    "enthalpy",
    "entropy",
    "entropy_term",
    "excitation_energies",
    "excitations",
    "file_name",
    "frames",
    "frequencies",
    "geometry",
    "geometry_trajectory",
    "gibbs_free_energy",
    "gradient",
    "gradient_trajectory",
    "hess_frequencies",
    "hess_geometry",
    "hess_hessian",
    "hess_ir_intensities",
    "hess_masses",
    "hess_normal_modes",
    "hess_symbols",
    "hessian",
    "hirshfeld_charges",
    "hirshfeld_spins",
    "homo_lumo_gap",
    "integrated_electrons",
    "ir_intensities",
    "json_chelpg_charges",
    "json_dipole",
    "json_frequencies",
    "json_geometry",
    "json_gradient",
    "json_hessian",
    "json_hirshfeld_charges",
    "json_loewdin_charges",
    "json_mbis_charges",
    "json_mulliken_charges",
    "json_polarizability",
    "json_thermochemistry",
    "json_total_energy",
    "largest_force",
    "loewdin_charges",
    "loewdin_spins",
    "mayer_bond_orders",
    "mbis_charges",
    "mbis_spins",
    "mp2_correlation_energy",
    "mp2_energy",
    "mulliken_charges",
    "mulliken_charges_trajectory",
    "mulliken_spins",
    "multiplicity",
    "net_force",
    "net_torque",
    "nl_energy",
    "normal_modes",
    "optimisation",  # codespell:ignore optimisation
    "optimized_geometry",
    "orbital_energies",
    "orbital_occupations",
    "oscillator_strengths",
    "polarizability",
    "program_version",
    "property_json",
    "quadrupole",
    "reference_energy",
    "s_squared",
    "scf_cycles",
    "scf_energy",
    "symbols",
    "t1_diagnostic",
    "thermochemistry",
    "timings",
    "total_energy",
    "total_run_time",
    "triples_correction",
    "version",
    "zero_point_energy",
]
