"""Convert a ligand's SMILES or SDF text to PDBQT with RDKit and Meeko (the extra `docking`).

The protonation state is kept: charges are those in the text, and only hydrogens that its valences
imply are added. If the text leaves a stereocenter undefined, the seed decides.
"""

import importlib.util
from typing import Any

from wqmaster.errors import BadDocument

# The seed for the embedding. It is fixed, so the same text gives the same ligand as long as the
# versions of RDKit and Meeko stay the same.
_SEED = 61453
# The time limit for an embedding, for which the master waits.
_EMBEDDING_TIMEOUT_SECONDS = 30
# The limit on steps of the MMFF94 optimization. Most molecules need only a few hundred.
_MAX_RELAXATION_STEPS = 2000
_MAX_LIGAND_CHARACTERS = 100_000
_MODULES = ("rdkit", "meeko", "gemmi", "scipy")


def missing() -> str | None:
    """A message with the modules that must be installed on this machine; None if all are."""
    absent = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    return (
        f"ligands from SMILES or SDF need modules that are not installed: {', '.join(absent)}; "
        "pip install 'wqmaster[docking]'"
    )


def _embedded(molecule: Any) -> Any:
    """Add hydrogens and 3D coordinates (ETKDGv3, then MMFF94 if it has parameters).

    Raises:
        BadDocument: RDKit cannot generate coordinates.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    molecule = Chem.AddHs(molecule)
    settings: Any = rdDistGeom.ETKDGv3()
    settings.randomSeed = _SEED
    settings.timeout = _EMBEDDING_TIMEOUT_SECONDS
    if rdDistGeom.EmbedMolecule(molecule, settings) != 0:
        settings.useRandomCoords = True
        if rdDistGeom.EmbedMolecule(molecule, settings) != 0:
            raise BadDocument("RDKit cannot generate coordinates for the ligand")
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
        raise BadDocument("the SDF holds several molecules; a ligand must be one molecule")
    molecule = Chem.MolFromMolBlock(first, removeHs=False)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise BadDocument("RDKit cannot read the SDF")
    if not molecule.GetConformer().Is3D():
        return _embedded(molecule)
    return Chem.AddHs(molecule, addCoords=True)


def pdbqt(text: str, form: str) -> str:
    """Convert the text of a ligand to PDBQT; `form` is "smiles" or "sdf".

    3D coordinates in an SDF are kept; otherwise RDKit generates coordinates. With its default
    settings, Meeko finds rotatable bonds, assigns atom types and Gasteiger charges, and opens
    macrocycles.

    Raises:
        BadDocument: the ligand cannot be prepared; the message gives the reason.
    """
    from meeko import MoleculePreparation, PDBQTWriterLegacy
    from rdkit import rdBase

    if len(text) > _MAX_LIGAND_CHARACTERS or "\0" in text:
        raise BadDocument(f"{form}: {len(text):,} characters are not the text of one ligand")
    with rdBase.BlockLogs():
        molecule = _from_smiles(text) if form == "smiles" else _from_sdf(text)
        try:
            setups = MoleculePreparation().prepare(molecule)
            if len(setups) != 1:
                raise BadDocument(f"Meeko prepares {len(setups)} ligands instead of one")
            written, good, why = PDBQTWriterLegacy.write_string(setups[0])
        except BadDocument:
            raise
        except Exception as error:  # Meeko's errors have no common base class
            raise BadDocument(f"Meeko cannot prepare the ligand: {error}") from error
    if not good:
        reason = str(why).strip().partition("\n")[0]
        raise BadDocument(f"Meeko cannot prepare the ligand: {reason}")
    return str(written)
