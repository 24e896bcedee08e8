"""Exported files, as the trainers' own readers see them, and steps of their optimizers.

A trainer takes many seconds to import, so one process for each reads the file and its mutants
(`read_all.py`); the proof then receives what was printed for each file.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.dataset_files import alter, frame, frames, written
from wqmaster.datasets.targets import TARGETS
from wqmaster.datasets.verify import verify
from wqmaster.errors import ProofError

FOLDER = Path(os.environ["WQMASTER_TRAINERS"])
HERE = Path(__file__).parent
SCRIPTS = HERE.parents[1] / "wqmaster" / "datasets" / "trainers"
# What is read -> the environment and the script.
READERS = {
    "aimnet": ("shared", "aimnet", "read_aimnet.py"),
    "torchani": ("shared", "torchani", "read_torchani.py"),
    "fairchem": ("shared", "fairchem", "read_fairchem.py"),
    "nequip": ("shared", "nequip", "read_nequip.py"),
    "mace": ("mace", "mace", "read_mace.py"),
    "mace reading aselmdb": ("mace", "fairchem", "read_mace.py"),
}
MUTANTS = (
    "charge_off_by_one",
    "spin_off_by_one",
    "charge_and_spin_swapped",
    "forces_with_the_wrong_sign",
    "forces_in_another_unit",
    "energies_in_another_unit",
    "energy_wrong_in_the_seventh_digit",
    "coordinates_in_bohr",
    "key_of_the_energy_renamed",
    "key_of_the_forces_renamed",
    "forces_of_two_rows_swapped",
    "one_row_missing",
    "one_row_twice",
)
SECONDS = 900  # much more than any takes


def _python(environment: str) -> str:
    return str(FOLDER / environment / "bin" / "python")


def _given() -> list:
    return [*frames(), frame("water again", "O", 0, 1)]


@pytest.fixture(scope="module", params=READERS)
def read(request, tmp_path_factory):
    """The target, its frames, and the file of each mutant; "" is the file as it was written."""
    environment, name, script = READERS[request.param]
    target = replace(TARGETS[name], script=script)
    folder = tmp_path_factory.mktemp(name)
    given = _given()
    paths = {}
    for mutant in ("", *MUTANTS):
        path = paths[mutant] = folder / f"{mutant or 'whole'}{target.suffix}"
        assert written(target, path, given) == given
        if mutant:
            alter(path, target, mutant)
    command = [_python(environment), HERE / "read_all.py", SCRIPTS / script, *paths.values()]
    subprocess.run(command, check=True, timeout=SECONDS)
    # Stands in for the Python of the trainer: prints what it printed for the file.
    replay = folder / "replay"
    replay.write_text('#!/bin/sh\ncat "$3.rows"\ncat "$3.error" >&2\ntest ! -s "$3.error"\n')
    replay.chmod(0o755)
    return target, given, paths, str(replay)


def test_the_trainer_reads_what_the_database_says(read):
    target, given, paths, replay = read
    proof = verify(paths[""], target, given, python=replay)
    assert proof.compared == len(given)
    assert proof.reader != "wqmaster"
    assert proof.largest["energy"] < 1e-6
    assert proof.largest["gradient"] < 1e-5


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_refused_by_the_proof_with_the_trainers_reader(read, mutant):
    target, given, paths, replay = read
    with pytest.raises(ProofError):
        verify(paths[mutant], target, given, python=replay)


def _trained(environment: str, script: str, *files: Path) -> dict:
    command = [_python(environment), HERE / script, *files]
    done = subprocess.run(command, check=True, timeout=SECONDS, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _atoms() -> list:
    """Isolated atoms of the elements in the frames."""
    atoms = []
    for number in sorted({int(number) for one in _given() for number in one.numbers}):
        atom = replace(
            frame("water", "O", 0, 1),
            id=f"reference-atom-{number}",
            numbers=np.array([number]),
            coordinates=np.zeros((1, 3)),
            multiplicity=1 + number % 2,
            energy=-40.0 - number / 100,
            gradient=np.zeros((1, 3)),
            charges=np.zeros(1),
            spins=None,
            dipole=None,
            quadrupole=None,
            isolated=True,
        )
        atoms.append(atom)
    return atoms


@pytest.mark.parametrize(
    ("name", "environment", "per_eh"),
    [
        ("mace", "mace", 27.211386024367243),
        ("aimnet", "shared", 27.211386024367243),
        ("torchani", "shared", 1.0),
    ],
)
def test_an_optimizer_steps_on_batches_with_the_reference_atoms(
    name, environment, per_eh, tmp_path
):
    target, atoms, given = TARGETS[name], _atoms(), _given()
    path = tmp_path / f"set{target.suffix}"
    files = [path]
    if target.atoms is None:
        written(target, path, [*atoms, *given])
    else:
        written(target, path, given)
        files.append(target.atoms(path, atoms))
    said = _trained(environment, f"train_{name}.py", *files)
    assert said["rows"] == len(given)
    assert all(np.isfinite(said["losses"]))
    assert len(said["losses"]) > 1
    energies = sorted(said["atoms"].values())
    assert np.allclose(energies, sorted(one.energy * per_eh for one in atoms), rtol=1e-12)
