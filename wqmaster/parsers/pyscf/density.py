"""Values of the converged density: moments, populations, orbitals, electrons on the grid."""

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.pyscf.report import FILE, natoms, numbers, section, value


def _per_atom(output: Output, name: str, why: str = "") -> list[float]:
    return numbers(value(output, name, why), name, natoms(output))  # type: ignore[no-any-return]


def _spins(output: Output, name: str, why: str = "") -> list[float]:
    """The spin populations of an analysis, which has charges, too; `why` they can be missing."""
    if section(output, "method").get("scf") in ("RHF", "RKS"):
        return [0.0] * len(_per_atom(output, f"{name}_charges", why))
    return _per_atom(output, f"{name}_spins", why)


@reads(FILE)
def dipole(output: Output) -> list[float]:
    """Dipole moment (x, y, z) in e a0; that of an ion is about the origin of the coordinates."""
    return numbers(value(output, "dipole"), "dipole", 3)  # type: ignore[no-any-return]


@reads(FILE)
def quadrupole(output: Output) -> list[list[float]]:
    """Quadrupole moment in e a0**2, shape (3, 3), not traceless.

    It is about the origin of the coordinates: sum of Z r r over the nuclei minus the integral of
    r r over the electrons.
    """
    return numbers(value(output, "quadrupole"), "quadrupole", 3, 3)  # type: ignore[no-any-return]


@reads(FILE, per_atom=True)
def charges(output: Output) -> list[float]:
    """Mulliken charges in e, shape (n,)."""
    return _per_atom(output, "mulliken_charges")


@reads(FILE, per_atom=True)
def mulliken_charges(output: Output) -> list[float]:
    """Mulliken charges in e, shape (n,)."""
    return _per_atom(output, "mulliken_charges")


@reads(FILE, per_atom=True)
def mulliken_spins(output: Output) -> list[float]:
    """Mulliken spin populations, shape (n,).

    They are zeros for a restricted calculation of a singlet.
    """
    return _spins(output, "mulliken")


@reads(FILE, per_atom=True)
def loewdin_charges(output: Output) -> list[float]:
    """Loewdin charges in e, shape (n,)."""
    return _per_atom(output, "loewdin_charges")


@reads(FILE, per_atom=True)
def loewdin_spins(output: Output) -> list[float]:
    """Loewdin spin populations, shape (n,).

    They are zeros for a restricted calculation of a singlet.
    """
    return _spins(output, "loewdin")


_NO_IAO = "there is no minimal basis (minao) for one of its elements"


@reads(FILE, per_atom=True)
def iao_charges(output: Output) -> list[float]:
    """Charges in e from intrinsic atomic orbitals, shape (n,) (Knizia, doi 10.1021/ct400687b).

    Raises a ParseError if PySCF has no minimal basis for an element.
    """
    return _per_atom(output, "iao_charges", _NO_IAO)


@reads(FILE, per_atom=True)
def iao_spins(output: Output) -> list[float]:
    """Spin populations from intrinsic atomic orbitals, shape (n,).

    They are zeros for a restricted calculation of a singlet. Raises a ParseError if PySCF has no
    minimal basis for an element.
    """
    return _spins(output, "iao", _NO_IAO)


def _by_spin(output: Output, name: str) -> list[float] | list[list[float]]:
    found = value(output, name)
    two = isinstance(found, list) and len(found) == 2 and isinstance(found[0], list)
    return numbers(found, name, *((2, None) if two else (None,)))  # type: ignore[no-any-return]


@reads(FILE)
def orbital_energies(output: Output) -> list[float] | list[list[float]]:
    """Orbital energies in Eh, lowest first; [up, down] if unrestricted."""
    return _by_spin(output, "orbital_energies")


@reads(FILE)
def orbital_occupations(output: Output) -> list[float] | list[list[float]]:
    """Occupations of the orbitals, in the shape of `orbital_energies`."""
    return _by_spin(output, "orbital_occupations")


@reads(FILE)
def homo_lumo_gap(output: Output) -> float | None:
    """Lowest empty minus highest occupied orbital energy in Eh, over both spins.

    None if no orbital is empty, as for He in a minimal basis.
    """
    occupations = orbital_occupations(output)
    rows = [row if isinstance(row, list) else [row] for row in occupations]
    if all(occupation > 0 for row in rows for occupation in row):
        return None
    return numbers(value(output, "homo_lumo_gap"), "homo_lumo_gap")  # type: ignore[no-any-return]


@reads(FILE)
def s_squared(output: Output) -> dict[str, float]:
    """<S**2>: its `value`, the `ideal` S (S + 1) and the `deviation`."""
    found = value(output, "s_squared")
    if not isinstance(found, dict) or set(found) != {"value", "ideal", "deviation"}:
        raise ParseError(f"'s_squared' in {FILE} is incomplete")
    return {name: numbers(part, f"s_squared.{name}") for name, part in found.items()}


@reads(FILE)
def integrated_electrons(output: Output) -> dict[str, float]:
    """Number of electrons from integrating the density on the grid: `total`, `alpha`, `beta`.

    The deviation of `total` from `electrons` shows how accurate the grid is.
    Raises a ParseError for Hartree-Fock, which has no grid.
    """
    found = value(output, "integrated_electrons", "Hartree-Fock has no grid")
    if not isinstance(found, dict) or set(found) != {"total", "alpha", "beta"}:
        raise ParseError(f"'integrated_electrons' in {FILE} is incomplete")
    return {name: numbers(part, f"integrated_electrons.{name}") for name, part in found.items()}
