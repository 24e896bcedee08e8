"""Parsers of BASENAME.property.json, which ORCA 6 writes (seen with 6.1).

ORCA writes it with `%output JsonPropFile true` or with orca_2json. It contains a list `Geometries`
with one entry for each evaluation. A property has one entry for each method and density, the best
one last. Numbers are in a.u. Vectors are columns `[[a], [b]]`.

Every value comes from the last entry, which is the final evaluation. Parsers raise a ParseError for
a property that only an earlier entry has, such as the gradient after an optimization. They also
refuse charges, the dipole and the polarizability if the standard output exists and shows that ORCA
followed an excited state.
"""

import json
from collections.abc import Mapping
from typing import Any

from wqmaster.errors import ParseError
from wqmaster.parsers.base import Output, reads
from wqmaster.parsers.orca.evaluations import final
from wqmaster.parsers.orca.roots import followed, of_the_scf
from wqmaster.parsers.orca.shape import on_a_line
from wqmaster.parsers.orca.vibrations import first_vibration

# 1 Bohr in Angstrom (CODATA 2018).
BOHR = 0.529177210903
_FILE = "orca.property.json"


def _load(output: Output) -> dict[str, Any]:
    try:
        found = json.loads(output.text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{output.name} is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ParseError(f"{output.name} is not a JSON object")
    return found


@reads(_FILE)
def property_json(output: Output) -> dict[str, Any]:
    """The whole file as a mapping, unchanged, with all evaluations.

    Raises:
        ParseError: it is not a JSON object, or it is truncated.
    """
    return _load(output)


def _at(output: Output, value: Any, *path: str) -> Any:
    """The value at `path` below `value`, with the last entry of each list on the way."""
    for key in path:
        if isinstance(value, list) and value:
            value = value[-1]
        if not isinstance(value, Mapping) or key not in value:
            raise output.missing(f"'{'.'.join(path)}'")
        value = value[key]
    return value


def _of_last_geometry(output: Output, whole: Any, *path: str) -> Any:
    """The value at `path` in the last geometry.

    Raises:
        ParseError: no geometry has the value, or only an earlier one does.
    """
    geometries = _at(output, whole, "Geometries")
    entries = geometries if isinstance(geometries, list) else [geometries]
    for count, entry in zip(range(len(entries), 0, -1), reversed(entries), strict=True):
        try:
            found = _at(output, entry, *path)
        except ParseError:
            continue
        if count < len(entries):
            raise ParseError(
                f"{path[0]} in {output.name} belongs to geometry {count}, but the final energy to"
                f" geometry {len(entries)}, the last one"
            )
        return found
    raise output.missing(f"'Geometries.{'.'.join(path)}'")


def _last(output: Output, *path: str) -> Any:
    """The value at `path` in the last geometry."""
    return _of_last_geometry(output, _load(output), *path)


def _with_natoms(output: Output, *path: str) -> tuple[int, Any]:
    """The number of atoms, and the value at `path` in the last geometry."""
    whole = _load(output)
    natoms = _at(output, whole, "Calculation_Info", "NumOfAtoms")
    if isinstance(natoms, bool) or not isinstance(natoms, int) or natoms < 1:
        raise ParseError(f"{output.name} does not state the number of atoms")
    return natoms, _of_last_geometry(output, whole, *path)


def _refuse_for_a_root(output: Output, what: str) -> None:
    """Refuse a value for the SCF state if the energy belongs to an excited state (see `roots`).

    The file does not state which state a density belongs to, but the standard output does.

    Raises:
        ParseError: the standard output exists, and ORCA followed an excited state.
    """
    if output.has("stdout"):
        text = output.file("stdout")
        last = final(text)
        root = followed(text, last)
        if root is not None:
            raise of_the_scf(text, last, root, what)


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ParseError(f"{what} is not a number")
    try:
        return float(value)
    except OverflowError:
        raise ParseError(f"{what} is not a number") from None


def _column(value: Any, what: str) -> list[float]:
    """A column vector `[[a], [b]]` as a list of numbers."""
    if not isinstance(value, list) or any(not isinstance(v, list) or len(v) != 1 for v in value):
        raise ParseError(f"{what} is not a column of numbers")
    return [_number(row[0], what) for row in value]


def _matrix(value: Any, what: str, size: int | None = None) -> list[list[float]]:
    """A square matrix."""
    if not isinstance(value, list) or not value or (size and len(value) != size):
        raise ParseError(f"{what} is not a square matrix")
    if any(not isinstance(row, list) or len(row) != len(value) for row in value):
        raise ParseError(f"{what} is not a square matrix")
    return [[_number(entry, what) for entry in row] for row in value]


@reads(_FILE)
def json_total_energy(output: Output) -> float:
    """Final single point energy in Eh at the last geometry.

    Raises:
        ParseError: it is missing, or ORCA reports that it is not converged.
    """
    found = _last(output, "Single_Point_Data")
    if _at(output, found, "Converged") is not True:
        raise ParseError(f"{output.name}: the last energy is not converged")
    return _number(_at(output, found, "FinalEnergy"), "FinalEnergy")


@reads(_FILE, "stdout")
def json_dipole(output: Output) -> list[float]:
    """Dipole moment (x, y, z) in a.u. at the last geometry, from the last density."""
    _refuse_for_a_root(output, "Dipole_Moment")
    found = _column(_last(output, "Dipole_Moment", "dipoleTotal"), "dipoleTotal")
    if len(found) != 3:
        raise ParseError(f"the dipole in {output.name} has {len(found)} components")
    return found


@reads(_FILE, "stdout")
def json_polarizability(output: Output) -> list[list[float]]:
    """Static polarizability in a.u. at the last geometry, shape (3, 3), from the last density."""
    _refuse_for_a_root(output, "Polarizability")
    return _matrix(_last(output, "Polarizability", "rawCartesian"), "rawCartesian", 3)


def _per_atom(output: Output, *path: str) -> list[float]:
    _refuse_for_a_root(output, path[0])
    natoms, value = _with_natoms(output, *path)
    found = _column(value, path[0])
    if len(found) != natoms:
        raise ParseError(f"{path[0]} has values for {len(found)} atoms instead of {natoms}")
    return found


@reads(_FILE, "stdout", per_atom=True)
def json_mulliken_charges(output: Output) -> list[float]:
    """Mulliken charges in e at the last geometry, shape (n,)."""
    return _per_atom(output, "Mulliken_Population_Analysis", "AtomicCharges")


@reads(_FILE, "stdout", per_atom=True)
def json_loewdin_charges(output: Output) -> list[float]:
    """Loewdin charges in e at the last geometry, shape (n,)."""
    return _per_atom(output, "Loewdin_Population_Analysis", "AtomicCharges")


@reads(_FILE, "stdout", per_atom=True)
def json_hirshfeld_charges(output: Output) -> list[float]:
    """Hirshfeld charges in e at the last geometry, shape (n,)."""
    return _per_atom(output, "Hirshfeld_Population_Analysis", "AtomicCharges")


@reads(_FILE, "stdout", per_atom=True)
def json_mbis_charges(output: Output) -> list[float]:
    """MBIS charges in e at the last geometry, shape (n,)."""
    return _per_atom(output, "MBIS_Population_Analysis", "AtomicCharges")


@reads(_FILE, "stdout", per_atom=True)
def json_chelpg_charges(output: Output) -> list[float]:
    """CHELPG charges in e at the last geometry, shape (n,)."""
    return _per_atom(output, "CHELPG_Population_Analysis", "AtomicCharges")


@reads(_FILE, per_atom=True)
def json_gradient(output: Output) -> list[list[float]]:
    """Gradient in Eh/Bohr at the last geometry, shape (n, 3).

    It is missing after an optimization, which computes its final energy without a gradient.
    """
    natoms, value = _with_natoms(output, "Nuclear_Gradient", "grad")
    found = _column(value, "grad")
    if len(found) != 3 * natoms:
        raise ParseError(f"the gradient in {output.name} has {len(found)} components")
    return [found[start : start + 3] for start in range(0, len(found), 3)]


@reads(_FILE)
def json_hessian(output: Output) -> list[list[float]]:
    """Hessian in Eh/Bohr^2 at the last geometry, shape (3n, 3n)."""
    natoms, value = _with_natoms(output, "Hessian", "HESSIAN")
    return _matrix(value, "HESSIAN", 3 * natoms)


@reads(_FILE)
def json_frequencies(output: Output) -> list[float]:
    """Frequencies in cm^-1 at the last geometry, imaginary ones negative, as in `frequencies`.

    Raises:
        ParseError: they are missing, or ORCA did not set 6 values (5 for a linear molecule) to 0.
    """
    found = _column(_last(output, "THERMOCHEMISTRY_Energies", "FREQ"), "FREQ")
    points = json_geometry(output)
    linear = on_a_line(points) if 3 * len(points) == len(found) else None
    return found[first_vibration(found, linear) :]


# The name of each value, and its key in the file.
_THERMOCHEMISTRY = {
    "temperature": "temperature",
    "pressure": "pressure",
    "mass": "totalMass",
    "electronic_energy": "elEnergy",
    "zero_point_energy": "zpe",
    "thermal_vibrational_correction": "vibEnergy",
    "thermal_rotational_correction": "rotEnergy",
    "thermal_translational_correction": "transEnergy",
    "inner_energy": "innerEnergyU",
    "enthalpy": "enthalpyH",
    "entropy_term": "entropyS",
    "electronic_entropy_term": "qEl",
    "vibrational_entropy_term": "qVib",
    "rotational_entropy_term": "qRot",
    "translational_entropy_term": "qTrans",
    "gibbs_free_energy": "freeEnergyG",
}


@reads(_FILE)
def json_thermochemistry(output: Output) -> dict[str, float]:
    """Thermochemistry at the last geometry, with names and units as in `thermochemistry`."""
    found = _last(output, "THERMOCHEMISTRY_Energies")
    return {name: _number(_at(output, found, key), key) for name, key in _THERMOCHEMISTRY.items()}


@reads(_FILE, per_atom=True)
def json_geometry(output: Output) -> list[list[float]]:
    """The last geometry in Angstrom, shape (n, 3)."""
    natoms, place = _with_natoms(output, "Geometry", "Coordinates")
    scale = {"a.u.": BOHR, "Angs": 1.0}.get(str(_at(output, place, "Units")))
    atoms = _at(output, place, "Cartesians")
    if scale is None or not isinstance(atoms, list) or len(atoms) != natoms:
        raise ParseError(f"the geometry in {output.name} cannot be read")
    if any(not isinstance(atom, list) or len(atom) != 4 for atom in atoms):
        raise ParseError(f"the geometry in {output.name} cannot be read")
    return [[_number(x, "a coordinate") * scale for x in atom[1:]] for atom in atoms]
