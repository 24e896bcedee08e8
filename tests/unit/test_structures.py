"""Structure files become documents."""

import gzip
import json
import math
from pathlib import Path
from typing import Any

import bson
import pytest
from bson import ObjectId

from wqmaster.campaign import MoleculeFields
from wqmaster.errors import StructureError
from wqmaster.structures import documents

FIELDS = MoleculeFields()
HYDROGEN = {"atomic_numbers": [1, 1], "coordinates": [[0, 0, 0], [0, 0, 0.74]]}
EXTXYZ = """\
3
Properties=species:S:1:pos:R:3 charge=1 multiplicity=2 name=cation tags="1 2 3" flag=T
O 0.0 0.0 0.0
H 0.0 0.0 0.96
H 0.93 0.0 -0.24
2
Properties=species:S:1:pos:R:3 weight=0.25
H 0.0 0.0 0.0
H 0.0 0.0 0.74
"""


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def read(
    folder: Path,
    text: str,
    name: str = "set.jsonl",
    fields: MoleculeFields = FIELDS,
    prefix: str | None = None,
) -> list[dict[str, Any]]:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return list(documents(path, fields, prefix))


def refused(folder: Path, text: str, name: str = "set.jsonl") -> str:
    """What the error says, without the folder."""
    with pytest.raises(StructureError) as caught:
        read(folder, text, name)
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{folder}/", "")


def test_json_lines_are_numbered_from_one_under_the_name_of_the_file(tmp_path: Path) -> None:
    found = read(tmp_path, lines(HYDROGEN, HYDROGEN))
    assert [document["_id"] for document in found] == ["set-0000001", "set-0000002"]
    assert found[1]["coordinates"] == HYDROGEN["coordinates"]


def test_json_lines_may_have_their_own_ids(tmp_path: Path) -> None:
    oid = "507f1f77bcf86cd799439011"
    records = [{**HYDROGEN, "_id": {"$oid": oid}}, {**HYDROGEN, "_id": 7}, HYDROGEN]
    found = read(tmp_path, lines(*records))
    assert [document["_id"] for document in found] == [ObjectId(oid), 7, "set-0000003"]


def test_fields_of_json_lines_are_kept(tmp_path: Path) -> None:
    [found] = read(tmp_path, lines({**HYDROGEN, "tags": {"a": [1]}, "charge": 0}))
    assert (found["tags"], found["charge"]) == ({"a": [1]}, 0)


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, "\n" + lines(HYDROGEN) + "\n  \n" + lines(HYDROGEN))
    assert [document["_id"] for document in found] == ["set-0000001", "set-0000002"]


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("set.jsonl.gz", "set"),
        ("set.v2.jsonl", "set.v2"),
        ("a.xyz.jsonl", "a.xyz"),
    ],
)
def test_the_prefix_is_the_name_of_the_file_without_its_ending(
    tmp_path: Path, name: str, prefix: str
) -> None:
    [found] = read(tmp_path, lines(HYDROGEN), name)
    assert found["_id"] == f"{prefix}-0000001"


def test_a_prefix_can_be_given(tmp_path: Path) -> None:
    [found] = read(tmp_path, lines(HYDROGEN), prefix="mine")
    assert found["_id"] == "mine-0000001"


def test_extxyz_becomes_documents_with_charge_multiplicity_and_information(
    tmp_path: Path,
) -> None:
    first, second = read(tmp_path, EXTXYZ, "set.extxyz")
    assert first == {
        "_id": "set-0000001",
        "atomic_numbers": [8, 1, 1],
        "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
        "charge": 1,
        "multiplicity": 2,
        "name": "cation",
        "tags": [1, 2, 3],
        "flag": True,
    }
    assert (second["charge"], second["multiplicity"], second["weight"]) == (0, 1, 0.25)


def test_gzipped_extxyz_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, EXTXYZ, "set.extxyz.gz")
    assert [document["_id"] for document in found] == ["set-0000001", "set-0000002"]


def test_plain_xyz_is_read_as_neutral_singlets(tmp_path: Path) -> None:
    [found] = read(tmp_path, "2\nany comment\nH 0 0 0\nH 0 0 0.74\n", "h2.xyz")
    assert (found["_id"], found["charge"], found["multiplicity"]) == ("h2-0000001", 0, 1)


def test_documents_hold_nothing_that_mongodb_cannot_store(tmp_path: Path) -> None:
    text = EXTXYZ.replace("flag=T", 'flag=T m="1 2 3 4 5 6 7 8 9" a.b=1 $c=2 none=None')
    first, _ = read(tmp_path, text, "set.extxyz")
    assert bson.decode(bson.encode(first)) == first
    assert not {"a.b", "$c"} & set(first)


