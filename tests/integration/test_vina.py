"""Docking with the real AutoDock Vina, run by runner.sh as on a worker."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from wqmaster.jobs import wire
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Execution, Job, StepOutcome
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers import vina as parsers
from wqmaster.parsers.base import Output
from wqmaster.tasks import stages
from wqmaster.tasks.base import Software, StepRequest, traits_of
from wqmaster.tasks.vina import ligand
from wqmaster.tasks.vina.task import Dock, dock

TOP = Path(__file__).resolve().parents[2]
DATA = TOP.parent / "shared" / "data" / "vina"
EXAMPLE = TOP / "examples" / "vina-docking"
RUNNER = TOP / "wqmaster" / "engines" / "runner.sh"
ASKED = Asked(1, 1, 0, 0, 1, "molecule", "recipe", "target")
LIGANDS = {
    "5x72_ligand_p59": "5x72_receptor",
    "5x72_ligand_p69": "5x72_receptor",
    "1iep_ligand": "1iep_receptor",
}
POCKET = {"receptor": "receptor.pdbqt", "center": [0, 0, 0], "size": [14, 14, 14]}

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} does not exist")
needs_meeko = pytest.mark.skipif(
    ligand.missing() is not None, reason="the extra 'docking' is not installed"
)


@dataclass
class Harness:
    """Docks in a separate folder, with maps that all tests share."""

    folder: Path
    cache: Path
    beside: Path
    count: int = 0

    @property
    def software(self) -> Software:
        return Software(beside=self.beside, cache=self.cache)

    def build(self, molecule: Molecule, *wanted: dict[str, Any]) -> Job:
        """Build the job for `molecule`, as a campaign does."""
        requests = [
            StepRequest(f"step{place}", Dock.model_validate(options), frozenset())
            for place, options in enumerate(wanted)
        ]
        traits, software = traits_of(dock), self.software
        requests = [
            stages.prepared(traits, stages.loaded(traits, step, software), software)
            for step in requests
        ]
        return dock(molecule, requests, self.software)

    def run(self, jobs: Sequence[Job]) -> list[tuple[StepOutcome, ...]]:
        """Run `jobs` as one bundle, and return their outcomes."""
        self.count += 1
        sandbox = self.folder / f"task{self.count}"
        (sandbox / "shared").mkdir(parents=True)
        for shared in {shared for job in jobs for shared in job.inputs}:
            (sandbox / "shared" / shared.name).symlink_to(shared.path)
        (sandbox / "inputs.tar").write_bytes(wire.pack(jobs))
        subprocess.run(["sh", RUNNER, "none", "300"], cwd=sandbox, check=True, timeout=600)
        with wire.Archive(sandbox / "outputs.tar") as archive:
            return [archive.outcome(place).steps for place in range(len(jobs))]

    def dock(self, molecule: Molecule, *wanted: dict[str, Any]) -> tuple[StepOutcome, ...]:
        """Run one job, and return its outcome."""
        return self.run([self.build(molecule, *wanted)])[0]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def pocket(tmp_path: Path, cache: Path) -> Harness:
    """Docking into the made-up pocket of the example."""
    return Harness(tmp_path, cache, EXAMPLE)


@pytest.fixture
def real(tmp_path: Path, cache: Path) -> Harness:
    """Docking into the receptors of Vina's own examples."""
    return Harness(tmp_path, cache, DATA)


def small(name: str, **changes: Any) -> dict[str, Any]:
    """Options for a short docking of a ligand from DATA."""
    receptor = LIGANDS[name]
    base = {"receptor": f"{receptor}.pdbqt", "box": f"{receptor}.box.txt"}
    return {**base, "exhaustiveness": 1, "max_evals": 10_000, **changes}


def document(name: str, identity: Any = 1) -> Molecule:
    text = (DATA / f"{name}.pdbqt").read_text()
    return Molecule(identity, (), (), document={"_id": identity, "pdbqt": text})


def smiles(text: str) -> Molecule:
    return Molecule("m", (), (), document={"_id": "m", "smiles": text})


def good(outcome: StepOutcome, **options: Any) -> Output:
    """The output of a successful step."""
    output = Output(outcome.files)
    assert outcome.exit_code == 0, outcome.files["stderr"].decode()
    assert parsers.diagnose(output, ASKED, options) is None
    return output


def poses(outcome: StepOutcome) -> bytes:
    return outcome.files["out.pdbqt"]


