"""PySCF in a worker's sandbox, against direct calls of PySCF."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.integration.xtb_runs import run
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, StepOutcome
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.parsers import pyscf as parsers
from wqmaster.parsers.base import Output
from wqmaster.parsers.pyscf.report import FILE
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.pyscf.options import Optimize, Singlepoint
from wqmaster.tasks.pyscf.remedies import LADDERS, PyscfRung
from wqmaster.tasks.pyscf.task import optimize, singlepoint

PYTHON = shutil.which("pyscf-python")
pytestmark = pytest.mark.skipif(
    PYTHON is None, reason="pyscf-python is missing; run the tests with ./shell --with pyscf"
)
# Written without the driver: what it does must agree with PySCF's own interface.
DIRECT = """
import json, sys
from pyscf import gto, dft, scf
call = json.load(sys.stdin)
mol = gto.M(atom=call["atom"], basis=call["basis"], charge=call["charge"],
            spin=call["multiplicity"] - 1, verbose=0)
mf = (dft.RKS if mol.spin == 0 else dft.UKS)(mol)
mf.xc = call["xc"]
mf.grids.level = call["grid"]
mf.conv_tol = 1e-12
if call["density_fit"]:
    mf = mf.density_fit()
if call["second_order"]:
    mf.init_guess = "atom"
    mf.max_cycle = 3
    mf.kernel()
    mf = mf.newton()
    mf.max_cycle = 100
    orbitals = mf.mo_coeff
    for _ in range(10):
        mf.kernel(orbitals, mf.mo_occ)
        orbitals, _, stable, _ = mf.stability(return_status=True)
        if stable:
            break
    mf = mf.undo_newton() if hasattr(mf, "undo_newton") else mf
    json.dump({"energy": mf.e_tot}, sys.stdout)
else:
    mf.kernel()
    gradient = mf.nuc_grad_method().kernel()
    json.dump({"energy": mf.e_tot, "gradient": gradient.tolist()}, sys.stdout)
