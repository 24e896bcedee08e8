"""Commands and Python functions, from options to a verdict, run as a worker runs them."""

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.jobs import wire
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked, Job, Outcome
from wqmaster.jobs.molecule import Molecule
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve

TOP = Path(__file__).resolve().parents[2]
RUNNER = TOP / "wqmaster" / "engines" / "runner.sh"
_COUNT = itertools.count()


def interpreters() -> dict[str, str]:
    """The path of each version of Python 3 that is installed, on the PATH or by pyenv."""
    names = [shutil.which(f"python3.{minor}") for minor in range(4, 20)]
    names += sorted(map(str, (Path.home() / ".pyenv/versions").glob("3.*/bin/python3")))
    found = {}
    for name in filter(None, names):
        words = [name, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        said = subprocess.run(words, capture_output=True, text=True, check=False)
        if said.returncode == 0:
            found.setdefault(said.stdout.strip(), name)
    return found


PYTHONS = interpreters()


def run(job: Job, folder: Path) -> Outcome:
    """The outcome of `job` in a worker's sandbox."""
    sandbox = folder / f"sandbox{next(_COUNT)}"
    (sandbox / "shared").mkdir(parents=True)
    shutil.copyfile(RUNNER, sandbox / "runner.sh")
    (sandbox / "inputs.tar").write_bytes(wire.pack([job]))
    for number, shared in enumerate(job.inputs):
        # As with the local engine, shared inputs are links to files with other names.
        cached = folder / f"{sandbox.name}-{number}-{shared.name}"
        shutil.copyfile(shared.path, cached)
        (sandbox / "shared" / shared.name).symlink_to(cached)
    subprocess.run(["sh", "runner.sh", "none", "60"], cwd=sandbox, check=True)
    with wire.Archive(sandbox / "outputs.tar") as archive:
        return archive.outcome(0)


class Harness:
    """Campaigns in one folder; each call of `verdict` runs one document."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.campaign: dict[str, Any] = {}

    def recipe(self, function: str, *steps: dict[str, Any], **top: Any) -> Recipe:
        named = [{"name": f"step{n}", **step} for n, step in enumerate(steps)]
        settings = {
            "campaign": "test",
            "campaign_config": {"func_name": f"wqmaster.tasks.{function}", "args": named},
            **top,
        }
        path = self.folder / "campaign.yaml"
        path.write_text(yaml.safe_dump(settings))
        return resolve(load(path, {}))

    def verdict(self, recipe: Recipe, molecule: Molecule) -> Verdict:
        outcome = run(recipe.build(molecule), self.folder)
        asked = Asked(
            molecule.id, 1, len(molecule.numbers), 0, 1, "molecule", recipe.hash, recipe.target
        )
        return judge(recipe, asked, outcome)


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def document(**fields: Any) -> Molecule:
    return Molecule("id-1", (), (), document={"_id": "id-1", **fields})


WATER = Molecule(
    "water", (8, 1, 1), ((0.0, 0.0, 0.0), (0.0, 0.0, 0.96), (0.93, 0.0, -0.24)), document={}
)


def failure(found: Verdict) -> Failure:
    assert found.failure is not None, found.results
    assert len(found.failure.message.splitlines()) == 1
    return found.failure


def values(found: Verdict, step: int = 0) -> dict[str, Any]:
    assert found.failure is None, found.failure
    return dict(found.results[step].values)


# --- commands ----------------------------------------------------------------------------------


def test_a_value_reaches_the_program_only_as_a_file(harness: Harness) -> None:
    nasty = "$(touch broken) `id` '\"; rm -rf / {{ 7 * 7 }} {% for %} é\\n"
    found = harness.recipe(
        "command.run",
        {"command": "cat in", "files": {"in": "{{ document.text }}"}, "parsers": ["text"]},
    )
    assert found.loaded.campaign.submit.projection == ["text"]
    assert values(harness.verdict(found, document(text=nasty))) == {"text": nasty}


def test_all_digits_of_a_number_arrive(harness: Harness) -> None:
    text = "{{ document.a }} {{ document.b }} {{ document.c|fixed(3) }}\n"
    found = harness.recipe(
        "command.run", {"command": ["cat", "in"], "files": {"in": text}, "parsers": ["table"]}
    )
    fields = {"a": 0.1 + 0.2, "b": 1e-300, "c": 1e-5}
    assert values(harness.verdict(found, document(**fields)))["table"] == [[0.1 + 0.2, 1e-300, 0.0]]


def test_a_later_step_reads_a_file_of_an_earlier_one(harness: Harness) -> None:
    found = harness.recipe(
        "command.run",
        {"command": ["sh", "-c", "echo 20 > state"], "parsers": {"state": ["number"]}},
        {
            "command": ["awk", '{print $1 + 1.5 > "next"}', "state"],
            "parsers": {"next": ["number"]},
        },
    )
    verdict = harness.verdict(found, document())
    assert values(verdict, 0) == {"number": 20.0}
    assert values(verdict, 1) == {"number": 21.5}


def test_a_file_of_an_earlier_step_is_never_the_result_of_a_later_one(harness: Harness) -> None:
    step = {"outputs": ["out"], "parsers": {"out": ["number"]}}
    found = harness.recipe(
        "command.run",
        {"command": ["sh", "-c", "echo 1 > out"], **step},
        {"command": "true", **step},
    )
    kind = failure(harness.verdict(found, document()))
    assert (kind.kind, kind.step) == (FailureClass.MISSING_OUTPUT, "step1")


def test_a_step_can_continue_a_file_if_it_declares_this(harness: Harness) -> None:
    step = {"outputs": ["out"], "parsers": {"out": ["table"]}}
    found = harness.recipe(
        "command.run",
        {"command": ["sh", "-c", "echo 1 > out"], **step},
        {"command": ["sh", "-c", "echo 2 >> out"], "continues": ["out"], **step},
    )
    verdict = harness.verdict(found, document())
    assert values(verdict, 0)["table"] == [[1.0]]
    assert values(verdict, 1)["table"] == [[1.0], [2.0]]


def test_two_steps_can_have_an_input_of_the_same_name(harness: Harness) -> None:
    found = harness.recipe(
        "command.run",
        {
            "command": ["sh", "-c", "cat in; echo changed > in; ls"],
            "files": {"in": "first {{ id }}\n"},
            "parsers": ["text"],
            "keep_files": {"in": "{id}.in"},
        },
        {"command": "cat in", "files": {"in": "second {{ id }}\n"}, "parsers": ["text"]},
    )
    verdict = harness.verdict(found, document())
    assert values(verdict, 0)["text"].startswith("first id-1\n")
    assert values(verdict, 1)["text"] == "second id-1\n"


def test_the_environment_and_the_number_of_cores_are_set(harness: Harness) -> None:
    found = harness.recipe(
        "command.run",
        {
            "command": ["sh", "-c", "echo $OMP_NUM_THREADS $MY_SCALE $MKL_NUM_THREADS"],
            "environment": {"MY_SCALE": 0.5, "MKL_NUM_THREADS": 1},
            "parsers": ["table"],
        },
        resources={"cores": 3},
    )
    assert values(harness.verdict(found, document()))["table"] == [[3.0, 0.5, 1.0]]


def test_an_exit_code_and_a_missing_program_are_failures(harness: Harness) -> None:
    found = harness.recipe("command.run", {"command": ["sh", "-c", "echo 3; exit 3"]})
    assert failure(harness.verdict(found, document())).kind is FailureClass.PROGRAM_ERROR
    found = harness.recipe("command.run", {"command": "no-such-program-here"})
    assert failure(harness.verdict(found, document())).kind is FailureClass.PROGRAM_MISSING


def test_an_edit_of_a_file_during_a_run_does_not_reach_workers(
    harness: Harness,
) -> None:
    script = harness.folder / "script.sh"
    script.write_text("echo 1\n")
    found = harness.recipe(
        "command.run",
        {"command": "sh ../shared/script.sh", "inputs": ["script.sh"], "parsers": ["number"]},
    )
    found = found.prepared()
    script.write_text("echo 2\n")
    assert values(harness.verdict(found, document())) == {"number": 1.0}
    again = harness.recipe(
        "command.run",
        {"command": "sh ../shared/script.sh", "inputs": ["script.sh"], "parsers": ["number"]},
    )
    again = again.prepared()
    assert again.hash != found.hash
    assert values(harness.verdict(again, document())) == {"number": 2.0}
    assert values(harness.verdict(found, document())) == {"number": 1.0}


# --- Python functions --------------------------------------------------------------------------

FUNCTIONS = '''\
import json
import os
import sys
import random
import time


def same(document):
    return document


def scaled(document, factor, *, shift=0.0):
    print("a line that is not JSON: {é")
    return {"value": document["x"] * factor + shift}


def numbers(document):
    return {"tuple": (1, 2.5), 3: None, "nested": [[True], {"a": "ü"}], "small": 5e-324}


def nan(document):
    return {"energies": [1.0, float("nan")]}


def chance(document):
    return [random.random(), hash("text")]


def forked(document):
    if os.fork() == 0:
        return "of the child"
    os.wait()
    if document["leaves"]:
        os._exit(0)
    return "of the parent"


def where(document):
    here = os.path.dirname(os.path.realpath(__file__))
    return [open("table.txt").read(), here == os.path.realpath(os.getcwd())]


class Array:
    """As numpy's."""
    def tolist(self):
        return [1.5, 2.5]


class Scalar:
    """As numpy's."""
    def item(self):
        return 7


def arrays(document):
    return {"array": Array(), "scalar": Scalar()}


def fails(document, how):
    if how == "value":
        raise ValueError("the angle is\\n400 degrees")
    if how == "exit":
        sys.exit(0)
    if how == "memory":
        raise MemoryError
    if how == "disk":
        raise OSError(28, "No room")
    if how == "import":
        import no_such_module_anywhere
    if how == "leave":
        os._exit(0)
    if how == "crash":
        os.kill(os.getpid(), 11)
    if how == "set":
        return {"a": [1, {2}]}
    if how == "key":
        return {(1, 2): 3}
    if how == "large":
        return 2 ** 64
    if how == "function":
        return fails
    if how == "cycle":
        found = []
        found.append(found)
        return found
    if how == "complex":
        return 1j
'''


def python(harness: Harness, function: str, **options: Any) -> Recipe:
    """A recipe that calls one of the functions in FUNCTIONS."""
    (harness.folder / "mine.py").write_text(FUNCTIONS, encoding="utf-8")
    top = {"software": {"python": options.pop("python")}} if "python" in options else {}
    step = {"function": f"mine.{function}", "parsers": ["result"], **options}
    return harness.recipe("python.call", step, **top)


def test_a_function_gets_the_molecule_and_the_requested_fields(harness: Harness) -> None:
    found = python(harness, "same", fields=["smiles", "xtb.energy", "absent"])
    assert found.loaded.campaign.submit.projection == ["absent", "smiles", "xtb.energy"]
    fields = {"smiles": "O", "xtb": {"energy": -5.1, "other": 1}, "unasked": 2, "q": 1}
    water = Molecule("w", WATER.numbers, WATER.coordinates, 1, 2, {"_id": "w", **fields})
    assert values(harness.verdict(found, water))["result"] == {
        "_id": "w",
        "atomic_numbers": [8, 1, 1],
        "symbols": ["O", "H", "H"],
        "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
        "charge": 1,
        "multiplicity": 2,
        "smiles": "O",
        "xtb": {"energy": -5.1},
    }


def test_a_document_without_a_molecule_is_passed_without_one(harness: Harness) -> None:
    found = python(harness, "same", fields=["smiles"])
    verdict = harness.verdict(found, document(smiles="CC"))
    assert values(verdict)["result"] == {"_id": "id-1", "smiles": "CC"}


@pytest.mark.parametrize("version", sorted(PYTHONS, key=lambda v: int(v[2:])))
def test_any_python_3_runs_a_function(harness: Harness, version: str) -> None:
    python_here = PYTHONS[version]
    found = python(
        harness, "scaled", python=python_here, fields=["x"], arguments={"factor": 2, "shift": 0.25}
    )
    verdict = harness.verdict(found, document(x=0.1))
    assert values(verdict)["result"] == {"value": 0.1 * 2 + 0.25}
    assert (verdict.results[0].program_version or "").startswith(f"{version}.")
    found = python(harness, "fails", python=python_here, arguments={"how": "value"})
    assert (
        "ValueError: the angle is 400 degrees (mine.py, line"
        in failure(harness.verdict(found, document())).message
    )
    found = python(harness, "fails", python=python_here, arguments={"how": "cycle"})
    assert failure(harness.verdict(found, document())).kind is FailureClass.PROGRAM_ERROR


def test_a_worker_with_python_2_lacks_the_program(harness: Harness) -> None:
    found = shutil.which("python2.7") or next(
        map(str, (Path.home() / ".pyenv/versions").glob("2.7*/bin/python2.7")), None
    )
    if found is None:
        pytest.skip("Python 2 is not installed")
    verdict = failure(harness.verdict(python(harness, "same", python=found), document()))
    assert verdict.kind is FailureClass.PROGRAM_MISSING
    assert verdict.message == "Python 3.4 or newer is needed, this is 2.7"


@pytest.mark.parametrize("function", ["numbers", "arrays"])
def test_return_values_are_stored_as_in_json(harness: Harness, function: str) -> None:
    expected = {
        "numbers": {
            "tuple": [1, 2.5],
            "3": None,
            "nested": [[True], {"a": "ü"}],
            "small": 5e-324,
        },
        "arrays": {"array": [1.5, 2.5], "scalar": 7},
    }
    verdict = harness.verdict(python(harness, function), document())
    assert values(verdict)["result"] == expected[function]


def test_a_nan_is_refused_with_its_position(harness: Harness) -> None:
    found = failure(harness.verdict(python(harness, "nan"), document()))
    assert found.kind is FailureClass.NOT_FINITE
    assert "result.energies[1]" in found.message


def test_random_numbers_repeat_for_a_document_and_differ_between_documents(
    harness: Harness,
) -> None:
    found = python(harness, "chance")
    one, two = (values(harness.verdict(found, document()))["result"] for _ in range(2))
    other = values(harness.verdict(found, Molecule("id-2", (), (), document={})))["result"]
    assert one == two
    assert one[0] != other[0]
    assert one[1] == other[1]


def test_a_forked_child_of_the_function_writes_no_result(harness: Harness) -> None:
    found = python(harness, "forked", fields=["leaves"])
    assert values(harness.verdict(found, document(leaves=False))) == {"result": "of the parent"}
    failed = failure(harness.verdict(found, document(leaves=True)))
    assert failed.kind is FailureClass.MODULE_CRASH


def test_data_are_in_the_working_folder_and_next_to_the_module(harness: Harness) -> None:
    (harness.folder / "table.txt").write_text("1 2 3")
    found = python(harness, "where", modules=["table.txt"])
    assert values(harness.verdict(found, document()))["result"] == ["1 2 3", True]


@pytest.mark.parametrize("kept", [False, True])
def test_a_package_is_sent_with_all_its_files(harness: Harness, kept: bool) -> None:
    package = harness.folder / "library" / "shapes"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from ..data import read\n")
    (package / "data.py").write_text(
        "import os\n\n\ndef read():\n"
        "    return open(os.path.join(os.path.dirname(__file__), 'n.txt')).read()\n"
    )
    (package / "n.txt").write_text("12")
    (package / "work.py").write_text(
        "from . import inner\n\n\ndef f(document, **rest):\n    return inner.read()\n"
    )
    step = {
        "function": "shapes.work.f",
        "modules": ["library/shapes"],
        "arguments": {"any": 1},
        "parsers": ["result"],
    }
    found = harness.recipe("python.call", step)
    if kept:
        found = found.prepared()
    (package / "n.txt").write_text("13")
    assert values(harness.verdict(found, document()))["result"] == "12"
    assert harness.recipe("python.call", step).hash != found.hash


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("value", "PROGRAM_ERROR", "ValueError: the angle is 400 degrees (mine.py, line"),
        ("exit", "PROGRAM_ERROR", "called sys.exit(0)"),
        ("memory", "MEMORY", "MemoryError"),
        ("disk", "DISK_FULL", "No room"),
        ("import", "LIBRARY_MISSING", "no_such_module_anywhere"),
        ("leave", "MODULE_CRASH", "ended before the function returned"),
        ("crash", "MODULE_CRASH", "Segmentation fault"),
        ("set", "PROGRAM_ERROR", "the result['a'][1] is a set, which JSON cannot hold"),
        ("key", "PROGRAM_ERROR", "the key (1, 2), which is not a string"),
        ("large", "PROGRAM_ERROR", "integer of more than 64 bits"),
        ("function", "PROGRAM_ERROR", "is a function"),
        ("complex", "PROGRAM_ERROR", "is a complex"),
        ("cycle", "PROGRAM_ERROR", "recursion"),
    ],
)
def test_each_kind_of_failure_has_its_class_and_a_reason(
    harness: Harness, how: str, kind: str, words: str
) -> None:
    found = failure(harness.verdict(python(harness, "fails", arguments={"how": how}), document()))
    assert found.kind is FailureClass[kind]
    assert words in found.message


def test_a_module_too_new_for_python_is_reported_and_runs_elsewhere(
    harness: Harness,
) -> None:
    old = next((PYTHONS[v] for v in ("3.4", "3.5", "3.6", "3.7", "3.8", "3.9") if v in PYTHONS), "")
    if not old:
        pytest.skip("no Python older than 3.10 is installed")
    (harness.folder / "newer.py").write_text(
        "def f(document):\n    match document:\n        case _:\n            return 1\n"
    )
    found = harness.recipe("python.call", {"function": "newer.f"}, software={"python": old})
    verdict = failure(harness.verdict(found, document()))
    assert verdict.kind is FailureClass.PROGRAM_MISSING
    assert "newer.py, line 2" in verdict.message
    assert "may be too old" in verdict.message


def test_each_step_has_its_own_result(harness: Harness) -> None:
    (harness.folder / "mine.py").write_text(FUNCTIONS, encoding="utf-8")
    found = harness.recipe(
        "python.call",
        {
            "function": "mine.scaled",
            "arguments": {"factor": 3},
            "fields": ["x"],
            "parsers": ["result"],
        },
        {"function": "mine.fails", "arguments": {"how": "leave"}, "parsers": ["result"]},
    )
    verdict = failure(harness.verdict(found, document(x=1)))
    assert (verdict.kind, verdict.step) == (FailureClass.MODULE_CRASH, "step1")


# --- the examples ------------------------------------------------------------------------------


def of_example(
    name: str, judge_one: Callable[[dict[str, Any], dict[str, Any]], None], folder: Path
) -> int:
    """Run every document of an example and return their number."""
    here = TOP / "examples" / name
    recipe = resolve(load(here / "campaign.yaml", {}))
    count = 0
    for line in (here / "documents.jsonl").read_text().splitlines():
        entry = json.loads(line)
        molecule = Molecule(
            entry["_id"],
            tuple(entry["atomic_numbers"]),
            tuple((x, y, z) for x, y, z in entry["coordinates"]),
            document=entry,
        )
        asked = Asked(entry["_id"], 1, len(molecule.numbers), 0, 1, "m", recipe.hash, recipe.target)
        judge_one(entry, values(judge(recipe, asked, run(recipe.build(molecule), folder))))
        count += 1
    return count


def test_the_clusters_of_the_example_have_their_known_energies(tmp_path: Path) -> None:
    # Energies of the global minima in units of epsilon: Hoare and Pal, Adv. Phys. 20, 161 (1971).
    known = {2: -1.0, 3: -3.0, 4: -6.0, 7: -16.505384, 13: -44.326801}

    def check(entry: dict[str, Any], found: dict[str, Any]) -> None:
        unit = entry["lennard_jones"]["epsilon"] * 3.1668115634556e-6
        energy = known[len(entry["atomic_numbers"])] * unit
        assert found["energy"] == pytest.approx(energy, rel=1e-7)
        assert max(abs(value) for row in found["gradient"] for value in row) < 1e-9

    assert of_example("command", check, tmp_path) == 20


def test_the_rotational_constants_of_the_example_are_close_to_measured_ones(tmp_path: Path) -> None:
    # Ground-state rotational constants in GHz (NIST CCCBDB), slightly shifted by vibration.
    measured = {
        "carbon-monoxide": [57.636],
        "nitrogen": [59.647],
        "carbonyl-sulfide": [6.081],
        "hydrogen-cyanide": [44.316],
        "water": [835.84, 435.35, 278.14],
        "sulfur-dioxide": [60.779, 10.318, 8.800],
        "formaldehyde": [281.97, 38.834, 34.004],
        "benzene": [5.689, 5.689, 2.845],
    }
    seen = []

    def check(entry: dict[str, Any], found: dict[str, Any]) -> None:
        result = found["result"]
        assert len(result["rotational_constants"]) == (1 if result["linear"] else 3)
        assert result["moments"] == sorted(result["moments"])
        if entry["_id"] in measured:
            seen.append(entry["_id"])
            assert result["rotational_constants"] == pytest.approx(measured[entry["_id"]], rel=0.03)

    assert of_example("python-function", check, tmp_path) == 20
    assert len(seen) == len(measured)