@needs_data
def test_twenty_dockings_in_bundles_give_the_same_poses_again(real: Harness) -> None:
    box: dict[str, Any] = {"center": [-15, 15, 129], "size": [16, 16, 16]}
    wanted = {"receptor": "5x72_receptor.pdbqt", **box, "exhaustiveness": 2, "max_evals": 4000}
    names = ("5x72_ligand_p59", "5x72_ligand_p69")
    jobs = [real.build(document(names[place % 2], place), wanted) for place in range(20)]
    first = [steps[0] for half in (jobs[:10], jobs[10:]) for steps in real.run(half)]
    # A larger bundle in reverse order, with maps of all atom types, gives the same bytes.
    again = [steps[0] for steps in real.run(jobs[::-1])][::-1]
    assert [poses(outcome) for outcome in first] == [poses(outcome) for outcome in again]
    assert len({poses(outcome) for outcome in first}) == 20
    for outcome in first:
        output = good(outcome, exhaustiveness=2)
        assert parsers.program_version(output) is not None
        values = parsers.affinities(output)
        assert values == sorted(values)
        assert -14 < parsers.affinity(output) < -5
        for pose in parsers.poses(output):
            assert len(pose["coordinates"]) == len(pose["elements"]) >= 20
            for position in pose["coordinates"]:
                middle = (-15, 15, 129)
                assert all(abs(x - c) < 10 for x, c in zip(position, middle, strict=True))


@needs_data
def test_the_number_of_cores_does_not_change_the_poses(real: Harness) -> None:
    job = real.build(document("5x72_ligand_p69"), small("5x72_ligand_p69", exhaustiveness=4))
    [step] = job.steps
    two = Execution(step.name, (*step.argv[:-1], "2"), step.outputs)
    [one], [other] = real.run([job, Job((two,), job.files, job.inputs)])
    assert poses(one) == poses(other)


@needs_data
@pytest.mark.parametrize("scoring", ["vina", "vinardo"])
@pytest.mark.parametrize("name", list(LIGANDS))
def test_scores_on_maps_are_those_of_vina_without_refinement(
    real: Harness, name: str, scoring: str
) -> None:
    """From the poses and the receptor, Vina computes the energies that were stored."""
    [outcome] = real.dock(document(name), small(name, scoring=scoring, num_modes=3))
    output = good(outcome, scoring=scoring)
    models = parsers.pdbqt(output).split("ENDMDL\n")[:-1]
    for model, energies in zip(models, parsers.pose_energies(output), strict=True):
        pose = real.folder / "pose.pdbqt"
        pose.write_text(model.partition("\n")[2])
        done = subprocess.run(
            [
                *("vina", "--score_only", "--no_refine", "--force_even_voxels", "--cpu", "1"),
                *("--receptor", str(DATA / f"{LIGANDS[name]}.pdbqt"), "--ligand", str(pose)),
                *("--config", str(DATA / f"{LIGANDS[name]}.box.txt"), "--scoring", scoring),
            ],
            check=True,
            capture_output=True,
            text=True,
        )
        stated = dict(
            line.split("(kcal/mol)")[0].rsplit(":", 1)
            for line in done.stdout.splitlines()
            if line.endswith("(kcal/mol)") and ":" in line
        )
        [inter] = [float(text) for label, text in stated.items() if "Ligand - Receptor" in label]
        [intra] = [float(text) for label, text in stated.items() if "    Ligand   " in label]
        # Poses are written with three decimals of an Angstrom.
        assert inter == pytest.approx(energies["inter"], abs=0.03)
        assert intra == pytest.approx(energies["intra"], abs=0.03)


@needs_data
def test_refined_poses_are_those_of_vina_called_by_hand(real: Harness) -> None:
    """`refine: true` gives the output of `vina --receptor`, byte for byte."""
    name = "5x72_ligand_p59"
    [outcome] = real.dock(document(name), small(name, refine=True, seed=7))
    good(outcome, seed=7)
    subprocess.run(
        [
            *("vina", "--receptor", str(DATA / "5x72_receptor.pdbqt"), "--cpu", "1"),
            *("--config", str(DATA / "5x72_receptor.box.txt"), "--seed", "7"),
            *("--ligand", str(DATA / f"{name}.pdbqt"), "--out", str(real.folder / "hand.pdbqt")),
            *("--exhaustiveness", "1", "--max_evals", "10000"),
        ],
        check=True,
        capture_output=True,
    )
    assert poses(outcome) == (real.folder / "hand.pdbqt").read_bytes()


@needs_data
def test_poses_on_maps_are_those_of_vina_with_its_own_maps(real: Harness) -> None:
    """The maps from `prepare` give the same poses as the maps that Vina writes for the ligand."""
    name = "1iep_ligand"
    [outcome] = real.dock(document(name), small(name, seed=7))
    good(outcome)
    common = ["vina", "--ligand", str(DATA / f"{name}.pdbqt"), "--cpu", "1", "--seed", "7"]
    search = ["--exhaustiveness", "1", "--max_evals", "10000", "--out", "hand.pdbqt"]
    receptor = ["--receptor", str(DATA / "1iep_receptor.pdbqt")]
    box = ["--config", str(DATA / "1iep_receptor.box.txt"), "--force_even_voxels"]
    for words in ([*receptor, *box, "--write_maps", "own"], ["--maps", "own"]):
        subprocess.run([*common, *search, *words], cwd=real.folder, check=True, capture_output=True)
    assert poses(outcome) == (real.folder / "hand.pdbqt").read_bytes()


