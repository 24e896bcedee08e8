"""The molecules in HDF5 files of data sets, recognized by the arrays in their groups.

| layout | arrays of a group | source |
| --- | --- | --- |
| aimnet | `coord` (rows, n, 3), `numbers` (rows, n), `charge`, `mult` | isayevlab/aimnetcentral, `docs/train.md` |
| torchani | `coordinates`, `species` or `numbers` (rows, n), or (n,) in its legacy files, as numbers or symbols | aiqm/torchani, `torchani/datasets/anidataset.py` |
| spice | `conformations` (rows, n, 3) in Bohr, `atomic_numbers` (n,), `smiles` | openmm/spice-dataset, `downloader/downloader.py` |
| spice | `conformations` in the unit that they state, mapped `smiles` | openmm/spice-dataset, `water/water.hdf5` |
| ani | `coordinates` in Angstrom, `atomic_numbers` (n,) | aiqm/ANI1x_datasets, `dataloader.py` |
"""  # noqa: E501  # a table

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import NUMBER_OF

# Each layout, with the two arrays that a group in this layout has. The first that fits is taken.
_LAYOUTS = (
    ("aimnet", "coord", "numbers"),
    ("spice", "conformations", "atomic_numbers"),
    ("spice", "conformations", "smiles"),
    ("torchani", "coordinates", "species"),
    ("torchani", "coordinates", "numbers"),
    ("ani", "coordinates", "atomic_numbers"),
)
# The size of what is read at a time.
_BLOCK_BYTES = 4 << 20
# Angstrom per Bohr (CODATA 2014, as in `ase.units`).
_BOHR = 0.5291772105638411
_UNITS = {
    "bohr": _BOHR,
    "a0": _BOHR,
    "angstrom": 1.0,
    "angstroms": 1.0,
    "nm": 10.0,
    "nanometers": 10.0,
}
# Arrays that describe a group as a whole, whatever their length: TorchANI's legacy files have a
# SMILES of several texts.
_OF_GROUP = frozenset(("smiles", "subset", "lot"))
# The longest chain of groups in groups.
_MOST_LEVELS = 8


@dataclass(frozen=True)
class Row:
    """One molecule with everything that its group says of it; n is the number of atoms."""

    group: str
    index: int  # in the group, from 0
    layout: str
    numbers: npt.NDArray[np.int64]  # shape (n,)
    coordinates: npt.NDArray[np.float64]  # Angstrom, shape (n, 3)
    # The other arrays: their values for this row, or for the group, as NumPy or Python values.
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"group '{self.group}', row {self.index}"


