#!/usr/bin/env python3
"""Make molecules.extxyz: 100 small molecules, ions and radicals of C, H, N and O.

Each has 2 to 5 heavy atoms. RDKit embeds the SMILES below (ETKDGv3, one seed) and relaxes the
molecule with MMFF94, or with UFF where MMFF94 has no parameters, as for most radicals. The comment
line of each frame states name, SMILES, charge and multiplicity. To run:

    pip install rdkit
    python make_molecules.py
"""

from pathlib import Path

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

NEUTRAL = """
CC C=C C#C CO C=O CN C=N C#N NN OO NO CCC CC=C CC#C C1CC1 CCO COC CC=O CCN CNC CC#N OC=O NC=O
C=C=C C=C=O N=C=O N#CN CN=C NC(N)=O CC(C)C CCCC CC(C)=O CCC=O C=CC=O CC(=O)O COC=O CC(N)=O OCCO
NCCO NCCN C1CCC1 C1CO1 C1CN1 C=CC=C CC=CC C#CC#C N#CC#N O=CC=O CON CNO NC=N CC=N CN=O C=CO CC(O)=N
C=CN CCC#N COCO CC(C)O CC(C)N CN(C)C CCOC CCCO CCCN C1=CNC=N1 C1=COC=C1 C1=CNC=C1 C1=CON=C1
C1=NNC=C1 OCC=O
"""
IONS = """
C[NH3+] [O-]C=O CC(=O)[O-] C[O-] C[NH2+]C [N-]=C=O CC=[OH+] C[CH2-] NC(N)=[NH2+] C=[NH2+] [NH-]C=O
CC[O-] CC[NH3+] [O-]N=O C[N-]C [NH2+]=CN
"""
RADICALS = """
C[CH2] C[O] O[CH2] C[NH] N[CH2] C=C[CH2] [CH]=C C[C]=O [O]C=O CC[O] N#C[CH2] C[CH]C O[C]=O C[CH]O
"""
MIN_HEAVY_ATOMS, MAX_HEAVY_ATOMS = 2, 5
SEED = 20261129
# RDKit's default, 200 steps, leaves some molecules unconverged.
MAX_STEPS = 5000


def frame(number: int, smiles: str) -> str:
    """One frame of extended XYZ."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    heavy = sum(atom.GetAtomicNum() > 1 for atom in molecule.GetAtoms())
    if not MIN_HEAVY_ATOMS <= heavy <= MAX_HEAVY_ATOMS:
        raise SystemExit(f"{smiles} has {heavy} heavy atoms")
    if rdDistGeom.EmbedMolecule(molecule, randomSeed=SEED) < 0:
        raise SystemExit(f"{smiles} cannot be embedded")
    relax = rdForceFieldHelpers.UFFOptimizeMolecule
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        relax = rdForceFieldHelpers.MMFFOptimizeMolecule
    if relax(molecule, maxIters=MAX_STEPS):
        raise SystemExit(f"{smiles} did not relax")
    radicals = sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    state = f"charge={Chem.GetFormalCharge(molecule)} multiplicity={radicals + 1}"
    lines = [
        str(molecule.GetNumAtoms()),
        "Properties=species:S:1:pos:R:3 "
        f'name=small-{number:03d} smiles="{smiles}" {state} pbc="F F F"',
    ]
    for atom, (x, y, z) in zip(
        molecule.GetAtoms(), molecule.GetConformer().GetPositions(), strict=True
    ):
        lines.append(f"{atom.GetSymbol():<2} {x:12.6f} {y:12.6f} {z:12.6f}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file."""
    smiles = [*NEUTRAL.split(), *IONS.split(), *RADICALS.split()]
    if len(set(smiles)) != len(smiles):
        raise SystemExit("a molecule occurs twice")
    text = "".join(frame(number, one) for number, one in enumerate(smiles, start=1))
    Path(__file__).with_name("molecules.extxyz").write_text(text)
    print(f"{len(smiles)} molecules")


if __name__ == "__main__":
    main()
