"""Make frames of the values in a file, which are in Angstrom and in eV or Eh."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.units import ANGSTROM_PER_BOHR, EV_PER_EH
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError


def frame_from(place: str, said: Mapping[str, Any], *, in_ev: bool = True) -> Frame:
    """A frame from the values of a row. Messages name the row by its `place`.

    The keys of `said` are `id`, `numbers`, `coordinates` (Angstrom), `charge`, `multiplicity`,
    `energy`, `forces`, `charges`, `spins`, `dipole` (e Angstrom) and `quadrupole` (e Angstrom^2).
    Energies are in eV and forces in eV/Angstrom, or in Eh and Eh/Angstrom without `in_ev`.

    Raises:
        ProofError: elements, coordinates, charge, multiplicity or energy are missing, or a value
            has a wrong type or shape.
    """
    for name in ("numbers", "coordinates", "charge", "multiplicity", "energy"):
        if said.get(name) is None:
            raise ProofError(f"{place}: no {name}", code=ErrorCode.DATASET_UNREADABLE)
    per_eh = EV_PER_EH if in_ev else 1.0
    try:
        numbers = np.asarray(said["numbers"], dtype=np.int64).reshape(-1)
        n = len(numbers)
        forces = _shaped(said, "forces", (n, 3))
        dipole = _shaped(said, "dipole", (3,))
        quadrupole = _shaped(said, "quadrupole", (3, 3))
        return Frame(
            id=str(said.get("id") or ""),
            numbers=numbers,
            coordinates=np.asarray(said["coordinates"], dtype=np.float64).reshape(n, 3),
            charge=_whole(said["charge"]),
            multiplicity=_whole(said["multiplicity"]),
            energy=float(said["energy"]) / per_eh,
            gradient=None if forces is None else -forces * ANGSTROM_PER_BOHR / per_eh,
            charges=_shaped(said, "charges", (n,)),
            spins=_shaped(said, "spins", (n,)),
            dipole=None if dipole is None else dipole / ANGSTROM_PER_BOHR,
            quadrupole=None if quadrupole is None else quadrupole / ANGSTROM_PER_BOHR**2,
        )
    except (TypeError, ValueError) as error:
        raise ProofError(f"{place}: {error}", code=ErrorCode.DATASET_UNREADABLE) from error


def _shaped(said: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Any:
    value = said.get(name)
    return None if value is None else np.asarray(value, dtype=np.float64).reshape(shape)


def _whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError(f"{number} is not a whole number")
    return int(number)
