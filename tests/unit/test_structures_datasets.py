"""The round trip: what `wqmaster export` writes, `wqmaster import` reads."""

import numpy as np
import pytest

from tests.dataset_files import BOHR, frame, frames, written
from wqmaster.datasets.targets import TARGETS
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import StructureError
from wqmaster.jobs.molecule import from_document
from wqmaster.structures.base import Note, Options
from wqmaster.structures.formats import records_of

for module in ("h5py", "lmdb", "pyarrow", "rdkit", "ase"):
    pytest.importorskip(module)
FRAMES = frames()
ALL = pytest.mark.parametrize("name", TARGETS)


def _imported(path):
    records = list(records_of(path, Options()))
    assert [record.why for record in records] == [None] * len(records)
    return records


@ALL
def test_an_exported_file_is_imported_with_ids_charges_and_spins(name, tmp_path):
    target = TARGETS[name]
    given = FRAMES if target.states else [FRAMES[0], FRAMES[6]]
    path = tmp_path / f"set{target.suffix}"
    written(target, path, given)
    records = _imported(path)
    documents = {record.documents[0]["_id"]: record.documents[0] for record in records}
    assert documents.keys() == {one.id for one in given}
    for one in given:
        document = documents[one.id]
        molecule = from_document(document, Options().fields)
        assert molecule.numbers == tuple(one.numbers)
        assert (molecule.charge, molecule.multiplicity) == (one.charge, one.multiplicity)
        assert np.abs(np.array(molecule.coordinates) - one.coordinates).max() < 1e-6
        assert "results" not in document
    if not target.states:
        assert all(Note.NO_CHARGE in record.notes for record in records)


@ALL
def test_results_in_a_data_set_never_count_as_the_campaigns_own(name, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    written(target, path, [FRAMES[0]])
    (record,) = _imported(path)
    (document,) = record.documents
    if name in ("mace", "jsonl"):  # their keys are plain fields of the document
        assert Note.HAS_RESULTS not in record.notes
    else:
        assert Note.NO_LABELS in record.notes
        assert not {"energy", "forces", "energies"} & document.keys()


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".aselmdb", ".parquet"])
def test_a_file_of_another_kind_is_refused(suffix, tmp_path):
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(b"\x00 this is something else \xff" * 50)
    with pytest.raises(StructureError) as caught:
        list(records_of(path, Options()))
    assert caught.value.code is ErrorCode.UNREADABLE_STRUCTURE
    assert str(path) in caught.value.message


@pytest.mark.parametrize("name", ["aimnet", "fairchem", "parquet", "spice"])
def test_a_truncated_file_is_refused(name, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    written(target, path, FRAMES)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    with pytest.raises(StructureError):
        list(records_of(path, Options()))


def test_an_hdf5_file_without_molecules_is_refused_and_the_layouts_are_named(tmp_path):
    import h5py

    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.create_group("001")["x"] = [1.0]
    with pytest.raises(StructureError) as caught:
        list(records_of(path, Options()))
    assert "AIMNet" in caught.value.message


@pytest.mark.parametrize(
    "damage",
    [
        {"coord": np.zeros((2, 3, 2))},
        {"numbers": np.ones((2, 4), int)},
        {"charge": np.zeros(3, int)},
        {"numbers": np.array([[b"O", b"H", b"Zz"]] * 2)},
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(damage, tmp_path):
    import h5py

    path = tmp_path / "set.h5"
    arrays = {
        "coord": np.zeros((2, 3, 3)),
        "numbers": np.array([[8, 1, 1]] * 2),
        "charge": np.zeros(2, int),
    }
    with h5py.File(path, "w") as file:
        group = file.create_group("003")
        for key, value in (arrays | damage).items():
            group[key] = value
    with pytest.raises(StructureError) as caught:
        list(records_of(path, Options()))
    assert "003" in caught.value.message


def test_a_link_to_another_file_is_not_followed(tmp_path):
    import h5py

    secret = tmp_path / "secret.h5"
    written(TARGETS["aimnet"], secret, [FRAMES[0]])
    path = tmp_path / "set.h5"
    written(TARGETS["aimnet"], path, [FRAMES[4]])
    with h5py.File(path, "r+") as file:
        file["003"] = h5py.ExternalLink(str(secret), "/003")
    assert [record.documents[0]["_id"] for record in _imported(path)] == [FRAMES[4].id]


def test_legacy_files_with_symbols_and_nested_groups_are_read(tmp_path):
    """TorchANI's legacy layout, as in ANI-1: groups in groups, elements as symbols."""
    import h5py

    path = tmp_path / "ani_gdb.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("gdb11_s01/gdb11_s01-0")
        group["coordinates"] = np.arange(18, dtype="f4").reshape(2, 3, 3)
        group["energies"] = np.array([-76.0, -76.1])
        group["species"] = np.array([b"O", b"H", b"H"])
        group["smiles"] = np.array([b"O", b"[", b"H"])
    records = _imported(path)
    assert [record.documents[0]["atomic_numbers"] for record in records] == [[8, 1, 1]] * 2
    assert all(Note.NO_CHARGE in record.notes for record in records)
    assert records[0].title == "group 'gdb11_s01/gdb11_s01-0', row 0"


def test_a_spice_file_with_a_smiles_of_another_molecule_is_refused(tmp_path):
    import h5py

    path = tmp_path / "set.hdf5"
    with h5py.File(path, "w") as file:
        for name, smiles in (("right", "[O:1]([H:2])[H:3]"), ("wrong", "[OH-]"), ("none", "][")):
            group = file.create_group(name)
            group["atomic_numbers"] = np.array([8, 1, 1])
            group["conformations"] = FRAMES[0].coordinates[None] / BOHR
            group["conformations"].attrs["units"] = "bohr"
            group.create_dataset("smiles", data=[smiles], dtype=h5py.string_dtype())
    records = {record.title.split("'")[1]: record for record in records_of(path, Options())}
    assert np.allclose(records["right"].documents[0]["coordinates"], FRAMES[0].coordinates)
    assert records["right"].documents[0]["charge"] == 0
    assert records["wrong"].why
    assert records["none"].why


def test_coordinates_in_an_unknown_unit_are_refused(tmp_path):
    import h5py

    path = tmp_path / "set.h5"
    written(TARGETS["torchani"], path, [frame("water", "O", 0, 1)])
    with h5py.File(path, "r+") as file:
        file["003/coordinates"].attrs["units"] = "inch"
    with pytest.raises(StructureError) as caught:
        list(records_of(path, Options()))
    assert "inch" in caught.value.message


def test_the_elements_of_spices_own_inputs_are_in_their_mapped_smiles(tmp_path):
    """As in `ions/ions.hdf5` of openmm/spice-dataset: nanometers, no atomic numbers."""
    import h5py

    path = tmp_path / "ions.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("[Cl-:2].[Na+:1]")
        group["conformations"] = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.25]]])
        group["conformations"].attrs["units"] = "nanometers"
        group.create_dataset("smiles", data=["[Cl-:2].[Na+:1]"], dtype=h5py.string_dtype())
    (record,) = _imported(path)
    (document,) = record.documents
    assert document["atomic_numbers"] == [11, 17]
    assert document["coordinates"][1][2] == 2.5
    assert (document["charge"], document["multiplicity"]) == (0, 1)


def test_a_parquet_file_without_atoms_is_refused(tmp_path):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"smiles": ["O"]}), path)
    with pytest.raises(StructureError) as caught:
        list(records_of(path, Options()))
    assert "atomic_numbers" in caught.value.message