def test_molecules_go_to_the_fields_that_the_campaign_names(tmp_path: Path) -> None:
    fields = MoleculeFields(
        atomic_numbers="start.z", coordinates="start.xyz", charge="q", multiplicity="m"
    )
    first, _ = read(tmp_path, EXTXYZ, "set.extxyz", fields)
    assert first["start"]["z"] == [8, 1, 1]
    assert len(first["start"]["xyz"]) == 3
    assert (first["q"], first["m"]) == (1, 2)


def test_structures_are_read_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(lines(HYDROGEN) + "broken\n")
    stream = documents(path, FIELDS)
    assert next(stream)["_id"] == "set-0000001"
    with pytest.raises(StructureError):
        next(stream)


# --- what cannot be imported -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none.jsonl", "none.jsonl.gz", "none.extxyz", "none.xyz.gz"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(StructureError) as caught:
        list(documents(tmp_path / name, FIELDS))
    assert caught.value.message == f"{tmp_path / name}: there is no such file"


@pytest.mark.parametrize(
    "line",
    ["{broken", "[1, 2]", "7", '"text"', "null", '{"_id": {"$oid": "short"}}'],
)
def test_a_line_that_is_no_document_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    message = refused(tmp_path, lines(HYDROGEN) + line + "\n")
    assert message.startswith("set.jsonl: structure 2")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"charge": 1}, "multiplicity 1 is impossible"),
        ({"charge": 0.5}, "'charge' is not a whole number"),
        ({"coordinates": [[0, 0, 0]]}, "names 2 atoms"),
        ({"coordinates": [[0, 0, 0], [0, 0, math.nan]]}, "is not finite"),
        ({"atomic_numbers": [1, 200]}, "atom 1 is of an unknown element: 200"),
        ({"atomic_numbers": [1, math.nan]}, "atom 1 is of an unknown element: nan"),
    ],
)
def test_a_bad_molecule_is_named_by_its_number(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    message = refused(tmp_path, lines(HYDROGEN, {**HYDROGEN, **changes}))
    assert message.startswith("set.jsonl: structure 2: ")
    assert words in message


def test_a_bad_molecule_of_a_structure_file_is_named_by_its_number(tmp_path: Path) -> None:
    message = refused(tmp_path, EXTXYZ.replace("weight=0.25", "charge=1"), "set.extxyz")
    assert message.startswith("set.extxyz: structure 2: multiplicity 1 is impossible")


@pytest.mark.parametrize("setting", ["charge=0.5", "charge=1.5 multiplicity=2", "multiplicity=1.5"])
def test_a_fractional_charge_or_multiplicity_is_not_rounded(tmp_path: Path, setting: str) -> None:
    message = refused(tmp_path, EXTXYZ.replace("weight=0.25", setting), "set.extxyz")
    assert message.startswith("set.extxyz: structure 2")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("H 0.0 0.0 0.74\n", ""),
        ("H 0.0 0.0 0.74", "H 0.0 0.0 x"),
        ("H 0.0 0.0 0.74", "Qq 0.0 0.0 0.74"),
        ("2\nProp", "two\nProp"),
        ("weight=0.25", "charge=much"),
        ("weight=0.25", 'charge="1 2"'),
    ],
)
def test_a_structure_that_ase_cannot_read_is_named_by_its_number(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in EXTXYZ
    message = refused(tmp_path, EXTXYZ.replace(old, new), "set.extxyz")
    assert message.startswith("set.extxyz: structure ")


@pytest.mark.parametrize("name", ["set.extxyz", "set.xyz", "set.sdf", "set.cif", "set.unknown"])
@pytest.mark.parametrize("text", ["", "nonsense\n", "5\n"])
def test_nothing_of_ase_leaks_from_a_file_that_it_cannot_read(
    tmp_path: Path, name: str, text: str
) -> None:
    message = ""
    try:
        found = read(tmp_path, text, name)
    except StructureError as error:
        found, message = [], error.message
    assert found == []
    assert not message or message.startswith(f"{tmp_path / name}: structure 1 cannot be read: ")


@pytest.mark.parametrize("name", ["set.jsonl.gz", "set.extxyz.gz"])
def test_a_compressed_file_that_is_cut_is_refused(tmp_path: Path, name: str) -> None:
    text = lines(*[HYDROGEN] * 50) if "jsonl" in name else EXTXYZ * 50
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode())[:-20])
    with pytest.raises(StructureError, match="cannot be read"):
        list(documents(path, FIELDS))
