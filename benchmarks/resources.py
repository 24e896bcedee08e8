"""Compare learned with fixed memory on a set of mixed sizes: over-limit kills, and memory in vain.

    ./shell python benchmarks/resources.py [--workload fill|pyscf] [--jobs N] [--engine NAME]

`fill` holds 80 MB + 0.6 MB x atoms**1.8, with a log-normal noise of 10 %, for half a second; its
molecules have 5 to 100 atoms, evenly distributed on a logarithmic scale, in random order. `pyscf`
computes PBE/def2-SVP energies and gradients of the first molecules of examples/xtb-gradients that
have at most 20 atoms (`./shell --with pyscf`).

With `memory: auto`, wqmaster starts without knowledge. Then the same jobs run with fixed numbers:
the mean of what the learned run asked for, one and a half times the median of what jobs use, and
the most that any used. In all runs, a job that uses more than it asked for is ended, and runs again
with twice, then four times as much. What was asked and used is read from the archives of all tasks.
"""

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import ase.io
import pymongo
import yaml
from pairs.servers import mongod
from pairs.workloads import EXAMPLE

from wqmaster.jobs.archive import Archive

NOISE, SEED = 0.1, 7
SMALLEST, LARGEST = 5, 100
LARGEST_PYSCF = 20
LADDER = [{"name": "memory_2x", "memory": 2}, {"name": "memory_4x", "memory": 4}]
FILL = """
import sys, time
held = bytearray(int(sys.argv[1]) << 20)
held[::4096] = b"x" * len(held[::4096])
time.sleep(0.5)
print("value", len(held))
"""
PARSERS = '''
from wqmaster import reads

@reads("stdout")
def value(output):
    """The number behind the word value."""
    return float(output.text.split()[1])
'''


def fill(count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Documents and the step of `fill`."""
    chance = random.Random(SEED)  # noqa: S311  # not a secret
    documents = []
    for number in range(count):
        atoms = round(SMALLEST * (LARGEST / SMALLEST) ** chance.random())
        megabytes = (80 + 0.6 * atoms**1.8) * math.exp(chance.gauss(0, NOISE))
        documents.append(
            {
                "_id": number,
                "atomic_numbers": [2] * atoms,
                "coordinates": [[3.0 * atom, 0.0, 0.0] for atom in range(atoms)],
                "megabytes": round(megabytes),
            }
        )
    step = {
        "func_name": "wqmaster.tasks.command.run",
        "command": "sh call",
        "files": {
            "fill.py": FILL,
            "call": f"exec '{sys.executable}' fill.py {{{{ document.megabytes }}}}\n",
        },
        "parsers": ["bench_parsers.value"],
    }
    return documents, step


def pyscf(count: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Documents and the step of `pyscf`."""
    small = (one for one in ase.io.read(EXAMPLE, ":") if len(one) <= LARGEST_PYSCF)
    documents = [
        {
            "_id": number,
            "atomic_numbers": one.numbers.tolist(),
            "coordinates": one.positions.tolist(),
        }
        for number, one in enumerate(islice(small, count))
    ]
    step = {
        "func_name": "wqmaster.tasks.pyscf.singlepoint",
        "method": "PBE",
        "basis": "def2-SVP",
        "parsers": ["energy", "gradient"],
    }
    return documents, step


@dataclass
class Run:
    """What the tasks of a run asked for and used."""

    killed: int
    failed: int
    ratios: list[float]
    used: list[float]  # MB of each job
    mean_asked: float  # MB, weighted by time

    def row(self, name: str) -> str:
        """A row of the table."""
        ratio = statistics.median(self.ratios)
        ninth = sorted(self.ratios)[int(0.9 * len(self.ratios))]
        numbers = f"{self.killed} | {self.failed} | {ratio:.2f} | {ninth:.2f}"
        return f"| {name} | {numbers} | {self.mean_asked:,.0f} |"


def run(
    documents: list[dict[str, Any]], step: dict[str, Any], memory: Any, engine: str, folder: Path
) -> Run:
    """Run the campaign with this `resources.memory`."""
    folder.mkdir()
    (folder / "bench_parsers.py").write_text(PARSERS)
    step = {"name": "one", **step}
    with mongod(folder / "mongod") as uri, pymongo.MongoClient[dict[str, Any]](uri) as client:
        client["wqmaster"]["molecules"].insert_many([dict(one) for one in documents])
        campaign = {
            "campaign": "bench",
            "campaign_config": {
                "func_name": step.pop("func_name"),
                "job_timeout": 1800,
                "args": [step],
            },
            "submit": {"query": {"bench.one": None}},
            "database": {"uri": uri},
            "engine": engine,
            "workers": {"type": "local", "count": 2},
            "resources": {"memory": memory},
            "remedies": {"memory": LADDER},
            "archive": {"keep": "all"},
            "canary": False,
            "breaker": False,
        }
        path = folder / "campaign.yaml"
        path.write_text(yaml.safe_dump(campaign))
        words = [sys.executable, "-m", "wqmaster", "run", path, "--quiet"]
        subprocess.run(words, stdout=subprocess.DEVNULL, check=False)
        failures = client["wqmaster"]["wqmaster.failures"]
        killed = failures.count_documents({"class": "memory"})
        failed = failures.count_documents({"final": True})
    return _read(folder / "bench.run" / "spool" / "archive", killed, failed)


def _read(archives: Path, killed: int, failed: int) -> Run:
    ratios, used, asked_time, time = [], [], 0.0, 0.0
    for folder in archives.iterdir():
        jobs = json.loads((folder / "jobs.json").read_text())
        with Archive(folder / "outputs.tar") as archive:
            outcomes = [archive.outcome(number) for number in range(len(jobs))]
        known = [one.memory for one in outcomes if one.memory is not None]
        seconds = sum(step.wall_time for one in outcomes for step in one.steps)
        asked_time += seconds * jobs[0]["memory"]
        time += seconds
        used += known
        if known:
            ratios.append(jobs[0]["memory"] / max(known))
    return Run(killed, failed, ratios, used, asked_time / time)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--workload", choices=("fill", "pyscf"), default="fill")
    parser.add_argument("--jobs", type=int, default=300, help="default: 300")
    parser.add_argument("--engine", default="taskvine", help="default: taskvine")
    asked = parser.parse_args()
    documents, step = {"fill": fill, "pyscf": pyscf}[asked.workload](asked.jobs)
    print("| memory | kills | failed | asked/used, median | 90th percentile | mean asked, MB |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
        learned = run(documents, step, "auto", asked.engine, Path(made) / "learned")
        print(learned.row("`auto`"), flush=True)
        sizes = {
            "mean of `auto`": learned.mean_asked,
            "1.5 x median used": 1.5 * statistics.median(learned.used),
            "largest used": max(learned.used),
        }
        for number, (name, size) in enumerate(sizes.items()):
            memory = {"size": math.ceil(size), "enforce": True}
            fixed = run(documents, step, memory, asked.engine, Path(made) / str(number))
            print(fixed.row(f"{memory['size']:,} MB ({name})"), flush=True)


if __name__ == "__main__":
    sys.exit(main())
