"""SMILES, even in tables, become complete molecules with reproducible geometries."""

import csv
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.unit.structure_files import MOLECULES, read
from wqmaster.errors import StructureError
from wqmaster.structures.base import Note


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("smiles") / "set.smi"
    rows = [f"{smiles} molecule {count}" for count, smiles in enumerate(MOLECULES, start=1)]
    path.write_text("# comment\n" + "\n".join(rows) + "\n\n")
    return path


def test_every_smiles_has_its_hydrogens_charge_spin_and_title(lines: Path) -> None:
    from rdkit import Chem

    records = read(lines, optimize="none")
    assert len(records) == len(MOLECULES)
    for count, (record, (smiles, state)) in enumerate(
        zip(records, MOLECULES.items(), strict=True), start=1
    ):
        assert record.why is None, (smiles, record.why)
        document = record.documents[0]
        assert (document["charge"], document["multiplicity"]) == state, smiles
        whole = Chem.AddHs(Chem.MolFromSmiles(smiles))
        wanted = sorted(atom.GetAtomicNum() for atom in whole.GetAtoms())
        assert sorted(document["atomic_numbers"]) == wanted
        assert document["smiles"] == smiles
        assert record.title == document["title"] == f"molecule {count}"
        assert record.line == count + 1
        pairs = combinations(document["coordinates"], 2)
        assert all(math.dist(*pair) > 0.5 for pair in pairs), smiles


def test_the_same_smiles_gives_the_same_geometry(lines: Path) -> None:
    once, again = read(lines, optimize="none"), read(lines, optimize="none")
    assert [record.documents for record in once] == [record.documents for record in again]


def test_a_table_has_its_other_columns_as_fields(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Name", "SMILES", "log.P", "charge", "remark"])
        for count, (smiles, (charge, _)) in enumerate(MOLECULES.items(), start=1):
            writer.writerow([f"m{count}", smiles, count / 4, charge, 'one, "two"\nthree'])
    records = read(path, optimize="none")
    assert len(records) == len(MOLECULES)
    for count, (record, smiles) in enumerate(zip(records, MOLECULES, strict=True), start=1):
        assert record.why is None, record.why
        document = record.documents[0]
        assert (record.title, document["Name"]) == (f"m{count}", f"m{count}")
        assert (document["smiles"], document["log_P"]) == (smiles, count / 4)
        assert document["remark"] == 'one, "two"\nthree'
        assert record.line == 2 * count


def test_an_empty_table_has_no_records(tmp_path: Path) -> None:
    """Once, its line 1 was said to have no column."""
    (tmp_path / "set.csv").write_text("")
    assert read(tmp_path / "set.csv") == []


def test_a_table_may_use_tabs_and_a_named_column(tmp_path: Path) -> None:
    path = tmp_path / "set.tsv"
    path.write_text("structure\tid\nCCO\tethanol\nO\twater\n")
    with pytest.raises(StructureError, match="no column of SMILES"):
        read(path)
    first, second = read(path, smiles_column="Structure")
    assert (first.title, second.title) == ("ethanol", "water")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("c1ccc,x", "'c1ccc' is not valid SMILES: unclosed ring"),
        ("C(C,x", "'C(C' is not valid SMILES"),
        (",x", "the SMILES is empty"),
        ("*CC,x", "an atom that is not a specific element"),
        ("CC,x,y", "it has 3 columns, but the header has 2"),
        ("[NH4+],0.5", "'charge' is not a whole number"),
        ("[NH4+],0", "contradictory charges: 'charge' 0, formal charges 1"),
        ("CB(C)C,0", "MMFF94 has no parameters"),
    ],
)
@pytest.mark.parametrize("place", [0, 2])
def test_a_bad_row_is_refused_and_its_neighbors_are_read(
    row: str, said: str, place: int, tmp_path: Path
) -> None:
    rows = ["O,0", "CCO,0"]
    rows.insert(place, row)
    (tmp_path / "set.csv").write_text("smiles,charge\n" + "\n".join(rows) + "\n")
    records = read(tmp_path / "set.csv")
    assert [bool(record.why) for record in records] == [n == place for n in range(3)]
    bad = records[place]
    assert said in (bad.why or "")
    assert (bad.number, bad.line) == (place + 1, place + 2)


def test_a_quote_that_is_not_closed_is_reported_with_the_lines_that_it_takes(
    tmp_path: Path,
) -> None:
    (tmp_path / "set.csv").write_text('smiles,name\nO,a\nCC,"b\nCCO,c\n')
    first, bad = read(tmp_path / "set.csv")
    assert first.why is None
    assert "lines 3 to 4 are not a row of a table" in (bad.why or "")
    assert bad.raw == b'CC,"b\nCCO,c\n'
    (tmp_path / "set.csv").write_text('smiles,"name\nO,a\n')
    with pytest.raises(StructureError, match="line 1 is not the header of a table"):
        read(tmp_path / "set.csv")


def test_lines_that_end_with_cr_alone_are_refused(tmp_path: Path) -> None:
    """Two lines were once imported as one molecule, with the second one as its title."""
    path = tmp_path / "set.smi"
    path.write_bytes(b"O water\rCCO ethanol\r")
    with pytest.raises(StructureError, match="lines end with CR alone"):
        read(path)
    path.write_bytes(b"C methane\nO water\rCCO ethanol\n")
    first, bad = read(path)
    assert (first.why, bad.why) == (None, "there is a CR within the line; replace it with LF")


