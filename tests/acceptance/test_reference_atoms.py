"""`reference_atoms:`: isolated atoms are computed with the campaign's recipe, as documents."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli
from wqmaster.campaign.molecule_fields import REFERENCE_ATOM

CONFIG = {
    "func_name": "wqmaster.tasks.xtb.singlepoint",
    "job_timeout": 60,
    "kwargs": {"mongo_output_key": "xtb"},
    "args": [{"name": "gfn2", "parsers": ["energy"]}],
}


def written(campaigns: Campaigns, atoms: Any, **top: Any) -> Path:
    submit = {"query": {"xtb.gfn2": None, "kind": "molecule"}}
    top = {"engine": "local", "submit": submit, **top}
    return campaigns.write(campaign_config=CONFIG, reference_atoms=atoms, **top)


def atoms_of(campaigns: Campaigns) -> dict[int, dict[str, Any]]:
    found = campaigns.documents.find({REFERENCE_ATOM: {"$ne": None}})
    return {document["atomic_numbers"][0]: document for document in found}


def test_each_element_is_computed_once_as_an_atom_in_its_ground_state(
    campaigns: Campaigns, cli: Cli
) -> None:
    symbols = {**WATER, "_id": "symbols", "atomic_numbers": ["N", "O"], "multiplicity": 2}
    campaigns.insert(
        {**WATER, "_id": "water", "kind": "molecule"},
        {**symbols, "coordinates": [[0, 0, 0], [0, 0, 1.15]], "kind": "molecule"},
        # The query does not select it, so its element is not needed.
        {**WATER, "_id": "other", "atomic_numbers": [9, 1, 1]},
    )
    path = written(campaigns, True)
    cli("run", path)
    # The atoms are done, so they are no longer selected, either.
    found = json.loads(cli("check", path, "--json"))
    assert (found["matching"], found["molecules"]["selected"]) == (0, 0)
    assert found["first"]["document"] in ("water", "symbols")
    atoms = atoms_of(campaigns)
    assert {number: atom["multiplicity"] for number, atom in atoms.items()} == {1: 2, 7: 4, 8: 3}
    assert all(atom["xtb"]["gfn2"]["energy"] < 0 for atom in atoms.values())
    assert campaigns.documents.count_documents({}) == 6

    # Nothing is added or computed twice, and a new element adds its atom.
    campaigns.insert(
        {**WATER, "_id": "hf", "atomic_numbers": ["F", "H"], "kind": "molecule"}
        | {"coordinates": [[0, 0, 0], [0, 0, 0.92]]}
    )
    cli("run", path)
    assert {*atoms_of(campaigns)} == {1, 7, 8, 9}
    assert {number: atoms_of(campaigns)[number] for number in atoms} == atoms


def test_other_campaigns_do_not_compute_them(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({**WATER, "_id": "water", "kind": "molecule"})
    cli("run", written(campaigns, ["O"]))
    kwargs = {"mongo_output_key": "other"}
    other = campaigns.write(
        campaign="other",
        campaign_config={**CONFIG, "kwargs": kwargs},
        engine="local",
        submit={"query": {"other.gfn2": None}},
    )
    cli("run", other)
    assert "other" in (campaigns.documents.find_one({"_id": "water"}) or {})
    assert "other" not in atoms_of(campaigns)[8]


def test_a_users_own_field_named_reference_atom_hides_no_document(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({**WATER, "_id": "water", "kind": "molecule", "reference_atom": True})
    cli("run", written(campaigns, None))
    assert "xtb" in (campaigns.documents.find_one({"_id": "water"}) or {})


def test_a_stated_multiplicity_is_used(campaigns: Campaigns, cli: Cli) -> None:
    campaigns.insert({**WATER, "_id": "water", "kind": "molecule"})
    cli("run", written(campaigns, {"elements": ["O"], "multiplicities": {"O": 1}}))
    assert {number: atom["multiplicity"] for number, atom in atoms_of(campaigns).items()} == {8: 1}


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (["Xx"], "'Xx' is not the symbol of an element\n"),
        (["CL"], "did you mean 'Cl'?"),
        ({"multiplicities": {"H": 3}}, "multiplicity 3 is impossible for H"),
        ({"multiplicities": {"Rf": 3, "Db": 2}, "elements": ["Sg"]}, "ground state of Sg"),
        ({"multiplicities": {"Fe": 5}, "elements": ["H"]}, "Fe, which is not among 'elements'"),
        ({"element": ["H"]}, "did you mean 'elements'?"),
    ],
)
def test_wrong_atoms_are_refused_at_their_line(
    campaigns: Campaigns, cli: Cli, atoms: Any, words: str
) -> None:
    path = written(campaigns, atoms)
    cli("check", path, code=2)
    assert words in cli.errors
    assert f"{path}:" in cli.errors


def test_they_are_refused_for_a_calculation_that_needs_no_molecule(
    campaigns: Campaigns, cli: Cli
) -> None:
    config = {
        "func_name": "wqmaster.tasks.vina.dock",
        "args": [{"name": "dock", "receptor": "r.pdbqt", "center": [0, 0, 0], "size": [9, 9, 9]}],
    }
    path = campaigns.write(campaign_config=config, reference_atoms=True)
    path.with_name("r.pdbqt").write_text(
        "ATOM      1  C   LIG A   1       0.000   0.000   0.000  0.00  0.00    +0.000 C \n"
    )
    cli("check", path, code=2)
    assert "wqmaster.tasks.vina.dock" in cli.errors
    assert "reference_atoms" in cli.errors


def test_an_atom_without_an_empty_orbital_has_a_result_without_a_gap(
    campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.insert({**WATER, "_id": "water"})
    step = {"name": "gfn2", "parsers": ["energy", "homo_lumo_gap"]}
    made = {**CONFIG, "args": [step]}
    cli("run", campaigns.write(campaign_config=made, reference_atoms=True, engine="local"))
    # GFN2 has an s orbital for H, and s and p orbitals for O, of which the triplet fills all four.
    values = {number: atom["xtb"]["gfn2"] for number, atom in atoms_of(campaigns).items()}
    assert values.keys() == {1, 8}
    assert all(value["energy"] < 0 and value["homo_lumo_gap"] is None for value in values.values())
    assert campaigns.documents.find_one({"_id": "water"})["xtb"]["gfn2"]["homo_lumo_gap"] > 0
