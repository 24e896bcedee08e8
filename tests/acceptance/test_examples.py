"""The examples for docking, a command and a Python function, run as their READMEs describe."""

import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Campaigns, Cli

EXAMPLES = Path(__file__).parents[2] / "examples"
# Boltzmann's constant in Eh/K (CODATA 2018); the cluster energies are in units of epsilon.
EH_PER_KELVIN = 3.1668115634556e-6
LENNARD_JONES = {2: -1.0, 3: -3.0, 4: -6.0, 7: -16.505384, 13: -44.326801}


def run(
    name: str, program: str, engine: str, campaigns: Campaigns, cli: Cli
) -> list[dict[str, Any]]:
    """Run an example on the tests' database, and return its documents.

    `smoke` must state that it called `program`.
    """
    for file in (EXAMPLES / name).iterdir():
        if file.is_file():
            shutil.copy(file, campaigns.folder)
    settings = yaml.safe_load((EXAMPLES / name / "campaign.yaml").read_text())
    settings["database"] = {"uri": campaigns.uri, "name": campaigns.database}
    path = campaigns.write(yaml.safe_dump({**settings, "engine": engine}))
    [documents] = campaigns.folder.glob("*.jsonl")
    cli("import", path, documents)
    cli("check", path)
    said = cli("smoke", path)
    assert re.search(rf"^step \w+: \d+\.\d\d s, {program}( |$)", said, re.MULTILINE)
    cli("run", path)
    assert campaigns.failures.count_documents({}) == 0
    return list(campaigns.documents.find())


@pytest.mark.parametrize("engine", ["work_queue", "local"])
def test_the_command_reproduces_known_energies(engine: str, campaigns: Campaigns, cli: Cli) -> None:
    documents = run("command", "awk", engine, campaigns, cli)
    assert len(documents) == 20
    for document in documents:
        found = document["results"]["lj"]
        depth = document["lennard_jones"]["epsilon"] * EH_PER_KELVIN
        known = LENNARD_JONES[len(document["atomic_numbers"])]
        assert found["energy"] == pytest.approx(depth * known, rel=1e-6)
        assert len(found["gradient"]) == len(document["atomic_numbers"])
        assert max(abs(value) for row in found["gradient"] for value in row) < 1e-9


@pytest.mark.parametrize("engine", ["work_queue", "local"])
def test_the_python_function_reproduces_known_rotational_constants(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    documents = run("python-function", "python3?", engine, campaigns, cli)
    assert len(documents) == 20
    found = {document["_id"]: document["results"]["rotor"]["result"] for document in documents}
    # In GHz. CO has 57.636 (measured, in the vibrational ground state). A symmetric top has two
    # equal constants.
    assert found["carbon-monoxide"]["linear"] is True
    assert found["carbon-monoxide"]["rotational_constants"] == pytest.approx([57.636], rel=0.01)
    first, second, third = found["benzene"]["rotational_constants"]
    assert first == pytest.approx(second, rel=1e-4)
    assert third == pytest.approx(first / 2, rel=1e-4)
    assert all(math.isfinite(value) for one in found.values() for value in one["moments"])


def test_the_ligands_are_docked(campaigns: Campaigns, cli: Cli) -> None:
    documents = run("vina-docking", "vina", "work_queue", campaigns, cli)
    assert len(documents) == 12
    for document in documents:
        found = document["vina"]["pocket"]
        assert found["affinity"] == min(found["affinities"]) < 0
        assert len(found["poses"]) == len(found["modes"]) == len(found["affinities"])
        kept = campaigns.folder / "vina-docking.run" / "kept" / f"{document['_id']}_poses.pdbqt"
        assert kept.read_text().count("MODEL") >= len(found["poses"])


def test_a_changed_function_makes_another_recipe(campaigns: Campaigns, cli: Cli) -> None:
    run("python-function", "python3?", "local", campaigns, cli)
    module = campaigns.folder / "rotor.py"
    module.write_text(module.read_text() + "\n# changed\n")
    path = campaigns.folder / "campaign.yaml"
    cli("run", path, code=2)
    assert "20 results were made with another recipe" in cli.errors
    assert "the contents of rotor.py have changed" in cli.errors


def test_a_program_of_the_command_can_be_named_in_software(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({"_id": "x"})
    other = tmp_path / "other"
    other.write_text("#!/bin/sh\necho 42\n")
    other.chmod(0o755)
    settings = {
        "campaign_config": {
            "func_name": "wqmaster.tasks.command.run",
            "args": [{"name": "a", "command": "prog x", "parsers": ["number"]}],
        },
        "submit": {"query": {}},
    }
    cli("run", campaigns.write(**settings), code=3)
    assert "'prog' is not installed" in cli.errors
    cli("run", campaigns.write(**settings, software={"prg": str(other)}), code=2)
    assert "did you mean 'prog'" in cli.errors
    cli("run", campaigns.write(**settings, software={"prog": str(other)}))
    [document] = campaigns.documents.find()
    assert document["test"]["a"]["number"] == 42
