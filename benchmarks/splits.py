"""Measure graph keys, splits and the search for duplicates on conformers of real molecules.

    ./shell python benchmarks/splits.py [MOLECULES] [CONFORMERS] [none|mmff]

The molecules are the first ones with at most 16 heavy atoms in the part of NCI's open database that
comes with RDKit. Each conformer's graph, perceived from its distances, is compared with that of the
SMILES.
"""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from wqmaster.datasets.duplicates import Duplicates
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.graphs import graph_key
from wqmaster.datasets.splits import Splits, split_key
from wqmaster.structures.base import Options, Refused
from wqmaster.structures.embedding import conformers

MOST_HEAVY_ATOMS = 16
PLANTED = 2000
Molecule = tuple[str, list[int], int, list[Any]]  # SMILES, atomic numbers, charge, geometries


def build(task: tuple[str, int, str]) -> Molecule | None:
    """The molecule with its conformers; None if RDKit cannot build them."""
    from rdkit import Chem, rdBase

    smiles, count, optimize = task
    with rdBase.BlockLogs():
        try:
            molecule = Chem.MolFromSmiles(smiles)
            if molecule is None or molecule.GetNumHeavyAtoms() > MOST_HEAVY_ATOMS:
                return None
            options = Options(conformers=count, optimize=optimize)  # type: ignore[arg-type]
            whole, _ = conformers(molecule, options)
        except (Refused, RuntimeError):
            return None
    numbers = [atom.GetAtomicNum() for atom in whole.GetAtoms()]
    charge = sum(atom.GetFormalCharge() for atom in whole.GetAtoms())
    places = [conformer.GetPositions().astype(np.float32) for conformer in whole.GetConformers()]
    return smiles, numbers, charge, places


def molecules(count: int, each: int, optimize: str) -> list[Molecule]:
    """The molecules, each with its conformers."""
    from rdkit import RDConfig

    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()
    tasks = [(line.split()[0], each, optimize) for line in lines]
    found = []
    with ProcessPoolExecutor(2) as pool:
        for molecule in pool.map(build, tasks, chunksize=10):
            if molecule is not None:
                found.append(molecule)
            if len(found) == count:
                pool.shutdown(wait=False, cancel_futures=True)
                break
    return found


def frames(found: list[Molecule], graphs: list[list[str]]) -> Iterator[Frame]:
    """Yield a frame for each conformer."""
    for place, (_, numbers, charge, geometries) in enumerate(found):
        for number, (geometry, graph) in enumerate(zip(geometries, graphs[place], strict=True)):
            yield Frame(
                id=f"{place}-{number}",
                numbers=np.array(numbers),
                coordinates=geometry.astype(np.float64),
                charge=charge,
                multiplicity=1,
                energy=0.0,
                document=f"{place}-{number}",
                graph=graph,
            )


def moved(frame: Frame, random: np.random.Generator) -> Frame:
    """A copy of the frame with its atoms in another order, rotated and shifted."""
    order = random.permutation(frame.natoms)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    rotation *= np.linalg.det(rotation)
    places = (frame.coordinates @ rotation)[order] + random.normal(size=3)
    return Frame(
        id=f"copy of {frame.id}",
        numbers=frame.numbers[order],
        coordinates=places,
        charge=frame.charge,
        multiplicity=1,
        energy=0.0,
        document="copy",
        graph=frame.graph,
    )


def main(count: int = 2000, each: int = 50, optimize: str = "none") -> None:
    """Print rates, differences, and the peak memory."""
    start = time.perf_counter()
    found = molecules(count, each, optimize)
    total = sum(len(geometries) for *_, geometries in found)
    atoms = sum(len(numbers) * len(geometries) for _, numbers, _, geometries in found) / total
    print(f"{len(found)} molecules, {total} conformers of {atoms:.1f} atoms on average")
    print(f"built in {time.perf_counter() - start:.0f} s")

    start = time.process_time()
    graphs = [
        [graph_key(numbers, places, charge, 1) for places in geometries]
        for _, numbers, charge, geometries in found
    ]
    seconds = time.process_time() - start
    print(f"keys from distances: {total / seconds:.0f} per second and core")
    differing: Counter[str] = Counter()
    known = []
    start = time.process_time()
    for (smiles, numbers, charge, geometries), perceived in zip(found, graphs, strict=True):
        key = graph_key(numbers, geometries[0], charge, 1, smiles)
        known.append(key)
        if different := sum(other != key for other in perceived):
            differing[smiles] = different
    print(f"keys from SMILES: {len(found) / (time.process_time() - start):.0f} per second and core")
    print(f"differ from the SMILES: {differing.total()} conformers of {len(differing)} molecules")
    for smiles, number in differing.most_common(30):
        print(f"    {number:4d} {smiles}")

    splits = Splits.parse("0.8,0.1,0.1", seed=1)
    parts = [{splits.of(split_key(key)) for key in perceived} for perceived in graphs]
    by_graph: dict[str, set[str]] = {}
    for key, name in ((key, splits.of(split_key(key))) for key in known):
        by_graph.setdefault(key, set()).add(name)
    print(f"{len(by_graph)} graphs; in two parts: {sum(len(one) > 1 for one in by_graph.values())}")
    print(f"in two parts without their SMILES: {sum(len(p) > 1 for p in parts)}")
    print("shares of conformers:", Counter(splits.of(split_key(key)) for key in known))

    random = np.random.default_rng(1)
    chosen = set(random.choice(total, min(PLANTED, total), replace=False).tolist())
    hidden: list[Frame] = []
    keys = [[key] * len(geometries) for key, (*_, geometries) in zip(known, found, strict=True)]
    with Duplicates() as duplicates:
        start = time.process_time()
        new = 0
        for number, frame in enumerate(frames(found, keys)):
            if duplicates.add(frame) is None:
                new += 1
                if number in chosen:
                    hidden.append(moved(frame, random))
        seconds = time.process_time() - start
        print(f"duplicates: {total / seconds:.0f} frames per second; {total - new} found;", end=" ")
        print(f"{duplicates.limited} compared with the nearest only")
        start = time.process_time()
        hits = sum(duplicates.add(frame) == frame.id.removeprefix("copy of ") for frame in hidden)
        seconds = time.process_time() - start
        print(f"permuted and rotated copies: {hits} of {len(hidden)} found,", end=" ")
        print(f"{len(hidden) / seconds:.0f} per second")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB at peak")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:4])  # type: ignore[arg-type]
