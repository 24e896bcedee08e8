"""What the data card says of labels."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.datasets import summary
from wqmaster.datasets.labels import Wishes, labels_of
from wqmaster.datasets.source import Selection, Source
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
