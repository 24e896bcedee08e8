"""Names in a campaign become functions; unknown ones are refused with the nearest name."""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Outcome, StepOutcome
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers import xtb as xtb_parsers
from wqmaster.recipe.judgement import judge
from wqmaster.recipe.names import TASK_FUNCTION, function_named
from wqmaster.recipe.recipe import Recipe
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks.xtb.task import Singlepoint

DATA = Path(__file__).parent / "data" / "xtb"
XTB = "wqmaster.tasks.xtb.singlepoint"
_COUNT = itertools.count()
OWN = """\
from wqmaster.job import Execution, Job


def count_atoms(molecule, steps, software):
    number = str(len(molecule.numbers))
    runs = tuple(Execution(step.name, ("echo", step.options.word)) for step in steps)
    return Job(runs, {"n": number.encode()})


def first_word(output):
    return output.text.split()[0]


not_callable = 7
"""


@pytest.fixture(autouse=True)
def path_as_before() -> Iterator[None]:
    before, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = before
    for name in set(sys.modules) - modules:
        if name.startswith("own_module_"):
            del sys.modules[name]


@pytest.fixture
def own(tmp_path: Path) -> str:
    """The name of a user's task function, in a module next to the campaign file."""
    name = f"own_module_{next(_COUNT)}"
    (tmp_path / f"{name}.py").write_text(OWN)
    return name


def recipe(here: Path, *steps: dict[str, Any], function: str = XTB, **top: Any) -> Recipe:
    settings = {
        "campaign": "test",
        "campaign_config": {"func_name": function, "args": [dict(step) for step in steps]},
        **top,
    }
    path = here / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return resolve(load(path, {}))


def refused(folder: Path, *steps: dict[str, Any], function: str = XTB) -> tuple[str, str]:
    """The line of the campaign file that the error names, and the error's message."""
    with pytest.raises(CampaignError) as caught:
        recipe(folder, *steps, function=function)
    place, _, message = caught.value.message.replace(f"{folder}/", "").partition(": ")
    assert place.startswith("campaign.yaml:")
    number = int(place.partition(":")[2])
    return (folder / "campaign.yaml").read_text().splitlines()[number - 1].strip(), message


def names(found: Recipe) -> list[tuple[str, str]]:
    return [(call.name, call.file) for call in found.steps[0].parsers]


# --- names that are found ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["energy", "wqmaster.parsers.xtb.energy", "htrq.htrun.parser.xtb.energy"]
)
def test_a_parser_is_found_by_its_short_dotted_and_older_names(tmp_path: Path, name: str) -> None:
    found = recipe(tmp_path, {"name": "a", "parsers": [name]})
    [call] = found.steps[0].parsers
    assert (call.name, call.function) == ("energy", xtb_parsers.energy)


@pytest.mark.parametrize("name", [XTB, "htrq.htrun.scripts.xtb.singlepoint"])
def test_a_task_function_is_found_by_its_current_and_older_names(tmp_path: Path, name: str) -> None:
    found = recipe(tmp_path, {"name": "a"}, function=name)
    [function] = found.functions
    assert (function.name, str(function.program)) == (XTB, "xtb")
    assert found.steps[0].diagnosis is xtb_parsers


def test_an_older_name_gives_the_same_recipe(tmp_path: Path) -> None:
    old = recipe(tmp_path, {"name": "a"}, function="htrq.htrun.scripts.xtb.singlepoint")
    assert old.hash == recipe(tmp_path, {"name": "a"}).hash


def test_parsers_read_their_own_files(tmp_path: Path) -> None:
    found = recipe(tmp_path, {"name": "a", "parsers": ["bond_orders", "gradient"]})
    assert names(found) == [("bond_orders", "wbo"), ("gradient", "molecule.engrad")]
    assert found.steps[0].request.files == {"wbo", "molecule.engrad"}
    assert found.steps[0].needed == {"wbo", "molecule.engrad"}


def test_further_files_of_a_parser_are_fetched_but_not_needed(tmp_path: Path) -> None:
    [step] = recipe(tmp_path, {"name": "a", "parsers": ["energy"]}).steps
    assert step.request.files == {"xtbout.json", "molecule.engrad"}
    assert step.needed == {"stdout"}


def test_parsers_can_be_listed_by_file(tmp_path: Path) -> None:
    parsers = {"stdout": ["energy"], "molecule.engrad": ["gradient"]}
    assert names(recipe(tmp_path, {"name": "a", "parsers": parsers})) == [
        ("energy", "stdout"),
        ("gradient", "molecule.engrad"),
    ]


