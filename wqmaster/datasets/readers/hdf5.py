"""The readers of HDF5 files, each row by row with h5py (`structures/hdf5_rows.py`).

All of them raise ProofError if the file cannot be read, has another layout, or a row lacks a value.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.readers.making import frame_from
from wqmaster.datasets.units import ANGSTROM_PER_BOHR
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError, StructureError
from wqmaster.structures.hdf5_rows import Row, rows_of

# The components xx, yy, zz, xy, yz, zx in AIMNet's quadrupole moments, as indices of a flat matrix.
_FLAT = (0, 3, 5, 3, 1, 4, 5, 4, 2)

Said = Mapping[str, Any]


def _rows(path: Path, layout: str) -> Iterator[Row]:
    try:
        for row in rows_of(path):
            if row.layout != layout:
                why = f"{path}: {row.place}: in the layout of {row.layout}, not of {layout}"
                raise ProofError(why, code=ErrorCode.DATASET_UNREADABLE)
            yield row
    except StructureError as error:
        raise ProofError(error.message, code=ErrorCode.DATASET_UNREADABLE) from error


def _frames(
    path: Path, layout: str, said: Callable[[Row], Said], *, in_ev: bool
) -> Iterator[Frame]:
    for row in _rows(path, layout):
        given = {
            "id": row.values.get("_id"),
            "numbers": row.numbers,
            "coordinates": row.coordinates,
        }
        yield frame_from(f"{path}: {row.place}", {**said(row), **given}, in_ev=in_ev)


def _of_aimnet(row: Row) -> Said:
    said = {
        "charge": row.values.get("charge"),
        "multiplicity": row.values.get("mult"),
        "spins": row.values.get("spin_charges"),
    }
    said |= {name: row.values.get(name) for name in ("energy", "forces", "charges", "dipole")}
    moment = row.values.get("quadrupole")
    if moment is not None:
        said["quadrupole"] = [moment[place] for place in _FLAT]
    return said


def read_aimnet(path: Path) -> Iterator[Frame]:
    """The rows of a file for AIMNet2."""
    yield from _frames(path, "aimnet", _of_aimnet, in_ev=True)


def _of_torchani(row: Row) -> Said:
    names = {
        "charge": "charges",
        "multiplicity": "spin_multiplicities",
        "energy": "energies",
        "forces": "forces",
        "charges": "atomic_charges",
        "spins": "atomic_spins",
        "dipole": "dipoles",
        "quadrupole": "quadrupoles",
    }
    return {name: row.values.get(key) for name, key in names.items()}


def read_torchani(path: Path) -> Iterator[Frame]:
    """The rows of a file for TorchANI."""
    yield from _frames(path, "torchani", _of_torchani, in_ev=False)


def _of_ani(row: Row) -> Said:
    levels = [key for key in row.values if key.endswith(".energy")]
    if len(levels) != 1:
        return {"charge": 0, "multiplicity": 1}  # `frame_from` refuses a row without an energy
    forces = row.values.get(re.sub(r"\.energy$", ".forces", levels[0]))
    if forces is not None and (forces != forces).any():  # the format fills gaps with NaN
        forces = None
    energy = row.values[levels[0]]
    return {"energy": energy, "forces": forces, "charge": 0, "multiplicity": 1}


def read_ani(path: Path) -> Iterator[Frame]:
    """The rows of a file in the format of ANI-1x."""
    yield from _frames(path, "ani", _of_ani, in_ev=False)


def _of_spice(row: Row) -> Said:
    charge, multiplicity = _state(row)
    gradient = row.values.get("dft_total_gradient")
    said = {
        "charge": charge,
        "multiplicity": multiplicity,
        "energy": row.values.get("dft_total_energy"),
        "forces": None if gradient is None else -gradient / ANGSTROM_PER_BOHR,
    }
    if (dipole := row.values.get("scf_dipole")) is not None:
        said["dipole"] = dipole * ANGSTROM_PER_BOHR
    if (quadrupole := row.values.get("scf_quadrupole")) is not None:
        said["quadrupole"] = quadrupole * ANGSTROM_PER_BOHR**2
    return said


def _state(row: Row) -> tuple[int, int] | tuple[None, None]:
    """Charge and multiplicity from the SMILES, or (None, None) if RDKit cannot read it.

    A row without a SMILES is a neutral singlet.
    """
    from rdkit import Chem

    smiles = row.values.get("smiles", "")
    molecule: Any = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None, None
    radicals = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    return Chem.GetFormalCharge(molecule), radicals + 1


def read_spice(path: Path) -> Iterator[Frame]:
    """The rows of a file in the format of SPICE."""
    yield from _frames(path, "spice", _of_spice, in_ev=False)
