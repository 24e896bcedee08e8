"""`wqmaster import` accounts for every record: imported, already there, or refused, and where."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import WATER, Campaigns, Cli, wait_until
from tests.unit.structure_files import MOLECULES, molecules

TWO = """\
3
Properties=species:S:1:pos:R:3 origin=first
O 0.0 0.0 0.0
H 0.0 0.0 0.96
H 0.93 0.0 -0.24
2
Properties=species:S:1:pos:R:3 charge=1 multiplicity=2
H 0.0 0.0 0.0
H 0.0 0.0 1.05
"""


@pytest.fixture
def empty(campaigns: Campaigns) -> Path:
    """A campaign file that uses a database without documents."""
    return campaigns.write()


@pytest.fixture(scope="module")
def sdf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SDF file with all MOLECULES."""
    from rdkit import Chem

    path = tmp_path_factory.mktemp("sdf") / "set.sdf"
    writer = Chem.SDWriter(str(path))
    for known, molecule in molecules():
        molecule.SetProp("smiles", known.smiles)
        writer.write(molecule)
    writer.close()
    return path


def counts(cli: Cli, *words: str | Path, code: int = 0) -> dict[str, Any]:
    """The report of `import` on its only file."""
    [account] = json.loads(cli("import", *words, "--json", code=code))["files"]
    parts = ("imported", "already_there", "held_back", "refused")
    assert account["records"] == sum(account[part] for part in parts)
    found: dict[str, Any] = account
    return found