def test_options_become_the_model_of_the_function(tmp_path: Path) -> None:
    found = recipe(tmp_path, {"name": "a", "gfn": 1, "accuracy": 0.1})
    assert found.steps[0].request.options == Singlepoint(gfn=1, accuracy=0.1)
    assert found.steps[0].options == {"gfn": 1, "gradient": True, "accuracy": 0.1}


def test_software_and_resources_reach_the_job(tmp_path: Path) -> None:
    found = recipe(tmp_path, {"name": "a"}, software={"xtb": "/opt/xtb"}, resources={"cores": 4})
    [step] = found.build(Molecule(1, (1, 1), ((0, 0, 0), (0, 0, 0.74)))).steps
    assert step.argv[0] == "/opt/xtb"
    assert step.environment["OMP_NUM_THREADS"] == "4"


def test_an_energy_without_a_gradient_is_a_valid_result(tmp_path: Path) -> None:
    found = recipe(tmp_path, {"name": "a", "gradient": False, "parsers": ["energy"]})
    files = {path.name: path.read_bytes() for path in (DATA / "water-no-gradient").iterdir()}
    outcome = Outcome("node1", (StepOutcome("a", 0, 1.0, False, files),))
    verdict = judge(found, Asked(1, 1, 3, 0, 1, "m", found.hash, found.target), outcome)
    assert verdict.failure is None
    assert verdict.results[0].values == {"energy": -5.070383095219}


# --- a user's own module -----------------------------------------------------------------------


def test_a_users_own_module_next_to_the_campaign_file_is_found(tmp_path: Path, own: str) -> None:
    found = recipe(
        tmp_path,
        {"name": "a", "word": "hello", "parsers": [f"{own}.first_word"]},
        function=f"{own}.count_atoms",
    )
    assert (found.functions[0].program, found.steps[0].diagnosis) == (None, None)
    assert names(found) == [("first_word", "stdout")]
    job = found.build(Molecule(1, (1, 1), ((0, 0, 0), (0, 0, 0.74))))
    assert job.steps[0].argv == ("echo", "hello")
    assert job.files == {"n": b"2"}


def test_a_users_own_parser_can_read_the_output_of_xtb(tmp_path: Path, own: str) -> None:
    found = recipe(tmp_path, {"name": "a", "parsers": ["energy", f"{own}.first_word"]})
    assert names(found) == [("energy", "stdout"), ("first_word", "stdout")]


def test_a_users_module_does_not_hide_an_installed_one(tmp_path: Path) -> None:
    (tmp_path / "yaml.py").write_text("raise RuntimeError('wrong yaml')\n")
    recipe(tmp_path, {"name": "a"})
    assert str(tmp_path) == sys.path[-1]


@pytest.mark.parametrize("name", ["not_callable", "missing"])
def test_a_users_module_without_that_function_is_refused(
    tmp_path: Path, own: str, name: str
) -> None:
    line, message = refused(tmp_path, {"name": "a"}, function=f"{own}.{name}")
    assert line == f"func_name: {own}.{name}"
    assert message.startswith(f"unknown task function '{own}.{name}'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", "invalid syntax (own_module_"),
        ("import no_such_package_at_all\n", "no_such_package_at_all"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("from wqmaster.parsers import no_such_name\n", "no_such_name"),
    ],
)
def test_a_users_module_that_fails_to_import_is_reported_with_the_reason(
    tmp_path: Path, text: str, words: str
) -> None:
    name = f"own_module_{next(_COUNT)}"
    (tmp_path / f"{name}.py").write_text(text)
    _, message = refused(tmp_path, {"name": "a"}, function=f"{name}.f")
    assert message.startswith(f"the module '{name}' cannot be imported: ")
    assert words in message


