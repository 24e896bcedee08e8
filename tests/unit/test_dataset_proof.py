import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.dataset_files import (
    BOHR,
    HARTREE,
    LEVEL,
    Altered,
    alter,
    frame,
    frames,
    mutants_of,
    written,
)
from wqmaster.datasets.base import Unfit
from wqmaster.datasets.targets import TARGETS
from wqmaster.datasets.verify import verify
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ProofError

for module in ("h5py", "lmdb", "pyarrow", "rdkit", "ase"):
    pytest.importorskip(module)
FRAMES = frames()
ALL = pytest.mark.parametrize("name", TARGETS)


def _neutral_singlets() -> list:
    """Three frames that every format can express; two have the same elements."""
    return [FRAMES[0], FRAMES[1], frame("water again", "O", 0, 1), FRAMES[6]]


def _given(name: str) -> list:
    return FRAMES if TARGETS[name].states else _neutral_singlets()


@ALL
def test_what_is_written_is_read_back_within_the_precision_of_the_format(name, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    given = written(target, path, _given(name))
    assert len(given) == len(_given(name))
    proof = verify(path, target, given)
    assert (proof.rows, proof.compared, proof.reader) == (len(given), len(given), "wqmaster")
    assert proof.largest["energy"] < 1e-9
    assert proof.largest["gradient"] < (1e-6 if target.single else 1e-12)
    assert proof.largest["coordinates"] < (1e-6 if "coordinates" in target.single else 1e-12)


@pytest.mark.parametrize(
    ("name", "mutant"), [(name, one) for name in TARGETS for one in mutants_of(TARGETS[name])]
)
def test_the_proof_refuses_an_altered_file(name, mutant, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    given = [*FRAMES, frame("water again", "O", 0, 1)] if target.states else _neutral_singlets()
    written(target, path, given)
    Altered(path).write()
    verify(path, target, given)  # rewriting the file without a change does no harm
    alter(path, target, mutant)
    with pytest.raises(ProofError) as caught:
        verify(path, target, given)
    assert caught.value.code in (ErrorCode.DATASET_DIFFERS, ErrorCode.DATASET_UNREADABLE)
    assert str(path) in caught.value.message


def test_the_proof_names_the_row_the_quantity_and_both_values(tmp_path):
    target = TARGETS["jsonl"]
    path = tmp_path / "set.jsonl"
    given = written(target, path, FRAMES)
    alter(path, target, "charge_off_by_one")
    with pytest.raises(ProofError) as caught:
        verify(path, target, given)
    for word in ("row 2", "'hydrogen sulfide'", "charge", "says 1", "database 0"):
        assert word in caught.value.message
    assert caught.value.code is ErrorCode.DATASET_DIFFERS


def test_a_sample_is_compared_but_all_rows_are_counted(tmp_path):
    target = TARGETS["jsonl"]
    path = tmp_path / "set.jsonl"
    given = [replace(FRAMES[0], id=str(number)) for number in range(50)]
    written(target, path, given)
    assert verify(path, target, given, 10).compared == 10
    assert verify(path, target, given, 1000).compared == 50
    with pytest.raises(ProofError):
        verify(path, target, given[:-1], 10)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(ProofError):
        verify(path, target, given, 10)


def test_rows_without_ids_are_found_by_their_content_even_if_two_states_share_a_geometry(tmp_path):
    target = TARGETS["mace"]
    path = tmp_path / "set.xyz"
    ion = replace(FRAMES[0], id="cation", charge=1, multiplicity=2, energy=-75.5)
    given = written(target, path, [*FRAMES, ion])
    altered = Altered(path)
    for row in altered.rows:
        del row["_id"]
    altered.rows.reverse()
    altered.write()
    assert verify(path, target, given).compared == len(given)
    altered.rows[0]["total_charge"] = altered.rows[0]["total_charge"] - 1
    altered.write()
    with pytest.raises(ProofError):
        verify(path, target, given)


def test_units_signs_and_keys_are_those_of_the_trainers_sources(tmp_path):
    """Against numbers that are converted here, not by the code under test."""
    import h5py
    from ase.io import read

    water = FRAMES[0]
    forces = -water.gradient * HARTREE / BOHR
    for name, energy, force in (
        ("mace", "REF_energy", "REF_forces"),
        ("nequip", None, None),
        ("extxyz", None, None),
    ):
        path = tmp_path / f"{name}.xyz"
        written(TARGETS[name], path, [water])
        atoms = read(path)
        assert np.allclose(atoms.positions, water.coordinates, atol=0, rtol=1e-15)
        got = atoms.info[energy] if energy else atoms.get_potential_energy()
        assert got == pytest.approx(water.energy * HARTREE, abs=1e-9)
        assert np.allclose(atoms.arrays[force] if force else atoms.get_forces(), forces, atol=1e-12)
    mace = read(tmp_path / "mace.xyz")
    assert (mace.info["total_charge"], mace.info["total_spin"]) == (0, 1)
    assert mace.calc is None  # MACE does not look into the calculator
    assert np.allclose(mace.info["REF_dipole"], water.dipole * 2.541746, atol=1e-5)  # Debye
    path = tmp_path / "aimnet.h5"
    written(TARGETS["aimnet"], path, [FRAMES[4]])
    with h5py.File(path) as file:
        assert list(file) == ["004"]
        group = file["004"]
        assert group["energy"][0] == pytest.approx(FRAMES[4].energy * HARTREE, abs=1e-9)
        assert group["energy"].dtype == np.float64
        assert group["energy"].attrs["units"] == "eV"
        assert (group["charge"][0], group["mult"][0]) == (0, 2)
        assert file.attrs["level_of_theory"] == LEVEL.name
    path = tmp_path / "spice.hdf5"
    written(TARGETS["spice"], path, [water])
    with h5py.File(path) as file:
        (group,) = file.values()
        assert np.allclose(group["conformations"][0], water.coordinates / BOHR, rtol=1e-6)
        assert np.allclose(group["dft_total_gradient"][0], water.gradient, rtol=1e-6)
        assert group["dft_total_energy"][0] == water.energy


def test_the_quadrupole_moment_of_aimnet_has_the_components_of_its_model(tmp_path):
    import h5py

    water = FRAMES[0]
    path = tmp_path / "set.h5"
    written(TARGETS["aimnet"], path, [water], labels={"gradient", "quadrupole"})
    moment = water.quadrupole * BOHR**2
    moment = moment - np.eye(3) * np.trace(moment) / 3
    with h5py.File(path) as file:
        stored = file["003/quadrupole"][0]
    expected = [moment[0, 0], moment[1, 1], moment[2, 2], moment[0, 1], moment[1, 2], moment[2, 0]]
    assert np.allclose(stored, expected, atol=1e-6)
    assert verify(path, TARGETS["aimnet"], [water], labels={"gradient", "quadrupole"}).compared == 1


def test_a_format_without_a_word_for_the_state_refuses_ions_and_open_shells(tmp_path):
    writer = TARGETS["ani"].create(tmp_path / "set.h5", LEVEL)
    for one in (FRAMES[2], FRAMES[3], FRAMES[4], FRAMES[5]):
        with pytest.raises(Unfit):
            writer.add(one)
    writer.close()
    spice = TARGETS["spice"].create(tmp_path / "set.hdf5", LEVEL)
    for wrong in (None, "[CH4]", "[NH4]", "N"):
        with pytest.raises(Unfit):
            spice.add(replace(FRAMES[2], smiles=wrong))
    spice.add(replace(FRAMES[0], smiles=None))
    spice.close()


@pytest.mark.parametrize("name", ["aimnet", "torchani"])
def test_all_frames_of_a_uniform_file_have_the_same_labels(name, tmp_path):
    import h5py

    path = tmp_path / "set.h5"
    writer = TARGETS[name].create(path, LEVEL)
    writer.add(FRAMES[0])
    assert "dipole" not in writer.labels
    with pytest.raises(Unfit) as caught:
        writer.add(replace(FRAMES[1], charges=None))
    assert "charges" in str(caught.value)
    writer.add(FRAMES[2])
    writer.close()
    with h5py.File(path) as file:
        assert len({frozenset(group) for group in file.values()}) == 1
    other = TARGETS[name].create(tmp_path / "other.h5", LEVEL, {"gradient", "dipole"})
    with pytest.raises(Unfit):
        other.add(FRAMES[2])  # an ion has no dipole moment
    other.abandon()


@ALL
def test_a_frame_without_forces_is_written_where_the_format_allows_it(name, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    given = [replace(one, gradient=None) for one in _neutral_singlets()[:2]]
    written(target, path, given)
    assert verify(path, target, given).rows == 2


@ALL
def test_a_file_that_exists_is_not_overwritten(name, tmp_path):
    path = tmp_path / f"set{TARGETS[name].suffix}"
    path.write_bytes(b"mine")
    with pytest.raises(OSError, match="exists"):
        TARGETS[name].create(path, LEVEL)
    assert path.read_bytes() == b"mine"


@ALL
def test_the_same_frames_make_the_same_bytes(name, tmp_path):
    target = TARGETS[name]
    contents = []
    for number in range(2):
        path = tmp_path / f"{number}{target.suffix}"
        written(target, path, _given(name))
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]


@ALL
def test_a_file_of_another_kind_is_not_read(name, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    path.write_bytes(b"\x00\x01 not a data set\n")
    with pytest.raises(ProofError) as caught:
        verify(path, target, FRAMES)
    assert caught.value.code is ErrorCode.DATASET_UNREADABLE


def test_many_rows_of_groups_are_kept_in_order_and_long_ids_whole(tmp_path):
    target = TARGETS["aimnet"]
    path = tmp_path / "set.h5"
    given = []
    for number in range(1500):
        one = FRAMES[number % 2]
        given.append(
            replace(one, id=f"{number}" + "x" * (number // 10), energy=one.energy - number)
        )
    written(target, path, given)
    assert [one.id for one in target.read(path)] == [one.id for one in given]
    assert verify(path, target, given).compared == 1500


def test_reference_atoms_go_where_each_trainer_looks_for_them(tmp_path):
    import h5py
    import yaml

    atoms = [
        replace(
            frame(f"atom {z}", smiles, 0, 2), isolated=True, energy=energy, numbers=np.array([z])
        )
        for z, smiles, energy in ((1, "[H]", -0.5), (8, "[O]", -75.0))
    ]
    mace = tmp_path / "set.xyz"
    written(TARGETS["mace"], mace, [*atoms, FRAMES[0]])
    assert mace.read_text().count("config_type=IsolatedAtom") == 2
    sae = TARGETS["aimnet"].atoms(tmp_path / "set.h5", atoms)
    assert yaml.safe_load(sae.read_text()) == {1: -0.5 * HARTREE, 8: -75.0 * HARTREE}
    shifts = TARGETS["nequip"].atoms(mace, atoms)
    assert yaml.safe_load(shifts.read_text())["per_type_energy_shifts"]["O"] == -75.0 * HARTREE
    refs = yaml.safe_load(TARGETS["fairchem"].atoms(tmp_path / "set.aselmdb", atoms).read_text())
    assert refs["elem_refs"][8] == -75.0 * HARTREE
    assert (refs["elem_refs"][0], refs["elem_refs"][6], len(refs["elem_refs"])) == (0, 0, 119)
    spice = tmp_path / "set.hdf5"
    written(TARGETS["spice"], spice, [FRAMES[0], FRAMES[1]])
    TARGETS["spice"].atoms(spice, atoms)
    with h5py.File(spice) as file:
        groups = {bytes(group["smiles"][0]).decode(): group for group in file.values()}
        formation = groups["O"]["formation_energy"][0]
        assert math.isclose(formation, FRAMES[0].energy + 76.0)
        assert "formation_energy" not in groups["S"]  # there is no reference atom for sulfur


@ALL
def test_every_target_states_its_keys_and_units(name):
    target = TARGETS[name]
    assert target.keys.keys() == target.units.keys()
    assert target.carries == target.keys.keys() - {
        "coordinates",
        "energy",
        "charge",
        "multiplicity",
    }
    assert len(target.about) <= 79


def test_texts_survive_in_extended_xyz(tmp_path):
    target = TARGETS["extxyz"]
    path = tmp_path / "set.xyz"
    texts = [
        "T",
        "nan",
        "007",
        "1 2",
        'say "a=b"',
        "back\\slash",
        "{}",
        "[1]",
        "é",
        "a\nb",
        " ",
        "x",
    ]
    given = [replace(FRAMES[0], id=text, title=text) for text in texts]
    written(target, path, given)
    assert [one.id for one in target.read(path)] == texts


def test_the_path_is_that_of_the_file(tmp_path):
    target = TARGETS["fairchem"]
    path = tmp_path / "set.aselmdb"
    written(target, path, FRAMES)
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["set.aselmdb"]  # no lock file


@ALL
@pytest.mark.parametrize(
    "name_of_frame", ["_JSON 1", "_JSON", "\0", "1\0", "a\0b", "#", "'", "True"]
)
def test_a_strange_id_is_written_as_it_is_or_left_out_alone(name, name_of_frame, tmp_path):
    target = TARGETS[name]
    path = tmp_path / f"set{target.suffix}"
    given = [replace(FRAMES[0], id=name_of_frame), *_neutral_singlets()]
    kept = written(target, path, given)
    assert verify(path, target, kept).compared == len(kept)
    has_fixed_texts = name in ("aimnet", "spice", "ani")
    lost = has_fixed_texts and name_of_frame.endswith("\0")
    assert len(kept) == len(given) - lost
