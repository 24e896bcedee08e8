"""Every frame in XYZ files, ASE databases and trajectories is read, with charge and spin."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from tests.unit.structure_files import Known, check, molecules, read
from wqmaster.errors import StructureError
from wqmaster.structures.base import Note


def all_atoms() -> list[tuple[Known, Atoms]]:
    return [
        (known, Atoms(numbers=known.numbers, positions=known.coordinates))
        for known, _ in molecules()
    ]


# Charge and spin in the comment line, as common tools write them.
KEYS = {
    "own": lambda known: {"charge": known.charge, "multiplicity": known.multiplicity},
    "fairchem": lambda known: {"charge": known.charge, "spin": known.multiplicity},
    "mace": lambda known: {"total_charge": known.charge, "total_spin": known.multiplicity},
    "xtb": lambda known: {"charge": float(known.charge), "uhf": known.multiplicity - 1},
}


@pytest.mark.parametrize("style", KEYS)
def test_extxyz_is_read_completely_with_the_keys_of_common_tools(
    style: str, tmp_path: Path
) -> None:
    known, frames = [], []
    for count, (wanted, atoms) in enumerate(all_atoms()):
        atoms.info = {**KEYS[style](wanted), "name": wanted.title, "weight": count / 8}
        atoms.arrays["REF_forces"] = np.full((len(atoms), 3), count / 4)
        known.append(wanted)
        frames.append(atoms)
    path = tmp_path / "set.extxyz"
    write(str(path), frames)
    records = read(path)
    check(records, known)
    for count, (record, wanted) in enumerate(zip(records, known, strict=True)):
        document = record.documents[0]
        assert (document["name"], document["weight"]) == (wanted.title, count / 8)
        assert document["REF_forces"] == [[count / 4] * 3] * len(wanted.numbers)
        assert record.notes == set()


def test_plain_xyz_takes_charge_and_multiplicity_from_the_command_line(
    tmp_path: Path,
) -> None:
    pairs = [(known, atoms) for known, atoms in all_atoms()]
    text = "".join(
        f"{len(atoms)}\n{known.title}\n"
        + "".join(
            f"{symbol} {x!r} {y!r} {z!r}\n"
            for symbol, (x, y, z) in zip(
                atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True
            )
        )
        for known, atoms in pairs
    )
    path = tmp_path / "set.xyz"
    path.write_text(text)
    records = read(path)
    assert [record.title for record in records] == [known.title for known, _ in pairs]
    assert all(record.notes == {Note.NO_CHARGE, Note.NO_MULTIPLICITY} for record in records)
    stated = read(path, charge=-1, multiplicity=3)
    for record, (known, _) in zip(stated, pairs, strict=True):
        document = record.documents[0]
        assert document["atomic_numbers"] == known.numbers
        assert document["coordinates"] == known.coordinates
        assert (document["charge"], document["multiplicity"]) == (-1, 3)
        assert record.notes == set()


@pytest.mark.parametrize("ending", ["db", "json", "DB", "JSON"])
@pytest.mark.parametrize("place", ["keys", "data"])
def test_ase_databases_keep_charge_and_spin(ending: str, place: str, tmp_path: Path) -> None:
    """For the key `charge` of a row, ASE returns the sum of the atoms' charges."""
    path = tmp_path / f"set.{ending}"
    known = []
    with connect(str(path), type=ending.lower()) as database:  # type: ignore[no-untyped-call]
        for wanted, atoms in all_atoms():
            state = {"charge": wanted.charge, "spin": wanted.multiplicity}
            if place == "keys":
                database.write(atoms, name=wanted.title, **state)
            else:
                database.write(atoms, name=wanted.title, data={**state, "extra": [1, 2]})
            known.append(wanted)
    records = read(path)
    check(records, known)
    assert [record.title for record in records] == [wanted.title for wanted in known]
    if place == "data":
        assert all(record.documents[0]["extra"] == [1, 2] for record in records)


def test_a_row_whose_keys_contradict_its_data_is_refused(tmp_path: Path) -> None:
    """The keys once overrode the data."""
    path = tmp_path / "set.db"
    atoms = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]])
    with connect(str(path)) as database:  # type: ignore[no-untyped-call]
        database.write(atoms, charge=-2, data={"charge": 0})
        database.write(atoms, charge=-2, data={"charge": -2})
    bad, good = read(path)
    assert bad.why == "its 'charge' is -2 in its keys, but 0 in its data"
    assert good.documents[0]["charge"] == -2


