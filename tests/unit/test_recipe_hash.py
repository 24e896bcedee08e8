"""The scope of a recipe's hash: it covers the molecule's fields, and nothing accidental."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.jobs.molecule import Molecule
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve

TOP = Path(__file__).resolve().parents[2]
XTB = "wqmaster.tasks.xtb.singlepoint"
OWN = """
from wqmaster.job import Execution, Job
from wqmaster.tasks import task


@task(fields=lambda options: ["smiles"])
def run(molecule, steps, software):
    return Job(tuple(Execution(step.name, ("true",)) for step in steps), {})
"""
_COUNT = itertools.count()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a user's task function that declares that it reads the field `smiles`."""
    name = f"own_hashed_{next(_COUNT)}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"{name}.run"


def recipe(folder: Path, function: str = XTB, **top: Any) -> Recipe:
    steps = [{"name": "a"}, {"name": "b"}]
    settings = {
        "campaign": "test",
        "campaign_config": {"func_name": function, "args": steps},
        **top,
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return resolve(load(path, {}), runs=False)


def hashes(found: Recipe) -> list[str]:
    return [step.hash for step in found.steps]


@pytest.mark.parametrize("key", ["atomic_numbers", "coordinates", "charge", "multiplicity"])
def test_a_different_molecule_field_changes_the_recipe_of_every_step(
    tmp_path: Path, key: str
) -> None:
    usual = recipe(tmp_path)
    other = recipe(tmp_path, molecule={key: "opt.field"})
    assert not set(hashes(usual)) & set(hashes(other))
    assert [step.old_hash for step in other.steps] == hashes(usual)
    assert other.steps[0].asked["molecule"] == {key: "opt.field"}


def test_naming_a_default_field_gives_the_same_recipe(tmp_path: Path) -> None:
    named = recipe(tmp_path, molecule={"coordinates": "coordinates", "charge": "charge"})
    assert hashes(named) == hashes(recipe(tmp_path))


def test_fields_that_our_programs_do_not_read_leave_the_recipe_unchanged(
    tmp_path: Path,
) -> None:
    assert hashes(recipe(tmp_path, submit={"projection": ["x"]})) == hashes(recipe(tmp_path))


def test_fields_that_a_users_function_may_read_are_part_of_its_recipe(
    tmp_path: Path, own: str
) -> None:
    usual = recipe(tmp_path, own)
    assert not set(hashes(usual)) & set(hashes(recipe(tmp_path, own, submit={"projection": ["x"]})))
    same = recipe(tmp_path, own, submit={"projection": ["smiles"]})
    assert hashes(same) == hashes(usual)


@pytest.mark.parametrize("projection", [[], ["x"], ["x", "smiles"]])
def test_a_collector_finds_the_same_recipe_in_the_completed_campaign(
    tmp_path: Path, own: str, projection: list[str]
) -> None:
    for function in (XTB, own):
        found = recipe(tmp_path, function, submit={"projection": projection})
        assert resolve(found.loaded, runs=False).hash == found.hash


@pytest.mark.parametrize(
    ("example", "expected"),
    [
        ("xtb-gradients", "0e6c88a1f54ddd15"),
        ("orca-wb97mv", "c2008ac371c841ef"),
        ("command", "8c8dc84eb4464762"),
    ],
)
def test_results_that_an_older_version_stored_keep_their_recipe(
    example: str, expected: str
) -> None:
    found = resolve(load(TOP / "examples" / example / "campaign.yaml", {}), runs=False)
    assert found.hash == expected


def test_learned_memory_changes_maxcore_but_no_hash(tmp_path: Path) -> None:
    water = Molecule(1, (8, 1, 1), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.96), (0.93, 0.0, -0.24)))
    config = {
        "func_name": "wqmaster.tasks.orca.sequential",
        "args": [{"name": "a", "route": "! PBE def2-SVP"}],
    }

    def of(memory: Any) -> Recipe:
        resources = {"cores": 2, **({} if memory is None else {"memory": memory})}
        return recipe(tmp_path, resources=resources, campaign_config=config)

    learned = of("auto")
    assert {of(memory).hash for memory in (None, 4000, {"first": 900})} == {learned.hash}

    def maxcore(memory: int | None) -> str:
        text = learned.build(water, memory=memory).files["a.inp"].decode()
        return next(line for line in text.splitlines() if line.startswith("%maxcore"))

    assert [maxcore(memory) for memory in (None, 4000, 800)] == [
        "%maxcore 1500",  # of 2000 MB per core
        "%maxcore 1500",
        "%maxcore 300",
    ]
    assert learned.needs(water).size == 24
    assert learned.needs(water).memory == pytest.approx(2 * 1000 / 0.75)
