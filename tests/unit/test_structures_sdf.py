"""Each record of an SDF or molfile is read with charge, spin, title and fields, or refused."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.structure_files import Known, check, molecules, read
from wqmaster.structures.base import Note, Record

# V3000, one atom.
ZINC = """\
zinc


  0  0  0     0  0            999 V3000
M  V30 BEGIN CTAB
M  V30 COUNTS 1 0 0 0 0
M  V30 BEGIN ATOM
M  V30 1 Zn 0 0 0.5 0 CHG={charge}
M  V30 END ATOM
M  V30 BEGIN BOND
M  V30 END BOND
M  V30 END CTAB
M  END
"""
OXALATE = """\
oxalate
  test              3D

  6  5  0  0  0  0            999 V2000
    1.1000    0.0000    1.1000 O   0  0
    0.7500    0.0000    0.0000 C   0  0
    1.1000    0.0000   -1.1000 O   0  0
   -0.7500    0.0000    0.0000 C   0  0
   -1.1000    0.0000    1.1000 O   0  0
   -1.1000    0.0000   -1.1000 O   0  0
  1  2  1  0
  2  3  2  0
  2  4  1  0
  4  5  2  0
  4  6  1  0
M  CHG  2   1  -1   6  -1
M  END
"""
METHYL = """\
methyl
  test              3D

  4  3  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 C   0  0
    1.0800    0.0000    0.1000 H   0  0
   -0.5400    0.9353    0.0000 H   0  0
   -0.5400   -0.9353    0.0000 H   0  0
  1  2  1  0
  1  3  1  0
  1  4  1  0
{properties}M  END
{fields}$$$$
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two SDF files with the same molecules, and their expected contents."""
    from rdkit import Chem

    folder = tmp_path_factory.mktemp("sdf")
    known: list[Known] = []
    for version in ("V2000", "V3000"):
        known = []
        writer = Chem.SDWriter(str(folder / f"{version}.sdf"))
        writer.SetForceV3000(version == "V3000")
        for count, (wanted, molecule) in enumerate(molecules(), start=1):
            molecule.SetProp("SMILES", wanted.smiles)
            molecule.SetDoubleProp("log.P", 0.25 * count)
            molecule.SetIntProp("rank", count)
            molecule.SetProp("code", f"00{count}")
            molecule.SetProp("remark", f"first line\nsecond line {count}")
            writer.write(molecule)
            known.append(wanted)
        writer.close()
    return {"folder": folder, "known": known}


@pytest.mark.parametrize("version", ["V2000", "V3000"])
def test_every_record_has_its_charge_spin_title_and_fields(
    version: str, written: dict[str, Any]
) -> None:
    """Once, 1 of 40 records was imported, and the oxalate was computed as neutral."""
    records = read(written["folder"] / f"{version}.sdf")
    check(records, written["known"])
    for count, (record, wanted) in enumerate(zip(records, written["known"], strict=True), start=1):
        document = record.documents[0]
        assert record.title == document["title"] == wanted.title
        assert document["SMILES"] == wanted.smiles
        assert document["log_P"] == 0.25 * count
        assert (document["rank"], document["code"]) == (count, f"00{count}")
        assert document["remark"] == f"first line\nsecond line {count}"
    assert sum(Note.HIGH_SPIN in record.notes for record in records) == 2


@pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_files_give_the_same_records(
    ending: str, pack: Callable[[bytes], bytes], written: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / f"set.sdf.{ending}"
    path.write_bytes(pack((written["folder"] / "V2000.sdf").read_bytes()))
    check(read(path), written["known"])


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_a_byte_order_mark_change_nothing(
    start: bytes, end: str, written: dict[str, Any], tmp_path: Path
) -> None:
    text = (written["folder"] / "V2000.sdf").read_text()
    path = tmp_path / "set.sdf"
    path.write_bytes(start + (text + "\n\n").replace("\n", end).encode())
    check(read(path), written["known"])


@pytest.mark.parametrize("lost", [5, 30, 200])
def test_a_truncated_file_is_recognized(lost: int, written: dict[str, Any], tmp_path: Path) -> None:
    """Only the record's missing end shows this; once, the last fields were silently lost."""
    path = tmp_path / "set.sdf"
    path.write_text((written["folder"] / "V2000.sdf").read_text()[:-lost])
    *others, last = read(path)
    check(others, written["known"][:-1])
    assert "the file ends before its '$$$$'" in (last.why or "")