@pytest.mark.parametrize("ending", ["db", "traj", "extxyz"])
def test_charges_and_moments_of_atoms_are_summed_if_there_is_no_key(
    ending: str, tmp_path: Path
) -> None:
    known, frames = [], []
    for wanted, atoms in all_atoms():
        size = len(atoms)
        atoms.set_initial_charges([wanted.charge / size] * size)
        atoms.set_initial_magnetic_moments([(wanted.multiplicity - 1) / size] * size)
        known.append(wanted)
        frames.append(atoms)
    path = tmp_path / f"set.{ending}"
    if ending == "db":
        with connect(str(path)) as database:  # type: ignore[no-untyped-call]
            for atoms in frames:
                database.write(atoms)
    else:
        write(str(path), frames)
    records = read(path)
    check(records, known)
    charged = [record for record in records if Note.CHARGE_OF_ATOMS in record.notes]
    assert charged


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"charge": 1, "total_charge": 0}, "contradictory charges: 'charge' 1, 'total_charge' 0"),
        ({"spin": 1, "multiplicity": 3}, "contradictory multiplicities"),
        ({"uhf": 2, "spin": 1}, "contradictory multiplicities"),
        ({"spin": 0}, "'spin' is 0, not a multiplicity"),
        ({"charge": 0.5}, "'charge' is not a whole number"),
        ({"charge": "one"}, "'charge' is not a whole number"),
    ],
)
def test_contradictory_keys_are_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    atoms = Atoms("H2O", positions=[[0, 0, 1], [0, 1, 0], [0, 0, 0]])
    atoms.info.update(change)
    write(str(tmp_path / "a.extxyz"), [atoms])
    [record] = read(tmp_path / "a.extxyz")
    assert said in (record.why or "")


def test_charges_of_atoms_that_do_not_suit_a_molecule_are_refused(tmp_path: Path) -> None:
    atoms = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]], charges=[0.2, 0.2])
    write(str(tmp_path / "a.traj"), [atoms])
    [record] = read(tmp_path / "a.traj")
    assert "add up to 0.400, not to a whole number" in (record.why or "")


def test_a_crystal_is_refused_and_a_molecule_in_a_box_is_not(tmp_path: Path) -> None:
    box = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]], cell=[9, 9, 9], pbc=False)
    crystal = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]], cell=[9, 9, 9], pbc=True)
    write(str(tmp_path / "a.extxyz"), [box, crystal])
    first, second = read(tmp_path / "a.extxyz")
    assert first.why is None
    assert "periodic" in (second.why or "")


def test_omitted_energies_are_noted(tmp_path: Path) -> None:
    atoms = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]])
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)  # type: ignore[no-untyped-call]
    write(str(tmp_path / "a.extxyz"), [atoms])
    [record] = read(tmp_path / "a.extxyz")
    assert Note.NO_LABELS in record.notes


FRAME = "2\nname=first\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("3\nname=b\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n", "2 of 3 atoms"),
        ("1\nname=b\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n", "it has 2 lines of atoms"),
        ("two\nname=b\nH 0.0 0.0 0.0\nH 0.0 0.0 0.74\n", "is not the number of atoms"),
        ("2\nplain\nH 0.0 0.0\nH 0.0 0.0 0.74\n", "atom 1 has 3 columns"),
        ("2\nname=b\nH 0.0 0.0 0.0\nH 0.0 0.74\n", "atom 2 has 3 columns"),
        ("2\nplain\nH 0.0 0.0 x\nH 0.0 0.0 0.74\n", "the coordinates of atom 1 are not numbers"),
        ("2\nplain\nQq 0.0 0.0 0.0\nH 0.0 0.0 0.74\n", "unknown element: 'Qq'"),
        ("2\nProperties=species:S:1:pos:R:3\nH 0.0 0.0\nH 0.0 0.0 0.74\n", "ASE cannot read it"),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_damaged_frame_is_refused_and_its_neighbors_are_read(
    bad: str, said: str, place: int, tmp_path: Path
) -> None:
    frames = [FRAME, FRAME]
    frames.insert(place, bad)
    path = tmp_path / "set.xyz"
    path.write_text("".join(frames))
    records = read(path)
    if said == "is not the number of atoms" and place:
        # The bad frame's lines could belong to the frame before it, so both frames are refused.
        assert sum(record.why is None for record in records) == 1
        return
    assert [record.why is None for record in records] == [n != place for n in range(3)]
    assert said in (records[place].why or "")
    assert records[place].line == 1 + 4 * place


def test_columns_after_the_coordinates_are_noted(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("2\n\nH 0 0 0 0.1\nH 0 0 0.74 -0.1\n")
    [record] = read(tmp_path / "a.xyz", charge=0, multiplicity=1)
    assert record.notes == {Note.NO_COLUMNS}


@pytest.mark.parametrize(
    ("comment", "state"),
    [
        ("water charge=-2", (-2, 1)),
        ("charge: 2", (2, 1)),
        ("water, charge = 1, mult = 2", (1, 2)),
        ("charge=0 mult=3", (0, 3)),
        ("spin_multiplicity=3 net_charge=0", (0, 3)),
        ("unpaired=2", (0, 3)),
        ('{"charge": -2, "spin": 3}', (-2, 3)),
        ("charge=[2];mult=(1)", (2, 1)),
        ("charge=2 charge=2 text", (2, 1)),
    ],
)
def test_comments_may_state_charge_and_spin_in_several_ways(
    comment: str, state: tuple[int, int], tmp_path: Path
) -> None:
    (tmp_path / "a.xyz").write_text(f"3\n{comment}\nO 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n")
    [record] = read(tmp_path / "a.xyz")
    assert record.why is None, record.why
    document = record.documents[0]
    assert (document["charge"], document["multiplicity"]) == state


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("water charge=-2 charge=0", "states 'charge' twice: -2 and 0"),
        ("charge=-2 charge=0", "states 'charge' twice: -2 and 0"),
        ('charge="-2" x="charge=1" charge=0', "states 'charge' twice: -2 and 0"),
        ("water charge=2-", "'charge' is not a whole number: '2-'"),
        ("water mult=3/2", "'mult' is not a whole number: '3/2'"),
    ],
)
def test_a_comment_with_an_unclear_charge_or_spin_is_refused(
    comment: str, said: str, tmp_path: Path
) -> None:
    """`charge=2-` was once +2, and of two charges the last one counted."""
    (tmp_path / "a.xyz").write_text(f"3\n{comment}\nO 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n")
    [record] = read(tmp_path / "a.xyz")
    assert said in (record.why or "")


