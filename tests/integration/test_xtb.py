"""Real xtb: campaign options -> job -> runner.sh -> verdict, good runs and those that go wrong."""

import gzip
import itertools
import math
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster import bundle
from wqmaster.campaign import load
from wqmaster.errors import CampaignError
from wqmaster.failures import Failure, FailureClass
from wqmaster.job import Job, Outcome
from wqmaster.judgement import judge
from wqmaster.molecule import SYMBOLS, Molecule
from wqmaster.parsers import Output
from wqmaster.parsers.xtb import diagnose
from wqmaster.recipe import Recipe, resolve
from wqmaster.tasks import Software, StepRequest
from wqmaster.tasks.xtb import (
    LADDERS,
    Dynamics,
    Hessian,
    Optimize,
    Singlepoint,
    environment,
    md,
    optimize,
    singlepoint,
)

TOP = Path(__file__).resolve().parents[2]
RUNNER = TOP / "wqmaster" / "tasks" / "runner.sh"
MOLECULES = TOP / "examples" / "xtb-gradients" / "molecules.extxyz.gz"
_COUNT = itertools.count()

pytestmark = pytest.mark.skipif(shutil.which("xtb") is None, reason="xtb is not installed")

Rows = Sequence[tuple[str, float, float, float]]


def molecule(rows: Rows, charge: int = 0, multiplicity: int = 1) -> Molecule:
    numbers = tuple(SYMBOLS.index(row[0]) for row in rows)
    places = tuple((float(x), float(y), float(z)) for _, x, y, z in rows)
    return Molecule("one", numbers, places, charge, multiplicity)


def pair(first: str, second: str, apart: float, **state: int) -> Molecule:
    return molecule([(first, 0, 0, 0), (second, 0, 0, apart)], **state)


WATER = molecule([("O", 0, 0, 0), ("H", 0, 0, 0.96), ("H", 0.93, 0, -0.24)])
METHANE = molecule(
    [
        ("C", 0, 0, 0),
        ("H", 0.63, 0.63, 0.63),
        ("H", -0.63, -0.63, 0.63),
        ("H", -0.63, 0.63, -0.63),
        ("H", 0.63, -0.63, -0.63),
    ]
)
AMMONIUM = molecule(
    [("N", *METHANE.coordinates[0]), *(("H", *place) for place in METHANE.coordinates[1:])],
    charge=1,
)
HYDROGEN, HELIUM = molecule([("H", 0, 0, 0)], multiplicity=2), molecule([("He", 0, 0, 0)])
RADICAL = pair("O", "H", 1.0, multiplicity=2)
HYDROXIDE = pair("O", "H", 1.0, charge=-1)
SODIUM = molecule([("Na", 1.0, 2.0, 3.0)], charge=1)
CO2 = molecule([("O", 0, 0, 1.17), ("C", 0, 0, 0), ("O", 0, 0, -1.17)])
SHORT_MD = {"time": 0.05, "step": 0.5, "dump": 5.0, "shake": 0, "hmass": 0}


