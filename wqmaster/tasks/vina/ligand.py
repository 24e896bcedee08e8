"""A ligand's SMILES or SDF text -> PDBQT, by RDKit and Meeko (the extra `docking`).

The protonation is as given: charges are those of the SMILES or SDF; only the hydrogens that its
valences imply are added. Where the text leaves a stereo centre open, the seed decides.
"""

import importlib.util
from typing import Any

from wqmaster.errors import BadDocument

# Of the embedding: the same text gives the same ligand (with the same RDKit and Meeko).
_SEED = 61453
# An embedding that takes longer is given up (seconds): the master waits for it.
_EMBEDDING_TIMEOUT_SECONDS = 30
# RDKit stops there, although most molecules are done in a few hundred.
_MAX_RELAXATION_STEPS = 2000
_MAX_LIGAND_CHARACTERS = 100_000
_MODULES = ("rdkit", "meeko", "gemmi", "scipy")


def missing() -> str | None:
    """What to install before a ligand can be prepared here; None if all is there."""
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return (
        f"ligands from SMILES or SDF need {', '.join(absent)}, which is not installed here: "
        "pip install 'wqmaster[docking]'"
    )


def _embedded(molecule: Any) -> Any:
    """`molecule` with all hydrogens and coordinates (ETKDGv3, then MMFF94 where it has types)."""
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    molecule = Chem.AddHs(molecule)
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = _SEED
    settings.timeout = _EMBEDDING_TIMEOUT_SECONDS
    if rdDistGeom.EmbedMolecule(molecule, settings) != 0:
        settings.useRandomCoords = True
        if rdDistGeom.EmbedMolecule(molecule, settings) != 0:
            raise BadDocument("RDKit finds no coordinates for the ligand")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule, maxIters=_MAX_RELAXATION_STEPS)
    return molecule


def _from_smiles(text: str) -> Any:
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(text.strip())
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise BadDocument(f"RDKit cannot read the SMILES {text.strip()[:60]!r}")
    return _embedded(molecule)


def _from_sdf(text: str) -> Any:
    from rdkit import Chem

    first, _, rest = text.partition("$$$$")
    if rest.strip():
        raise BadDocument("the SDF holds several molecules; a ligand is one")
    molecule = Chem.MolFromMolBlock(first, removeHs=False)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise BadDocument("RDKit cannot read the SDF")
    if not molecule.GetConformer().Is3D():
        return _embedded(molecule)
    return Chem.AddHs(molecule, addCoords=True)


def pdbqt(text: str, form: str) -> str:
    """The PDBQT text of the ligand that `text` describes; `form` is "smiles" or "sdf".

    An SDF with 3D coordinates keeps them; otherwise they are made by RDKit. Meeko makes rotatable
    bonds, atom types, Gasteiger charges, and opens macrocycles, all as its defaults say.

    Raises:
        BadDocument: it cannot be prepared; says why.
    """
    from meeko import MoleculePreparation, PDBQTWriterLegacy
    from rdkit import rdBase

    if len(text) > _MAX_LIGAND_CHARACTERS or "\0" in text:
        raise BadDocument(f"the {form} of {len(text)} characters is none of a ligand")
    with rdBase.BlockLogs():
        molecule = _from_smiles(text) if form == "smiles" else _from_sdf(text)
        try:
            setups = MoleculePreparation().prepare(molecule)
            if len(setups) != 1:
                raise BadDocument(f"Meeko prepares {len(setups)} ligands, not one")
            written, good, why = PDBQTWriterLegacy.write_string(setups[0])
        except BadDocument:
            raise
        except Exception as error:  # Meeko has no base class of its errors
            raise BadDocument(f"Meeko cannot prepare the ligand: {error}") from error
    if not good:
        reason = str(why).strip().partition("\n")[0]
        raise BadDocument(f"Meeko cannot prepare the ligand: {reason}")
    return str(written)