"""
LEVEL = {"xc": "wb97x-d3bj", "basis": "def2-svp", "density_fit": True, "grid": 3}
WATER = Molecule("w", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)))
HYDROXYL = Molecule("oh", (8, 1), ((0, 0, 0), (0, 0, 0.98)), multiplicity=2)
CATION = Molecule("w+", WATER.numbers, WATER.coordinates, charge=1, multiplicity=2)
IODIDE = Molecule("hi", (1, 53), ((0, 0, 0), (0, 0, 1.61)))
HYDROXIDE = Molecule("oh-", (8, 1), ((0, 0, 0), (0, 0, 0.97)), charge=-1)
HIGH_SPIN = Molecule("oh", (8, 1), ((0, 0, 0), (0, 0, 0.98)), multiplicity=12)
BARE = Molecule("h+", (1,), ((0, 0, 0),), charge=1)
# Two carbon atoms so close that a diffuse basis set is linearly dependent.
CLOSE = Molecule("c2", (6, 6), ((0, 0, 0), (0, 0, 0.4)))
# They do not converge in 50 ordinary cycles with PBE: stretched bonds.
HARD = {
    "F2": Molecule("f2", (9, 9), ((0, 0, 0), (0, 0, 2.5))),
    "water": Molecule("far", (8, 1, 1), ((0, 0, 0), (0, 0, 2.9), (2.8, 0, -0.7))),
}


def direct(molecule: Molecule, second_order: bool = False, **level: Any) -> Any:
    atom = [
        [SYMBOLS[number], list(place)]
        for number, place in zip(molecule.numbers, molecule.coordinates, strict=True)
    ]
    call = {
        **level,
        "atom": atom,
        "charge": molecule.charge,
        "multiplicity": molecule.multiplicity,
        "second_order": second_order,
    }
    said = subprocess.run(
        [str(PYTHON), "-c", DIRECT],
        input=json.dumps(call),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(said.stdout)


def step_of(
    folder: Path, molecule: Molecule, options: Any, function: Any = singlepoint, **more: Any
) -> StepOutcome:
    request = StepRequest("a", options, frozenset(), **more)
    job = function(molecule, [request], Software(commands={"pyscf": str(PYTHON)}))
    [outcome] = run([job], folder)
    return outcome.steps[0]


def rung(name: str) -> PyscfRung:
    return next(r for r in LADDERS[FailureClass.SCF_NOT_CONVERGED] if r.name == name)


def output_of(step: StepOutcome) -> Output:
    return Output(step.files, FILE)


def failure(step: StepOutcome, molecule: Molecule) -> FailureClass | None:
    asked = Asked(
        *(molecule.id, 1, len(molecule.numbers), molecule.charge, molecule.multiplicity),
        *("m", "r", "t"),
    )
    found = parsers.diagnose(Output(step.files), asked, {})
    return found and found.kind


@pytest.mark.parametrize(
    "molecule", [WATER, CATION, HYDROXIDE], ids=["neutral", "radical", "anion"]
)
def test_energy_and_gradient_are_those_of_a_direct_call(tmp_path: Path, molecule: Molecule) -> None:
    step = step_of(tmp_path, molecule, Singlepoint.model_validate(LEVEL))
    assert failure(step, molecule) is None
    expected = direct(molecule, **LEVEL)
    output = output_of(step)
    assert parsers.energy(output) == pytest.approx(expected["energy"], abs=1e-8)
    for found, wanted in zip(parsers.gradient(output), expected["gradient"], strict=True):
        assert found == pytest.approx(wanted, abs=1e-6)
    for charges in (parsers.mulliken_charges, parsers.loewdin_charges, parsers.iao_charges):
        assert sum(charges(output)) == pytest.approx(molecule.charge, abs=1e-6)


@pytest.mark.parametrize("name", HARD)
def test_a_remedy_finds_the_energy_of_a_tight_reference(tmp_path: Path, name: str) -> None:
    molecule, level = HARD[name], {"xc": "pbe", "basis": "6-31g", "grid": 0}
    options = Singlepoint.model_validate({**level, "gradient": False})
    step = step_of(tmp_path, molecule, options)
    assert failure(step, molecule) is FailureClass.SCF_NOT_CONVERGED
    again = step_of(tmp_path, molecule, options, remedies=(rung("newton"),), rescued=step.files)
    assert failure(again, molecule) is None
    expected = direct(molecule, second_order=True, density_fit=False, **level)["energy"]
    assert parsers.energy(output_of(again)) == pytest.approx(expected, abs=1e-6)
    assert parsers.scf_settings(output_of(again))["newton"] is True


# The driver with another limit on attempts of the second-order method to find a stable solution.
LIMITED = """
import sys
sys.path.insert(0, "shared")
import wqmaster_pyscf, wqmaster_pyscf_scf
wqmaster_pyscf_scf.MAX_INSTABILITIES = {}
sys.exit(wqmaster_pyscf.main(sys.argv[1]))
"""


def limited_step(
    folder: Path, molecule: Molecule, options: Any, remedy: PyscfRung, limit: int
) -> StepOutcome:
    """A step whose driver gives up after `limit` unstable solutions."""
    request = StepRequest("a", options, frozenset(), remedies=(remedy,))
    job = singlepoint(molecule, [request], Software())
    (folder / "shared").mkdir()
    for shared in job.inputs:
        (folder / "shared" / shared.name).symlink_to(shared.path)
    for name, content in job.files.items():
        (folder / name).write_bytes(content)
    command = [str(PYTHON), "-c", LIMITED.format(limit), "pyscf-a.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    files = {FILE: (folder / FILE).read_bytes()}
    return StepOutcome("a", done.returncode, 1.0, timed_out=False, files=files)


# For the rung "newton", the first attempt is the method itself; after ordinary cycles, every
# attempt is a restart.
@pytest.mark.parametrize(
    ("name", "limit", "cured"),
    [("newton", 1, False), ("newton", 10, True), ("continued", 0, False), ("continued", 10, True)],
)
def test_a_solution_after_a_remedy_is_stable_or_refused(
    tmp_path: Path, name: str, limit: int, cured: bool
) -> None:
    """The first solution for stretched H2 has no spins; unequal ones are 0.23 Eh lower."""
    molecule = Molecule("h2", (1, 1), ((0, 0, 0), (0, 0, 2.5)))
    level = {"xc": "hf", "basis": "sto-3g", "restricted": False, "gradient": False}
    options = Singlepoint.model_validate(level)
    step = limited_step(tmp_path, molecule, options, rung(name), limit)
    assert step.exit_code == (0 if cured else 1)
    if not cured:
        assert failure(step, molecule) is FailureClass.SCF_NOT_CONVERGED
        return
    assert failure(step, molecule) is None
    assert parsers.energy(output_of(step)) == pytest.approx(-0.9332, abs=1e-3)
    assert parsers.s_squared(output_of(step))["value"] == pytest.approx(1.0, abs=0.05)
    assert parsers.scf_settings(output_of(step))["stable"] is True


def test_an_unstable_restricted_solution_is_followed_within_its_level_of_theory(
    tmp_path: Path,
) -> None:
    """From the bare nuclei, singlet O2 converges 0.53 Eh above the stable restricted solution."""
    molecule = Molecule("o2", (8, 8), ((0, 0, 0), (0, 0, 1.21)))
    level = {"xc": "hf", "basis": "sto-3g", "guess": "1e", "gradient": False}
    options = Singlepoint.model_validate(level)
    plain = step_of(tmp_path, molecule, options)
    assert parsers.energy(output_of(plain)) == pytest.approx(-147.01865, abs=1e-4)
    assert parsers.scf_settings(output_of(plain))["stable"] is None
    step = step_of(tmp_path, molecule, options, remedies=(rung("continued"),))
    assert failure(step, molecule) is None
    assert parsers.energy(output_of(step)) == pytest.approx(-147.55125, abs=1e-4)
    assert parsers.method_settings(output_of(step))["scf"] == "RHF"
    parts = parsers.energy_parts(output_of(step))
    total = sum(parts[name] for name in ("nuclear", "one_electron", "two_electron"))
    assert total == pytest.approx(parsers.energy(output_of(step)), abs=1e-8)


def test_the_lowest_of_several_stable_solutions_is_kept(tmp_path: Path) -> None:
    """For stretched CO+, the stable solution from the first guess is 0.057 Eh too high."""
    molecule = Molecule("co+", (6, 8), ((0, 0, 0), (0, 0, 2.5)), charge=1, multiplicity=2)
    options = Singlepoint.model_validate({"xc": "hf", "basis": "sto-3g", "gradient": False})
    step = step_of(tmp_path, molecule, options, remedies=(rung("newton"),))
    assert failure(step, molecule) is None
    found = parsers.scf_settings(output_of(step))
    assert found["starts"]["minao"] == pytest.approx(-110.65471, abs=1e-4)
    assert parsers.energy(output_of(step)) == pytest.approx(-110.71119, abs=1e-4)
    assert found["start"] != "minao"
    lowest = min(found["starts"].values())
    assert found["starts"][found["start"]] == pytest.approx(lowest, abs=1e-6)


@pytest.mark.parametrize(
    ("molecule", "options", "kind"),
    [
        (Molecule("xe", (54,), ((0, 0, 0),)), {"basis": "6-31g"}, FailureClass.INPUT_BASIS),
        (
            Molecule("w", WATER.numbers, WATER.coordinates, multiplicity=2),
            {},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        (WATER, {"xc": "m06-2x", "dispersion": "d3bj"}, FailureClass.INPUT_KEYWORD),
        # Each of these would give an energy that is wrong by up to 2000 Eh without an error.
        (IODIDE, {"ecp": "none"}, FailureClass.INPUT_BASIS),
        (IODIDE, {"ecp": {"Ag": "def2-svp"}}, FailureClass.INPUT_BASIS),
        (IODIDE, {"ecp": "6-31g"}, FailureClass.INPUT_BASIS),
        (WATER, {"auxbasis": {"O": "def2-universal-jkfit"}}, FailureClass.INPUT_BASIS),
        (WATER, {"basis": {"O": "def2-svp"}}, FailureClass.INPUT_BASIS),
        (
            Molecule("w", WATER.numbers, WATER.coordinates, multiplicity=11),
            {"basis": "sto-3g"},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        (HIGH_SPIN, {}, FailureClass.CHARGE_MULTIPLICITY),
        (BARE, {}, FailureClass.CHARGE_MULTIPLICITY),
    ],
    ids=[
        *("basis", "spin", "dispersion", "no potential", "other potential", "no such potential"),
        *("fitting", "element", "full", "too many unpaired", "no electron"),
    ],
)
def test_a_wrong_input_has_its_class(
    tmp_path: Path, molecule: Molecule, options: dict[str, Any], kind: FailureClass
) -> None:
    step = step_of(tmp_path, molecule, Singlepoint.model_validate({**LEVEL, **options}))
    assert step.exit_code == 1
    assert failure(step, molecule) is kind


def test_a_linearly_dependent_basis_is_reduced_and_the_report_states_by_how_much(
    tmp_path: Path,
) -> None:
    options = {"xc": "hf", "basis": "6-311++g**", "gradient": False}
    step = step_of(tmp_path, CLOSE, Singlepoint.model_validate(options))
    assert failure(step, CLOSE) is None
    assert parsers.basis_functions(output_of(step)) == 44
    assert parsers.linear_dependencies(output_of(step)) == 1
    plain = step_of(tmp_path, WATER, Singlepoint.model_validate(options))
    assert parsers.linear_dependencies(output_of(plain)) == 0


def test_an_optimization_ends_at_a_minimum(tmp_path: Path) -> None:
    options = Optimize.model_validate({"xc": "hf", "basis": "sto-3g"})
    step = step_of(tmp_path, WATER, options, optimize)
    assert failure(step, WATER) is None
    found = parsers.frames(output_of(step))
    assert found[-1]["energy"] < found[0]["energy"]
    assert max(abs(value) for row in parsers.gradient(output_of(step)) for value in row) < 5e-4
    assert step.files["pyscf.xyz"].startswith(b"3\n")


def test_a_coarse_grid_is_seen_in_the_net_force(tmp_path: Path) -> None:
    def net(level: int) -> float:
        options = Singlepoint.model_validate({"xc": "pbe", "basis": "sto-3g", "grid": level})
        rows = parsers.gradient(output_of(step_of(tmp_path, HYDROXYL, options)))
        return max(abs(sum(column)) for column in zip(*rows, strict=True))

    assert net(1) > 10 * net(5)