def test_a_value_that_contains_an_empty_line_is_refused_and_not_truncated(tmp_path: Path) -> None:
    record = methyl(tmp_path, DOUBLET, {"remark": "one\n\ntwo"})
    assert "the line 'two' does not belong to a data item" in (record.why or "")


@pytest.mark.parametrize(
    "fields",
    [
        {"Total charge": "0", "spin multiplicity": "2"},
        {"net_charge": "0", "mult": "2"},
        {"TOTAL-CHARGE": "0", "unpaired": "1"},
    ],
)
def test_other_spellings_of_charge_and_multiplicity_are_recognized(
    fields: dict[str, str], tmp_path: Path
) -> None:
    record = methyl(tmp_path, "", fields)
    assert record.why is None, record.why
    assert record.documents[0]["multiplicity"] == 2
    assert Note.LOOKALIKE not in record.notes


def test_a_field_that_may_be_a_charge_is_noted(tmp_path: Path) -> None:
    record = methyl(tmp_path, DOUBLET, {"charge of the state": "-1"})
    assert record.documents[0]["charge"] == 0
    assert Note.LOOKALIKE not in record.notes  # the structure states the charge
    (tmp_path / "a.jsonl").write_text(
        '{"atomic_numbers": [1], "coordinates": [[0, 0, 0]], "state_charge": 1}\n'
    )
    [record] = read(tmp_path / "a.jsonl")
    assert Note.LOOKALIKE in record.notes


@pytest.mark.parametrize("place", [0, 20, 41])
@pytest.mark.parametrize("damage", ["atom", "counts", "end", "element", "empty", "charge"])
def test_a_damaged_record_is_refused_and_its_neighbors_are_read(
    place: int, damage: str, written: dict[str, Any], tmp_path: Path
) -> None:
    blocks = (written["folder"] / "V2000.sdf").read_text().split("$$$$\n")[:-1]
    lines = blocks[place].split("\n")
    match damage:
        case "atom":
            del lines[4]
        case "counts":
            lines[3] = "xxx" + lines[3][3:]
        case "end":
            lines = [line for line in lines if line != "M  END"]
        case "element":
            lines[4] = lines[4][:31] + "Xx " + lines[4][34:]
        case "empty":
            lines = [""]
        case "charge":
            lines.insert(lines.index("M  END"), "M  CHG  1 900   1")
    blocks[place] = "\n".join(lines)
    path = tmp_path / "set.sdf"
    path.write_text("$$$$\n".join([*blocks, ""]))
    records = read(path)
    known = list(written["known"])
    assert [record.number for record in records] == list(range(1, 43))
    bad = records.pop(place)
    del known[place]
    check(records, known)
    assert bad.why
    first = path.read_text().split("\n")[(bad.line or 0) - 1]
    assert first == (lines[0] or "$$$$")


def test_a_dianion_is_read_as_a_dianion(tmp_path: Path) -> None:
    (tmp_path / "oxalate.mol").write_text(OXALATE)
    [record] = read(tmp_path / "oxalate.mol")
    [document] = record.documents
    assert (document["charge"], document["multiplicity"], record.notes) == (-2, 1, set())