def rows_of(path: Path) -> Iterator[Row]:
    """All rows of a file, group by group.

    Raises:
        StructureError: the file is not an HDF5 file, no group has a known layout, or the arrays of
            a group do not fit together.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise StructureError(f"{path}: not an HDF5 file, or damaged: {error}") from error
    with file:
        found = False
        for name, group in _groups(file):
            for layout, coordinates, elements in _LAYOUTS:
                if {coordinates, elements} <= group.keys():
                    found = True
                    try:
                        yield from _rows(name, group, layout, coordinates, elements)
                    except (OSError, ValueError, TypeError, KeyError) as error:
                        raise StructureError(f"{path}: group '{name}': {error}") from error
                    break
        if not found:
            raise StructureError(
                f"{path}: none of its groups has the layout of a data set; a group has 'coord' and "
                "'numbers' (AIMNet), 'coordinates' and 'species' or 'numbers' (TorchANI), "
                "'conformations' and 'atomic_numbers' (SPICE), or 'coordinates' and "
                "'atomic_numbers' (ANI)"
            )


def _groups(group: Any, name: str = "", level: int = 0) -> Iterator[tuple[str, Any]]:
    """The groups that hold arrays. Links to other files and groups are not followed."""
    import h5py

    arrays: dict[str, Any] = {}
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            continue
        member = group[key]
        if isinstance(member, h5py.Dataset):
            arrays[key] = member
        elif level < _MOST_LEVELS:
            yield from _groups(member, f"{name}/{key}" if name else key, level + 1)
    if arrays:
        yield name, arrays


def _rows(
    name: str, group: Mapping[str, Any], layout: str, coordinates: str, elements: str
) -> Iterator[Row]:
    places = group[coordinates]
    if places.ndim != 3 or places.shape[2] != 3:
        raise ValueError(f"'{coordinates}' has the shape {places.shape}, not (rows, atoms, 3)")
    count, atoms = places.shape[:2]
    mapped = elements == "smiles"
    per_row = not mapped and group[elements].ndim == 2
    fixed = _mapped(group[elements][()]) if mapped else np.zeros(0, np.int64)
    expected = (count, atoms) if per_row else (atoms,)
    shape = fixed.shape if mapped else group[elements].shape
    if shape != expected:
        raise ValueError(
            f"'{elements}' has the shape {shape}, but '{coordinates}' has {places.shape}"
        )
    if layout == "aimnet" and name.isdecimal() and int(name) != atoms:
        raise ValueError(f"its molecules have {atoms} atoms, but its name says {int(name)}")
    unit = _unit_of(places, "bohr" if layout == "spice" else "angstrom")
    others = [key for key in group if key != coordinates and (mapped or key != elements)]
    rowwise = [key for key in others if key not in _OF_GROUP and group[key].ndim]
    for key in rowwise:
        if len(group[key]) != count:
            raise ValueError(f"'{key}' has {len(group[key])} rows, but '{coordinates}' has {count}")
    shared = {key: _plain(group[key][()]) for key in others if key not in rowwise}
    numbers = fixed if per_row or mapped else _numbers(group[elements][()])
    block = max(1, _BLOCK_BYTES // max(1, 24 * atoms))
    for start in range(0, count, block):
        piece = slice(start, start + block)
        xyz = np.asarray(places[piece], dtype=np.float64) * unit
        each = _numbers(group[elements][piece]) if per_row else None
        values = {key: group[key][piece] for key in rowwise}
        for place in range(len(xyz)):
            own = numbers if each is None else each[place]
            said = {key: _plain(column[place]) for key, column in values.items()}
            if layout == "torchani" and "_id" in said:
                said["_id"] = _unescaped(said["_id"])
            yield Row(name, start + place, layout, own, xyz[place], shared | said)


def _unescaped(name: Any) -> Any:
    """An id whose characters outside of ASCII are escaped, since TorchANI reads no others."""
    if not isinstance(name, str) or "\\" not in name:
        return name
    try:
        return name.encode("ascii").decode("unicode_escape")
    except UnicodeError:
        return name


def _unit_of(array: Any, default: str) -> float:
    said = array.attrs.get("units", default)
    name = (said.decode() if isinstance(said, bytes) else str(said)).strip().lower()
    if name not in _UNITS:
        raise ValueError(f"its coordinates are in {name!r}; convert them to Angstrom")
    return _UNITS[name]


def _numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Atomic numbers, from numbers or symbols."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    texts = [_plain(value) for value in values.ravel()]
    unknown = next((text for text in texts if text not in NUMBER_OF), None)
    if unknown is not None:
        raise ValueError(f"unknown element {unknown!r:.20}")
    return np.array([NUMBER_OF[text] for text in texts], dtype=np.int64).reshape(values.shape)


def _mapped(smiles: Any) -> npt.NDArray[np.int64]:
    """The atomic numbers of a SMILES, in the order of its atom map."""
    try:
        from rdkit import Chem
    except ModuleNotFoundError:
        raise ValueError("its elements are in its SMILES, which RDKit reads") from None
    molecule: Any = Chem.MolFromSmiles(str(_plain(smiles)), sanitize=False)
    atoms = [] if molecule is None else list(molecule.GetAtoms())
    atoms.sort(key=lambda atom: atom.GetAtomMapNum())
    if [atom.GetAtomMapNum() for atom in atoms] != list(range(1, len(atoms) + 1)):
        raise ValueError("it has neither 'atomic_numbers' nor a SMILES that numbers all its atoms")
    return np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.int64)


def _plain(value: Any) -> Any:
    """Text as str, everything else as it is."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO" and value.size == 1:
        return _plain(value.ravel()[0])
    return value