def test_conformers_share_all_but_their_geometries(tmp_path: Path) -> None:
    (tmp_path / "set.smi").write_text("CC[NH3+] a\nCCCCO b\n")
    for record in read(tmp_path / "set.smi", conformers=4):
        assert record.why is None, record.why
        assert [document["conformer"] for document in record.documents] == [1, 2, 3, 4]
        geometries = {str(document.pop("coordinates")) for document in record.documents}
        assert len(geometries) == 4
        for document in record.documents:
            document.pop("conformer")
        assert record.documents == record.documents[:1] * 4


def bond(document: dict[str, Any], first: int, second: int) -> float:
    return math.dist(document["coordinates"][first], document["coordinates"][second])


def test_choices_made_for_a_smiles_are_noted(tmp_path: Path) -> None:
    (tmp_path / "set.smi").write_text("CC(O)F\n[Na+].[Cl-]\nC[C@H](O)F\nCC=CC\n[O][O]\n")
    found = [record.notes for record in read(tmp_path / "set.smi", optimize="none")]
    assert found == [
        {Note.OPEN_STEREO},
        {Note.SEVERAL_FRAGMENTS},
        set(),
        {Note.OPEN_STEREO},
        {Note.HIGH_SPIN},
    ]


def test_a_stated_multiplicity_of_a_biradical_is_not_noted_as_assumed(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text("smiles,multiplicity\n[CH2],3\n[CH2],1\n[CH2],\n")
    found = [record.notes for record in read(tmp_path / "set.csv", optimize="none")]
    assert found == [set(), set(), {Note.HIGH_SPIN}]


def test_a_smiles_extension_is_part_of_the_molecule_and_not_of_its_title(
    tmp_path: Path,
) -> None:
    """`|^1:0|` makes benzene a phenyl radical. Once, it was taken as a title and had no effect."""
    (tmp_path / "a.smi").write_text("c1ccccc1 |^1:0| phenyl\n")
    (tmp_path / "a.csv").write_text("smiles;name\nc1ccccc1 |^1:0|;phenyl\n")
    for name in ("a.smi", "a.csv"):
        [record] = read(tmp_path / name, optimize="none")
        assert record.why is None, record.why
        document = record.documents[0]
        assert (len(document["atomic_numbers"]), document["multiplicity"]) == (11, 2)
        assert record.title == "phenyl"


def test_an_assumed_spin_of_a_metal_is_noted(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("[Fe+2]\n[Fe+3]\nO\n")
    first, second, water = read(tmp_path / "a.smi", optimize="none")
    assert Note.METAL_SPIN in first.notes & second.notes
    assert water.notes == set()
    [stated, *_] = read(tmp_path / "a.smi", optimize="none", multiplicity=5)
    assert stated.documents[0]["multiplicity"] == 5
    assert Note.METAL_SPIN not in stated.notes


@pytest.mark.parametrize("optimize", ["none", "mmff"])
def test_fragments_are_in_contact(optimize: str, tmp_path: Path) -> None:
    """Once, ETKDG placed fragments up to 739 Angstrom apart."""
    molecules = ("O.O.O", "N.N", "CC(=O)[O-].[NH4+]", "[Na+].[OH-]", "[K+].[Br-]", "O.CCO", "C.C")
    (tmp_path / "set.smi").write_text("\n".join(molecules) + "\n")
    records = read(tmp_path / "set.smi", optimize=optimize)
    assert len(records) == len(molecules)
    for record in records:
        assert record.why is None, record.why
        assert Note.SEVERAL_FRAGMENTS in record.notes
        for document in record.documents:
            assert max(math.dist(*pair) for pair in combinations(document["coordinates"], 2)) < 9
            assert min(math.dist(*pair) for pair in combinations(document["coordinates"], 2)) > 0.9


def test_a_force_field_keeps_fragments_together_or_the_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.smi").write_text("[Na+].[Cl-]\n[Na+].[Na+]\n")
    salt, ions = read(tmp_path / "set.smi", optimize="mmff")
    assert math.dist(*salt.documents[0]["coordinates"]) == pytest.approx(2.4, abs=0.1)
    assert ions.why is not None
    assert "separated from the others by" in ions.why


def test_the_multiplicity_of_a_metal_ion_comes_from_the_table(tmp_path: Path) -> None:
    """For a bare metal, RDKit derives radicals only from the parity of the number of electrons."""
    (tmp_path / "a.csv").write_text("smiles,charge,multiplicity\n[Mn+2],2,6\n[Gd+3],3,8\n")
    for record, multiplicity in zip(read(tmp_path / "a.csv", optimize="none"), (6, 8), strict=True):
        assert record.why is None, record.why
        assert record.documents[0]["multiplicity"] == multiplicity
        assert Note.METAL_SPIN not in record.notes


def test_isotopes_of_a_smiles_are_kept_and_noted(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("[2H]O[2H]\n")
    [record] = read(tmp_path / "a.smi", optimize="none")
    assert sorted(record.documents[0]["isotopes"]) == [0, 2, 2]
    assert record.notes == {Note.ISOTOPES}