@pytest.mark.parametrize("value", ["+2", '"2"', "2e"])
def test_a_v3000_charge_that_rdkit_would_ignore_is_refused(value: str, tmp_path: Path) -> None:
    """A zinc ion with `CHG=+2` was once imported as a neutral atom."""
    (tmp_path / "zinc.mol").write_text(ZINC.format(charge=value))
    [record] = read(tmp_path / "zinc.mol")
    assert f"atom 1 has CHG={value}, not a whole number" in (record.why or "")
    (tmp_path / "zinc.mol").write_text(ZINC.format(charge="2"))
    [record] = read(tmp_path / "zinc.mol")
    assert record.documents[0]["charge"] == 2


def test_charges_of_the_atom_block_count_if_there_is_no_property_line(tmp_path: Path) -> None:
    old = OXALATE.replace("M  CHG  2   1  -1   6  -1\n", "")
    for atom in ("1.1000    0.0000    1.1000 O   0  0", "-1.1000    0.0000   -1.1000 O   0  0"):
        old = (
            old.replace(f" {atom}\n", f" {atom[:-1]}5\n", 1)
            if atom[0] == "1"
            else old.replace(f"{atom}\n", f"{atom[:-1]}5\n", 1)
        )
    (tmp_path / "old.mol").write_text(old)
    [record] = read(tmp_path / "old.mol")
    assert record.documents[0]["charge"] == -2


def methyl(
    folder: Path, properties: str = "", fields: dict[str, str] | None = None, **options: Any
) -> Record:
    data = "".join(f"> <{name}>\n{value}\n\n" for name, value in (fields or {}).items())
    (folder / "methyl.sdf").write_text(METHYL.format(properties=properties, fields=data))
    [record] = read(folder / "methyl.sdf", **options)
    return record


DOUBLET = "M  RAD  1   1   2\n"


@pytest.mark.parametrize(
    ("properties", "fields", "state"),
    [
        (DOUBLET, {}, (0, 2)),
        ("", {"multiplicity": "2"}, (0, 2)),
        ("", {"Spin": "2"}, (0, 2)),
        ("", {"total_spin": "2"}, (0, 2)),
        ("", {"UHF": "1"}, (0, 2)),
        (DOUBLET, {"multiplicity": "2", "uhf": "1", "charge": "0"}, (0, 2)),
        ("M  CHG  1   1   1\n", {"TOTAL_CHARGE": "1"}, (1, 1)),
        ("M  CHG  1   1  -1\n", {}, (-1, 1)),
    ],
)
def test_charge_and_multiplicity_are_read_from_common_keys(
    properties: str, fields: dict[str, str], state: tuple[int, int], tmp_path: Path
) -> None:
    record = methyl(tmp_path, properties, fields)
    assert record.why is None, record.why
    document = record.documents[0]
    assert (document["charge"], document["multiplicity"]) == state


@pytest.mark.parametrize(
    ("properties", "fields", "said"),
    [
        (DOUBLET, {"charge": "1"}, "contradictory charges: 'charge' 1, formal charges 0"),
        (DOUBLET, {"PUBCHEM_TOTAL_CHARGE": "1"}, "'PUBCHEM_TOTAL_CHARGE' 1, formal charges 0"),
        (DOUBLET, {"multiplicity": "1"}, "'multiplicity' 1, radicals 2"),
        (DOUBLET, {"multiplicity": "2", "uhf": "2"}, "'uhf' (unpaired electrons) 3"),
        (DOUBLET, {"charge": "0.5"}, "'charge' is not a whole number"),
        (DOUBLET, {"spin": "0"}, "'spin' is 0, not a multiplicity"),
        ("", {}, "1 hydrogen is missing (the first on atom 1, C)"),
        ("", {"multiplicity": "1"}, "1 hydrogen is missing"),
        (DOUBLET, {"a.b": "1", "a_b": "2"}, "'imported_a_b'"),
        ("M  CHG  2   1   1\n", {}, "does not have 2 pairs"),
        ("M CHG  1   1   2\n" + DOUBLET, {}, "the line 'M CHG 1 1 2' would be ignored"),
        ("M  chg  1   1   2\n" + DOUBLET, {}, "start it with M, two spaces and CHG"),
    ],
)
def test_a_contradictory_or_incomplete_record_is_refused(
    properties: str, fields: dict[str, str], said: str, tmp_path: Path
) -> None:
    record = methyl(tmp_path, properties, fields)
    if "a.b" in fields:  # the field is stored under another name, so the record is not refused
        assert record.documents[0]["imported_a_b"] == 2
        return
    assert record.why is not None
    assert said in record.why


