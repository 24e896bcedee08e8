#!/usr/bin/env python3
"""Make receptor.pdbqt and ligands.jsonl: an invented pocket, and ligands to dock there.

The receptor is not a protein. It consists of 26 small molecules (amino acid side chains and pieces
of backbone) on a sphere around the origin, in random orientations, with one side left open. The run
shows how docking works here, but its affinities mean nothing.

The ligands are well-known drugs and fragments, as SMILES.

To run:

    pip install 'wqmaster[docking]'
    python make_files.py

It takes two seconds. The same versions of RDKit and Meeko give the same files. The files in this
folder were made with RDKit 2026.9.1 and Meeko 0.8.0.
"""

import json
import math
import random
from pathlib import Path

from meeko import MoleculePreparation, PDBQTWriterLegacy
from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

SEED = 2026
RADIUS = 8.5  # radius of the pocket in Angstrom
COUNT = 26
# The sphere stays open around the z axis, up to the angle with this cosine.
OPEN = 0.55
# Amino acid side chains, with hydrogen in place of the backbone, and two pieces of backbone.
PIECES = {
    "VAL": "CCC",
    "LEU": "CC(C)C",
    "PHE": "Cc1ccccc1",
    "TYR": "Cc1ccc(O)cc1",
    "SER": "CO",
    "ASN": "CC(N)=O",
    "ASP": "CC(=O)[O-]",
    "LYS": "CCC[NH3+]",
    "HIS": "Cc1c[nH]cn1",
    "TRP": "Cc1c[nH]c2ccccc12",
    "MET": "CCSC",
    "GLY": "CC(=O)NC",
    "ALA": "CNC=O",
}
LIGANDS = {
    "aspirin": "CC(=O)Oc1ccccc1C(=O)[O-]",
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "ibuprofen": "CC(C)Cc1ccc([C@@H](C)C(=O)[O-])cc1",
    "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C",
    "benzamidine": "NC(=[NH2+])c1ccccc1",
    "nicotinamide": "NC(=O)c1cccnc1",
    "indole": "c1ccc2[nH]ccc2c1",
    "sulfanilamide": "Nc1ccc(S(N)(=O)=O)cc1",
    "4-chlorophenol": "Oc1ccc(Cl)cc1",
    "fluorobenzylamine": "[NH3+]Cc1ccc(F)cc1",
    "morpholinoethanol": "OCC[NH+]1CCOCC1",
    "biotin": "O=C1N[C@@H]2[C@@H](SC[C@@H]2CCCCC(=O)[O-])N1",
}


def piece(smiles: str) -> list[str]:
    """The PDBQT ATOM lines of a molecule that RDKit builds from `smiles`."""
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    if rdDistGeom.EmbedMolecule(mol, randomSeed=SEED) != 0:
        raise ValueError(f"{smiles} cannot be embedded")
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol)
    text, good, why = PDBQTWriterLegacy.write_string(MoleculePreparation().prepare(mol)[0])
    if not good:
        raise ValueError(why)
    return [line for line in text.splitlines() if line.startswith("ATOM")]


def rotation(draw: random.Random) -> list[list[float]]:
    """The matrix of a random rotation, from a random unit quaternion."""
    parts = [draw.gauss(0, 1) for _ in range(4)]
    norm = math.hypot(*parts)
    w, x, y, z = (part / norm for part in parts)
    return [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]


def receptor() -> str:
    """The pocket, as the text of a PDBQT file."""
    draw = random.Random(SEED)  # noqa: S311  # positions of atoms, not secrets
    lines = ["REMARK a made-up pocket, no protein: see make_files.py"]
    for place in range(COUNT):
        # The centers lie on a spiral around the sphere, evenly spaced, with none in the opening.
        height = OPEN - (1 + OPEN) * (place + 0.5) / COUNT
        angle = place * math.pi * (3 - math.sqrt(5))
        across = math.sqrt(1 - height * height)
        center = (
            RADIUS * across * math.cos(angle),
            RADIUS * across * math.sin(angle),
            RADIUS * height,
        )
        turn = rotation(draw)
        name, smiles = draw.choice(list(PIECES.items()))
        atoms = piece(smiles)
        places = [[float(line[start : start + 8]) for start in (30, 38, 46)] for line in atoms]
        middle = [sum(axis) / len(places) for axis in zip(*places, strict=True)]
        for line, position in zip(atoms, places, strict=True):
            moved = [value - mean for value, mean in zip(position, middle, strict=True)]
            x, y, z = (
                sum(a * b for a, b in zip(row, moved, strict=True)) + shift
                for row, shift in zip(turn, center, strict=True)
            )
            number = len(lines)
            lines.append(
                f"ATOM  {number:5d}{line[11:16]} {name} A{place + 1:4d}    "
                f"{x:8.3f}{y:8.3f}{z:8.3f}{line[54:]}"
            )
    return "\n".join([*lines, "TER"]) + "\n"


def main() -> None:
    """Write receptor.pdbqt and ligands.jsonl."""
    folder = Path(__file__).parent
    (folder / "receptor.pdbqt").write_text(receptor())
    rows = [json.dumps({"_id": name, "smiles": smiles}) for name, smiles in LIGANDS.items()]
    (folder / "ligands.jsonl").write_text("\n".join(rows) + "\n")
    print(f"{folder}: receptor.pdbqt, ligands.jsonl with {len(rows)} ligands")


if __name__ == "__main__":
    main()
