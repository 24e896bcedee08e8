"""Recognition of formats by file name, JSON Lines, and formats whose conversion loses data."""

import json
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId

from tests.unit.structure_files import read
from wqmaster.campaign.models import MoleculeFields
from wqmaster.errors import StructureError
from wqmaster.structures.base import Note
from wqmaster.structures.formats import stem

HYDROGEN = {"atomic_numbers": [1, 1], "coordinates": [[0, 0, 0], [0, 0, 0.74]]}


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("set.jsonl.gz", "set"),
        ("set.v2.jsonl", "set.v2"),
        ("a.xyz.jsonl", "a.xyz"),
        ("set.SDF", "set"),
        ("set.sdf.XZ", "set"),
        ("set.2024", "set.2024"),
        (".sdf", ".sdf"),
    ],
)
def test_the_stem_is_the_name_without_its_format_suffixes(name: str, expected: str) -> None:
    assert stem(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.pdb", "obabel a.pdb -O a.sdf -h"),
        ("a.mol2", "obabel a.mol2 -O a.sdf"),
        ("a.cif", "ase convert a.cif a.extxyz"),
        ("a.pdbqt", "obabel a.pdbqt"),
        ("a.xlsx", "save it as CSV"),
        ("a.sfd", "did you mean 'sdf'?"),
        ("a.vasp", "ase convert a.vasp a.extxyz"),
        ("my b.vasp", "ase convert 'my b.vasp' 'my b.extxyz'"),
        ("my b.pdb", "obabel 'my b.pdb' -O 'my b.sdf' -h"),
        ("a", "its name has no ending, which states the format"),
        ("a.yaml", "a YAML file, such as a campaign file, holds no structures"),
        ("a.db.gz", "decompress it first"),
        ("nowhere/a.sdf", "there is no such file"),
        ("folder.sdf", "not a file"),
    ],
)
def test_a_format_that_cannot_be_read_completely_is_refused_with_the_way_to_convert_it(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "folder.sdf":
        (tmp_path / name).mkdir()
    elif "nowhere" not in name:
        (tmp_path / name).write_text("x")
    with pytest.raises(StructureError) as caught:
        read(Path(name))
    assert said in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["a.sdf.gz", "a.jsonl.xz", "a.smi.bz2"])
def test_an_invalid_or_truncated_compressed_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"plain text\n")
    with pytest.raises(StructureError, match="cannot read the file"):
        read(tmp_path / name)


def test_json_lines_are_imported_unchanged(tmp_path: Path) -> None:
    oid = "507f1f77bcf86cd799439011"
    records = [
        {**HYDROGEN, "_id": {"$oid": oid}, "tags": {"a": [1]}},
        {**HYDROGEN, "charge": 1, "multiplicity": 2},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n" + lines(records[0]) + "\n  \n" + lines(records[1]))
    first, second = read(path)
    assert first.documents == [{**HYDROGEN, "_id": ObjectId(oid), "tags": {"a": [1]}}]
    assert first.notes == {Note.NO_CHARGE, Note.NO_MULTIPLICITY}
    assert second.documents == [records[1]]
    assert (second.notes, second.line) == (set(), 5)


def test_json_lines_may_use_common_or_the_campaigns_names_for_charge_and_spin(
    tmp_path: Path,
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(lines({**HYDROGEN, "total_charge": 1, "uhf": 1}, {**HYDROGEN, "q": {"e": -1}}))
    fields = MoleculeFields(charge="q.e", multiplicity="m")
    first, second = read(path, fields=fields)
    assert first.documents == [{**HYDROGEN, "total_charge": 1, "uhf": 1, "q": {"e": 1}, "m": 2}]
    assert second.documents == [{**HYDROGEN, "q": {"e": -1}}]
    assert second.notes == {Note.NO_MULTIPLICITY}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "invalid JSON"),
        ("not JSON", "invalid JSON: a value is missing (column 1)"),
        ("[1, 2]", "not a document"),
        (lines({**HYDROGEN, "charge": 1, "total_charge": 0}), "contradictory charges"),
        (lines({**HYDROGEN, "multiplicity": 1, "uhf": 1}), "contradictory multiplicities"),
        ('{"charge": 0, "charge": 2, ' + lines(HYDROGEN)[1:], "it has two values of 'charge'"),
    ],
)
def test_a_bad_line_is_refused(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(lines(HYDROGEN) + line.strip() + "\n" + lines(HYDROGEN))
    first, bad, last = read(path)
    assert (first.why, last.why) == (None, None)
    assert said in (bad.why or "")
    assert (bad.number, bad.line) == (2, 2)