def test_a_carbene_is_a_singlet_or_a_triplet_as_its_radical_says(tmp_path: Path) -> None:
    text = METHYL.format(properties="M  RAD  1   1   {code}\n", fields="")
    text = text.replace("  4  3", "  3  2").replace("   -0.5400   -0.9353    0.0000 H   0  0\n", "")
    text = text.replace("  1  4  1  0\n", "")
    for code, multiplicity in ((1, 1), (3, 3)):
        (tmp_path / "carbene.sdf").write_text(text.replace("{code}", str(code)))
        [record] = read(tmp_path / "carbene.sdf")
        assert record.why is None, record.why
        assert record.documents[0]["multiplicity"] == multiplicity


def test_hydrogens_are_added_or_omitted_only_on_request(tmp_path: Path) -> None:
    added = methyl(tmp_path, hydrogens="add")
    assert added.documents[0]["atomic_numbers"] == [6, 1, 1, 1, 1]
    assert added.notes == {Note.HYDROGENS_ADDED}
    kept = methyl(tmp_path, hydrogens="keep", multiplicity=2)
    assert kept.documents[0]["atomic_numbers"] == [6, 1, 1, 1]


def test_a_flat_drawing_is_not_a_geometry(tmp_path: Path) -> None:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    drawing = Chem.MolFromSmiles("CC(=O)[O-]")
    AllChem.Compute2DCoords(drawing)  # type: ignore[attr-defined]
    (tmp_path / "flat.mol").write_text(Chem.MolToMolBlock(drawing))
    [record] = read(tmp_path / "flat.mol")
    assert record.why is not None
    assert "2D structure" in record.why
    [record] = read(tmp_path / "flat.mol", flat="embed")
    document = record.documents[0]
    assert document["atomic_numbers"] == [6, 6, 8, 8, 1, 1, 1]
    assert document["charge"] == -1
    assert any(abs(row[2]) > 0.1 for row in document["coordinates"])
    assert Note.EMBEDDED in record.notes


@pytest.mark.parametrize("element", ["R#", "*", "A", "Q", "X", "L"])
def test_an_element_that_is_not_an_atom_is_refused(element: str, tmp_path: Path) -> None:
    text = OXALATE.replace("0.0000    1.1000 O ", f"0.0000    1.1000 {element:<2}", 1)
    (tmp_path / "query.mol").write_text(text)
    [record] = read(tmp_path / "query.mol")
    assert record.why is not None
    assert "not a specific element" in record.why


def test_isotopes_are_kept_and_have_the_atomic_number_of_their_element(tmp_path: Path) -> None:
    record = methyl(tmp_path, DOUBLET + "M  ISO  1   2   2\n")
    document = record.documents[0]
    assert document["atomic_numbers"] == [6, 1, 1, 1]
    assert document["isotopes"] == [0, 2, 0, 0]
    assert Note.ISOTOPES in record.notes


@pytest.mark.parametrize("forced", [False, True])
def test_an_atom_without_bonds_has_the_stated_spin(forced: bool, tmp_path: Path) -> None:
    """RDKit writes an oxygen atom with the valence 15, which means none, and with no radical."""
    from rdkit import Chem

    oxygen = Chem.AddHs(Chem.MolFromSmiles("[O]"))
    oxygen.AddConformer(Chem.Conformer(1))
    block = Chem.MolToMolBlock(oxygen, forceV3000=forced)
    two = block.replace("0.0000    0.0000    0.0000 O", "1.0000    0.0000    0.0000 O")
    (tmp_path / "o.sdf").write_text(two + "$$$$\n")
    [record] = read(tmp_path / "o.sdf", flat="keep")
    assert record.why is not None
    assert "atom 1 (O) has 2 electrons outside of bonds and lone pairs" in record.why
    [record] = read(tmp_path / "o.sdf", flat="keep", multiplicity=3)
    assert record.why is None, record.why
    assert record.documents[0]["multiplicity"] == 3


