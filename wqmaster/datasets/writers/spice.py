"""The writer of HDF5 files in the format of SPICE.

Format: openmm/spice-dataset, `downloader/downloader.py`: a group for each molecule with `subset`,
`smiles`, `atomic_numbers`, `conformations` (Bohr, single precision), `dft_total_energy` (Eh,
double), `dft_total_gradient` (Eh/Bohr, single; the gradient, not the forces), `formation_energy`,
`scf_dipole` (e Bohr) and `scf_quadrupole` (e Bohr^2). `_id` is ours. Loaders, such as
TorchMD-NET's (`torchmdnet/datasets/spice.py`), train on `formation_energy`.

The format states the charge only by the formal charges in the SMILES, and the spin only by its
radicals, so an ion or radical is left out if it has no SMILES that states them. SPICE's own SMILES
also map the atoms; these do not. SPICE's atomic charges are MBIS charges, which frames do not have,
so none are written.
"""

import hashlib
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from wqmaster.datasets.base import LABELS, Level, Unfit
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.units import ANGSTROM_PER_BOHR
from wqmaster.datasets.writers.by_size import attributes
from wqmaster.datasets.writers.formula import formula
from wqmaster.datasets.writers.hdf5 import Column, GroupedFile

_COLUMNS = {
    "_id": Column("S"),
    "atomic_numbers": Column("i2"),
    "conformations": Column("f4", "bohr"),
    "dft_total_energy": Column("f8", "hartree"),
    "formation_energy": Column("f8", "hartree"),
    "dft_total_gradient": Column("f4", "hartree/bohr"),
    "scf_dipole": Column("f4", "elementary_charge*bohr"),
    "scf_quadrupole": Column("f4", "elementary_charge*bohr^2"),
}
_KEYS = {
    "gradient": "dft_total_gradient",
    "dipole": "scf_dipole",
    "quadrupole": "scf_quadrupole",
}
_NO_SMILES = "an ion or open shell whose SMILES does not state its charge and spin"


class SpiceWriter:
    """Writes frames into a group for each molecule."""

    def __init__(self, path: Path, level: Level, labels: Collection[str] | None) -> None:
        self.labels = frozenset(LABELS if labels is None else labels) & frozenset(_KEYS)
        self._file = GroupedFile(path, _COLUMNS, attributes(level))

    def add(self, frame: Frame) -> None:
        """Write a frame.

        Raises:
            Unfit: it is an ion or has an open shell, and has no SMILES that says so.
        """
        smiles = frame.smiles or ""
        fits = smiles and _state(smiles) == (
            formula(frame.numbers),
            frame.charge,
            frame.multiplicity,
        )
        if not fits:
            if (frame.charge, frame.multiplicity) != (0, 1):
                raise Unfit(_NO_SMILES)
            smiles = ""
        row: dict[str, Any] = {
            "_id": frame.id,
            "conformations": frame.coordinates / ANGSTROM_PER_BOHR,
            "dft_total_energy": frame.energy,
        }
        for label, key in _KEYS.items():
            if label in self.labels and getattr(frame, label) is not None:
                row[key] = getattr(frame, label)
        subset = frame.campaign or "wqmaster"
        # Everything that the frames of a group must have in common.
        parts = (
            frame.numbers.astype("<i8").tobytes().hex(),
            f"{frame.charge} {frame.multiplicity}",
            frame.graph,
            smiles,
            subset,
            *row,
        )
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        constants = {"subset": subset, "smiles": smiles, "atomic_numbers": frame.numbers}
        self._file.append(f"{formula(frame.numbers)}_{key}", row, constants)

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()

    def abandon(self) -> None:
        """Close the file without completing it; the caller removes it."""
        self._file.abandon()


@lru_cache(maxsize=10_000)
def _state(smiles: str) -> tuple[str, int, int] | None:
    """The formula, charge and multiplicity that a SMILES states; None if RDKit cannot read it."""
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule: Any = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    atoms = list(Chem.AddHs(molecule).GetAtoms())
    radicals = sum(atom.GetNumRadicalElectrons() for atom in atoms)
    charge = sum(atom.GetFormalCharge() for atom in atoms)
    return formula(atom.GetAtomicNum() for atom in atoms), charge, radicals + 1


def add_formation_energies(path: Path, atoms: Sequence[Frame]) -> Path:
    """Add `formation_energy` (Eh) to a file: the energy minus those of the isolated neutral atoms.

    For a charged molecule, SPICE itself subtracts energies of ions, too; this function subtracts
    only those of neutral atoms. A group with an element that is not among `atoms` gets no formation
    energy. Returns `path`.
    """
    import h5py

    energies = {int(frame.numbers[0]): frame.energy for frame in atoms}
    with h5py.File(path, "r+") as file:
        for group in file.values():
            numbers = group["atomic_numbers"][()].tolist()
            if not energies.keys() >= set(numbers):
                continue
            reference = sum(energies[number] for number in numbers)
            made = group.create_dataset(
                "formation_energy", data=group["dft_total_energy"][()] - reference, dtype="f8"
            )
            made.attrs["units"] = "hartree"
            made.attrs["reference"] = "isolated neutral atoms"
    return path


def create(path: Path, level: Level, labels: Collection[str] | None = None) -> SpiceWriter:
    """A writer of a file in the format of SPICE."""
    return SpiceWriter(path, level, labels)
