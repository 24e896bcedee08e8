"""Structure files with 42 molecules, written by RDKit and ASE, and their expected contents."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wqmaster.campaign.models import MoleculeFields
from wqmaster.structures.base import Options, Record
from wqmaster.structures.formats import records_of

# SMILES -> charge and multiplicity of the molecule.
MOLECULES = {
    "O": (0, 1),
    "CCO": (0, 1),
    "c1ccccc1": (0, 1),
    "[NH4+]": (1, 1),
    "C[NH3+]": (1, 1),
    "CC(=O)[O-]": (-1, 1),
    "[O-]C(=O)C(=O)[O-]": (-2, 1),
    "[CH3]": (0, 2),
    "C[CH2]": (0, 2),
    "[NH2]": (0, 2),
    "C=C[CH2]": (0, 2),
    "C1=CC=CC=C1[O]": (0, 2),
    "[O][O]": (0, 3),
    "[CH2][CH2]": (0, 3),
    "[Mg+2]": (2, 1),
    "[Zn+2]": (2, 1),
    "[OH-]": (-1, 1),
    "[H+].O": (1, 1),
    "[Na+].[Cl-]": (0, 1),
    "CC#N": (0, 1),
    "N[C@@H](C)C(=O)O": (0, 1),
    "[NH3+]CC(=O)[O-]": (0, 1),
    "C[N+](C)(C)C": (1, 1),
    "OS(=O)(=O)[O-]": (-1, 1),
    "[O-]S(=O)(=O)[O-]": (-2, 1),
    "[O-]P(=O)(O)O": (-1, 1),
    "[NH3+]CC[NH3+]": (2, 1),
    "CS(C)=O": (0, 1),
    "FC(F)(F)F": (0, 1),
    "[H][H]": (0, 1),
    "C=C": (0, 1),
    "C#C": (0, 1),
    "[C-]#[O+]": (0, 1),
    "N#N": (0, 1),
    "[N+](=O)([O-])c1ccccc1": (0, 1),
    "c1ccncc1": (0, 1),
    "c1cc[nH]c1": (0, 1),
    "BrCCBr": (0, 1),
    "ClC(Cl)Cl": (0, 1),
    "IC": (0, 1),
    "C[O]": (0, 2),
    "[CH3-]": (-1, 1),
}


@dataclass(frozen=True)
class Known:
    """A molecule as it should be read from the file."""

    title: str
    smiles: str
    numbers: list[int]
    coordinates: list[list[float]]
    charge: int
    multiplicity: int


def molecules() -> Iterator[tuple[Known, Any]]:
    """Each of MOLECULES with a geometry, as `Known` and as an RDKit molecule."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    settings: Any = AllChem.ETKDGv3()  # type: ignore[attr-defined]
    settings.randomSeed, settings.useRandomCoords = 7, True
    for count, (smiles, (charge, multiplicity)) in enumerate(MOLECULES.items(), start=1):
        parser = Chem.SmilesParserParams()
        parser.removeHs = False
        found = Chem.AddHs(Chem.MolFromSmiles(smiles, parser))
        AllChem.EmbedMolecule(found, settings)  # type: ignore[attr-defined]
        conformer = found.GetConformer()
        for atom in range(found.GetNumAtoms()):  # a molfile has four decimals
            place = conformer.GetAtomPosition(atom)
            shifted = [round(place.x + 0.5 * atom, 4), round(place.y, 4), round(place.z + 0.1, 4)]
            conformer.SetAtomPosition(atom, shifted)
        found.SetProp("_Name", f"molecule {count}")
        numbers = [atom.GetAtomicNum() for atom in found.GetAtoms()]
        places = conformer.GetPositions().tolist()
        yield Known(f"molecule {count}", smiles, numbers, places, charge, multiplicity), found


def read(path: Path, **options: Any) -> list[Record]:
    """The records in a file."""
    return list(records_of(path, Options(**{"fields": MoleculeFields(), **options})))


def check(records: list[Record], known: list[Known]) -> None:
    """Assert that the records are the known molecules, in order."""
    assert len(records) == len(known)
    for record, wanted in zip(records, known, strict=True):
        assert record.why is None, (record.place, record.why)
        [document] = record.documents
        assert document["atomic_numbers"] == wanted.numbers, wanted.smiles
        for row, expected in zip(document["coordinates"], wanted.coordinates, strict=True):
            assert row == pytest.approx(expected, abs=1e-6)
        state = (document["charge"], document["multiplicity"])
        assert state == (wanted.charge, wanted.multiplicity), wanted.smiles
