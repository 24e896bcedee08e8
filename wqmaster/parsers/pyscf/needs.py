"""What each parser of PySCF needs that only some steps produce.

`wqmaster.tasks.pyscf.leaves` knows which steps produce it. `PLAIN` has the parsers for which any
step will do; every parser of the package must be in one of the two tables.
"""

from collections.abc import Mapping

NEEDS: Mapping[str, tuple[str, ...]] = {
    "dispersion_energy": ("dispersion",),
    "frames": ("optimization",),
    "frequencies": ("hessian",),
    "gradient": ("gradient",),
    "hessian": ("hessian",),
    "iao_spins": ("spin",),
    "integrated_electrons": ("grid",),
    "loewdin_spins": ("spin",),
    "mulliken_spins": ("spin",),
    "nl_energy": ("nonlocal",),
    "opt_cycles": ("optimization",),
    "optimized_geometry": ("optimization",),
    "solvation_energy": ("solvent",),
    "xc_energy": ("grid",),
    "zero_point_energy": ("hessian",),
}

PLAIN = frozenset(
    (
        *("basis_functions", "charge", "charges", "dipole", "electrons", "energy"),
        *("energy_parts", "geometry"),
        *("homo_lumo_gap", "iao_charges", "linear_dependencies", "loewdin_charges"),
        *("method_settings",),
        *("mulliken_charges", "multiplicity", "nuclear_energy", "one_electron_energy"),
        *("orbital_energies", "orbital_occupations", "quadrupole", "s_squared", "scf_cycles"),
        *("scf_settings", "symbols", "timings", "versions"),
    )
)
