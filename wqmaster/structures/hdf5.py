"""The reader for HDF5 files of data sets: AIMNet, TorchANI, SPICE and ANI (`hdf5_rows.py`)."""

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import Document
from wqmaster.structures.ase_atoms import is_own_id, plain
from wqmaster.structures.base import LABELS, Note, Options, Record, Refused, add_fields, put
from wqmaster.structures.hdf5_rows import Row, rows_of
from wqmaster.structures.state import Implied, set_state

# The keys that state charge and multiplicity in each layout. In TorchANI's files, `charges` is the
# charge of the molecule if it is one number for each row (`tests/test_datasets.py` there).
_STATES = {
    "aimnet": {"charge": "charge", "mult": "multiplicity"},
    "torchani": {"charges": "charge", "spin_multiplicities": "multiplicity"},
    "spice": {},
    "ani": {},
}
# Keys in the layout of ANI begin with the level of theory: `wb97x_dz.energy`.
_OF_LEVEL = "."


def read(path: Path, options: Options) -> Iterator[Record]:
    """The molecules in a data set; energies and other results are not imported.

    Raises:
        StructureError: the file is not an HDF5 file, or not a data set in one of the four layouts,
            or it states charges by SMILES, and RDKit is not installed.
    """
    for number, row in enumerate(rows_of(path), start=1):
        if row.layout == "spice" and find_spec("rdkit") is None:
            raise StructureError(
                f"{path}: charges are in its SMILES, which RDKit reads: "
                "pip install 'wqmaster[structures]'",
                code=ErrorCode.LIBRARY_MISSING,
            )
        record = Record(number)
        try:
            _fill(record, row, options)
        except Refused as error:
            record.refuse(error)
        record.title = record.title or row.place
        yield record


def _fill(record: Record, row: Row, options: Options) -> None:
    document: Document = {}
    put(document, options.fields.atomic_numbers, row.numbers.tolist())
    put(document, options.fields.coordinates, row.coordinates.tolist())
    values = dict(row.values)
    given: dict[str, Any] = {}
    for key, name in _STATES[row.layout].items():
        if key in values and np.ndim(values[key]) == 0:
            given[name] = values.pop(key)
    # A SMILES of several texts is that of one of TorchANI's legacy files, which cannot be read.
    smiles = values.pop("smiles", None)
    smiles = smiles if isinstance(smiles, str) else ""
    implied = _implied(smiles, row) if row.layout == "spice" and smiles else Implied()
    own = values.pop("_id", None)
    if is_own_id(own):
        document["_id"] = record.title = own
    set_state(record, document, given | _other_states(values), implied, options)
    results = {key for key in values if key in LABELS or _OF_LEVEL in key or np.ndim(values[key])}
    if results:
        record.notes.add(Note.NO_LABELS)
    others = {key: plain(value) for key, value in values.items() if key not in results}
    named = {"smiles": smiles} if smiles else {}
    add_fields(document, named | {k: v for k, v in others.items() if v is not None}, options)
    record.documents = [document]


def _other_states(values: dict[str, Any]) -> dict[str, Any]:
    """What else may state charge and spin: single numbers under other names."""
    return {key: value for key, value in values.items() if np.ndim(value) == 0}


def _implied(smiles: str, row: Row) -> Implied:
    """The state that a SMILES states.

    Raises:
        Refused: RDKit cannot read it, or it has other atoms than the row.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule: Any = Chem.MolFromSmiles(smiles)
    if molecule is None:
        raise Refused(f"RDKit cannot read its SMILES: {smiles[:40]!r}")
    atoms = list(Chem.AddHs(molecule).GetAtoms())
    if Counter(atom.GetAtomicNum() for atom in atoms) != Counter(row.numbers.tolist()):
        raise Refused("the atoms of its SMILES differ from its 'atomic_numbers'")
    radicals = sum(atom.GetNumRadicalElectrons() for atom in atoms)
    charge = sum(atom.GetFormalCharge() for atom in atoms)
    source = "formal charges of its SMILES"
    return Implied(
        charges={source: charge}, unpaired={"radicals": radicals}, is_closed_shell=not radicals
    )