# --- names that are wrong ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("wqmaster.tasks.xtb.singelpoint", "did you mean 'wqmaster.tasks.xtb.singlepoint'?"),
        ("wqmaster.tasks.xbt.singlepoint", "did you mean 'wqmaster.tasks.xtb.singlepoint'?"),
        ("xtb.singlepoint", "did you mean 'wqmaster.tasks.xtb.singlepoint'?"),
        ("orca.singlepoint", "available: wqmaster.tasks.orca.sequential"),
        ("wqmaster.tasks.orca.singlepoint", "available: wqmaster.tasks.orca.sequential"),
        ("wqmaster.tasks.orca", "available: wqmaster.tasks.orca.sequential"),
        ("wqmaster.tasks.gaussian.x", "'wqmaster.tasks.command.run' runs any other program"),
        ("gaussian.optimize", "available programs: command, orca, pyscf, python, vina, xtb"),
        ("wqmaster.tasks.base.traits_of", "unknown task function"),
        ("htrq.htrun.scripts.xtb.single", "did you mean 'wqmaster.tasks.xtb.singlepoint'?"),
        ("singlepoint", "'singlepoint' is not the dotted path of a task function"),
        ("no.such.module", "there is no module 'no.such' for the task function"),
        (".xtb.singlepoint", "the module '.xtb' cannot be imported"),
        ("", "is not the dotted path"),
    ],
)
def test_an_unknown_task_function_is_refused_at_its_line(
    tmp_path: Path, function: str, words: str
) -> None:
    line, message = refused(tmp_path, {"name": "a"}, function=function)
    assert line.startswith("func_name:")
    assert words in message


@pytest.mark.parametrize(
    "name",
    [
        "orca.singlepoint",
        "orca",
        "xtb.opt",
        "gaussian.opt",
        "tasks.vina.dokc",  # codespell:ignore dokc
        "wqmaster.tasks.xtb.Task",
    ],
)
def test_only_task_functions_that_would_work_are_suggested(tmp_path: Path, name: str) -> None:
    _, message = refused(tmp_path, {"name": "a"}, function=name)
    hint = message.rpartition("; ")[2]
    suggested = re.findall(r"wqmaster\.[\w.]+", hint)
    assert suggested
    assert {word.strip("',?") for word in hint.split()} & set(suggested)
    for found in suggested:
        assert hasattr(function_named(found, TASK_FUNCTION), "traits")


@pytest.mark.parametrize(
    ("parser", "words"),
    [
        ("enrgy", "unknown parser 'enrgy' of xtb; did you mean 'energy'?"),
        ("diagnose", "unknown parser 'diagnose' of xtb"),
        ("wqmaster.parsers.xtb.diagnose", "unknown parser"),
        ("wqmaster.parsers.xtb.gradientt", "did you mean 'wqmaster.parsers.xtb.gradient'?"),
        ("wqmaster.parsers.xtbb.energy", "did you mean 'wqmaster.parsers.xtb.energy'?"),
        ("htrq.htrun.parser.xtb.dipol", "did you mean 'wqmaster.parsers.xtb.dipole'?"),
        ("VERSION", "unknown parser"),
        ("", "parser"),
    ],
)
@pytest.mark.parametrize("by_file", [False, True])
def test_an_unknown_parser_is_refused_at_its_line(
    tmp_path: Path, parser: str, words: str, by_file: bool
) -> None:
    listed: Any = ["charges", parser]
    step = {"name": "a", "parsers": {"stdout": listed} if by_file else listed}
    line, message = refused(tmp_path, {"name": "first"}, step)
    assert line == f"- {parser}" if parser else "- ''"
    assert words in message


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"gnf": 2}, "unknown key 'gnf'; did you mean 'gfn'?"),
        ({"gfn": 3}, "must be 1, 2 or 'ff'"),
        (
            {"iterations": "many"},
            "step 'a': iterations: must be a whole number; it is 'many'",
        ),
        ({"parser": ["energy"]}, "unknown key 'parser'; did you mean 'parsers'?"),
        ({"keep_file": {}}, "unknown key 'keep_file'; did you mean 'keep_files'?"),
    ],
)
def test_a_wrong_option_is_refused_at_its_line(
    tmp_path: Path, option: dict[str, Any], words: str
) -> None:
    line, message = refused(tmp_path, {"name": "first"}, {"name": "a", **option})
    assert line.startswith(f"{next(iter(option))}:")
    assert words in message


@pytest.mark.parametrize(
    "parsers",
    [
        ["energy", "wqmaster.parsers.xtb.energy"],
        {"stdout": ["energy"], "stderr": ["energy"]},
    ],
)
def test_two_parsers_with_the_same_name_are_refused(tmp_path: Path, parsers: Any) -> None:
    _, message = refused(tmp_path, {"name": "a", "parsers": parsers})
    assert message == "two values would be stored as 'energy'"


def test_a_parser_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    _, message = refused(tmp_path, {"name": "a", "parsers": ["energy", "energy"]})
    assert message == "the parser 'energy' is listed twice; remove one"


