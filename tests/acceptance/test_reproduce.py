"""`wqmaster reproduce`: a stored result, computed again from its record."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli

pytestmark = pytest.mark.skipif(shutil.which("xtb") is None, reason="xtb is not installed")


def done(campaigns: Campaigns, cli: Cli, **top: Any) -> Path:
    campaigns.waters(2)
    path = campaigns.write(**top)
    cli("run", path)
    return path


def test_a_row_of_xtb_is_identical(campaigns: Campaigns, cli: Cli) -> None:
    path = done(campaigns, cli)
    before = list(campaigns.documents.find())
    found = json.loads(cli("reproduce", path, "2", "--json"))
    assert found["agreement"] == "identical"
    assert {one["name"]: one["agreement"] for one in found["values"]} == {
        "energy": "identical",
        "gradient": "identical",
    }
    version = found["versions"]["gfn2"]
    assert version["stored"] == version["here"] is not None
    assert "identical" in cli("reproduce", path, "2")
    assert list(campaigns.documents.find()) == before


@pytest.mark.parametrize(
    ("change", "agreement", "code"),
    [(1e-8, "within tolerance", 0), (1e-3, "differs", 1)],
)
def test_an_edited_value_is_found(
    campaigns: Campaigns, cli: Cli, change: float, agreement: str, code: int
) -> None:
    path = done(campaigns, cli)
    field = "xtb.gfn2.gradient.1.2"
    campaigns.documents.update_one({"_id": 2}, {"$inc": {field: change}})
    stored = campaigns.documents.find_one({"_id": 2})
    assert stored is not None
    row = stored["xtb"]["gfn2"]["gradient"]
    campaigns.documents.update_one({"_id": 2}, {"$set": {"xtb.gfn2.gradient": row}})
    found = json.loads(cli("reproduce", path, "2", "--json", code=code))
    [gradient] = [one for one in found["values"] if one["name"] == "gradient"]
    assert gradient["agreement"] == found["agreement"] == agreement
    assert gradient["largest"] == pytest.approx(change, rel=1e-6)
    assert gradient["tolerance"] == 1e-5


def test_a_stale_result_and_one_of_another_recipe_are_refused(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = done(campaigns, cli)
    campaigns.documents.update_one({"_id": 1}, {"$set": {"charge": 2}})
    cli("reproduce", path, "1", code=2)
    assert "charge: 0 when computed, 2 now" in cli.errors
    config = campaigns.settings()["campaign_config"]
    config["args"][0]["gfn"] = 1
    other = campaigns.write(campaign_config=config)
    cli("reproduce", other, "2", code=2)
    assert "gfn: 2 before, 1 now" in cli.errors
    cli("reproduce", other, "77", code=2)
    assert "there is no document '77'" in cli.errors
    cli("reproduce", "77", code=2)


def test_an_id_is_understood_as_a_data_set_states_it(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(1)
    hydrogen = {"atomic_numbers": [1, 1], "coordinates": [[0, 0.1, 0], [0.3, 0.4, 0.5]]}
    campaigns.insert({"_id": "1", **hydrogen})
    path = campaigns.write()
    cli("run", path)
    out = tmp_path / "data.jsonl"
    cli("export", path, "--for", "jsonl", "-o", out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {one["_id"] for one in rows} == {"1", '"1"'}
    name = campaigns.settings()["campaign"]
    for row in rows:
        _id = 1 if len(row["atomic_numbers"]) == 3 else "1"
        for text in (row["_id"], f"{row['_id']}#12", f"{name}/{row['_id']}"):
            found = json.loads(cli("reproduce", path, text, "--json"))
            assert (found["document"], found["agreement"]) == (_id, "identical")
    cli("reproduce", path, '{"$ne": 1}', code=2)


def test_an_adopted_result_and_a_number_that_is_none_are_named(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = done(campaigns, cli)
    of = "xtb.gfn2"
    campaigns.documents.update_one({"_id": 1}, {"$set": {f"{of}.energy": float("nan")}})
    campaigns.documents.update_one(
        {"_id": 2}, {"$set": {f"{of}._run.adopted": {"file": "old.out"}, f"{of}._run.recipe": "0"}}
    )
    assert "energy is nan" in cli("reproduce", path, "1", code=1)
    cli("reproduce", path, "2", code=2)
    assert "adopted from 'old.out'" in cli.errors


def test_the_remedies_of_the_record_are_used_again(campaigns: Campaigns, cli: Cli) -> None:
    """The first attempt fails with 2 iterations; the remedy raises them."""
    config = campaigns.settings()["campaign_config"]
    config["args"][0]["iterations"] = 2
    path = done(campaigns, cli, campaign_config=config)
    stored = campaigns.documents.find_one({"_id": 2})
    assert stored is not None
    assert stored["xtb"]["gfn2"]["_run"]["remedy"] == "iterations"
    found = json.loads(cli("reproduce", path, "2", "--json"))
    assert found["agreement"] == "identical"
    without = campaigns.write(campaign_config=config, remedies=False)
    cli("reproduce", without, "2", code=2)
    assert "'iterations'" in cli.errors
