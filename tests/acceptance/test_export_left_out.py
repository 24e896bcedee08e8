"""`wqmaster export`: what must not be in a data set, and how it is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_export import EV_PER_EH, MOLECULES, WATER, config
from tests.conftest import Campaigns, Cli


def exported(
    cli: Cli, campaign: Path, folder: Path, *words: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The counts and ids of what was left out, by reason, and the rows of the file."""
    out = folder / "data.jsonl"
    said = cli("export", campaign, "--for", "jsonl", "-o", out, "--force", "--json", *words)
    left_out = {one["reason"]: (one["count"], one["ids"]) for one in json.loads(said)["left_out"]}
    return left_out, [json.loads(line) for line in out.read_text().splitlines()]


def test_a_reference_atom_that_is_no_longer_asked_for_is_left_out(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    for asked in ({"multiplicities": {"O": 1}}, {"elements": ["H", "O", "C"]}, {"elements": ["O"]}):
        path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=asked)
        cli("run", path)
    found, rows = exported(cli, path, tmp_path)
    atoms = {one["_id"]: one for one in rows if one.get("isolated_atom")}
    (name,) = atoms
    assert name.endswith("-atom-O-3")
    stored = campaigns.documents.find_one({"_id": name})
    assert atoms[name]["energy"] == pytest.approx(stored["xtb"]["gfn2"]["energy"] * EV_PER_EH)
    ((why, (count, _)),) = found.items()
    assert count == 3
    assert "no longer asks for" in why


def test_a_record_that_somebody_has_edited_is_left_out_alone(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert(*MOLECULES)
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path)
    good = campaigns.documents.find_one({"_id": "water"})
    run = "xtb.gfn2._run"
    for number, change in enumerate(
        (
            {f"{run}.recipe": ["a", "list"]},
            {f"{run}.recipe": {"a": 1}},
            {run: [1]},
            {"xtb": [good["xtb"]]},
        )
    ):
        campaigns.insert({**good, "_id": f"bad{number}"})
        campaigns.documents.update_one({"_id": f"bad{number}"}, {"$set": change})
    odd: list[Any] = [7, {"values": [1, 2], "warned": "net_force"}, {"values": {"net_force": "x"}}]
    for number, checks in enumerate(odd):
        campaigns.insert({**good, "_id": f"odd{number}"})
        campaigns.documents.update_one({"_id": f"odd{number}"}, {"$set": {f"{run}.checks": checks}})
    found, rows = exported(cli, path, tmp_path)
    assert {one["_id"] for one in rows} == {
        *(one["_id"] for one in MOLECULES),
        *(f"odd{number}" for number in range(len(odd))),
    }
    assert [count for count, _ in found.values()] == [4]
    cli("check", path)  # it must not crash, either


def test_a_document_whose_molecule_has_become_impossible_is_stale(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "edited"}, {**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path)
    campaigns.documents.update_one({"_id": "edited"}, {"$set": {"charge": 1}})
    assert json.loads(cli("status", path, "--json"))["stale"] == 1
    found, _ = exported(cli, path, tmp_path)
    ((why, what),) = found.items()
    assert why.startswith("stale")
    assert what == (1, ["edited"])


def test_only_failures_of_selected_documents_without_the_result_are_counted(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    close = {"atomic_numbers": [1, 1], "coordinates": [[0, 0, 0], [0, 0, 0.1]]}
    campaigns.insert({**WATER, "_id": "water"}, {"_id": "close", **close})
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path, code=1)
    found, _ = exported(cli, path, tmp_path)
    assert list(found.values()) == [(1, ["close"])]
    found, _ = exported(cli, path, tmp_path, "--query", '{"_id": "water"}')
    assert found == {}


def test_the_failure_of_a_later_step_does_not_count_for_an_earlier_one(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    steps = ({"name": "gfn2"}, {"name": "hopeless", "gfn": 1, "iterations": 1})
    made = {**config(*steps), "commit": "step"}
    path = campaigns.write(campaign_config=made, engine="local", remedies=False)
    cli("run", path, code=1)
    found, rows = exported(cli, path, tmp_path, "--step", "gfn2")
    assert [one["_id"] for one in rows] == ["water"]
    assert found == {}


def test_frames_of_an_excited_state_without_a_gradient_are_left_out(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    step = {"name": "opt", "parsers": ["energy", "optimized_geometry", "frames"]}
    made = config(step, function="optimize")
    path = campaigns.write(campaign_config=made, engine="local")
    cli("run", path)
    # As ORCA's frames are after a `%tddft` that only computes excitations.
    campaigns.documents.update_one({}, {"$set": {"xtb.opt.frames.0.root": 1}})
    found, rows = exported(cli, path, tmp_path, "--frames")
    assert "water#0" not in {one["_id"] for one in rows}
    assert "water#1" in {one["_id"] for one in rows}
    (why,) = found
    assert "excited state" in why


def test_an_element_without_a_reference_atom_is_named(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=["O"])
    cli("run", path)
    out = tmp_path / "data.aselmdb"
    found = json.loads(cli("export", path, "--for", "fairchem", "-o", out, "--json"))
    (remark,) = found["remarks"]
    assert "no reference atom is exported for H" in remark
    card = (tmp_path / "data.aselmdb.card.md").read_text()
    assert "There is no reference atom of H." in card
    # Without any, none is expected.
    path = campaigns.write(campaign_config=config(), engine="local")
    out = tmp_path / "other.aselmdb"
    found = json.loads(cli("export", path, "--for", "fairchem", "-o", out, "--json"))
    assert not found["remarks"]