def test_an_sdf_file_is_imported_completely_and_only_once(
    sdf: Path, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    """Once, only 1 of 40 records was imported, without its charge, and the exit code was 0."""
    said = cli("import", empty, sdf)
    size = len(MOLECULES)
    place = f"{campaigns.database}.molecules"
    assert said.startswith(f"{sdf}: {size} records: {size} imported into {place}\n")
    found = list(campaigns.documents.find().sort("_id"))
    assert [document["_id"] for document in found] == [f"set-{n:07d}" for n in range(1, size + 1)]
    states = [(document["charge"], document["multiplicity"]) for document in found]
    assert states == list(MOLECULES.values())
    assert [document["smiles"] for document in found] == list(MOLECULES)

    again = counts(cli, empty, sdf)
    assert (again["imported"], again["already_there"]) == (0, size)
    assert list(campaigns.documents.find().sort("_id")) == found


def test_import_of_xyz_reports_its_assumptions(campaigns: Campaigns, cli: Cli, empty: Path) -> None:
    file = cli.folder / "two.extxyz"
    file.write_text(TWO)
    said = cli("import", empty, file)
    assert "no charge given: assumed 0 (1 record)\n" in said
    assert "no multiplicity given: assumed 1 (1 record)\n" in said
    first, second = campaigns.documents.find().sort("_id")
    assert first == {
        "_id": "two-0000001",
        **WATER,
        "charge": 0,
        "multiplicity": 1,
        "origin": "first",
    }
    assert (second["_id"], second["charge"], second["multiplicity"]) == ("two-0000002", 1, 2)


def test_another_file_with_the_same_ids_is_refused_entirely(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    file = cli.folder / "two.extxyz"
    file.write_text(TWO)
    cli("import", empty, file)
    before = list(campaigns.documents.find().sort("_id"))
    clash = cli.folder / "other" / "two.extxyz"
    clash.parent.mkdir()
    clash.write_text(TWO.replace("1.05", "1.06") + TWO)
    cli("import", empty, clash, code=2)
    place = f"{campaigns.database}.molecules"
    assert (
        f"record 2, line 6: the collection {place} has a different document 'two-0000002' "
        "('coordinates' differs); choose other ids with --prefix or --id-from"
    ) in cli.errors
    assert f"nothing was imported from {clash}" in cli.errors
    assert list(campaigns.documents.find().sort("_id")) == before
    assert counts(cli, empty, clash, "--prefix", "new")["imported"] == 4


def test_compressed_files_and_json_lines_are_imported_together(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    zipped = cli.folder / "zipped.extxyz.gz"
    zipped.write_bytes(gzip.compress(TWO.encode()))
    lines = cli.folder / "lines.jsonl"
    own = {"_id": {"$oid": "0123456789abcdef01234567"}, **WATER, "name": "water"}
    lines.write_text(f"{json.dumps(WATER)}\n\n{json.dumps(own)}\n")
    packed = cli.folder / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(json.dumps(WATER).encode()))
    output = cli("import", empty, zipped, lines, packed)
    assert re.findall(r": (\d+) imported", output) == ["2", "2", "1"]
    ids = {str(document["_id"]) for document in campaigns.documents.find()}
    assert ids == {
        "zipped-0000001",
        "zipped-0000002",
        "lines-0000001",
        "0123456789abcdef01234567",
        "packed-0000001",
    }


def damaged(kind: str, folder: Path, count: int, bad: int) -> Path:
    """A file with `count` named water molecules; number `bad` cannot be imported."""
    file = folder / f"waters.{kind}"
    heights = [0.96 + 1e-4 * number for number in range(1, count + 1)]
    if kind == "jsonl":
        lines = [
            json.dumps({"_id": f"name{number}", **WATER, "height": height})
            for number, height in enumerate(heights, start=1)
        ]
        lines[bad - 1] = lines[bad - 1].replace('"height"', "height")
        file.write_text("\n".join(lines) + "\n")
    elif kind == "extxyz":
        frames = [
            f"3\nProperties=species:S:1:pos:R:3 name=name{number}\nO 0 0 0\nH 0 0 {height}\n"
            f"H 0.93 0 {'none' if number == bad else -0.24}\n"
            for number, height in enumerate(heights, start=1)
        ]
        file.write_text("".join(frames))
    elif kind == "sdf":
        blocks = [
            f"name{number}\n\n\n  3  2  0  0  0  0            999 V2000\n"
            f"    0.0000    0.0000    0.0000 {'Qq' if number == bad else 'O '}  0  0\n"
            f"    0.0000    0.0000    {height:.4f} H   0  0\n"
            "    0.9300    0.0000   -0.2400 H   0  0\n  1  2  1  0\n  1  3  1  0\nM  END\n$$$$\n"
            for number, height in enumerate(heights, start=1)
        ]
        file.write_text("".join(blocks))
    else:
        from ase import Atoms
        from ase.db import connect

        with connect(file) as rows:
            for number, height in enumerate(heights, start=1):
                atoms = Atoms("OHH", [[0, 0, 0], [0, 0, height], [0.93, 0, -0.24]])
                rows.write(atoms, name=f"name{number}", multiplicity=2 if number == bad else 1)
    return file


@pytest.mark.parametrize("kind", ["jsonl", "extxyz", "sdf", "db"])
def test_a_bad_record_of_many_is_reported_with_the_numbers_imported(
    kind: str, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    first = cli.folder / "first.jsonl"
    first.write_text(f"{json.dumps(WATER)}\n")
    file = damaged(kind, cli.folder, 700, 601)
    found = json.loads(cli("import", empty, first, file, "--json", code=2))
    place = f"{campaigns.database}.molecules"
    message = found["error"]["message"]
    assert found["error"]["code"] == "records-refused"
    assert f"nothing was imported from {file}" in message
    assert "record 601" in message
    assert "'name601'" in message
    assert f"{place} has 1 document from {first}; " in message
    assert [one["imported"] for one in found["files"]] == [1, 0]
    assert found["files"][1]["refused_records"][0]["title"] == "name601"
    assert campaigns.documents.count_documents({}) == 1


def test_a_truncated_file_is_reported_with_the_numbers_imported(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    first, cut = cli.folder / "first.jsonl", cli.folder / "cut.jsonl.gz"
    first.write_text(f"{json.dumps(WATER)}\n")
    lines = "".join(f"{json.dumps({**WATER, 'number': n})}\n" for n in range(2000))
    whole = gzip.compress(lines.encode())
    cut.write_bytes(whole[: len(whole) // 2])
    found = json.loads(cli("import", empty, first, cut, "--json", code=2))
    assert found["error"]["code"] == "unreadable-structure"
    message = found["error"]["message"]
    assert f"has 1 document from {first}; once this is fixed, import the same files" in message
    assert [one["imported"] for one in found["files"]] == [1, 0]
    assert found["error"]["message"] in cli.errors


@pytest.mark.parametrize("place", [0, 20, 41])
def test_one_bad_record_prevents_the_import_of_its_file_unless_skipped(
    place: int, sdf: Path, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    blocks = sdf.read_text().split("$$$$\n")[:-1]
    blocks[place] = blocks[place].replace("V2000\n", "V2000\n  damaged line\n", 1)
    file = cli.folder / "bad.sdf"
    file.write_text("$$$$\n".join([*blocks, ""]))
    account = counts(cli, empty, file, code=2)
    assert (account["imported"], account["refused"], account["held_back"]) == (0, 1, 41)
    [refused] = account["refused_records"]
    assert refused["record"] == place + 1
    assert refused["title"] == f"molecule {place + 1}"
    assert refused["line"] == "$$$$\n".join([*blocks[:place], ""]).count("\n") + 1
    assert campaigns.documents.count_documents({}) == 0
    assert f"nothing was imported from {file}" in cli.errors

    (cli.folder / "bad.refused.sdf").write_text("a file of the user's\n")
    account = counts(cli, empty, file, "--skip-bad")
    assert (account["imported"], account["refused"]) == (41, 1)
    assert (cli.folder / "bad.refused.sdf").read_text() == "a file of the user's\n"
    kept = cli.folder / account["refused_file"]
    assert kept.name == "bad.refused-2.sdf"
    assert kept.read_text() == blocks[place] + "$$$$\n"
    reasons = (cli.folder / account["reasons_file"]).read_text()
    assert reasons.startswith(f"record {place + 1}, line {refused['line']} (")
    assert campaigns.documents.count_documents({}) == 41

    # From the corrected file only the record that was refused is added.
    assert counts(cli, empty, sdf, "--prefix", "bad")["already_there"] == 41


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cut.extxyz", TWO + "3\nname=cut\nO 0.0 0.0 0.0\n", "record 3, line 10: it is truncated"),
        (
            "nan.extxyz",
            TWO.replace("1.05", "nan"),
            "record 2, line 6: a coordinate of atom 2 (of 2)",
        ),
        ("odd.xyz", "1\nH\nH 0 0 0\n", "state both in the file or with --charge"),
        ("cut.jsonl", f'{json.dumps(WATER)}\n{{"a": [8,\n', "record 2, line 2: invalid JSON"),
        ("list.jsonl", f"{json.dumps(WATER)}\n[1, 2]\n", "record 2, line 2: not a document"),
        ("big.jsonl", json.dumps({"_id": 10**30, **WATER}), "the database cannot hold it"),
        (
            "twice.jsonl",
            "".join(json.dumps({"_id": "a", **WATER, "n": n}) + "\n" for n in (1, 2)),
            "record 1 has the same _id 'a'; change the _id in the file, or import it into another",
        ),
    ],
)
def test_a_bad_record_is_named_and_nothing_is_changed(
    name: str, content: str, said: str, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    campaigns.insert({"_id": "before", **WATER})
    (cli.folder / name).write_text(content)
    cli("import", empty, name, code=2)
    assert said in cli.errors
    assert list(campaigns.documents.find()) == [{"_id": "before", **WATER}]


def test_unreadable_files_are_refused_before_anything_is_imported(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    (cli.folder / "good.extxyz").write_text(TWO)
    (cli.folder / "bad.pdb").write_text("ATOM\n")
    cli("import", empty, "good.extxyz", "bad.pdb", code=2)
    assert "convert the file first: obabel bad.pdb -O bad.sdf -h" in cli.errors
    cli("import", empty, "good.extxyz", "nowhere.sdf", code=2)
    assert "there is no such file" in cli.errors
    assert campaigns.documents.count_documents({}) == 0


def test_ids_come_from_titles_fields_or_the_molecule(
    sdf: Path, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    for source, first in (("title", "molecule 1"), ("smiles", "O")):
        assert counts(cli, empty, sdf, "--id-from", source)["imported"] == len(MOLECULES)
        assert campaigns.documents.find_one({"_id": first}) is not None
    by_hash = counts(cli, empty, sdf, "--id-from", "hash")
    assert by_hash["imported"] == len(MOLECULES)
    assert counts(cli, empty, sdf, "--id-from", "hash")["already_there"] == len(MOLECULES)

    # A file with the same molecules under other titles adds no document.
    other = cli.folder / "other.sdf"
    other.write_text(sdf.read_text().replace("molecule ", "mol-") + sdf.read_text())
    account = counts(cli, empty, other, "--id-from", "hash")
    assert account["already_there"] == 2 * len(MOLECULES)

    text = sdf.read_text().replace("molecule ", "copy ")
    other.write_text(text.replace("copy 42\n", "copy 3\n"))
    account = counts(cli, empty, other, "--id-from", "title", code=2)
    [refused] = account["refused_records"]
    assert "record 3 has the same _id 'copy 3'" in refused["why"]
    account = counts(cli, empty, sdf, "--id-from", "nothing", code=2)
    assert account["refused"] == len(MOLECULES)
    assert "it has no field 'nothing'" in account["refused_records"][0]["why"]


@pytest.mark.parametrize("option", [("--conformers", "3"), ("--smiles-column", "smiles")])
def test_an_option_for_smiles_needs_a_file_with_smiles(
    campaigns: Campaigns, cli: Cli, empty: Path, option: tuple[str, str]
) -> None:
    """Once, it was ignored silently."""
    (cli.folder / "water.xyz").write_text("3\ncharge=0\nO 0 0 0\nH 0 0.8 0.6\nH 0 -0.8 0.6\n")
    (cli.folder / "set.csv").write_text("smiles\nCCO\n")
    cli("import", empty, "water.xyz", *option, code=2)
    assert f"{option[0]} applies only to" in cli.errors
    assert campaigns.documents.count_documents({}) == 0
    cli("import", empty, "water.xyz", "set.csv", *option)


def test_conformers_of_a_table_get_ids_and_can_be_imported_again(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    (cli.folder / "set.csv").write_text("name,smiles\nbutanol,CCCCO\nammonium,C[NH3+]\n")
    words = ("set.csv", "--conformers", "3", "--id-from", "name")
    said = cli("import", empty, *words)
    assert said.startswith("set.csv: 2 records: 2 imported")
    found = {one["_id"]: one for one in campaigns.documents.find()}
    assert sorted(found) == [
        *("ammonium-01", "ammonium-02", "ammonium-03"),
        *("butanol-01", "butanol-02", "butanol-03"),
    ]
    assert {one["charge"] for one in found.values() if one["name"] == "ammonium"} == {1}
    assert "2 records: 2 already there (6 documents)\n" in cli("import", empty, *words)


def test_the_numbers_of_an_import_with_conformers_add_up_to_the_records(
    cli: Cli, empty: Path
) -> None:
    (cli.folder / "set.smi").write_text("CO good\nC(C bad\nN fine\nC1C worse\n")
    words = ("set.smi", "--conformers", "3", "--skip-bad")
    assert "4 records: 2 imported into " in (said := cli("import", empty, *words))
    assert " (6 documents), 2 refused\n" in said
    cli("import", empty, "set.smi", "--conformers", "3", code=2)
    (cli.folder / "set.smi").write_text("CO good\nC(C bad\nN fine\nO more\n")
    said = cli("import", empty, *words)
    assert said.startswith("set.smi: 4 records: 3 valid (9 documents: 3 imported into ")
    assert ", 6 already there), 1 refused\n" in said


def test_a_prefix_that_is_not_used_is_noted(cli: Cli, campaigns: Campaigns, empty: Path) -> None:
    own = json.dumps({**WATER, "_id": "mine"})
    (cli.folder / "some.jsonl").write_text(f"{own}\n{json.dumps(WATER)}\n")
    said = cli("import", empty, "some.jsonl", "--prefix", "new")
    assert "--prefix was not used (1 record)" in said
    assert {one["_id"] for one in campaigns.documents.find()} == {"mine", "new-0000002"}


def test_imported_molecules_are_computed_with_their_charge_and_spin(
    campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    from rdkit import Chem

    file = cli.folder / "ions.sdf"
    writer = Chem.SDWriter(str(file))
    for known, molecule in molecules():
        if known.smiles in ("[O-]C(=O)C(=O)[O-]", "[NH4+]", "[CH3]"):
            writer.write(molecule)
    writer.close()
    cli("import", empty, file)
    # The geometries are made up, with forces above the limit.
    cli("smoke", campaigns.write(checks="off"))
    path = campaigns.write(
        checks="off",
        campaign_config={
            "func_name": "wqmaster.tasks.xtb.singlepoint",
            "args": [{"name": "gfn2", "parsers": ["net_charge", "unpaired_electrons"]}],
            "kwargs": {"mongo_output_key": "xtb"},
        },
    )
    cli("run", path, code=(0, 1))
    for document in campaigns.documents.find({"xtb.gfn2": {"$ne": None}}):
        values = document["xtb"]["gfn2"]
        assert values["net_charge"] == pytest.approx(document["charge"], abs=1e-3)
        assert values["unpaired_electrons"] == document["multiplicity"] - 1
    assert campaigns.documents.count_documents({"xtb.gfn2": {"$ne": None}}) >= 2


@pytest.mark.parametrize(
    "name", ["a.sdf", "a.smi", "a.jsonl", "a.xyz", "a.csv", "a.db", "a.json", "a.traj"]
)
def test_an_empty_file_is_not_a_success(name: str, cli: Cli, empty: Path) -> None:
    (cli.folder / name).write_text("")
    cli("import", empty, name, code=2)
    assert f"wqmaster: {name}: " in cli.errors


def test_a_file_of_only_bad_records_is_not_a_success(cli: Cli, empty: Path) -> None:
    (cli.folder / "a.xyz").write_text("1\nodd\nH 0 0 0\n2\n\nH 0 0 0\nH 0 0 0\n")
    cli("import", empty, "a.xyz", "--skip-bad", code=2)
    assert "every record was refused" in cli.errors
    assert "atoms 1 and 2 (of 2) are in the same place" in cli.errors


def test_a_killed_import_leaves_no_file_and_the_same_command_completes_it(
    sdf: Path, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    file = cli.folder / "large.sdf"
    file.write_text(sdf.read_text() * 60)
    size = 60 * len(MOLECULES)
    (cli.folder / "test.run").mkdir()
    process = cli.start("import", empty, file)
    wait_until(lambda: campaigns.documents.estimated_document_count() > 0)
    process.kill()
    process.wait()
    assert list((cli.folder / "test.run").iterdir()) == []
    account = counts(cli, empty, file)
    assert account["imported"] + account["already_there"] == size
    assert campaigns.documents.count_documents({}) == size


@pytest.mark.parametrize(
    "bad", ["[1]", "null", '{"$x": 1}', '{"$regularExpression": {"pattern": "a", "options": ""}}']
)
def test_an_id_that_mongodb_refuses_is_a_refused_record(
    bad: str, campaigns: Campaigns, cli: Cli, empty: Path
) -> None:
    """The import once ended as if the database had failed, even with --skip-bad."""
    rest = '"atomic_numbers": [2], "coordinates": [[0, 0, 0]]}'
    file = cli.folder / "set.jsonl"
    file.write_text(f'{{"_id": "good", {rest}\n{{"_id": {bad}, {rest}\n')
    account = counts(cli, empty, file, "--skip-bad")
    assert (account["imported"], account["refused"]) == (1, 1)
    assert "its '_id' cannot be used" in account["refused_records"][0]["why"]
    assert [document["_id"] for document in campaigns.documents.find()] == ["good"]


def test_an_impossible_spin_without_a_charge_asks_for_both(cli: Cli, empty: Path) -> None:
    """`--multiplicity 2` alone would make an anion without a charge a neutral radical."""
    file = cli.folder / "hydroxide.xyz"
    file.write_text("2\nhydroxide\nO 0 0 0\nH 0 0 0.96\n")
    said = json.loads(cli("import", empty, file, "--json", code=2))
    [refused] = said["files"][0]["refused_records"]
    assert "state both in the file or with --charge and --multiplicity" in refused["why"]
