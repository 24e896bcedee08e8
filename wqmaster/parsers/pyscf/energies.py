"""The energy and its parts, the gradient and second derivatives."""

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.pyscf.report import FILE, natoms, number, numbers, section, value

# h c / 2 for a wave number in 1/cm, in Eh (CODATA 2018).
_HALF_QUANTUM_EH_CM = 0.5 * 4.556335252912e-6


@reads(FILE)
def energy(output: Output) -> float:
    """Total energy in Eh, at the final geometry; it includes dispersion and solvation."""
    return number(value(output, "energy"), "energy")


def _part(output: Output, name: str, why: str) -> float:
    parts = value(output, "energy_parts")
    if not isinstance(parts, dict) or name not in parts:
        raise ParseError(f"the energy has no part '{name}': {why}")
    return number(parts[name], name)


@reads(FILE)
def energy_parts(output: Output) -> dict[str, float]:
    """All parts of the energy in Eh, from PySCF's `scf_summary`.

    Keys: `nuclear`, `one_electron`, `two_electron`; with a functional also `coulomb` and `xc`
    (which includes exact exchange and non-local correlation), whose sum is `two_electron`; and
    `dispersion`, `nlc`, `solvent` and `solvent_cds`, if the calculation has them.
    """
    found = value(output, "energy_parts")
    if not isinstance(found, dict):
        raise ParseError(f"'energy_parts' in {FILE} is not a mapping")
    return {str(name): number(part, str(name)) for name, part in found.items()}


@reads(FILE)
def nuclear_energy(output: Output) -> float:
    """Repulsion of the nuclei in Eh."""
    return _part(output, "nuclear", "the report is incomplete")


@reads(FILE)
def one_electron_energy(output: Output) -> float:
    """Kinetic energy and attraction by the nuclei in Eh."""
    return _part(output, "one_electron", "the report is incomplete")


@reads(FILE)
def xc_energy(output: Output) -> float:
    """Exchange-correlation energy in Eh, with exact exchange and non-local correlation."""
    return _part(output, "xc", "Hartree-Fock has no functional")


@reads(FILE)
def dispersion_energy(output: Output) -> float:
    """Dispersion correction (D3, D4) in Eh."""
    return _part(output, "dispersion", "the calculation has no dispersion correction")


@reads(FILE)
def nl_energy(output: Output) -> float:
    """Non-local (VV10) correlation energy in Eh, as in wB97M-V; a part of `xc_energy`."""
    return _part(output, "nlc", "the functional has no non-local correlation")


@reads(FILE)
def solvation_energy(output: Output) -> float:
    """Energy of the implicit solvent in Eh: electrostatics and, with SMD, its other terms (CDS)."""
    parts = energy_parts(output)
    electrostatic = _part(output, "solvent", "the calculation has no solvent")
    return electrostatic + float(parts.get("solvent_cds", 0.0))


@reads(FILE, per_atom=True)
def gradient(output: Output) -> list[list[float]]:
    """Gradient of the energy in Eh/a0, shape (n, 3), at the final geometry."""
    found = value(output, "gradient", "the step computes no gradient")
    return numbers(found, "gradient", natoms(output), 3)  # type: ignore[no-any-return]


@reads(FILE)
def hessian(output: Output) -> list[list[float]]:
    """Second derivatives of the energy in Eh/a0**2, shape (3n, 3n), not mass-weighted."""
    size = 3 * natoms(output)
    found = value(output, "hessian", "the step is not a Hessian")
    return numbers(found, "hessian", size, size)  # type: ignore[no-any-return]


@reads(FILE)
def frequencies(output: Output) -> list[float]:
    """Harmonic frequencies in 1/cm, lowest first; imaginary ones are negative.

    They are vibrations only: rotations and translations are projected out. Masses are averages
    over natural isotopes.
    """
    found = value(output, "frequencies", "the step is not a Hessian")
    return numbers(found, "frequencies", None)  # type: ignore[no-any-return]


@reads(FILE)
def zero_point_energy(output: Output) -> float:
    """Vibrational energy at 0 K in Eh, without `energy`; imaginary frequencies are left out."""
    return float(sum(_HALF_QUANTUM_EH_CM * wave for wave in frequencies(output) if wave > 0))


@reads(FILE)
def versions(output: Output) -> dict[str, str]:
    """Versions of PySCF, libxc, the dispersion and optimization libraries, NumPy and Python.

    A dot in a library's name becomes an underscore, since names of fields in the database may not
    contain dots.
    """
    found = section(output, "versions")
    return {str(name).replace(".", "_"): str(version) for name, version in found.items()}
