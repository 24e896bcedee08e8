"""Which values become labels, and what the data card says of them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.datasets import summary
from wqmaster.datasets.labels import Wishes, labels_of
from wqmaster.datasets.source import Selection, Source
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        ("pyscf.singlepoint", {"xc": "pbe", "basis": "sto-3g"}, "origin of the coordinates"),
        (
            "orca.sequential",
            {"route": "! PBE def2-SVP\n%elprop Quadrupole true end"},
            "center of mass",
        ),
    ],
)
def test_the_origin_of_quadrupole_moments_is_stated(
    tmp_path: Path, function: str, options: dict[str, Any], said: str
) -> None:
    step = {"name": "sp", "parsers": ["energy", "quadrupole"], **options}
    config = {"func_name": f"wqmaster.tasks.{function}", "args": [step]}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "c", "campaign_config": config}))
    recipe = resolve(load(path), runs=False)
    source = Source(recipe, None, labels_of(recipe, Wishes()), Selection())  # type: ignore[arg-type]
    meanings = summary.meanings([source])
    assert said in meanings["quadrupole"]
    assert "origin" not in meanings["energy"]


@pytest.mark.parametrize(
    ("words", "is_right"),
    [
        ({"energy": "energy"}, True),
        ({"energy": "homo_lumo_gap"}, False),
        ({"energy": "dispersion_energy"}, False),
        ({"energy": "dipole"}, False),
        ({"charges": "loewdin_charges"}, True),
        ({"charges": "iao_charges"}, True),
        ({"charges": "mulliken_spins"}, False),
        ({"charges": "dipole"}, False),
    ],
)
def test_a_value_that_means_something_else_is_not_a_label(
    tmp_path: Path, words: dict[str, str], is_right: bool
) -> None:
    parsers = ["energy", "homo_lumo_gap", "dispersion_energy", "dipole", "loewdin_charges"]
    parsers += ["iao_charges", "mulliken_spins"]
    step = {"name": "sp", "parsers": parsers, "xc": "pbe", "basis": "sto-3g", "dispersion": "d3bj"}
    config = {"func_name": "wqmaster.tasks.pyscf.singlepoint", "args": [step]}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "c", "campaign_config": config}))
    recipe = resolve(load(path), runs=False)
    if is_right:
        ((label, name),) = words.items()
        assert labels_of(recipe, Wishes(**words)).values[label] == name
        return
    with pytest.raises(CampaignError) as caught:
        labels_of(recipe, Wishes(**words))
    assert caught.value.code is ErrorCode.LABELS_MISSING


@pytest.mark.parametrize("asked", [{"frames": True}, {}])
def test_a_missing_parser_is_answered_with_the_command_for_this_campaign(
    tmp_path: Path, asked: dict[str, bool]
) -> None:
    config = {
        "func_name": "wqmaster.tasks.xtb.optimize",
        "args": [{"name": "opt", "parsers": ["energy"]}],
    }
    path = tmp_path / "my campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "c", "campaign_config": config}))
    with pytest.raises(CampaignError) as caught:
        labels_of(resolve(load(path), runs=False), Wishes(**asked))
    assert caught.value.code is ErrorCode.LABELS_MISSING
    assert f"reparse '{path}' --write" in caught.value.message


def xtb_recipe(folder: Path, *parsers: str) -> Recipe:
    config = {
        "func_name": "wqmaster.tasks.xtb.singlepoint",
        "args": [{"name": "sp", "parsers": [*parsers]}],
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "c", "campaign_config": config}))
    return resolve(load(path), runs=False)


@pytest.mark.parametrize(
    ("parsers", "wishes", "named", "not_named"),
    [
        (["energy", "charges"], Wishes(energy="nosuch"), ["available: energy"], ["charges"]),
        (["energy", "charges"], Wishes(step="sp", energy="x"), ["available: energy"], ["charges"]),
        (["charges"], Wishes(), ["'energy'"], ["--energy"]),
        (
            ["charges", "unpaired_electrons"],
            Wishes(),
            ["--energy (unpaired_electrons)"],
            ["charges"],
        ),
        (["unpaired_electrons"], Wishes(has_options=False), ["'energy'"], ["--energy"]),
        (["energy"], Wishes(frames=True), ["leave out --frames"], ["--energy"]),
        (["energy"], Wishes(frames=True, step="sp"), ["leave out --frames"], ["--energy"]),
    ],
)
def test_only_what_can_be_the_label_and_options_of_the_command_are_suggested(
    tmp_path: Path, parsers: list[str], wishes: Wishes, named: list[str], not_named: list[str]
) -> None:
    with pytest.raises(CampaignError) as error:
        labels_of(xtb_recipe(tmp_path, *parsers), wishes)
    assert error.value.code is ErrorCode.LABELS_MISSING
    assert all(word in error.value.message for word in named)
    assert not any(word in error.value.message for word in not_named)
