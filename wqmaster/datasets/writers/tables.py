"""The rows of the plain formats, JSON Lines and Parquet, whose names and units are ours."""

from collections.abc import Collection
from typing import Any

from wqmaster.datasets.frame import Frame

# The unit of each quantity, by its name in the file: eV, Angstrom and e, as most trainers use.
UNITS = {
    "coordinates": "Angstrom",
    "charge": "e",
    "multiplicity": "2S+1",
    "energy": "eV",
    "forces": "eV/Angstrom",
    "charges": "e",
    "spins": "e",
    "dipole": "e Angstrom",
    "quadrupole": "e Angstrom^2",
}
# The attributes of a frame that are texts. Empty ones are left out.
TEXTS = ("title", "smiles", "campaign", "step", "recipe", "program", "graph", "split")


def row_of(frame: Frame, labels: Collection[str]) -> dict[str, Any]:
    """A frame as plain values; labels that it lacks are left out."""
    row: dict[str, Any] = {
        "_id": frame.id,
        "atomic_numbers": frame.numbers.tolist(),
        "coordinates": frame.coordinates.tolist(),
        "charge": frame.charge,
        "multiplicity": frame.multiplicity,
        "energy": frame.energy_ev,
    }
    values = {
        "forces": frame.forces_ev if "gradient" in labels else None,
        "charges": frame.charges if "charges" in labels else None,
        "spins": frame.spins if "spins" in labels else None,
        "dipole": frame.dipole_ea if "dipole" in labels else None,
        "quadrupole": frame.quadrupole_ea2 if "quadrupole" in labels else None,
    }
    row |= {name: value.tolist() for name, value in values.items() if value is not None}
    row |= {name: getattr(frame, name) for name in TEXTS if getattr(frame, name)}
    if frame.number is not None:
        row["frame"] = frame.number
    if frame.isolated:
        row["isolated_atom"] = True
    if frame.checks:
        row["checks"] = dict(frame.checks)
    if frame.warned:
        row["warned"] = list(frame.warned)
    return row
