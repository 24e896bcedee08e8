"""The reader of extended XYZ files, by ASE."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from wqmaster.datasets.frame import Frame
from wqmaster.datasets.readers.making import frame_from
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError

# e Angstrom, from `ase.units.Debye`.
_DEBYE = 0.20819433442462576


@dataclass(frozen=True)
class _Keys:
    """Where ASE puts what a trainer reads: `info`, `arrays`, or the results of a calculator."""

    info: Mapping[str, str]
    arrays: Mapping[str, str]
    results: Mapping[str, str]
    dipole_unit: float = 1.0


_MACE = _Keys(
    info={
        "energy": "REF_energy",
        "charge": "total_charge",
        "multiplicity": "total_spin",
        "dipole": "REF_dipole",
    },
    arrays={"forces": "REF_forces", "charges": "REF_charges"},
    results={},
    dipole_unit=_DEBYE,
)
_NEQUIP = _Keys(
    info={"charge": "charge", "multiplicity": "spin"},
    arrays={},
    results={"energy": "energy", "forces": "forces", "charges": "charges", "spins": "magmoms"},
)
_ASE = _Keys(
    info={"charge": "charge", "multiplicity": "multiplicity", "quadrupole": "quadrupole"},
    arrays={},
    results={
        "energy": "energy",
        "forces": "forces",
        "charges": "charges",
        "spins": "magmoms",
        "dipole": "dipole",
    },
)


def _read(path: Path, keys: _Keys) -> Iterator[Frame]:
    from ase.io import read

    with path.open(encoding="ascii") as file:
        for number in count(1):
            first = file.readline()
            if not first:
                return
            place = f"{path}: frame {number}"
            try:
                lines = [first, *islice(file, int(first) + 1)]
                atoms: Any = read(io.StringIO("".join(lines)), format="extxyz", index=0)
            except Exception as error:  # ASE can raise any exception
                why = f"{place}: ASE cannot read it: {error}"
                raise ProofError(why, code=ErrorCode.DATASET_UNREADABLE) from error
            results = atoms.calc.results if atoms.calc else {}
            said = {name: atoms.info.get(key) for name, key in keys.info.items()}
            said |= {name: atoms.arrays.get(key) for name, key in keys.arrays.items()}
            said |= {name: results.get(key) for name, key in keys.results.items()}
            if said.get("dipole") is not None:
                said["dipole"] = said["dipole"] * keys.dipole_unit
            said |= {"numbers": atoms.numbers, "coordinates": atoms.positions}
            yield frame_from(place, said | {"id": atoms.info.get("_id")})


def _reader(keys: _Keys) -> Callable[[Path], Iterator[Frame]]:
    return lambda path: _read(path, keys)


read_mace, read_nequip, read_ase = _reader(_MACE), _reader(_NEQUIP), _reader(_ASE)