def test_a_metal_with_an_open_valence_is_not_counted_as_a_radical(tmp_path: Path) -> None:
    """RDKit counts six radical electrons in the magnesium of a Grignard reagent."""
    from rdkit import Chem

    (tmp_path / "mg.mol").write_text(Chem.MolToMolBlock(_with_place(Chem.MolFromSmiles("[Mg]"))))
    [record] = read(tmp_path / "mg.mol", flat="keep")
    assert record.why is None, record.why
    assert record.documents[0]["multiplicity"] == 1


def _with_place(molecule: Any) -> Any:
    from rdkit import Chem

    conformer = Chem.Conformer(1)
    conformer.SetAtomPosition(0, (1.0, 0.0, 0.0))
    molecule.AddConformer(conformer)
    return molecule


def test_a_metal_complex_that_no_valence_model_knows_is_imported(tmp_path: Path) -> None:
    text = OXALATE.replace("  6  5", "  7  7").replace(
        "  1  2  1  0\n", "    0.0000    1.9000    1.5000 Fe  0  0\n  1  2  1  0\n"
    )
    bonds = "  7  1  1  0\n  7  5  1  0\n"
    text = text.replace("M  CHG  2   1  -1   6  -1", f"{bonds}M  CHG  1   7   1")
    (tmp_path / "complex.mol").write_text(text)
    [record] = read(tmp_path / "complex.mol", hydrogens="keep", multiplicity=6)
    assert record.why is None, record.why
    document = record.documents[0]
    assert (document["charge"], document["multiplicity"]) == (1, 6)
    [record] = read(tmp_path / "complex.mol", hydrogens="keep")
    assert Note.METAL_SPIN in record.notes


def test_a_title_in_latin_1_is_read(tmp_path: Path) -> None:
    (tmp_path / "latin.mol").write_bytes(OXALATE.replace("oxalate", "säure", 1).encode("latin-1"))
    [record] = read(tmp_path / "latin.mol")
    assert record.title == "säure"


def test_a_field_cannot_take_the_place_of_molecule_results_or_id(tmp_path: Path) -> None:
    fields = {"_id": "7", "coordinates": "none", "results": "good", "$set": "1"}
    document = methyl(tmp_path, DOUBLET, fields).documents[0]
    assert len(document["coordinates"]) == 4
    assert "_id" not in document
    assert document["imported__id"] == 7
    assert document["imported_coordinates"] == "none"
    assert document["imported_results"] == "good"
    assert document["_set"] == 1


@pytest.mark.parametrize(
    ("bond", "why"),
    [
        ("  1  9", "bond 1 refers to atom 9 of 3"),
        ("  1  1", "bond 1 joins atom 1 to itself"),
        ("  3  1", "bonds 1 and 2 both join atoms 1 and 3"),
    ],
)
def test_an_impossible_bond_is_named(bond: str, why: str, tmp_path: Path) -> None:
    """Once, the reason was the frame of asterisks around RDKit's report."""
    atoms = "".join(
        f"    0.0000  {y:8.4f}  {z:8.4f} {symbol}   0  0\n"
        for symbol, y, z in (("O", 0.0, 0.1173), ("H", 0.7572, -0.4692), ("H", -0.7572, -0.4692))
    )
    table = f"  3  2  0  0  0  0            999 V2000\n{atoms}{bond}  1  0\n  1  3  1  0\nM  END\n"
    (tmp_path / "water.mol").write_text(f"water\n\n\n{table}")
    (record,) = read(tmp_path / "water.mol")
    assert record.why == why
