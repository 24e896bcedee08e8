import sqlite3
from pathlib import Path

import numpy as np
import pytest

from tests.unit.molecules_of_rdkit import built, frame, turned
from wqmaster.datasets import duplicates as duplicates_module
from wqmaster.datasets.duplicates import Duplicates
from wqmaster.datasets.scratch import scratch
from wqmaster.datasets.superposition import rmsd
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError

RIGID = [
    "O", "C", "C#C", "O=C=O", "N#N", "c1ccccc1", "CC(C)(C)C", "C12C3C4C1C5C2C3C45", "CC(F)(Cl)Br",
    "S(F)(F)(F)(F)(F)F", "OCC1OC(O)C(O)C(O)C1O", "CC(C)(C)c1cc(C(C)(C)C)cc(C(C)(C)C)c1",
]  # fmt: skip


@pytest.mark.parametrize("smiles", RIGID)
def test_a_structure_is_found_again_with_other_orders_of_atoms_turned_and_shifted(smiles):
    numbers, (places, *_) = built(smiles)
    random = np.random.default_rng(1)
    with Duplicates() as found:
        assert found.add(frame("first", numbers, places)) is None
        for trial in range(10):
            order = random.permutation(len(numbers))
            moved = (places @ turned(random))[order] + random.normal(size=3)
            assert found.add(frame(f"{trial}", numbers[order], moved)) == "first"
        assert (found.found, found.conflicting, found.limited) == (10, 0, 0)
        assert max(pair.rmsd for pair in found.pairs()) < 1e-5


@pytest.mark.parametrize("smiles", RIGID)
def test_the_bound_is_on_the_rmsd(smiles):
    numbers, (places, *_) = built(smiles)
    random = np.random.default_rng(2)
    for size, wanted in ((0.045, "first"), (0.2, None)):
        shift = random.normal(size=places.shape)
        # What remains after the best translation and, to first order, the best rotation.
        centered = places - places.mean(axis=0)
        basis = [np.tile(axis, (len(numbers), 1)).ravel() for axis in np.eye(3)]
        basis += [np.cross(axis, centered).ravel() for axis in np.eye(3)]
        used, values, _ = np.linalg.svd(np.array(basis).T, full_matrices=False)
        used = used[:, values > 1e-6 * values[0]]
        shift = (shift.ravel() - used @ (used.T @ shift.ravel())).reshape(-1, 3)
        shift *= size / np.sqrt((shift**2).sum() / len(numbers))
        order = random.permutation(len(numbers))
        with Duplicates() as found:
            found.add(frame("first", numbers, places))
            other = ((places + shift) @ turned(random))[order]
            assert found.add(frame("second", numbers[order], other)) == wanted


def test_mirror_images_of_chiral_molecules_are_not_duplicates():
    numbers, (places, *_) = built("CC(F)(Cl)Br")
    with Duplicates() as found:
        found.add(frame("R", numbers, places))
        assert found.add(frame("S", numbers, -places)) is None
        assert found.add(frame("S again", numbers, places * (1, 1, -1))) == "S"
    for smiles in ("O", "c1ccccc1", "C"):  # not chiral
        numbers, (places, *_) = built(smiles)
        with Duplicates() as found:
            found.add(frame("one", numbers, places))
            assert found.add(frame("mirrored", numbers, -places)) == "one"


def test_conformers_are_not_duplicates():
    numbers, conformers = built("CCCCO", 5)
    with Duplicates() as found:
        assert [found.add(frame(f"{n}", numbers, one)) for n, one in enumerate(conformers)] == (
            [None] * 5
        )


@pytest.mark.parametrize(
    "change",
    [{"charge": 1, "multiplicity": 2}, {"multiplicity": 3}, {"recipe": "other"}],
)
def test_another_state_or_recipe_is_not_a_duplicate(change):
    numbers, (places, *_) = built("O")
    with Duplicates() as found:
        found.add(frame("one", numbers, places, recipe="one"))
        assert found.add(frame("two", numbers, places, **({"recipe": "one"} | change))) is None


def test_the_same_atoms_with_one_exchanged_are_not_duplicates():
    numbers, (places, *_) = built("ClC(F)(F)F")
    swapped = places.copy()
    swapped[[0, 2]] = places[[2, 0]]
    with Duplicates() as found:
        found.add(frame("one", numbers, places))
        assert found.add(frame("two", numbers, swapped)) is None


def test_with_another_graph_only_the_same_structure_is_a_duplicate():
    numbers, (places, *_) = built("CCO")
    near = places + np.random.default_rng(3).normal(scale=0.01, size=places.shape)
    with Duplicates() as found:
        found.add(frame("one", numbers, places, graph="a"))
        assert found.add(frame("near", numbers, near, graph="b")) is None
        assert found.add(frame("same", numbers, places, graph="c")) == "one"


def test_different_energies_of_the_same_structure_are_conflicts():
    numbers, (places, *_) = built("CCO")
    order = np.random.default_rng(4).permutation(len(numbers))
    with Duplicates() as found:
        found.add(frame("one", numbers, places, -5.0))
        found.add(frame("agrees", numbers[order], places[order], -5.000009))
        assert found.conflicting == 0
        found.add(frame("differs", numbers[order], places[order], -5.0001))
        found.add(frame("differs more", numbers, places, -4.9))
        found.add(frame("is not a number", numbers, places, float("nan")))
        first, second = found.conflicts(2)
        assert found.conflicting == len(list(found.conflicts())) == 3
    assert (first.earlier, first.later) == ("one", "differs more")
    assert first.difference == pytest.approx(0.1)
    assert (second.later, second.difference) == ("differs", pytest.approx(-1e-4))


