"""Compute molecules whose SCF does not converge by itself, with and without the remedies for PySCF.

    ./shell --with pyscf python benchmarks/pyscf_hard_cases.py [NAME...]

Each molecule runs through two real campaigns (local engine, private mongod): one with
`remedies: false`, and one with the remedies that every campaign has. The energy from the second is
compared with that of `pyscf_tight_reference.py`, which shares no code with wqmaster. The table
states for each molecule the failure class without remedies, the remedy that cured it, and the
difference of the energy from the reference. The exit code is 1 if the remedies cure fewer than
MIN_CURED of the molecules to within TOLERANCE_EH, or if any stored energy is above the reference by
more than that. The references of the radicals take most of the time.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml
from pymongo import MongoClient

from wqmaster.database.private_server import Mongod
from wqmaster.jobs.molecule import SYMBOLS

TOLERANCE_EH = 1e-6
MIN_CURED = 7
REFERENCE = Path(__file__).with_name("pyscf_tight_reference.py")
COMPACT, DIFFUSE, LARGE_DIFFUSE = "def2-svp", "aug-cc-pvdz", "aug-cc-pvtz"

Atoms = list[tuple[str, tuple[float, float, float]]]


@dataclass(frozen=True)
class Case:
    """A molecule (coordinates in Angstrom) and its basis set; the functional is PBE."""

    name: str
    atoms: Atoms
    charge: int = 0
    multiplicity: int = 1
    basis: str = COMPACT


def line(*atoms: str | float) -> Atoms:
    """Atoms on the z axis: an element, the distance to the next one, an element, ..."""
    found: Atoms = []
    z = 0.0
    for word in atoms:
        if isinstance(word, str):
            found.append((word, (0.0, 0.0, z)))
        else:
            z += word
    return found


def twisted_ethylene(degrees: float) -> Atoms:
    """Ethylene (Angstrom) whose second CH2 group is turned around the double bond."""
    bond, off, on = 1.33, 1.09 * math.sin(math.radians(58.5)), 1.09 * math.cos(math.radians(58.5))
    x, y = off * math.cos(math.radians(degrees)), off * math.sin(math.radians(degrees))
    return [
        *line("C", bond, "C"),
        *(("H", (sign * off, 0.0, -on)) for sign in (1, -1)),
        *(("H", (sign * x, sign * y, bond + on)) for sign in (1, -1)),
    ]


def ozone(bond: float) -> Atoms:
    """Ozone with two bonds of this length (Angstrom) and its experimental angle."""
    angle = math.radians(116.8)
    end = (bond * math.sin(angle), 0.0, bond * math.cos(angle))
    return [*line("O", bond, "O")[::-1], ("O", (end[0], 0.0, bond - end[2]))]


WATER_TIMES_3: Atoms = [("O", (0, 0, 0)), ("H", (0, 0, 2.88)), ("H", (2.79, 0, -0.72))]
CASES = (
    Case("F2, 2.5 A", line("F", 2.5, "F")),
    Case("C2, 1.25 A", line("C", 1.25, "C")),
    Case("C2, 2.2 A", line("C", 2.2, "C")),
    Case("LiF, 4.0 A", line("Li", 4.0, "F")),
    Case("H2O, bonds times 3", WATER_TIMES_3),
    Case("O3, 2.0 A", ozone(2.0)),
    Case("C2H4, twisted by 90 degrees", twisted_ethylene(90)),
    Case("O2, singlet", line("O", 1.21, "O")),
    Case("NO, 2.5 A", line("N", 2.5, "O"), multiplicity=2),
    Case("PO, 2.0 A", line("P", 2.0, "O"), multiplicity=2),
    Case("NiCO", line("Ni", 1.75, "C", 1.15, "O")),
    Case("FeCO+, quartet", line("Fe", 1.85, "C", 1.13, "O"), 1, 4),
    Case("CN, 2.0 A", line("C", 2.0, "N"), multiplicity=2),
    Case("CN, 1.17 A", line("C", 1.17, "N"), multiplicity=2),
    Case("F2-, diffuse basis", line("F", 1.9, "F"), -1, 2, DIFFUSE),
    Case("CN-, diffuse basis", line("C", 1.18, "N"), -1, 1, DIFFUSE),
    Case("C2 2-, diffuse basis", line("C", 1.28, "C"), -2, 1, DIFFUSE),
    Case("N2-, diffuse basis", line("N", 1.10, "N"), -1, 2, LARGE_DIFFUSE),
    Case("O2 2-, diffuse basis", line("O", 1.5, "O"), -2, 1, LARGE_DIFFUSE),
)


def document(case: Case) -> dict[str, Any]:
    """The document of a case."""
    return {
        "_id": case.name,
        "atomic_numbers": [SYMBOLS.index(symbol) for symbol, _ in case.atoms],
        "coordinates": [list(place) for _, place in case.atoms],
        "charge": case.charge,
        "multiplicity": case.multiplicity,
    }


def run_campaign(folder: Path, uri: str, cases: list[Case], remedies: bool) -> dict[str, Any]:
    """Run one campaign; returns the values of each case, or its final failure."""
    name = "cured" if remedies else "plain"
    step = {"name": "dft", "xc": "pbe", "basis": cases[0].basis, "gradient": False}
    campaign = {
        "campaign": name,
        "campaign_config": {
            "func_name": "wqmaster.tasks.pyscf.singlepoint",
            "job_timeout": "1h",
            "args": [{**step, "parsers": ["energy"]}],
            "kwargs": {"mongo_output_key": name},
        },
        "submit": {"query": {f"{name}.dft": None}},
        "database": {"uri": uri, "name": f"hard_{cases[0].basis}".replace("-", "_")},
        "software": {"pyscf": "pyscf-python"},
        "resources": {"cores": 1, "memory": "2GB"},
        "engine": "local",
        "workers": {"type": "local"},
        **({} if remedies else {"remedies": False}),
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(campaign))
    client: MongoClient[dict[str, Any]] = MongoClient(uri)
    database = client[campaign["database"]["name"]]  # type: ignore[index]
    if not remedies:
        database["molecules"].insert_many([document(case) for case in cases])
    # The exit code reports failed documents, which are expected here.
    subprocess.run(
        [sys.executable, "-m", "wqmaster", "run", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    found = {
        one["_id"]: one[name]["dft"]
        for one in database["molecules"].find({f"{name}.dft": {"$ne": None}})
    }
    for one in database["wqmaster.failures"].find({"campaign": name, "final": True}):
        found.setdefault(one["document"], one)
    client.close()
    return found


def reference(case: Case) -> dict[str, Any]:
    """What `pyscf_tight_reference.py` prints for a case: its lowest energy (Eh), and others."""
    call = {
        "atoms": case.atoms,
        "charge": case.charge,
        "multiplicity": case.multiplicity,
        "xc": "pbe",
        "basis": case.basis,
    }
    said = subprocess.run(
        ["pyscf-python", REFERENCE],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        input=json.dumps(call),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def row(case: Case, plain: dict[str, Any], cured: dict[str, Any], wanted: dict[str, Any]) -> str:
    """One line of the table, which ends with a mark for how the case counts.

    "cured": it failed without remedies, and has the reference's energy with them; "easy": it did
    not fail; "wrong": the stored energy is above the reference; "failed": no remedy helped;
    "reference": the stored energy is below the reference, which missed the lowest solution.
    """
    class_ = plain.get("class", "-")
    if "class" in cured:
        return f"{case.name:<28}{class_:<20}{cured['class']:<16}{'-':>10}  failed"
    difference = cured["energy"] - wanted["energy"]
    if abs(difference) <= TOLERANCE_EH:
        mark = "cured" if "class" in plain else "easy"
    else:
        mark = "wrong" if difference > 0 else "reference"
    remedy = cured["_run"].get("remedy") or "-"
    return f"{case.name:<28}{class_:<20}{remedy!s:<16}{difference:>10.1e}  {mark}"


def main(*names: str) -> None:
    """Print the table for all cases, or those whose names begin with one of `names`."""
    cases = [case for case in CASES if not names or case.name.startswith(names)]
    found: dict[str, list[dict[str, Any]]] = {case.name: [] for case in cases}
    with tempfile.TemporaryDirectory(prefix="hard-") as made, ThreadPoolExecutor(2) as pool:
        server = Mongod(Path(made) / "mongod")
        server.start()
        try:
            for basis, group in groupby(cases, lambda case: case.basis):
                folder = Path(made) / basis
                folder.mkdir()
                of_basis = list(group)
                for remedies in (False, True):
                    values = run_campaign(folder, server.uri, of_basis, remedies)
                    for case in of_basis:
                        found[case.name].append(values[case.name])
        finally:
            server.stop()
        print(f"{'case':<28}{'without remedies':<20}{'remedy':<16}{'difference':>10}")
        marks = []
        for case, wanted in zip(cases, pool.map(reference, cases), strict=True):
            text = row(case, *found[case.name], wanted)
            marks.append(text.split()[-1])
            print(text, flush=True)
    cured = marks.count("cured")
    print(f"{cured} of {len(marks)} cases are cured, {marks.count('wrong')} have a wrong energy")
    if "wrong" in marks or cured < MIN_CURED:
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
