"""Measure the speed of SDF imports, and whether memory grows with the number of records.

    ./shell python benchmarks/import_memory.py [RECORDS]

It imports a small and a large SDF file (2,000 and RECORDS records, default: 100,000) into a private
server, each in a separate process. It prints the peak memory of both imports, the ratio, and the
records per second.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rdkit import Chem
from rdkit.Chem import AllChem

SMALL = 2_000
LARGE = 100_000
SMILES = ("CC(=O)[O-]", "c1ccccc1O", "C[NH3+]", "CCOC(=O)C", "N[C@@H](C)C(=O)O", "C[CH2]", "ClCCl")
CAMPAIGN = """\
campaign: memory
campaign_config:
  func_name: wqmaster.tasks.xtb.singlepoint
  args: [{name: gfn2, parsers: [energy]}]
"""


def write(path: Path, records: int) -> None:
    """Write an SDF file with `records` records."""
    blocks = []
    for smiles in SMILES:
        molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
        AllChem.EmbedMolecule(molecule, randomSeed=1)
        blocks.append(Chem.MolToMolBlock(molecule))
    with path.open("w") as file:
        for number in range(records):
            file.write(f"{blocks[number % len(blocks)]}> <number>\n{number}\n\n$$$$\n")


def imported(campaign: Path, path: Path) -> tuple[int, float]:
    """Import the file `path`; returns the peak memory in kB and the duration in seconds."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "wqmaster", "import", str(campaign), str(path)]
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the import failed with status {status}")
    return usage.ru_maxrss, time.monotonic() - begun


def main() -> None:
    """Import both files, and print the results."""
    large = int(sys.argv[1]) if len(sys.argv) > 1 else LARGE
    with tempfile.TemporaryDirectory(prefix="wqmaster-import-") as name:
        folder = Path(name)
        campaign = folder / "campaign.yaml"
        campaign.write_text(CAMPAIGN)
        found = {}
        try:
            for records in (SMALL, large):
                path = folder / f"records{records}.sdf"
                write(path, records)
                found[records] = imported(campaign, path)
        finally:
            command = [sys.executable, "-m", "wqmaster", "db", "stop", str(campaign)]
            subprocess.run(command, check=False, capture_output=True)
        for records, (memory, seconds) in found.items():
            print(f"{records} records: {memory / 1024:.0f} MB, {records / seconds:.0f} records/s")
        print(f"ratio of peak memory: {found[large][0] / found[SMALL][0]:.2f}")


if __name__ == "__main__":
    main()
