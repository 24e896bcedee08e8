"""`wqmaster export`: the files have the values of a direct run of the program."""

import json
import math
import shlex
import subprocess
from pathlib import Path
from typing import Any

import ase.db
import ase.io
import h5py
import numpy as np
import pytest
import yaml

from tests.conftest import WATER as ALONG_Z
from tests.conftest import Campaigns, Cli
from wqmaster.campaign.molecule_fields import REFERENCE_ATOM
from wqmaster.datasets.placing import Placing
from wqmaster.datasets.targets import TARGETS
from wqmaster.errors import WqmasterError

EV_PER_EH = 27.211386024367243
ANGSTROM_PER_BOHR = 0.5291772105638411


def turned(places: Any) -> list[list[float]]:
    """Coordinates along no axis, for which xtb's own gradient would be wrong (F31)."""
    first, second = np.cos(0.6), np.sin(0.6)
    about_z = np.array([[first, -second, 0], [second, first, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, first, -second], [0, second, first]])
    found: list[list[float]] = (np.array(places) @ about_x.T @ about_z.T).tolist()
    return found


WATER = {**ALONG_Z, "coordinates": turned(ALONG_Z["coordinates"])}
MOLECULES: list[dict[str, Any]] = [
    {**WATER, "_id": "water"},
    {"_id": "oh", "atomic_numbers": ["O", "H"], "coordinates": [[0, 0, 0.1], [0, 0, 1.09]]}
    | {"charge": -1},
    {"_id": "no", "atomic_numbers": [7, 8], "coordinates": [[0, 0.2, 0], [0, 0.2, 1.18]]}
    | {"multiplicity": 2},
    {"_id": "o2", "atomic_numbers": [8, 8], "coordinates": [[0, 0, 0], [0.9, 0.9, 0]]}
    | {"multiplicity": 3},
    {"_id": "h3o", "atomic_numbers": [8, 1, 1, 1], "charge": 1}
    | {"coordinates": [[0, 0, 0.1], [0.94, 0, -0.1], [-0.47, 0.81, -0.1], [-0.47, -0.81, -0.1]]},
]


for _document in MOLECULES[1:]:
    _document["coordinates"] = turned(_document["coordinates"])


def config(*steps: dict[str, Any], function: str = "singlepoint") -> dict[str, Any]:
    parsers = {"parsers": ["energy", "gradient", "charges"]}
    return {
        "func_name": f"wqmaster.tasks.xtb.{function}",
        "job_timeout": 60,
        "kwargs": {"mongo_output_key": "xtb"},
        "args": [{**parsers, **step} for step in steps or ({"name": "gfn2"},)],
    }


def direct(document: dict[str, Any], folder: Path, coordinates: Any = None) -> tuple[float, Any]:
    """Energy (eV) and forces (eV/Angstrom) of xtb, called without wqmaster."""
    numbers = [{"O": 8, "H": 1}.get(one, one) for one in document["atomic_numbers"]]
    places = document["coordinates"] if coordinates is None else coordinates
    lines = [str(len(numbers)), ""]
    names = {1: "H", 7: "N", 8: "O"}
    lines += [
        " ".join([names[number], *(f"{value:.14f}" for value in place)])
        for number, place in zip(numbers, places, strict=True)
    ]
    folder.mkdir()
    (folder / "m.xyz").write_text("\n".join(lines) + "\n")
    state = ["--chrg", str(document.get("charge", 0))]
    state += ["--uhf", str(document.get("multiplicity", 1) - 1)]
    subprocess.run(
        ["xtb", "m.xyz", "--gfn", "2", "--grad", *state],
        cwd=folder,
        check=True,
        capture_output=True,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    text = (folder / "m.engrad").read_text()
    numbers_of = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    energy = float(numbers_of[1]) * EV_PER_EH
    gradient = np.array(numbers_of[2 : 2 + 3 * len(numbers)], dtype=float).reshape(-1, 3)
    return energy, -gradient * EV_PER_EH / ANGSTROM_PER_BOHR


@pytest.fixture
def computed(campaigns: Campaigns, cli: Cli) -> Path:
    """A campaign whose five molecules are computed."""
    campaigns.insert(*MOLECULES)
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path)
    return path


