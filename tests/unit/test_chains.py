"""Chains: steps of several task functions in one job."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.jobs import wire
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import Molecule
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.recipe.retry import WHOLE_JOB

WATER = Molecule("w", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)), document={})
OPT = {"name": "opt", "func_name": "wqmaster.tasks.xtb.optimize"}
HESSIAN = {"name": "hess", "func_name": "wqmaster.tasks.xtb.hessian"}
ORCA = {"name": "sp", "func_name": "wqmaster.tasks.orca.sequential", "route": "! HF STO-3G EnGrad"}
PYSCF = {
    "name": "dft",
    "func_name": "wqmaster.tasks.pyscf.singlepoint",
    "xc": "pbe",
    "basis": "sto-3g",
}
VINA = {
    "name": "dock",
    "func_name": "wqmaster.tasks.vina.dock",
    "receptor": "r.pdbqt",
    "center": [0, 0, 0],
    "size": [9, 9, 9],
}


def recipe(folder: Path, *steps: dict[str, Any], **top: Any) -> Recipe:
    settings = {"campaign": "test", "campaign_config": {"args": [*steps]}, **top}
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return resolve(load(path, {}))


def refused(folder: Path, *steps: dict[str, Any], **top: Any) -> str:
    with pytest.raises(CampaignError) as caught:
        recipe(folder, *steps, **top)
    return caught.value.message


@pytest.mark.parametrize(
    ("later", "reads"),
    [
        (ORCA, lambda job: b"* xyzfile 0 1 opt.xyz" in job.files["sp.inp"]),
        (PYSCF, lambda job: b'"geometry_file": "opt.xyz"' in job.files["pyscf-dft.json"]),
        (HESSIAN, lambda job: ("opt.xyz", "molecule.xyz") in job.steps[1].copy),
    ],
)
def test_a_step_starts_from_the_geometry_of_another_program(
    tmp_path: Path, later: dict[str, Any], reads: Any
) -> None:
    job = recipe(tmp_path, OPT, {**later, "geometry": "opt"}).build(WATER)
    assert [step.name for step in job.steps] == ["opt", later["name"]]
    assert job.steps[1].copy[0] == ("xtbopt.xyz", "opt.xyz")
    assert reads(job)
    assert "xtbopt.xyz:opt.xyz" in wire.job_script(job)


def test_a_later_step_finds_the_documents_geometry_again(tmp_path: Path) -> None:
    """The file of xtb that a step with `geometry` replaces is restored for the others."""
    last = {"name": "start", "func_name": "wqmaster.tasks.xtb.singlepoint"}
    job = recipe(tmp_path, OPT, {**HESSIAN, "geometry": "opt"}, last).build(WATER)
    assert ("original.molecule.xyz", "molecule.xyz") in job.steps[2].copy
    assert job.files["original.molecule.xyz"] == job.files["molecule.xyz"]


def test_steps_run_in_the_order_of_the_campaign(tmp_path: Path) -> None:
    first = {"name": "before", "func_name": "wqmaster.tasks.xtb.singlepoint"}
    after = {"name": "after", "func_name": "wqmaster.tasks.xtb.singlepoint", "geometry": "opt"}
    job = recipe(tmp_path, first, OPT, after).build(WATER)
    assert [step.name for step in job.steps] == ["before", "opt", "after"]


def test_the_function_of_the_campaign_is_that_of_steps_that_name_none(tmp_path: Path) -> None:
    top = {"func_name": "wqmaster.tasks.xtb.optimize", "args": [{"name": "opt"}, ORCA]}
    found = recipe(tmp_path, campaign_config=top)
    assert [step.function.name for step in found.steps] == [
        "wqmaster.tasks.xtb.optimize",
        "wqmaster.tasks.orca.sequential",
    ]


def test_a_single_function_has_the_same_recipe_wherever_it_is_named(tmp_path: Path) -> None:
    top = {"func_name": "wqmaster.tasks.xtb.optimize", "args": [{"name": "opt"}]}
    assert recipe(tmp_path, OPT).hash == recipe(tmp_path, campaign_config=top).hash


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": "opt"},
        {"basis": "sto-6g"},
        {"func_name": "wqmaster.tasks.pyscf.hessian"},
    ],
)
def test_everything_in_a_chain_is_part_of_the_recipe(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    one, other = recipe(tmp_path, OPT, PYSCF), recipe(tmp_path, OPT, {**PYSCF, **change})
    assert one.steps[0].hash == other.steps[0].hash
    assert one.steps[1].hash != other.steps[1].hash
    tighter = recipe(tmp_path, {**OPT, "level": "tight"}, PYSCF)
    assert tighter.steps[1].hash != one.steps[1].hash


@pytest.mark.parametrize(
    ("steps", "line", "words"),
    [
        ([OPT, {**PYSCF, "geometry": "op"}], 10, "'op' is not an earlier step; earlier steps: opt"),
        ([OPT, {**PYSCF, "geometry": ["opt"]}], 10, "['opt'] is not an earlier step"),
        ([{**PYSCF, "geometry": "opt"}, OPT], 8, "is not an earlier step; this is the first step"),
        ([PYSCF, {**ORCA, "geometry": "dft"}], 11, "leaves no geometry to start from"),
        ([ORCA, {**VINA, "geometry": "sp"}], 18, "cannot start from the geometry of another"),
        ([ORCA, VINA], 8, "cannot share a job with wqmaster.tasks.orca.sequential: Vina docks"),
        ([{"name": "a"}], 2, "the key 'func_name' is missing"),
    ],
)
def test_a_chain_that_makes_no_sense_is_refused(
    tmp_path: Path, steps: list[dict[str, Any]], line: int, words: str
) -> None:
    (tmp_path / "r.pdbqt").write_text("")
    message = refused(tmp_path, *steps)
    assert words in message
    assert f"campaign.yaml:{line}:" in message


def test_each_step_has_the_remedies_of_its_program(tmp_path: Path) -> None:
    mine = {"dft": {"scf_not_converged": ["newton"]}, "opt_not_converged": []}
    ladders = recipe(tmp_path, OPT, PYSCF, remedies=mine).ladders
    scf, opt = FailureClass.SCF_NOT_CONVERGED, FailureClass.OPT_NOT_CONVERGED
    assert [rung.name for rung in ladders["dft"][scf]] == ["newton"]
    assert ladders["opt"][scf][0].name == "iterations"
    assert ladders["opt"][opt] == ladders["dft"][opt] == []
    assert all(rung.time for rung in ladders[WHOLE_JOB][FailureClass.TIME_LIMIT])


@pytest.mark.parametrize(
    ("remedies", "words"),
    [
        ({"dtf": {"scf_not_converged": []}}, "there is no step 'dtf'; did you mean 'dft'?"),
        ({"dft": ["newton"]}, "'dft' is a step"),
        ({"dft": {"scf_not_converged": ["iterations"]}}, "there is no remedy 'iterations'"),
        ({"dft": {"input_basis": []}}, "a wrong input is never retried"),
        ({"dft": {"memory": [{"name": "x", "grid": 1}]}}, "may change the level of theory"),
    ],
)
def test_wrong_remedies_of_a_step_are_refused(
    tmp_path: Path, remedies: dict[str, Any], words: str
) -> None:
    assert words in refused(tmp_path, OPT, PYSCF, remedies=remedies)


def test_two_functions_may_not_send_different_files_by_one_name(tmp_path: Path) -> None:
    run = {"func_name": "wqmaster.tasks.command.run", "command": "cat molecule.xyz"}
    found = recipe(tmp_path, OPT, {"name": "mine", "files": {"molecule.xyz": "no"}, **run})
    with pytest.raises(TypeError, match=r"different files named 'molecule.xyz'"):
        found.build(WATER)


def test_software_of_every_program_of_a_chain_is_known(tmp_path: Path) -> None:
    software = {"xtb": "/opt/xtb", "pyscf": "/opt/python3", "orca": "/opt/orca"}
    assert "does not call 'orca'" in refused(tmp_path, OPT, PYSCF, software=software)
    del software["orca"]
    found = recipe(tmp_path, OPT, PYSCF, software=software)
    assert found.programs() == ["/opt/xtb", "/opt/python3"]