def test_an_energy_that_is_not_a_number_conflicts_with_any_other():
    numbers, (places, *_) = built("O")
    with Duplicates() as found:
        found.add(frame("nan", numbers, places, float("nan")))
        assert found.add(frame("two", numbers, places, -5.0)) == "nan"
        assert [(one.earlier, one.later) for one in found.conflicts()] == [("nan", "two")]


def test_what_the_slope_explains_is_not_a_conflict():
    numbers, (places, *_) = built("CCO")
    gradient = np.full(places.shape, 0.1)
    shift = np.zeros_like(places)
    shift[0, 0], shift[1, 0] = 1e-4, -1e-4
    for steep, wanted in ((gradient, 0), (gradient * 0, 1)):
        with Duplicates() as found:
            found.add(frame("one", numbers, places, -5.0, gradient=steep))
            later = frame("two", numbers, places + shift, -5.00003, gradient=steep)
            assert found.add(later) == "one"
            assert found.conflicting == wanted


def test_a_nearby_structure_may_have_another_energy():
    numbers, (places, *_) = built("CCO")
    near = places + np.random.default_rng(5).normal(scale=0.01, size=places.shape)
    with Duplicates() as found:
        found.add(frame("one", numbers, places, -5.0))
        assert found.add(frame("near", numbers, near, -4.99)) == "one"
        assert found.conflicting == 0


def test_frames_of_one_document_are_counted():
    numbers, (places, *_) = built("CCO")
    with Duplicates() as found:
        found.add(frame("a-0", numbers, places, document="a"))
        found.add(frame("a-1", numbers, places, document="a"))
        found.add(frame("b", numbers, places, document="b"))
        assert (found.found, found.of_one_document) == (2, 1)


def test_a_frame_that_was_not_written_is_no_reason_to_leave_out_a_later_one():
    numbers, (places, *_) = built("CCO")
    with Duplicates() as found:
        assert found.add(frame("unfit", numbers, places)) is None
        found.forget_last()
        assert found.add(frame("written", numbers, places)) is None
        assert found.add(frame("again", numbers, places)) == "written"
        found.forget_last()  # a duplicate was not kept, so that there is nothing to forget
        assert found.add(frame("once more", numbers, places)) == "written"


def test_single_atoms_are_duplicates_and_reference_atoms_are_not():
    with Duplicates() as found:
        assert found.add(frame("atom", [2], [(0, 0, 0)])) is None
        assert found.add(frame("reference", [2], [(0, 0, 0)], isolated=True)) is None
        assert found.add(frame("again", [2], [(1, 2, 3)])) == "atom"


def test_a_crowded_neighborhood_is_searched_from_the_nearest_and_this_is_counted(monkeypatch):
    monkeypatch.setattr(duplicates_module, "_MOST_CANDIDATES", 3)
    monkeypatch.setattr(duplicates_module, "_MOST_ROWS", 20)
    numbers, (places, *_) = built("c1ccccc1")
    random = np.random.default_rng(6)
    geometries = [places + random.normal(scale=0.08, size=places.shape) for _ in range(60)]
    with Duplicates() as found:
        for number, one in enumerate(geometries):
            assert found.add(frame(f"{number}", numbers, one)) is None
        assert found.limited > 0
        # The same structure is always among the nearest.
        for number, one in enumerate(geometries):
            turned_one = one @ turned(random)
            assert found.add(frame("again", numbers, turned_one)) == f"{number}"


@pytest.mark.parametrize("bound", [0, -1, 1, float("nan"), float("inf")])
def test_an_impossible_bound_is_refused(bound):
    with pytest.raises(WqmasterError) as caught:
        Duplicates(bound)
    assert caught.value.code == ErrorCode.USAGE


def test_the_rmsd_agrees_with_rdkit_for_matched_atoms():
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdMolAlign

    molecule = Chem.AddHs(Chem.MolFromSmiles("OCC(F)N"))
    rdDistGeom.EmbedMultipleConfs(molecule, 2, randomSeed=1)
    one, other = (conformer.GetPositions() for conformer in molecule.GetConformers())
    atoms = [(number, number) for number in range(molecule.GetNumAtoms())]
    wanted = rdMolAlign.AlignMol(molecule, Chem.Mol(molecule, confId=0), 1, 0, atomMap=atoms)
    # Each atom has its own number, so that there is one way to match them.
    numbers = np.arange(len(one)) + 1
    found = rmsd(numbers, one - one.mean(axis=0), other - other.mean(axis=0), 10)
    assert found == pytest.approx(wanted, abs=1e-6)


def test_the_file_on_disk_has_no_name_and_disappears(tmp_path):
    connection = scratch(tmp_path)
    connection.execute("CREATE TABLE numbers (one INTEGER, text TEXT)")
    connection.executemany(
        "INSERT INTO numbers VALUES (?, ?)", ((one, "x" * 1000) for one in range(100_000))
    )
    handles = [one for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    targets = [str(one.readlink()) for one in handles if one.is_symlink()]
    assert any(str(tmp_path) in one and "(deleted)" in one for one in targets)
    assert list(tmp_path.iterdir()) == []
    (count,) = connection.execute("SELECT count(*) FROM numbers WHERE one > 10").fetchone()
    assert count == 99_989
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