def test_two_steps_can_have_the_same_parser(tmp_path: Path) -> None:
    found = recipe(
        tmp_path, {"name": "a", "parsers": ["energy"]}, {"name": "b", "parsers": ["energy"]}
    )
    assert [step.parsers[0].name for step in found.steps] == ["energy", "energy"]


# --- files to keep -----------------------------------------------------------------------------


def test_files_to_keep_return_from_the_worker(tmp_path: Path) -> None:
    keep = {"stdout": "{id}_a.out", "wbo": "{id}.wbo"}
    [step] = recipe(tmp_path, {"name": "a", "keep_files": keep}).steps
    assert step.keep_files == (("stdout", "{id}_a.out"), ("wbo", "{id}.wbo"))
    assert step.request.files == {"wbo"}
    assert step.needed == {"stdout", "wbo"}


@pytest.mark.parametrize(
    "name", ["same.out", "{ID}.out", "../{id}.out", "/x/{id}.out", "{id} a", "{id}\n", ""]
)
def test_a_kept_file_needs_a_plain_name_that_differs_between_documents(
    tmp_path: Path, name: str
) -> None:
    line, message = refused(tmp_path, {"name": "a", "keep_files": {"stdout": name}})
    assert line.startswith("stdout:")
    assert "only letters, digits, '.', '_' and '-', at most 60 characters" in message
    assert "{id}" in message


@pytest.mark.parametrize("file", ["../secret", "/etc/passwd", "a b", "-rf", "*", "a\n"])
def test_a_file_outside_the_sandbox_cannot_be_kept(tmp_path: Path, file: str) -> None:
    _, message = refused(tmp_path, {"name": "a", "keep_files": {file: "{id}.x"}})
    assert "cannot be the name of a file in the sandbox; allowed: letters, digits" in message


def test_two_files_of_a_step_cannot_be_kept_under_the_same_name(tmp_path: Path) -> None:
    keep = {"stdout": "{id}.out", "wbo": "{id}.out"}
    assert "{id}.out" in refused(tmp_path, {"name": "a", "keep_files": keep})[1]


def test_two_steps_cannot_keep_files_under_the_same_name(tmp_path: Path) -> None:
    keep = {"stdout": "{id}.out"}
    steps = [{"name": name, "keep_files": keep} for name in ("a", "b")]
    assert "{id}.out" in refused(tmp_path, *steps)[1]


# --- the hash ----------------------------------------------------------------------------------

BASE = {"name": "a", "gfn": 2, "parsers": ["energy"]}


@pytest.mark.parametrize(
    "steps",
    [
        [{**BASE, "gfn": 1}],
        [{**BASE, "gradient": False}],
        [{**BASE, "accuracy": 0.5}],
        [BASE, {**BASE, "name": "b"}],
    ],
)
def test_the_hash_changes_with_everything_that_determines_the_result(
    tmp_path: Path, steps: list[dict[str, Any]]
) -> None:
    assert recipe(tmp_path, *steps).hash != recipe(tmp_path, BASE).hash


def test_the_hash_changes_with_the_function(tmp_path: Path, own: str) -> None:
    step = {"name": "a", "word": "x"}
    (tmp_path / f"{own}.py").write_text(OWN + "\nother = count_atoms\n")
    one = recipe(tmp_path, step, function=f"{own}.count_atoms")
    assert one.hash != recipe(tmp_path, step, function=f"{own}.other").hash
    other = recipe(tmp_path, {"name": "a", "word": "y"}, function=f"{own}.count_atoms")
    assert one.hash != other.hash


def test_the_hash_changes_with_the_order_of_steps(tmp_path: Path) -> None:
    one, two = {"name": "a", "gfn": 1}, {"name": "b", "gfn": 2}
    assert recipe(tmp_path, one, two).hash != recipe(tmp_path, two, one).hash


@pytest.mark.parametrize(
    ("step", "top"),
    [
        ({**BASE, "parsers": ["charges", "dipole"]}, {}),
        ({**BASE, "name": "other"}, {}),
        ({**BASE, "keep_files": {"stdout": "{id}.out"}}, {}),
        ({"gfn": 2, "name": "a"}, {}),
        ({**BASE, "gradient": True}, {}),
        (BASE, {"resources": {"cores": 8, "memory": 4000}}),
        (BASE, {"software": {"xtb": "/opt/xtb"}}),
        (BASE, {"engine": "local", "bundle": {"size": 50}, "folder": "elsewhere"}),
        (BASE, {"submit": {"query": {"a": 1}}, "database": {"name": "other"}}),
    ],
)
def test_the_hash_ignores_everything_that_does_not_affect_the_result(
    tmp_path: Path, step: dict[str, Any], top: dict[str, Any]
) -> None:
    assert recipe(tmp_path, step, **top).hash == recipe(tmp_path, BASE).hash