def rows_of(target: str, path: Path) -> dict[tuple[str, int, int], tuple[float, Any]]:
    """Energy (eV) and forces (eV/Angstrom) of each row, read without wqmaster.

    The keys are the elements, the charge and the multiplicity.
    """
    found: dict[tuple[str, int, int], tuple[float, Any]] = {}
    if target in ("aimnet", "torchani"):
        with h5py.File(path) as file:
            for group in file.values():
                species = group["numbers" if target == "aimnet" else "species"][()]
                for row, numbers in enumerate(species):
                    if target == "aimnet":
                        charge, spin = group["charge"][row], group["mult"][row]
                        energy, forces = group["energy"][row], group["forces"][row]
                    else:
                        charge, spin = group["charges"][row], group["spin_multiplicities"][row]
                        energy = group["energies"][row] * EV_PER_EH
                        forces = group["forces"][row] * EV_PER_EH
                    key = ",".join(map(str, numbers)), int(charge), int(spin)
                    found[key] = float(energy), np.array(forces, dtype=float)
        return found
    if target == "jsonl":
        for line in path.read_text().splitlines():
            row = json.loads(line)
            key = ",".join(map(str, row["atomic_numbers"])), row["charge"], row["multiplicity"]
            found[key] = row["energy"], np.array(row["forces"])
        return found
    if target == "fairchem":
        with ase.db.connect(path, type="aselmdb", readonly=True) as database:
            for row in database.select():
                key = ",".join(map(str, row.numbers)), row.data["charge"], row.data["spin"]
                found[key] = row.energy, row.forces
        return found
    energies, forces_of = ("REF_energy", "REF_forces") if target == "mace" else ("", "")
    charges = {"mace": "total_charge"}.get(target, "charge")
    spins = {"mace": "total_spin", "extxyz": "multiplicity"}.get(target, "spin")
    for atoms in ase.io.read(path, ":", format="extxyz"):
        key = ",".join(map(str, atoms.numbers)), int(atoms.info[charges]), int(atoms.info[spins])
        if energies:
            found[key] = atoms.info[energies], atoms.arrays[forces_of]
        else:
            found[key] = atoms.get_potential_energy(), atoms.get_forces()
    return found


def test_each_format_has_the_energies_and_forces_of_direct_runs(
    computed: Path, cli: Cli, tmp_path: Path
) -> None:
    expected = {}
    for document in MOLECULES:
        numbers = [{"O": 8, "H": 1}.get(one, one) for one in document["atomic_numbers"]]
        state = document.get("charge", 0), document.get("multiplicity", 1)
        expected[(",".join(map(str, numbers)), *state)] = direct(
            document, tmp_path / document["_id"]
        )
    for target in ("aimnet", "mace", "fairchem", "torchani", "nequip", "extxyz", "jsonl"):
        path = tmp_path / f"{target}{TARGETS[target].suffix}"
        cli("export", computed, "--for", target, "-o", path)
        found = rows_of(target, path)
        assert found.keys() == expected.keys(), target
        for key, (energy, forces) in found.items():
            assert energy == pytest.approx(expected[key][0], abs=1e-6), target
            assert np.abs(forces - expected[key][1]).max() < 1e-5, target

    # The forces are the negative derivative of the energy.
    atoms = next(one for one in ase.io.read(tmp_path / "mace.xyz", ":") if len(one) == 3)
    step = 1e-3
    energies = []
    for number, shift in enumerate((step, -step)):
        places = atoms.positions.copy()
        places[1, 2] += shift
        energies.append(direct(MOLECULES[0], tmp_path / f"moved{number}", places)[0])
    derivative = (energies[0] - energies[1]) / (2 * step)
    assert atoms.arrays["REF_forces"][1, 2] == pytest.approx(-derivative, abs=2e-3)


def test_values_go_with_the_geometry_at_which_they_were_computed(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    opt = config({"name": "opt", "parsers": ["energy"]}, function="optimize")
    path = campaigns.write(campaign_config=opt, engine="local")
    cli("run", path)
    out = tmp_path / "data.xyz"
    # The optimized geometry is not stored, and that of the document would be wrong.
    cli("export", path, "--for", "extxyz", "-o", out, code=2)
    assert "belong to a geometry that is not stored" in cli.errors
    cli("export", path, "--for", "extxyz", "-o", out, "--geometry", "document", code=2)
    assert not out.exists()

    whole = ["energy", "geometry", "frames"]
    opt = config({"name": "opt2", "parsers": whole}, function="optimize")
    path = campaigns.write(campaign_config=opt, engine="local", submit={"query": {}})
    cli("run", path)
    cli("export", path, "--for", "extxyz", "-o", out)
    atoms = ase.io.read(out)
    assert np.abs(atoms.positions - np.array(WATER["coordinates"])).max() > 1e-3
    energy, _ = direct(WATER, tmp_path / "direct", atoms.positions)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)

    # Every frame of the optimization has its own energy.
    cli("export", path, "--for", "extxyz", "-o", out, "--frames", "--force")
    frames = ase.io.read(out, ":")
    assert len(frames) > 2
    for number, frame in enumerate(frames):
        energy, _ = direct(WATER, tmp_path / f"frame{number}", frame.positions)
        assert frame.get_potential_energy() == pytest.approx(energy, abs=1e-5)