@needs_meeko
@pytest.mark.parametrize(
    "text",
    [
        "CC(=O)Nc1ccc(O)cc1",
        "NC(=[NH2+])c1ccccc1",
        "OC1CCCCCCCCCCC1",  # a macrocycle, which Meeko opens and marks with closure atoms
        "FC(F)(F)c1cc(Cl)c(Br)cc1I",
        "CP(=O)([O-])OC",
        "C[Si](C)(C)CSC",
        "CS(=O)(=O)c1nccs1",
        "C",
    ],
)
def test_ligands_of_all_kinds_find_their_maps(pocket: Harness, text: str) -> None:
    wanted = {**POCKET, "ligand": "smiles", "exhaustiveness": 2, "max_evals": 10_000}
    on_maps, refined = pocket.dock(smiles(text), wanted, {**wanted, "refine": True})
    for outcome in (on_maps, refined):
        assert -8 < parsers.affinity(good(outcome)) < 0


@needs_meeko
def test_steps_run_one_after_another_and_do_not_share_files(pocket: Harness) -> None:
    wanted = {**POCKET, "ligand": "smiles", "exhaustiveness": 1, "max_evals": 500}
    steps = (wanted, {**wanted, "scoring": "vinardo"}, {**wanted, "refine": True})
    outcomes = pocket.dock(smiles("Cc1ccccc1O"), *steps)
    found = [
        good(outcome, scoring=options.get("scoring", "vina"))
        for outcome, options in zip(outcomes, steps, strict=True)
    ]
    assert len({parsers.seed(output) for output in found}) == 3
    assert len({parsers.affinity(output) for output in found}) == 3


def failed(outcome: StepOutcome) -> FailureClass:
    failure = parsers.diagnose(Output(outcome.files), ASKED, {})
    assert failure is not None
    return failure.kind


def altered(job: Job, old: str, new: str, file: str = "vina.conf") -> Job:
    """`job` with `old` replaced by `new` in one of its files."""
    assert old.encode() in job.files[file]
    content = job.files[file].replace(old.encode(), new.encode(), 1)
    return Job(job.steps, {**job.files, file: content}, job.inputs)


@needs_meeko
@pytest.mark.parametrize(
    ("old", "new", "file", "kind"),
    [
        ("ATOM      1  C ", "ATOM      1  C", "ligand.pdbqt", FailureClass.INPUT_ERROR),
        (" OA\n", " Xx\n", "ligand.pdbqt", FailureClass.INPUT_ERROR),
        (" OA\n", " Cl\n", "ligand.pdbqt", FailureClass.INPUT_ERROR),  # Cl has no map
        ("TORSDOF", "REMARK ", "ligand.pdbqt", FailureClass.INPUT_ERROR),
        ("ligand.pdbqt", "other.pdbqt", "vina.conf", FailureClass.INPUT_ERROR),
        ("../shared/", "../nowhere/", "vina.conf", FailureClass.INPUT_ERROR),
        ("num_modes", "modes", "vina.conf", FailureClass.INPUT_KEYWORD),
        ("scoring = vina", "scoring = none", "vina.conf", FailureClass.INPUT_KEYWORD),
        ("num_modes = 9", "num_modes = 0", "vina.conf", FailureClass.MODULE_CRASH),
        ("exhaustiveness = 1", "exhaustiveness = 0", "vina.conf", FailureClass.INPUT_ERROR),
        ("seed = ", "verbosity = 0\nseed = ", "vina.conf", FailureClass.TRUNCATED),
    ],
)
def test_input_that_vina_refuses_has_its_class(
    pocket: Harness, old: str, new: str, file: str, kind: FailureClass
) -> None:
    wanted = {**POCKET, "ligand": "smiles", "exhaustiveness": 1, "max_evals": 500}
    job = pocket.build(smiles("CC(=O)Nc1ccc(O)cc1"), wanted)
    [[outcome]] = pocket.run([altered(job, old, new, file)])
    assert failed(outcome) is kind


@needs_meeko
def test_a_box_that_is_too_small_or_far_away_gives_no_result(pocket: Harness) -> None:
    wanted = {**POCKET, "ligand": "smiles", "exhaustiveness": 1, "max_evals": 500, "refine": True}
    job = pocket.build(smiles("CC(=O)Nc1ccc(O)cc1"), wanted)
    tiny = altered(altered(job, "size_x = 14.0", "size_x = 1.0"), "size_y = 14.0", "size_y = 1.0")
    far = altered(job, "center_x = 0.0", "center_x = 300.0")
    [[first], [second]] = pocket.run([tiny, far])
    assert first.exit_code == second.exit_code == 0
    assert failed(first) is FailureClass.IMPLAUSIBLE_ENERGY
    assert failed(second) is FailureClass.IMPLAUSIBLE_ENERGY


@needs_meeko
def test_too_little_memory_has_its_class(pocket: Harness) -> None:
    wanted = {**POCKET, "size": [60, 60, 60], "ligand": "smiles", "refine": True}
    job = pocket.build(smiles("Cc1ccccc1O"), wanted)
    [step] = job.steps
    limited = ("sh", "-c", 'ulimit -v 100000; exec "$@"', "sh", *step.argv)
    execution = Execution(step.name, limited, step.outputs)
    [[outcome]] = pocket.run([Job((execution,), job.files, job.inputs)])
    assert failed(outcome) is FailureClass.MEMORY