@pytest.mark.parametrize(
    ("comment", "noted"),
    [
        ("charge 2", True),
        ("dication, charge=2, triplet", True),
        ("charge: 0 | mult 3", True),
        ("water, spin=1", False),
        ("water charge=0", False),
        ("companion 7", False),
    ],
)
def test_words_in_a_comment_that_may_state_charge_or_spin_are_noted(
    comment: str, noted: bool, tmp_path: Path
) -> None:
    (tmp_path / "a.xyz").write_text(f"3\n{comment}\nO 0 0 0\nH 0 0 0.96\nH 0.93 0 -0.24\n")
    [record] = read(tmp_path / "a.xyz")
    assert (Note.LOOKALIKE in record.notes) == noted


def test_a_comment_of_two_numbers_is_not_passed_off_as_a_title(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("1\n-1 1\nF 0 0 0\n")
    [record] = read(tmp_path / "a.xyz")
    assert "may be charge and multiplicity" in (record.why or "")
    [record] = read(tmp_path / "a.xyz", charge=-1)
    assert record.documents[0]["charge"] == -1


def test_keys_that_differ_only_in_case_must_agree(tmp_path: Path) -> None:
    text = "2\nProperties=species:S:1:pos:R:3 CHARGE=-2 charge=0\nH 0 0 0\nH 0 0 0.74\n"
    (tmp_path / "a.extxyz").write_text(text)
    [record] = read(tmp_path / "a.extxyz")
    assert "contradictory charges" in (record.why or "")


def test_atomic_charges_with_an_integer_sum_must_agree_with_the_charge(tmp_path: Path) -> None:
    atoms = Atoms("H2", positions=[[0, 0, 1], [0, 1, 0]], charges=[0.5, 0.5])
    atoms.info["charge"] = 0
    write(str(tmp_path / "a.traj"), [atoms])
    [record] = read(tmp_path / "a.traj")
    assert "'charge' 0, the charges of the atoms 1" in (record.why or "")
    atoms.info["charge"] = 1
    atoms.info["multiplicity"] = 2
    write(str(tmp_path / "a.traj"), [atoms])
    [record] = read(tmp_path / "a.traj")
    assert record.documents[0]["initial_charges"] == [0.5, 0.5]


def test_coordinates_in_bohr_are_refused(tmp_path: Path) -> None:
    text = "2\nProperties=species:S:1:pos:R:3 units=Bohr\nH 0 0 0\nH 0 0 1.4\n"
    (tmp_path / "a.extxyz").write_text(text)
    [record] = read(tmp_path / "a.extxyz")
    assert "its coordinates are in Bohr" in (record.why or "")


def test_a_database_that_is_not_from_ase_is_not_modified(tmp_path: Path) -> None:
    """ASE creates its tables in any SQLite file that it opens, even an empty one."""
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE mine (a INTEGER)")
        other.commit()
    (tmp_path / "empty.db").write_bytes(b"")
    for name in ("other.db", "empty.db"):
        before = (tmp_path / name).read_bytes()
        with pytest.raises(StructureError, match="not an ASE database"):
            read(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("name", ["a.db", "a.json", "a.traj"])
def test_a_file_that_does_not_have_its_format_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("no such thing\n")
    with pytest.raises(StructureError, match="not an ASE") as error:
        read(tmp_path / name)
    assert "ULM" not in error.value.message  # a word of ASE's own code


@pytest.mark.parametrize("suffix", [".extxyz", ".traj", ".db"])
def test_masses_are_kept_and_noted_as_unused(suffix: str, tmp_path: Path) -> None:

    heavy = Atoms("OHH", [[0, 0, 0], [0, 0, 0.96], [0.93, 0, -0.24]], masses=[15.999, 2.014, 2.014])
    write(tmp_path / f"heavy{suffix}", heavy)
    [record] = read(tmp_path / f"heavy{suffix}")
    assert record.why is None, record.why
    kept = record.documents[0].get("masses", record.documents[0].get("imported_masses"))
    assert (Note.ISOTOPES in record.notes) is (kept is not None)
    if suffix != ".extxyz":  # ASE writes no masses to .extxyz files
        assert kept == pytest.approx([15.999, 2.014, 2.014])