def test_a_chain_exports_the_gradient_at_the_optimized_geometry(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    chain = config(
        {"name": "opt", "func_name": "wqmaster.tasks.xtb.optimize", "parsers": ["geometry"]},
        {"name": "sp", "geometry": "opt"},
    )
    path = campaigns.write(campaign_config=chain, engine="local", submit={"query": {}})
    cli("run", path)
    out = tmp_path / "data.xyz"
    cli("export", path, "--for", "extxyz", "-o", out)
    atoms = ase.io.read(out)
    energy, forces = direct(WATER, tmp_path / "direct", atoms.positions)
    assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
    assert np.abs(atoms.get_forces() - forces).max() < 1e-5
    assert np.abs(atoms.get_forces()).max() < 0.05


def test_stale_results_and_those_of_another_recipe_are_left_out(
    computed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.documents.update_one({"_id": "water"}, {"$set": {"coordinates.0.0": 0.1}})
    out = tmp_path / "data.jsonl"
    found = json.loads(cli("export", computed, "--for", "jsonl", "-o", out, "--json"))
    assert found["frames"] == 4
    assert [(one["count"], one["ids"]) for one in found["left_out"]] == [(1, ["water"])]

    other = campaigns.write(
        campaign_config=config({"name": "gfn2", "gfn": 1}), engine="local", submit={"query": {}}
    )
    refused = json.loads(cli("export", other, "--for", "jsonl", "-o", out, "-f", "--json", code=2))
    assert refused["code"] == "recipes-mixed"
    # What was exported before is still there.
    assert len(out.read_text().splitlines()) == 4
    cli("export", other, "--for", "jsonl", "-o", out, "-f", "--mix-recipes")
    # None of these results was computed with GFN1, which is what the campaign file says now.
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    recipe = rows[0]["recipe"]
    assert {one["level"] for one in rows} == {f"recipe {recipe}"}
    card = json.loads(out.with_name("data.jsonl.card.json").read_text())
    assert [(one["name"], one["recipe"]) for one in card["levels"]] == [
        (f"recipe {recipe}", recipe)
    ]


def test_molecules_stay_in_one_part_and_keep_it_when_documents_are_added(
    computed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    def parts(name: str) -> dict[str, str]:
        out = tmp_path / f"{name}.jsonl"
        words = ["--splits", "0.5,0.5", "--seed", "5"]
        cli("export", computed, "--for", "jsonl", "-o", out, *words)
        return {
            json.loads(line)["_id"]: part
            for part in ("train", "valid")
            for line in (tmp_path / f"{name}-{part}.jsonl").read_text().splitlines()
        }

    before = parts("first")
    assert {*before} == {one["_id"] for one in MOLECULES}
    turned = [[z, x, y] for x, y, z in WATER["coordinates"]]
    bent = [[x, y * 1.05, z] for x, y, z in turned]
    campaigns.insert({**WATER, "_id": "a-water", "coordinates": bent})
    cli("run", computed)
    after = parts("second")
    assert after["a-water"] == after["water"]
    assert {name: part for name, part in after.items() if name in before} == before


def test_duplicates_are_counted_and_left_out_on_request(
    computed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    turned = [[z + 1, x, y] for x, y, z in WATER["coordinates"]]
    campaigns.insert({**WATER, "_id": "water-2", "coordinates": turned})
    cli("run", computed)
    out = tmp_path / "data.jsonl"
    found = json.loads(cli("export", computed, "--for", "jsonl", "-o", out, "--json"))
    assert (found["frames"], found["duplicates"]) == (6, 1)
    words = ["--dedupe", "--force", "--json"]
    found = json.loads(cli("export", computed, "--for", "jsonl", "-o", out, *words))
    assert found["frames"] == 5


def test_an_export_that_fails_leaves_nothing_and_replaces_nothing(
    computed: Path, cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "data.jsonl"
    out.write_text("mine\n")
    cli("export", computed, "--for", "jsonl", "-o", out, code=1)
    assert "--force" in cli.errors
    assert out.read_text() == "mine\n"
    assert [one.name for one in folder.iterdir()] == ["data.jsonl"]
    cli("export", computed, "--for", "jsonl", "-o", folder / "no" / "data.jsonl", code=3)
    cli("export", computed, "--for", "jsonl", "-o", folder, code=1)


def test_reference_atoms_go_where_the_trainer_wants_them(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    atoms = list(campaigns.documents.find({REFERENCE_ATOM: {"$ne": None}}))
    energies = {one["atomic_numbers"][0]: one["xtb"]["gfn2"]["energy"] * EV_PER_EH for one in atoms}
    out = tmp_path / "data.xyz"
    cli("export", path, "--for", "mace", "-o", out)
    found = {
        int(one.numbers[0]): one.info["REF_energy"]
        for one in ase.io.read(out, ":")
        if one.info.get("config_type") == "IsolatedAtom"
    }
    assert found.keys() == energies.keys()
    assert all(math.isclose(found[number], energies[number], abs_tol=1e-6) for number in found)
    cli("export", path, "--for", "aimnet", "-o", tmp_path / "data.h5")
    table = (tmp_path / "data.sae.yaml").read_text()
    for number, energy in energies.items():
        line = next(line for line in table.splitlines() if line.startswith(f"{number}:"))
        assert float(line.partition(":")[2]) == pytest.approx(energy, abs=1e-6)


def test_the_card_states_what_is_in_the_file(
    computed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    out = tmp_path / "data.h5"
    cli("export", computed, "--for", "aimnet", "-o", out)
    card = json.loads((tmp_path / "data.h5.card.json").read_text())
    assert card["counts"]["frames"] == 5
    assert card["counts"]["charges"] == {"-1": 1, "0": 3, "1": 1}
    assert card["campaigns"][0]["asked"]["function"] == "wqmaster.tasks.xtb.singlepoint"
    assert card["levels"][0]["name"] == "GFN2-xTB"
    text = (tmp_path / "data.h5.card.md").read_text()
    assert "GFN2-xTB" in text
    # The address of the database can hold a password.
    assert campaigns.uri not in text


def test_a_data_set_is_replaced_as_a_whole(computed: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "data.jsonl"
    words = ["export", computed, "--for", "jsonl", "-o", out]
    cli(*words, "--splits", "0.4,0.3,0.3")
    before = {one.name for one in tmp_path.glob("data-*.jsonl")}
    (tmp_path / "data-mine.jsonl").write_text("mine")
    cli(*words, "--splits", "all=1", "--force")
    # A test set of the earlier parts would hold molecules of the new training set.
    found = {one.name for one in tmp_path.glob("data-*.jsonl")}
    assert len(before) > 1
    assert found == {"data-all.jsonl", "data-mine.jsonl"}
    assert all(name in cli.errors for name in before)


def test_a_file_of_another_format_is_not_given_its_name(
    computed: Path, cli: Cli, tmp_path: Path
) -> None:
    for name in ("data.h5", "data.xyz.gz", "data"):
        cli("export", computed, "--for", "mace", "-o", tmp_path / name, code=2)
        assert str(tmp_path / "data.xyz") in cli.errors
    cli("export", computed, "--for", "mace", "-o", tmp_path / "data.extxyz")


def test_energies_of_reference_atoms_are_not_overwritten(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    mine = tmp_path / "data.sae.yaml"
    mine.write_text("1: -13.6\n")
    cli("export", path, "--for", "aimnet", "-o", tmp_path / "data.h5", code=1)
    assert mine.read_text() == "1: -13.6\n"
    assert not (tmp_path / "data.h5").exists()
    mine.unlink()
    cli("export", path, "--for", "aimnet", "-o", tmp_path / "data.h5")
    card = json.loads((tmp_path / "data.h5.card.json").read_text())
    assert [one["name"] for one in card["files"]] == ["data.h5", "data.sae.yaml"]


def test_an_existing_file_of_reference_atoms_is_refused_before_anything_is_written(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    (tmp_path / "data.sae.yaml").write_text("1: -13.6\n")
    # Only the reference atoms are selected, so that the export would end later with another code.
    chosen = json.dumps({REFERENCE_ATOM: {"$ne": None}})
    words = ["--for", "aimnet", "-o", tmp_path / "data.h5", "--query", chosen]
    found = json.loads(cli("export", path, *words, "--json", code=1))
    assert found["code"] == "file-exists"


def test_an_element_without_a_reference_atom_is_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    numbers = {"atomic_numbers": [8], REFERENCE_ATOM: {"$ne": None}}
    assert campaigns.documents.update_one(numbers, {"$unset": {"xtb": ""}}).modified_count == 1
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--json"]
    found = json.loads(cli("export", path, *words))
    assert found["reference_atoms"] == ["H"]
    (remark,) = found["remarks"]
    assert " O," in remark
    assert f"wqmaster failures {path}" in remark


@pytest.mark.parametrize("name", ["gradient", "homo_lumo_gap"])
def test_what_is_not_a_total_energy_is_not_exported_as_one(
    campaigns: Campaigns, cli: Cli, tmp_path: Path, name: str
) -> None:
    campaigns.insert(MOLECULES[0])
    parsers = ["energy", "gradient", "homo_lumo_gap"]
    settings = config({"name": "gfn2", "parsers": parsers})
    path = campaigns.write(campaign_config=settings, engine="local")
    cli("run", path)
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--energy", name, "--json"]
    found = json.loads(cli("export", path, *words, code=2))
    assert found["code"] == "labels-missing"
    assert f"'{name}' is not a total energy" in found["message"]


def test_a_query_that_selects_no_result_does_not_suggest_a_run(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert(MOLECULES[0])
    path = campaigns.write(campaign_config=config(), engine="local")
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--query", '{"a": 1}', "--json"]
    found = json.loads(cli("export", path, *words, code=2))
    assert found["code"] == "nothing-matches"
    assert " run " in found["message"]
    cli("run", path)
    found = json.loads(cli("export", path, *words, code=2))
    assert found["code"] == "nothing-matches"
    assert "none of 1 document" in found["message"]


def test_failed_documents_are_named_in_the_card(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    close = {"_id": "close", "atomic_numbers": [1, 1], "coordinates": [[0, 0, 0], [0, 0, 0.3]]}
    campaigns.insert({**WATER, "_id": "water"}, close)
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path, code=1)
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--json"]
    found = json.loads(cli("export", path, *words))
    (left_out,) = found["left_out"]
    assert left_out["reason"].startswith("failed: check_")
    assert (left_out["count"], left_out["ids"]) == (1, ["close"])


def test_frames_of_a_step_that_has_none_are_refused_with_the_reason(
    cli: Cli, tmp_path: Path, computed: Path
) -> None:
    """Once, the advice was to add a parser that every command refuses for this step."""
    cli("export", computed, "--for", "extxyz", "-o", tmp_path / "x.xyz", "--frames", code=2)
    assert "'xtb.singlepoint' computes only one geometry" in cli.errors
    assert "reparse" not in cli.errors


def test_a_campaign_without_results_is_reported(
    campaigns: Campaigns, cli: Cli, tmp_path: Path, computed: Path
) -> None:
    """Once, the number of frames was the only sign that a campaign contributed nothing."""
    settings = config()
    settings["kwargs"]["mongo_output_key"] = "other"
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(campaigns.settings(campaign="other", campaign_config=settings)))
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--json"]
    found = json.loads(cli("export", computed, other, *words))
    assert "other: no results; it contributes no frames" in found["remarks"]


def test_a_name_that_is_missing_is_suggested_with_the_suffix_of_the_target(tmp_path: Path) -> None:
    for path in (Path(), tmp_path):
        with pytest.raises(WqmasterError, match=r"such as -o \S*data\.xyz$"):
            Placing(path, [""], force=False, suffix=".xyz")


def test_a_message_about_a_draft_names_its_place(tmp_path: Path) -> None:
    with Placing(tmp_path / "data.xyz", ["train"], force=False) as placing:
        draft = placing.draft("train")
        place = tmp_path / "data-train.xyz"
        assert placing.worded(f"{draft}: row 1") == f"{place}: row 1"


def test_reference_atoms_are_not_counted_against_the_limit(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    # MongoDB sorts numbers before texts, and the ids of reference atoms are texts.
    campaigns.insert({**WATER, "_id": 1}, {**MOLECULES[1], "_id": 2})
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    words = ["--for", "jsonl", "-o", tmp_path / "data.jsonl", "--limit", "1", "--json"]
    found = json.loads(cli("export", path, *words))
    assert found["frames"] == 1
    assert sorted(found["reference_atoms"]) == ["H", "O"]


def test_ids_of_different_types_stay_different(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert(*({**one, "_id": id_} for id_, one in zip((1, "1"), MOLECULES, strict=False)))
    path = campaigns.write(campaign_config=config(), engine="local")
    cli("run", path)
    out = tmp_path / "data.jsonl"
    cli("export", path, "--for", "jsonl", "-o", out)
    assert [json.loads(line)["_id"] for line in out.read_text().splitlines()] == ["1", '"1"']


def test_a_field_of_groups_that_no_document_has_is_refused(
    computed: Path, campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    words = ["export", computed, "--for", "jsonl", "-o", tmp_path / "data.jsonl"]
    cli(*words, "--group", "series", code=2)
    assert "--splits" in cli.errors
    words += ["--splits", "0.5,0.5", "--group", "series"]
    cli(*words, code=2)
    assert "series" in cli.errors
    campaigns.documents.update_one({"_id": "water"}, {"$set": {"series": "a"}})
    cli(*words)
    assert "4 frames are of documents without this field" in cli.errors


def test_missing_forces_are_reported(campaigns: Campaigns, cli: Cli, tmp_path: Path) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    step = {"name": "gfn2", "parsers": ["energy"]}
    path = campaigns.write(campaign_config=config(step), engine="local")
    cli("run", path)
    cli("export", path, "--for", "mace", "-o", tmp_path / "data.xyz")
    assert "1 of 1 frames have no forces" in cli.errors


def test_the_command_in_the_card_can_be_pasted(computed: Path, cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    cli("export", computed, "--for", "jsonl", "-o", folder / "data.jsonl")
    text = (folder / "data.jsonl.card.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("wqmaster export"))
    assert shlex.split(line)[-1] == str(folder / "data.jsonl")


def test_all_parts_in_the_format_of_spice_have_formation_energies(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    diatomic = turned([[0, 0, 0], [0, 0, 1.12]])
    pairs = {"n2": [7, 7], "co": [6, 8], "hf": [1, 9]}
    campaigns.insert(
        {**WATER, "_id": "water"},
        *({"_id": name, "atomic_numbers": z, "coordinates": diatomic} for name, z in pairs.items()),
    )
    path = campaigns.write(campaign_config=config(), engine="local", reference_atoms=True)
    cli("run", path)
    words = ["--splits", "0.5,0.5", "--seed", "1"]
    cli("export", path, "--for", "spice", "-o", tmp_path / "data.hdf5", *words)
    parts = sorted(tmp_path.glob("data-*.hdf5"))
    assert len(parts) == 2
    for part in parts:
        with h5py.File(part) as file:
            for group in file.values():
                assert -1 < group["formation_energy"][0] < 0


def test_reference_atoms_of_two_recipes_are_not_mixed(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    paths = []
    for gfn in (1, 2):
        step = {"name": "sp", "gfn": gfn}
        made = {**config(step), "kwargs": {"mongo_output_key": f"gfn{gfn}"}}
        path = campaigns.write(
            campaign=f"gfn{gfn}",
            campaign_config=made,
            engine="local",
            reference_atoms=["H", "O"] if gfn == 1 else ["H", "O", "C"],
            submit={"query": {f"gfn{gfn}.sp": None}},
        )
        paths.append(path.rename(path.with_name(f"gfn{gfn}.yaml")))
        cli("run", paths[-1])
    out = tmp_path / "data.jsonl"
    words = ["--for", "jsonl", "-o", out, "--mix-recipes", "--json"]
    found = json.loads(cli("export", *paths, *words))
    assert sorted(found["reference_atoms"]) == ["H", "O"]
    assert any("gfn2 are left out" in remark for remark in found["remarks"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {one["level"] for one in rows} == {"GFN1-xTB + GFN2-xTB"}
    assert len({one["recipe"] for one in rows if one.get("isolated_atom")}) == 1


@pytest.mark.parametrize("name", ["/", ""])
def test_a_path_without_a_name_is_refused(campaigns: Campaigns, cli: Cli, name: str) -> None:
    campaigns.waters(1)
    path = campaigns.write()
    cli("run", path)
    assert cli("export", path, "--for", "extxyz", "-o", name, code=2) == ""
    assert "is not the name of a file" in cli.errors
