"""Measure the rate and peak memory of `wqmaster export`, from the database to a verified file.

    ./shell python benchmarks/export_campaign.py [--documents 10000,100000] [--for mace,aimnet]

The documents are conformers of the 1,025 molecules of examples/xtb-gradients with made-up results,
in a private database. The export looks for duplicates and applies the checks, as it always does.
"Own" is the largest part of the peak that is not the content of files: pages of a file that is
mapped into memory (LMDB) count for the peak, but the kernel takes them back when it needs them.
"""

import argparse
import gzip
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from pymongo import MongoClient

from wqmaster.campaign.loading import load
from wqmaster.datasets.targets import TARGETS
from wqmaster.jobs.molecule import from_document
from wqmaster.recipe.resolving import resolve

MOLECULES = Path(__file__).resolve().parents[1] / "examples/xtb-gradients/molecules.extxyz.gz"
CAMPAIGN = """
campaign: bench
campaign_config:
  func_name: wqmaster.tasks.xtb.singlepoint
  args:
    - {name: gfn2, parsers: [energy, gradient, charges, dipole]}
  kwargs: {mongo_output_key: xtb}
"""
_BATCH = 2000
_SAMPLE_INTERVAL_SECONDS = 0.1


def documents(count: int, campaign: Path) -> Iterator[dict[str, Any]]:
    """Yield documents with made-up results, whose `_run` fits the campaign and the document."""
    recipe = resolve(load(campaign), runs=False)
    step = recipe.steps[0]
    with gzip.open(MOLECULES, "rt") as file:
        molecules = ase.io.read(file, ":", format="extxyz")
    random = np.random.default_rng(1)
    for number in range(count):
        atoms = molecules[number % len(molecules)]
        n = len(atoms)
        document: dict[str, Any] = {
            "_id": f"m{number:08d}",
            "atomic_numbers": atoms.numbers.tolist(),
            "coordinates": (atoms.positions + random.normal(scale=0.02, size=(n, 3))).tolist(),
            "charge": int(atoms.info["charge"]),
            "multiplicity": int(atoms.info["multiplicity"]),
            "smiles": atoms.info["smiles"],
        }
        molecule = from_document(
            {name: document[name] for name in document if name != "smiles"},
            recipe.loaded.campaign.molecule,
        )
        gradient = random.normal(scale=0.01, size=(n, 3))
        document["xtb"] = {
            "gfn2": {
                "energy": float(-0.6 * atoms.numbers.sum() + random.normal(scale=0.01)),
                "gradient": (gradient - gradient.mean(axis=0)).tolist(),
                "charges": random.normal(scale=0.1, size=n).tolist(),
                "dipole": random.normal(size=3).tolist(),
                "_run": {
                    "recipe": step.hash,
                    "molecule": molecule.fingerprint,
                    "computed": molecule.parts(recipe.fields),
                    "campaign": "bench",
                    "program": "xtb",
                    "program_version": "6.7.1",
                    "attempt": 1,
                    "finished": datetime.now(UTC),
                    "checks": {"values": {"net_force": 1e-6}, "warned": []},
                },
            }
        }
        yield document


def fill(count: int, campaign: Path, uri: str) -> None:
    """Add documents until there are `count`."""
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    collection = client["wqmaster"]["molecules"]
    there = collection.estimated_document_count()
    batch: list[dict[str, Any]] = []
    for number, document in enumerate(documents(count, campaign)):
        if number >= there:
            batch.append(document)
        if len(batch) == _BATCH:
            collection.insert_many(batch)
            batch = []
    if batch:
        collection.insert_many(batch)
    client.close()


def own_megabytes(pid: int) -> float:
    """The memory of a process without pages of files, in MB of 2^20 bytes; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:")]
    return int(found[0]) / 1024 if found else 0.0


def main() -> None:
    """Export each number of documents to each target, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", default="10000,100000")
    parser.add_argument("--for", dest="targets", default=",".join(TARGETS))
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        campaign = Path(name) / "campaign.yaml"
        campaign.write_text(CAMPAIGN)
        wqmaster = [sys.executable, "-m", "wqmaster"]
        started = subprocess.run(
            [*wqmaster, "db", "start", str(campaign)], check=True, capture_output=True, text=True
        )
        uri = started.stdout.split()[-1]
        try:
            print("target      documents  seconds  documents/s  CPU s  peak MB  own MB")
            for count in map(int, asked.documents.split(",")):
                fill(count, campaign, uri)
                for target in asked.targets.split(","):
                    out = Path(name) / f"{target}-{count}{TARGETS[target].suffix}"
                    words = ["export", str(campaign), "--for", target, "-o", str(out)]
                    begin = time.monotonic()
                    child = subprocess.Popen([*wqmaster, *words], stdout=subprocess.DEVNULL)
                    ended, own = 0, 0.0
                    while not ended:
                        own = max(own, own_megabytes(child.pid))
                        time.sleep(_SAMPLE_INTERVAL_SECONDS)
                        ended, status, used = os.wait4(child.pid, os.WNOHANG)
                    child.returncode = os.waitstatus_to_exitcode(status)
                    seconds = time.monotonic() - begin
                    spent, peak = used.ru_utime + used.ru_stime, used.ru_maxrss
                    state = "" if child.returncode == 0 else f"  exit code {child.returncode}"
                    print(
                        f"{target:10s} {count:10,d} {seconds:8.1f} {count / seconds:12.0f} "
                        f"{spent:6.1f} {peak / 1024:8.0f} {own:7.0f}{state}",
                        flush=True,
                    )
                    out.unlink(missing_ok=True)
        finally:
            subprocess.run([*wqmaster, "db", "stop", str(campaign)], check=True)


if __name__ == "__main__":
    main()