def some(count: int, largest: int = 99) -> list[Molecule]:
    """Molecules of the example, evenly taken from those of at most `largest` atoms."""
    found = []
    lines = iter(gzip.decompress(MOLECULES.read_bytes()).decode().splitlines())
    for line in lines:
        natoms, heading = int(line), next(lines)
        rows = [next(lines).split() for _ in range(natoms)]
        state = {
            key: int(heading.split(f"{key}=")[1].split()[0]) for key in ("charge", "multiplicity")
        }
        if natoms <= largest:
            found.append(
                molecule([(r[0], float(r[1]), float(r[2]), float(r[3])) for r in rows], **state)
            )
    return found[:: max(len(found) // count, 1)][:count]


def run(jobs: Sequence[Job], folder: Path) -> list[Outcome]:
    """What comes of `jobs`, as one bundle in the sandbox of a worker."""
    if not jobs:
        return []
    sandbox = folder / f"sandbox{next(_COUNT)}"
    sandbox.mkdir()
    shutil.copyfile(RUNNER, sandbox / "runner.sh")
    (sandbox / "inputs.tar").write_bytes(bundle.pack(jobs))
    subprocess.run(["sh", "runner.sh", "none", "60"], cwd=sandbox, check=True)
    with bundle.Archive(sandbox / "outputs.tar") as archive:
        return [archive.outcome(number) for number in range(len(jobs))]


class Bench:
    """Campaigns of one step in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def recipe(self, function: str, *parsers: str, **options: Any) -> Recipe:
        keep = options.pop("keep_files", {})
        step = {"name": "a", "parsers": list(parsers), "keep_files": keep, **options}
        config = {"func_name": f"wqmaster.tasks.xtb.{function}", "args": [step]}
        path = self.folder / f"campaign{next(_COUNT)}.yaml"
        software = options.pop("software", None)
        step.pop("software", None)
        top: dict[str, Any] = {"campaign": "test", "campaign_config": config}
        if software:
            top["software"] = {"xtb": software}
        path.write_text(yaml.safe_dump(top))
        return resolve(load(path, {}))

    def all(
        self, function: str, molecules: Sequence[Molecule], *parsers: str, **options: Any
    ) -> list[dict[str, Any] | Failure]:
        """The values of each molecule, or its failure."""
        recipe = self.recipe(function, *parsers, **options)
        jobs = [recipe.build(one) for one in molecules]
        half = (len(jobs) + 1) // 2
        with ThreadPoolExecutor(2) as pool:
            parts = pool.map(
                lambda part: run(part, self.folder) if part else [], (jobs[:half], jobs[half:])
            )
            outcomes = [outcome for part in parts for outcome in part]
        found: list[dict[str, Any] | Failure] = []
        for one, outcome in zip(molecules, outcomes, strict=True):
            verdict = judge(recipe, recipe.asked_of(one), outcome)
            found.append(verdict.failure or dict(verdict.results[0].values))
        return found

    def values(self, function: str, one: Molecule, *parsers: str, **options: Any) -> dict[str, Any]:
        [found] = self.all(function, [one], *parsers, **options)
        assert isinstance(found, dict), found
        return found

    def settled(
        self, function: str, one: Molecule, *parsers: str, **options: Any
    ) -> dict[str, Any]:
        """The values, with the reruns that the ladder of an erratic program grants."""
        for _ in range(30):
            [found] = self.all(function, [one], *parsers, **options)
            if isinstance(found, dict):
                return found
            assert found.kind is FailureClass.ERRATIC, found
        raise AssertionError("thirty runs failed")

    def failure(self, function: str, one: Molecule, **options: Any) -> FailureClass:
        [found] = self.all(function, [one], "energy", **options)
        assert isinstance(found, Failure), found
        return found.kind


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def printed(folder: Path, one: Molecule, *words: str) -> str:
    """What xtb prints when it is called by hand."""
    place = folder / f"direct{next(_COUNT)}"
    place.mkdir()
    (place / "mol.xyz").write_text(one.xyz())
    words = ("xtb", "mol.xyz", "-c", str(one.charge), "-u", str(one.unpaired), *words)
    environ = {**os.environ, **environment(1)}
    done = subprocess.run(words, cwd=place, env=environ, capture_output=True, text=True, check=True)
    return done.stdout


def number_after(text: str, label: str) -> float:
    return float(text[text.index(label) + len(label) :].split()[0])


# --- good runs ---------------------------------------------------------------------------------

METHODS: list[dict[str, Any]] = [
    {"gfn": 1},
    {"gfn": 2},
    {"gfn": "ff"},
    {"gfn": 1, "solvent": "water"},
    {"gfn": 2, "solvent": "Toluene"},
    {"gfn": "ff", "solvent": "H2O"},
    {"gfn": 2, "solvent": "dmso", "solvation": "gbsa"},
    {"gfn": 2, "accuracy": 0.1},
]


def words_of(options: Mapping[str, Any]) -> list[str]:
    """The arguments of these options, as the documentation of xtb has them."""
    gfn = options["gfn"]
    words = ["--gfnff"] if gfn == "ff" else ["--gfn", str(gfn)]
    if "solvent" in options:
        words += [f"--{options.get('solvation', 'alpb')}", options["solvent"]]
    if "accuracy" in options:
        words += ["--acc", str(options["accuracy"])]
    return words


@pytest.mark.parametrize(
    "options", METHODS, ids=lambda options: "-".join(map(str, options.values()))
)
@pytest.mark.parametrize(
    "one", [WATER, AMMONIUM, HYDROXIDE, RADICAL], ids=["water", "cation", "anion", "radical"]
)
def test_energy_and_gradient_are_those_of_a_run_by_hand(
    bench: Bench, one: Molecule, options: dict[str, Any]
) -> None:
    found = bench.values("singlepoint", one, "energy", "gradient", "charges", "dipole", **options)
    text = printed(bench.folder, one, *words_of(options), "--grad")
    assert found["energy"] == number_after(text, "| TOTAL ENERGY")
    norm = math.hypot(*(value for row in found["gradient"] for value in row))
    assert norm == pytest.approx(number_after(text, ":: gradient norm"), abs=1e-10)
    assert sum(found["charges"]) == pytest.approx(one.charge, abs=1e-6)
    label = "q only:" if options["gfn"] == "ff" else "full:" if options["gfn"] == 2 else None
    if label:
        direct = [float(w) for w in text[text.index(label) + len(label) :].split()[:3]]
        assert found["dipole"] == pytest.approx(direct, abs=6e-4)


@pytest.mark.parametrize("gfn", [1, 2, "ff"])
@pytest.mark.parametrize(
    "one",
    [HYDROGEN, HELIUM, SODIUM, molecule([("H", 0, 0, 0)], charge=1), pair("H", "H", 50.0), CO2],
    ids=["H", "He", "Na+", "H+", "far apart", "linear"],
)
def test_atoms_and_odd_molecules_are_results(bench: Bench, one: Molecule, gfn: int | str) -> None:
    for function in ("singlepoint", "optimize", "hessian"):
        if function == "optimize" and gfn == "ff" and max(map(max, one.coordinates)) > 20:
            continue  # "ANC generation failed": xtb makes no coordinates of atoms without bonds
        text = printed(bench.folder, one, *words_of({"gfn": gfn}))
        found = bench.settled(function, one, "energy", gfn=gfn)
        direct = number_after(text, "| TOTAL ENERGY")
        if function == "optimize":
            assert found["energy"] <= direct + 1e-7
        elif direct < 3000:  # else the run by hand has the bug of xtb that is_full() tells of
            assert found["energy"] == pytest.approx(direct, abs=1e-8)


def test_atoms_without_an_empty_orbital_never_get_the_number_that_xtb_did_not_set(
    bench: Bench,
) -> None:
    # Without electronic temperature xtb does not add it.
    for one in (HELIUM, molecule([("F", 0, 0, 0)], charge=-1)):
        right = number_after(
            printed(bench.folder, one, "--gfn", "1", "--etemp", "0"), "| TOTAL ENERGY"
        )
        for found in bench.all("singlepoint", [one] * 20, "energy", gfn=1):
            if isinstance(found, Failure):
                assert found.kind is FailureClass.ERRATIC
            else:
                assert found["energy"] == pytest.approx(right, abs=1e-8)


@pytest.mark.skipif(not MOLECULES.exists(), reason="the example has no molecules")
def test_a_hundred_optimisations(bench: Bench) -> None:
    hundred = some(100, largest=26)
    start = bench.all("singlepoint", hundred, "energy", gradient=False)
    parsers = ("energy", "geometry", "symbols", "gradient_norm", "opt_cycles", "dipole")
    parsers += ("opt_trajectory_energies",)
    end = bench.all("optimize", hundred, *parsers)
    assert len(end) == 100
    for one, first, last in zip(hundred, start, end, strict=True):
        assert isinstance(first, dict), first
        assert isinstance(last, dict), last
        assert last["energy"] < first["energy"] + 1e-6
        assert last["gradient_norm"] < 1e-3 * 1.01
        assert last["opt_cycles"] >= 1
        assert last["symbols"] == [SYMBOLS[number] for number in one.numbers]
        energies = last["opt_trajectory_energies"]
        assert energies[0] == pytest.approx(first["energy"], abs=1e-7)
        assert last["energy"] == pytest.approx(energies[-1], abs=1e-6)


@pytest.mark.parametrize("gfn", [1, 2, "ff"])
def test_the_optimised_geometry_has_the_energy_and_dipole_that_are_stored(
    bench: Bench, gfn: int | str
) -> None:
    for one in (WATER, HYDROXIDE):
        parsers = ("energy", "geometry", "dipole", "charges")
        found = bench.values("optimize", one, *parsers, gfn=gfn, level="tight")
        rows = [
            (SYMBOLS[n], *place) for n, place in zip(one.numbers, found["geometry"], strict=True)
        ]
        there = molecule(rows, charge=one.charge)
        again = bench.values(
            "singlepoint", there, "energy", "gradient", "dipole", "charges", gfn=gfn
        )
        assert again["energy"] == pytest.approx(found["energy"], abs=2e-8)
        assert again["charges"] == pytest.approx(found["charges"], abs=1e-5)
        assert again["dipole"] == pytest.approx(found["dipole"], abs=1e-5 if gfn == 2 else 6e-4)
        norm = math.hypot(*(value for row in again["gradient"] for value in row))
        assert norm < 8e-4


@pytest.mark.skipif(not MOLECULES.exists(), reason="the example has no molecules")
def test_twenty_short_dynamics(bench: Bench) -> None:
    small = [WATER, METHANE, AMMONIUM, HYDROXIDE, RADICAL, *some(15, largest=12)]
    assert len(small) == 20
    names = ("md_summary", "md_energies", "md_frames", "energy")
    found = bench.all("md", small, *names, keep_files={"xtb.trj": "{id}.trj"}, **SHORT_MD)
    for one, values in zip(small, found, strict=True):
        assert isinstance(values, dict), values
        summary = values["md_summary"]
        assert (summary["steps"], summary["step"], summary["time"]) == (100, 0.5, 0.05)
        assert summary["degrees_of_freedom"] == 3 * len(one.numbers)
        assert values["md_frames"] == summary["frames"] == 10
        assert values["md_energies"][0] == pytest.approx(values["energy"], abs=1e-6)
        low, high = min(values["md_energies"]), max(values["md_energies"])
        assert low - 0.02 < summary["potential_energy"] < high + 0.02
        assert 0 < summary["temperature"] < 2000


def test_the_means_of_an_md_are_those_of_its_trajectory(bench: Bench) -> None:
    options = {**SHORT_MD, "dump": 0.5, "nvt": False}
    found = bench.values("md", METHANE, "md_summary", "md_energies", **options)
    energies = found["md_energies"]
    assert len(energies) == 100
    mean = sum(energies) / len(energies)
    assert found["md_summary"]["potential_energy"] == pytest.approx(mean, abs=1e-10)
    assert found["md_summary"]["thermostat"] is None


def test_an_md_is_the_same_again_unless_it_shall_not(bench: Bench) -> None:
    same = [bench.values("md", WATER, "md_energies", **SHORT_MD) for _ in range(2)]
    assert same[0] == same[1]
    options = {**SHORT_MD, "samerand": False}
    other = [bench.values("md", WATER, "md_energies", **options) for _ in range(2)]
    assert other[0] != other[1]


@pytest.mark.parametrize("shake", [0, 1, 2])
@pytest.mark.parametrize("gfn", [2, "ff"])
def test_an_md_with_held_bonds_and_velocities(bench: Bench, gfn: int | str, shake: int) -> None:
    options = {**SHORT_MD, "shake": shake, "hmass": 4, "step": 1.0, "velocities": True}
    found = bench.values("md", METHANE, "md_summary", "md_frames", gfn=gfn, **options)
    # With GFN-FF xtb does not take the held bonds off.
    held = shake != 0 and gfn != "ff"
    assert found["md_summary"]["degrees_of_freedom"] == (11 if held else 15)
    assert found["md_frames"] == 10


@pytest.mark.parametrize("gfn", [1, 2, "ff"])
def test_a_hessian_of_a_minimum(bench: Bench, gfn: int | str) -> None:
    [at] = [bench.values("optimize", WATER, "geometry", gfn=gfn, level="extreme")["geometry"]]
    rows = [(SYMBOLS[n], *place) for n, place in zip(WATER.numbers, at, strict=True)]
    names = ("hessian", "frequencies", "ir_intensities", "thermochemistry", "stationary")
    names += ("zero_point_energy", "enthalpy", "gibbs_free_energy", "energy", "entropy")
    found = bench.values("hessian", molecule(rows), *names, gfn=gfn, temperature=350.0)
    assert found["stationary"] is True
    waves = found["frequencies"]
    assert len(waves) == len(found["ir_intensities"]) == 3
    assert 1300 < waves[0] < 1800
    assert 3000 < waves[1] < waves[2] < 4200
    matrix = found["hessian"]
    assert len(matrix) == 9
    for i, row in enumerate(matrix):
        assert row == pytest.approx([matrix[j][i] for j in range(9)], abs=1e-8)
        for axis in range(3):  # moving all atoms costs nothing
            assert sum(row[axis::3]) == pytest.approx(0.0, abs=2e-4)
    # cm^-1 in Eh; GFN-FF scales its frequencies by 1.03.
    half = sum(waves) / 2 * 4.556335e-6 * (1.03 if gfn == "ff" else 1.0)
    assert found["zero_point_energy"] == pytest.approx(half, abs=2e-8)
    assert found["thermochemistry"]["temperature"] == 350.0
    assert found["enthalpy"] > found["energy"] + found["zero_point_energy"]
    free = found["enthalpy"] - 350.0 * found["entropy"]
    assert found["gibbs_free_energy"] == pytest.approx(free, abs=1e-10)


def test_a_hessian_elsewhere_is_a_result_that_says_so(bench: Bench) -> None:
    bent = molecule([("O", 0, 0, 1.2), ("C", 0, 0.3, 0), ("O", 0, 0, -1.2)])
    names = ("frequencies", "imaginary_frequencies", "stationary")
    found = bench.values("hessian", bent, *names)
    assert found["stationary"] is False
    flat = molecule([("N", 0, 0, 0), ("H", 1, 0, 0), ("H", -0.5, 0.866, 0), ("H", -0.5, -0.866, 0)])
    found = bench.values("hessian", flat, *names)
    assert len(found["frequencies"]) == 6
    assert len(found["imaginary_frequencies"]) == 1
    assert found["imaginary_frequencies"][0] < -100
    found = bench.values("hessian", HYDROGEN, *names)
    assert found == {"frequencies": [], "imaginary_frequencies": [], "stationary": True}
    assert len(bench.values("hessian", CO2, *names)["frequencies"]) == 4


def test_each_step_starts_from_the_document_and_reads_nothing_of_another(tmp_path: Path) -> None:
    files = frozenset({"molecule.engrad"})
    steps = [
        StepRequest(f"s{n}", options, files)
        for n, options in enumerate(
            [Singlepoint(gfn=1), Singlepoint(gfn="ff"), Singlepoint(gfn=2), Singlepoint(gfn=1)]
        )
    ]
    [outcome] = run([singlepoint(WATER, steps, Software())], tmp_path)
    engrads = [step.files["molecule.engrad"] for step in outcome.steps]
    assert engrads[0] == engrads[3]
    assert len(set(engrads)) == 3
    for step in (outcome.steps[1], outcome.steps[3]):
        assert ("xtbout.json" in step.files) == (step.name == "s3")


# --- what goes wrong ---------------------------------------------------------------------------

FAR = {"time": 0.5, "step": 50.0, "temperature": 3000.0, "shake": 0, "hmass": 1}


@pytest.mark.parametrize(
    ("function", "one", "options", "kind"),
    [
        ("optimize", WATER, {"cycles": 2, "level": "extreme"}, FailureClass.OPT_NOT_CONVERGED),
        ("optimize", WATER, {"cycles": 2, "gfn": "ff"}, FailureClass.OPT_NOT_CONVERGED),
        ("md", WATER, FAR, FailureClass.DIVERGED),
        ("md", WATER, {**FAR, "gfn": 1}, FailureClass.DIVERGED),
        ("md", WATER, {**FAR, "gfn": "ff"}, FailureClass.DIVERGED),
        ("md", METHANE, {**FAR, "step": 20.0}, FailureClass.DIVERGED),
        ("md", HELIUM, SHORT_MD, FailureClass.DIVERGED),
        ("singlepoint", pair("H", "H", 1e-4), {}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("H", "H", 1e-3), {"gfn": 1}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("C", "O", 0.01), {"gfn": "ff"}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("H", "H", 0.0), {}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 0.0), {"gfn": "ff"}, FailureClass.COINCIDENT_ATOMS),
        # xtb 6.7.1 leaves the repulsion out here: an energy like that of two hydrogen atoms.
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": 1}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": 2}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": "ff"}, FailureClass.COINCIDENT_ATOMS),
        # As a document could not say it; xtb ends well all the same.
        (
            "singlepoint",
            molecule([("O", 0, 0, 0), ("H", 0, 0, 1), ("H", 1, 0, 0)], charge=20),
            {},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        (
            "singlepoint",
            molecule([("O", 0, 0, 0), ("H", 0, 0, 1), ("H", 1, 0, 0)], multiplicity=2),
            {},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        ("singlepoint", WATER, {"software": "xtb --frobnicate"}, FailureClass.INPUT_KEYWORD),
        ("singlepoint", WATER, {"software": "xtb --acc 1e-9"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --etemp 5000"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --chrg 1"}, FailureClass.CHARGE_MULTIPLICITY),
        ("singlepoint", WATER, {"software": "xtb --chrg 2"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --uhf 2"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("optimize", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("hessian", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("singlepoint", pair("Np", "H", 2.0, multiplicity=1), {}, FailureClass.INPUT_BASIS),
        ("singlepoint", molecule([("U", 0, 0, 0)]), {"gfn": 1}, FailureClass.INPUT_BASIS),
        ("singlepoint", molecule([("Og", 0, 0, 0)]), {"gfn": "ff"}, FailureClass.INPUT_BASIS),
    ],
)
def test_each_way_to_fail_has_its_class(
    bench: Bench, function: str, one: Molecule, options: dict[str, Any], kind: FailureClass
) -> None:
    assert bench.failure(function, one, **options) is kind


@pytest.mark.parametrize(
    "options",
    [
        {"gfn": 2, "solvent": "vodka", "solvation": "alpb"},
        {"gfn": 1, "solvent": "dmf", "solvation": "gbsa"},
        {"gfn": "ff", "solvent": "vodka", "solvation": "alpb"},
    ],
)
def test_a_solvent_that_xtb_lacks_is_an_input_error(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    unchecked = Singlepoint().model_copy(update=options)
    [outcome] = run(
        [singlepoint(WATER, [StepRequest("a", unchecked, frozenset())], Software())], tmp_path
    )
    job = Bench(tmp_path).recipe("singlepoint").asked_of(WATER)
    failure = diagnose(Output(outcome.steps[0].files), job, options)
    assert failure is not None
    assert failure.kind is FailureClass.INPUT_KEYWORD
    assert f"'{options['solvent']}' is not parametrized" in failure.message


def test_a_clash_in_a_large_molecule_is_found_whatever_the_energy(bench: Bench) -> None:
    [large] = some(1)
    x, y, z = large.coordinates[0]
    for apart in (1e-3, 0.05):
        rows = [(SYMBOLS[n], *p) for n, p in zip(large.numbers, large.coordinates, strict=True)]
        clashing = molecule([*rows, ("H", x + apart, y, z), ("H", x, y + 4.0, z)])
        assert bench.failure("singlepoint", clashing) in (
            FailureClass.COINCIDENT_ATOMS,
            FailureClass.IMPLAUSIBLE_ENERGY,
        )


@pytest.mark.parametrize(
    ("ran", "asked"),
    [
        (Singlepoint(gfn=1), Singlepoint(gfn=2)),
        (Singlepoint(gfn="ff"), Singlepoint(gfn=2)),
        (Singlepoint(gfn=2), Singlepoint(gfn="ff")),
        (Singlepoint(), Singlepoint(solvent="water")),
        (Singlepoint(solvent="water"), Singlepoint()),
        (Singlepoint(solvent="water"), Singlepoint(solvent="dmso")),
        (Singlepoint(solvent="water"), Singlepoint(solvent="water", solvation="gbsa")),
        (Singlepoint(), Singlepoint(accuracy=0.1)),
        (Singlepoint(), Optimize()),
        (Singlepoint(), Hessian()),
        (Singlepoint(), Dynamics()),
        (Optimize(level="crude"), Optimize()),
        (Optimize(level="crude", gfn="ff"), Optimize(gfn="ff")),
        *(
            (Dynamics(**SHORT_MD), Dynamics(**{**SHORT_MD, name: value}))
            for name, value in [
                ("time", 0.06),
                ("step", 0.51),
                ("temperature", 300.0),
                ("dump", 10.0),
                ("shake", 1),
                ("hmass", 2),
                ("nvt", False),
                ("sccacc", 1.0),
            ]
        ),
    ],
)
def test_another_run_than_asked_for_is_refused(tmp_path: Path, ran: Any, asked: Any) -> None:
    functions = {Singlepoint: singlepoint, Optimize: optimize, Dynamics: md}
    steps = [StepRequest("a", ran, frozenset())]
    [outcome] = run([functions[type(ran)](METHANE, steps, Software())], tmp_path)
    output = Output(outcome.steps[0].files)
    job = Bench(tmp_path).recipe("singlepoint").asked_of(METHANE)
    assert diagnose(output, job, ran.model_dump(mode="json", exclude_none=True)) is None
    failure = diagnose(output, job, asked.model_dump(mode="json", exclude_none=True))
    assert failure is not None
    missing = failure.kind is FailureClass.MISSING_OUTPUT and ran.gfn == "ff"
    assert failure.kind is FailureClass.NOT_AS_ASKED or missing


@pytest.mark.parametrize("mode", ["cut", "killed", "json"])
def test_an_output_that_is_cut_short_is_no_result(tmp_path: Path, mode: str) -> None:
    [outcome] = run(
        [optimize(WATER, [StepRequest("a", Optimize(), frozenset())], Software())], tmp_path
    )
    files = dict(outcome.steps[0].files)
    job = Bench(tmp_path).recipe("optimize").asked_of(WATER)
    options = Optimize().model_dump(mode="json", exclude_none=True)
    assert diagnose(Output(files), job, options) is None
    if mode == "json":
        files["xtbout.json"] = files["xtbout.json"][:-40]
        expected = FailureClass.PARSE_ERROR
    else:
        files["stdout"] = files["stdout"][: len(files["stdout"]) // 2]
        files["stderr"] = b""
        expected = FailureClass.TRUNCATED
    if mode == "killed":
        files["stderr"] = b"\nProgram received signal SIGSEGV: Segmentation fault\n"
        expected = FailureClass.MODULE_CRASH
    failure = diagnose(Output(files), job, options)
    assert failure is not None
    assert failure.kind is expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solvent": "vodka"}, "no solvent 'vodka' for GFN2-xTB"),
        ({"solvent": "toluen"}, "did you mean 'toluene'"),
        ({"solvent": "dmf", "solvation": "gbsa", "gfn": 1}, "no solvent 'dmf' for GFN1-xTB"),
        ({"solvation": "gbsa"}, "needs a 'solvent'"),
        ({"gfn": 3}, "1, 2 or 'ff'"),
        ({"gfn": True}, "1, 2 or ff"),
    ],
)
def test_what_xtb_cannot_is_refused_before_it_runs(
    bench: Bench, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CampaignError, match=words):
        bench.recipe("singlepoint", **options)


# --- remedies ----------------------------------------------------------------------------------


def rung(kind: FailureClass, position: int) -> Any:
    return LADDERS[kind][position]


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("gfn", [1, 2])
def test_a_remedy_of_the_charges_gives_the_same_energy(
    bench: Bench, position: int, gfn: int
) -> None:
    name = rung(FailureClass.SCF_NOT_CONVERGED, position).name
    for one in (METHANE, HYDROXIDE, RADICAL):
        recipe = bench.recipe("singlepoint", "energy", "gradient", gfn=gfn, accuracy=0.01)
        jobs = [recipe.build(one), recipe.build(one, {"a": (name,)})]
        assert jobs[0] != jobs[1]
        usual, cured = (
            judge(recipe, recipe.asked_of(one), outcome) for outcome in run(jobs, bench.folder)
        )
        assert usual.failure is None
        assert cured.failure is None
        there, here = usual.results[0].values, cured.results[0].values
        assert here["energy"] == pytest.approx(there["energy"], abs=1e-7)


def test_more_iterations_cure_too_few(bench: Bench) -> None:
    recipe = bench.recipe("singlepoint", "energy", iterations=2)
    plan = {"a": (rung(FailureClass.SCF_NOT_CONVERGED, 0).name,)}
    [outcome] = run([recipe.build(WATER, plan)], bench.folder)
    verdict = judge(recipe, recipe.asked_of(WATER, 2, plan), outcome)
    assert verdict.failure is None
    assert verdict.results[0].values["energy"] == pytest.approx(-5.070383095219, abs=1e-8)


@pytest.mark.parametrize("position", range(2))
@pytest.mark.parametrize("gfn", [1, 2, "ff"])
def test_an_optimisation_goes_on_from_where_it_ended(
    bench: Bench, position: int, gfn: int | str
) -> None:
    options = {"gfn": gfn, "level": "extreme", "accuracy": 0.01}
    usual = bench.values("optimize", METHANE, "energy", **options)
    recipe = bench.recipe("optimize", "energy", "opt_trajectory_energies", cycles=2, **options)
    [outcome] = run([recipe.build(METHANE)], bench.folder)
    first = judge(recipe, recipe.asked_of(METHANE), outcome).failure
    assert first is not None
    assert first.kind is FailureClass.OPT_NOT_CONVERGED
    plan = {"a": (rung(FailureClass.OPT_NOT_CONVERGED, position).name,)}
    rescued = {"a": outcome.steps[0].files}
    [again] = run([recipe.build(METHANE, plan, rescued)], bench.folder)
    verdict = judge(recipe, recipe.asked_of(METHANE, 2, plan), again)
    assert verdict.failure is None, verdict.failure
    values = verdict.results[0].values
    assert values["energy"] == pytest.approx(usual["energy"], abs=1e-7)
    reached = bench.values("singlepoint", METHANE, "energy", gfn=gfn, accuracy=0.01)["energy"]
    assert values["opt_trajectory_energies"][0] < reached