def test_the_hash_ignores_the_order_of_options(tmp_path: Path, own: str) -> None:
    one = {"name": "a", "x": {"p": 1, "q": 2}, "y": 3}
    two = {"name": "a", "y": 3, "x": {"q": 2, "p": 1}}
    function = f"{own}.count_atoms"
    assert json.dumps(one) != json.dumps(two)
    assert recipe(tmp_path, one, function=function).hash == (
        recipe(tmp_path, two, function=function).hash
    )


def test_more_disk_is_requested_only_if_the_original_amount_is_known(tmp_path: Path) -> None:
    unknown = recipe(tmp_path, {"name": "a"}).ladders["a"].get(FailureClass.DISK_LIMIT)
    assert not unknown
    known = recipe(tmp_path, {"name": "a"}, resources={"disk": 100})
    assert [rung.name for rung in known.ladders["a"][FailureClass.DISK_LIMIT]] == ["disk_2x"]
    ladder = {"disk_limit": [{"name": "mine", "disk": 3}]}
    with pytest.raises(CampaignError, match="'mine' asks for 3 times the disk"):
        recipe(tmp_path, {"name": "a"}, remedies=ladder)


@pytest.mark.parametrize("name", ["a..b", "$where", "", ".a", "a."])
def test_an_impossible_field_name_is_not_a_projection(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        CampaignError, match=r"submit\.projection\[2\]: .* cannot be used here; allowed: "
    ):
        recipe(tmp_path, {"name": "a"}, submit={"projection": ["a.b", name]})


def test_an_option_that_a_plain_model_would_drop_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default, pydantic ignores unknown keys, so a misspelled `kk` would leave `k` unchanged."""
    (tmp_path / "plain_options.py").write_text(
        "from pydantic import BaseModel\n"
        "from wqmaster.tasks import task\n\n\n"
        "class Options(BaseModel):\n    k: float = 1.0\n\n\n"
        "@task(options=Options)\ndef count(molecule, steps, software):\n    return None\n"
    )
    step = {"name": "a", "kk": 0.7}
    config = {"func_name": "plain_options.count", "args": [step]}
    path = tmp_path / "campaign.yaml"
    path.write_text(yaml.safe_dump({"campaign": "test", "campaign_config": config}))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(CampaignError, match="unknown key 'kk'; did you mean 'k'"):
        resolve(load(path, {}))


# --- where results are stored ------------------------------------------------------------------


def stored_under(folder: Path, key: str, **top: Any) -> Recipe:
    """The recipe of a campaign whose results are stored under `key`."""
    settings = {
        "campaign": "test",
        "campaign_config": {
            "func_name": XTB,
            "args": [{"name": "a"}, {"name": "b"}],
            "kwargs": {"mongo_output_key": key},
        },
        **top,
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return resolve(load(path, {}))


@pytest.mark.parametrize(
    ("key", "top"),
    [
        ("atomic_numbers", {}),
        ("charge.of", {}),
        ("xyz", {"molecule": {"coordinates": "xyz"}}),
        ("other", {"molecule": {"coordinates": "other.b.geometry"}}),
        ("other", {"submit": {"projection": ["other.b"]}}),
        ("_id", {}),
        ("_id.x", {}),
        ("wqmaster_reference_atom", {}),
    ],
)
def test_results_are_not_stored_in_a_field_that_the_campaign_reads(
    tmp_path: Path, key: str, top: dict[str, Any]
) -> None:
    with pytest.raises(CampaignError) as caught:
        stored_under(tmp_path, key, **top)
    line = int(caught.value.message.split(":")[1])
    text = (tmp_path / "campaign.yaml").read_text().splitlines()[line - 1]
    assert text.strip() == f"mongo_output_key: {key}"


@pytest.mark.parametrize(
    ("key", "top"),
    [
        ("charges", {}),
        ("other", {"molecule": {"coordinates": "other.c.geometry"}}),
        ("other", {"submit": {"projection": ["other", "other.aa"]}}),
    ],
)
def test_results_may_be_stored_beside_a_field_that_the_campaign_reads(
    tmp_path: Path, key: str, top: dict[str, Any]
) -> None:
    assert stored_under(tmp_path, key, **top).loaded.campaign.output_key == key
