#!/usr/bin/env python3
"""Make molecules.extxyz.gz: small neutral CHNO molecules with 3D coordinates.

Source: NCI/first_5K.smi in RDKit's data folder (RDConfig.RDDataDir), which is part of RDKit's
wheel on PyPI. It contains 4,999 SMILES without stereo marks, each with a number. RDKit does not
state where they come from, but the folder's name, the numbers and the molecules match the open
structures of the US National Cancer Institute (NCI), which are numbered by NSC number.

License: RDKit, whose wheel contains the file, has the BSD 3-clause license (Copyright (c)
2006-2015 Rational Discovery LLC, Greg Landrum, Julie Penzotti and others). The NCI wrote about
its 1993 release of the open structures (nciopen.readme) that the files "are NOT copyrighted and
can be used by anyone for whatever purpose they choose".

The molecules are the first ones in file order that have only C, H, N and O, one fragment, no net
charge, no radical, no isotope label and 5 to 37 atoms, hydrogens included, and that differ from
all earlier molecules. Neutral molecules with charge-separated groups (nitro, azoxy, diazo) are
kept. RDKit embeds each molecule (ETKDGv3) and relaxes it (MMFF94). A molecule that fails in
either step, or does not converge, is left out. Because the source has no stereo marks, the seed
decides which stereoisomer a molecule becomes. The number in a name such as "nci-000001" comes from
the source file.

To run:

    pip install rdkit
    python make_molecules.py

It takes about 15 seconds on one core. The same version of RDKit on the same kind of machine gives
the same bytes, but another version can give other geometries. The file in this folder was made
with RDKit 2026.9.1 on x86-64 Linux. The heavy atoms come first, in the order of the source SMILES,
and then the hydrogens.
"""

import argparse
import gzip
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem, RDConfig, RDLogger
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

ELEMENTS = frozenset("CHNO")
MIN_ATOMS = 5
MAX_ATOMS = 37
# RDKit's default, 200 steps, leaves about one molecule in twenty unconverged.
MAX_MMFF_STEPS = 5000


@dataclass(frozen=True)
class Molecule:
    """A molecule with its geometry in Angstrom."""

    name: str
    smiles: str
    symbols: list[str]
    positions: list[tuple[float, float, float]]


def read_smiles(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and the SMILES of each line."""
    for line in path.read_text(encoding="ascii").splitlines():
        smiles, number = line.split("\t")
        yield int(number), smiles


def is_wanted(mol: Chem.Mol) -> bool:
    """Whether a molecule with explicit hydrogens belongs in this set."""
    atoms = list(mol.GetAtoms())
    return (
        MIN_ATOMS <= len(atoms) <= MAX_ATOMS
        and len(Chem.GetMolFrags(mol)) == 1
        and Chem.GetFormalCharge(mol) == 0
        and all(atom.GetSymbol() in ELEMENTS for atom in atoms)
        and all(atom.GetIsotope() == 0 for atom in atoms)
        and all(atom.GetNumRadicalElectrons() == 0 for atom in atoms)
    )


def relax(mol: Chem.Mol, seed: int) -> bool:
    """Give `mol` 3D coordinates; returns False if a step fails or does not converge."""
    params = rdDistGeom.ETKDGv3()
    params.randomSeed = seed
    if rdDistGeom.EmbedMolecule(mol, params) != 0:
        return False
    status: int = rdForceFieldHelpers.MMFFOptimizeMolecule(
        mol, mmffVariant="MMFF94", maxIters=MAX_MMFF_STEPS
    )
    return status == 0


def make_molecules(source: Path, seed: int) -> Iterator[Molecule]:
    """Yield the molecules in `source` that pass every step, in file order."""
    seen: set[str] = set()
    for number, source_smiles in read_smiles(source):
        bare = Chem.MolFromSmiles(source_smiles)
        if bare is None:
            continue
        mol = Chem.AddHs(bare)
        if not is_wanted(mol):
            continue
        # Readers of extended XYZ disagree about backslashes, which are stereo marks in SMILES.
        smiles: str = Chem.MolToSmiles(bare, isomericSmiles=False)
        if smiles in seen:
            continue
        seen.add(smiles)
        if not relax(mol, seed):
            continue
        yield Molecule(
            name=f"nci-{number:06d}",
            smiles=smiles,
            symbols=[atom.GetSymbol() for atom in mol.GetAtoms()],
            positions=[(x, y, z) for x, y, z in mol.GetConformer().GetPositions().tolist()],
        )


def format_frame(molecule: Molecule) -> str:
    """The molecule as a frame of an extended XYZ file."""
    lines = [
        str(len(molecule.symbols)),
        f'Properties=species:S:1:pos:R:3 name="{molecule.name}" smiles="{molecule.smiles}" '
        'charge=0 multiplicity=1 pbc="F F F"',
    ]
    for symbol, (x, y, z) in zip(molecule.symbols, molecule.positions, strict=True):
        lines.append(f"{symbol:<2} {x:13.8f} {y:13.8f} {z:13.8f}")
    return "\n".join(lines) + "\n"


def compress(text: str) -> bytes:
    """Compress without a time or a file name, so that equal text gives equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(text.encode("ascii"))
    return buffer.getvalue()


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file that is either complete or missing, even if the script is interrupted."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def positive_int(text: str) -> int:
    """Read a number that is at least 1 from the command line."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def seed_int(text: str) -> int:
    """Read a seed that RDKit accepts from the command line."""
    value = int(text)
    # RDKit draws a random seed for -1, and stores the seed in 32 bits.
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError("must be from 0 to 2147483647")
    return value


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description="Make a set of small neutral CHNO molecules from the NCI SMILES in RDKit."
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).with_name("molecules.extxyz.gz"),
        metavar="FILE",
        help="file to write (default: molecules.extxyz.gz next to this script)",
    )
    parser.add_argument(
        "--count",
        type=positive_int,
        default=1025,
        metavar="N",
        help="number of molecules (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=seed_int,
        default=2024,
        metavar="N",
        help="seed of the embedding (default: %(default)s)",
    )
    return parser.parse_args()


def main() -> int:
    """Write the molecules, and return the exit code."""
    args = parse_args()
    count: int = args.count
    output: Path = args.output
    # Molecules that RDKit cannot parse, or for which MMFF94 has no parameters, are skipped on
    # purpose. RDKit would print a warning for each.
    RDLogger.DisableLog("rdApp.*")
    source = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    frames: list[str] = []
    for molecule in make_molecules(source, args.seed):
        frames.append(format_frame(molecule))
        if len(frames) == count:
            break
    else:
        print(f"error: the source gives only {len(frames)} molecules", file=sys.stderr)
        return 1
    write_atomically(output, compress("".join(frames)))
    print(f"{output}: {len(frames)} molecules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
