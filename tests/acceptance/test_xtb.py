"""Campaigns of xtb optimizations and dynamics: remedies, restarts, kept trajectories."""

import gzip
import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.io import iread

from tests.conftest import Campaigns, Cli

MOLECULES = Path(__file__).parents[2] / "examples" / "xtb-gradients" / "molecules.extxyz.gz"


def settings(function: str, step: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The keys of a one-step campaign."""
    return {
        "campaign_config": {
            "func_name": f"wqmaster.tasks.xtb.{function}",
            "job_timeout": 120,
            "args": [{"name": "a", **step}],
            "kwargs": {"mongo_output_key": "xtb"},
        },
        "submit": {"query": {}},
        **more,
    }


def molecules(campaigns: Campaigns, count: int) -> None:
    """Insert the smallest of the example's first 200 molecules."""
    with gzip.open(MOLECULES, "rt") as file:
        found = sorted(islice(iread(file, format="extxyz", index=":"), 200), key=len)[:count]
    campaigns.insert(
        *(
            {
                "_id": f"m{number}",
                "atomic_numbers": atoms.numbers.tolist(),
                "coordinates": atoms.positions.tolist(),
            }
            for number, atoms in enumerate(found)
        )
    )


@pytest.mark.parametrize("engine", ["work_queue", "local"])
def test_an_optimization_that_did_not_converge_continues_from_its_last_geometry(
    engine: str, campaigns: Campaigns, cli: Cli
) -> None:
    molecules(campaigns, 6)
    step = {"level": "tight", "cycles": 3, "parsers": ["energy", "optimized_geometry"]}
    path = campaigns.write(**settings("optimize", step), engine=engine, bundle={"size": 3})
    cli("run", path)
    failed = list(campaigns.failures.find())
    assert {record["class"] for record in failed} == {"opt_not_converged"}
    cured = campaigns.documents.count_documents({"xtb.a._run.remedy": "restart"})
    assert cured == len(failed) > 0
    shown = cli("failures", path, "--show", failed[0]["document"])
    assert "opt_not_converged" in shown

    # Judging by their energies, the minima are those of a run without a limit on the cycles.
    found = {d["_id"]: d["xtb"]["a"]["energy"] for d in campaigns.documents.find()}
    campaigns.documents.update_many({}, {"$unset": {"xtb": ""}})
    campaigns.failures.delete_many({})
    step = {"level": "tight", "parsers": ["energy"]}
    cli("run", campaigns.write(**settings("optimize", step), engine=engine))
    for document in campaigns.documents.find():
        assert document["xtb"]["a"]["energy"] == pytest.approx(found[document["_id"]], abs=1e-5)


def test_no_restart_begins_from_the_geometry_of_a_molecule_that_was_edited_since(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    step = {"cycles": 1, "level": "tight", "parsers": ["energy", "optimized_geometry"]}
    path = campaigns.write(**settings("optimize", step), remedies=False)
    cli("run", path, code=1)
    campaigns.documents.update_one(
        {"_id": 1}, {"$set": {"coordinates": [[0, 0, 50.0], [0, 0, 50.96], [0.93, 0, 49.76]]}}
    )
    path = campaigns.write(**settings("optimize", step))
    cli("failures", path, "--retry", "1")
    cli("run", path)
    [document] = campaigns.documents.find()
    found = document["xtb"]["a"]
    assert found["_run"]["remedy"] == "restart"
    assert np.mean(found["optimized_geometry"], axis=0)[2] > 40


def test_dynamics_keep_their_trajectory(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    campaigns.waters(4)
    step = {
        "gfn": "ff",
        "time": 0.1,
        "step": 0.5,
        "dump": 10.0,
        "shake": 0,
        "hmass": 1,
        "parsers": ["md_summary"],
        "keep_files": {"xtb.trj": "{id}.trj"},
    }
    cli("run", campaigns.write(**settings("md", step)))
    assert json.loads(cli("status", "--json"))["done"] == 4
    for number in range(1, 5):
        frames = (tmp_path / "test.run" / "kept" / f"{number}.trj").read_text().splitlines()
        assert len(frames) == 10 * 5


def test_the_level_of_theory_is_never_a_remedy(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.waters(1)
    ladder = {"scf_not_converged": [{"name": "hot", "etemp": 5000}]}
    path = campaigns.write(**settings("singlepoint", {"parsers": ["energy"]}), remedies=ladder)
    cli("run", path, code=2)
    assert "unknown key 'etemp'" in cli.errors
    assert "campaign.yaml:" in cli.errors
