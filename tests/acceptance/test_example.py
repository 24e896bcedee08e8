"""In the example of `make demo`, every stored value equals that of a direct xtb run."""

import gzip
import json
import os
import subprocess
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.io import iread

from tests.conftest import Campaigns, Cli

EXAMPLE = Path(__file__).parents[2] / "examples" / "xtb-gradients"
COUNT = 40


def direct(folder: Path, symbols: list[str], positions: list[list[float]]) -> tuple[float, object]:
    """The energy and gradient from xtb, called by hand in a separate folder."""
    folder.mkdir()
    lines = [f"{s} {x!r} {y!r} {z!r}" for s, (x, y, z) in zip(symbols, positions, strict=True)]
    (folder / "m.xyz").write_text("\n".join([str(len(symbols)), "", *lines]) + "\n")
    subprocess.run(
        ["xtb", "m.xyz", "--gfn", "2", "--grad"],
        cwd=folder,
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    numbers = [
        float(line)
        for line in (folder / "m.engrad").read_text().splitlines()
        if line[:1] != "#" and len(line.split()) == 1
    ]
    return numbers[1], np.array(numbers[2:]).reshape(-1, 3)


def test_the_data_set_matches_its_readme() -> None:
    with gzip.open(EXAMPLE / "molecules.extxyz.gz", "rt") as file:
        molecules = list(iread(file, format="extxyz", index=":"))
    assert len(molecules) == 1025
    assert {symbol for m in molecules for symbol in m.symbols} == {"H", "C", "N", "O"}
    assert all(5 <= len(m) <= 37 for m in molecules)
    assert all((m.info["charge"], m.info["multiplicity"]) == (0, 1) for m in molecules)


@pytest.mark.parametrize("engine", ["work_queue", "taskvine", "local"])
def test_results_equal_those_of_a_direct_run(
    campaigns: Campaigns, cli: Cli, tmp_path: Path, engine: str
) -> None:
    settings = yaml.safe_load((EXAMPLE / "campaign.yaml").read_text())
    path = campaigns.write(
        **{**settings, "engine": engine, "bundle": {"size": 3}},
        database={"uri": campaigns.uri, "name": campaigns.database},
    )
    some = tmp_path / "some.extxyz"
    with gzip.open(EXAMPLE / "molecules.extxyz.gz", "rt") as source:
        molecules = list(islice(iread(source, format="extxyz", index=":"), 0, None, 25))[:COUNT]
    with some.open("w") as target:
        for molecule in molecules:
            molecule.write(target, format="extxyz")
    cli("import", path, some)
    cli("run", path)
    assert json.loads(cli("status", "--json"))["done"] == COUNT
    for number, document in enumerate(campaigns.documents.find()):
        found = document["xtb"]["gfn2"]
        energy, gradient = direct(
            tmp_path / f"direct{number}",
            [str(molecules[number].symbols[k]) for k in range(len(molecules[number]))],
            document["coordinates"],
        )
        assert abs(found["energy"] - energy) < 1e-8
        stored = np.array(found["gradient"])
        assert stored.shape == (len(document["atomic_numbers"]), 3)
        assert np.abs(stored - gradient).max() < 1e-8
        assert abs(sum(found["charges"])) < 1e-5
        assert found["_run"]["attempt"] == 1
