"""The task function for Python functions: errors when the campaign is read, and files to send.

tests/integration/test_functions.py tests how functions run.
"""

import ast
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wqmaster.campaign.loading import load
from wqmaster.errors import BadDocument, CampaignError
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks import stages
from wqmaster.tasks.base import Software, StepRequest, traits_of
from wqmaster.tasks.python.task import HARNESS, Call, call

TRAITS = traits_of(call)
MODULE = """\
import functools
from math import sqrt as root
raise RuntimeError("this module is never imported here")


def energy(document, scale, *, unit="Eh"):
    inner = 1


def anything(document, **rest):
    pass


def nothing():
    pass


def only(document, /, kind):
    pass


async def later(document):
    pass


if True:
    def hidden(document):
        pass
half = functools.partial(energy, scale=0.5)
"""


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MODULE)
    return tmp_path


def step(**given: Any) -> StepRequest:
    return StepRequest("s0", Call.model_validate(given), frozenset())


def checked(beside: Path, **given: Any) -> StepRequest:
    found = stages.loaded(TRAITS, step(**given), Software(beside=beside))
    assert TRAITS.check is not None
    TRAITS.check([found], Software(beside=beside))
    return found


def built(beside: Path, molecule: Molecule, **given: Any) -> tuple[Job, dict[str, Any]]:
    software = Software(beside=beside)
    job = call(molecule, [stages.loaded(TRAITS, step(**given), software)], software)
    return job, json.loads(job.files["call-s0.json"])


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("mine.energy", {"scale": 1}),
        ("mine.energy", {"scale": 1, "unit": "eV"}),
        ("mine.anything", {"whatever": [1]}),
        ("mine.only", {"kind": 1}),
        ("mine.hidden", {}),
        ("mine.half", {"unit": "eV"}),
        ("mine.root", {}),
    ],
)
def test_an_existing_function_is_accepted(
    beside: Path, function: str, arguments: dict[str, Any]
) -> None:
    checked(beside, function=function, arguments=arguments)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"function": "mine.enrgy"}, "has no function 'enrgy'; did you mean 'energy'"),
        ({"function": "mine.inner"}, "has no function 'inner'"),
        ({"function": "mine.zzz"}, "has no function 'zzz'; available: (?!.*functools)"),
        ({"function": "other.energy"}, "there is no file 'other.py'"),
        ({"function": "mine.sub.energy"}, "there is no module 'mine.sub'"),
        ({"function": "mine.energy"}, "needs a value for 'scale'"),
        ({"function": "mine.energy", "arguments": {"scale": 1, "units": "eV"}}, "mean 'unit'"),
        ({"function": "mine.energy", "arguments": {"scale": 1, "document": {}}}, "no argument"),
        ({"function": "mine.anything", "arguments": {"document": {}}}, "no argument 'document'"),
        ({"function": "mine.nothing"}, "must take the document"),
        ({"function": "mine.later"}, "is an async function"),
        ({"function": "mine.half", "modules": ["absent.json"]}, "no file 'absent.json'"),
        ({"function": "mine.half", "modules": ["a/x.txt", "b/x.txt"]}, "two files would be"),
        ({"function": "mine.half", "modules": ["result.json"]}, "reserved for the"),
        ({"function": "mine.half", "modules": ["json.py"]}, "would hide Python's own module"),
        ({"function": "mine.half", "modules": ["random"]}, "would hide Python's own module"),
        ({"function": "broken.f"}, r"broken.py, line 2: .*closed$"),
        ({"function": "mine.half", "modules": ["."]}, "contains the campaign file"),
        ({"function": "mine.half", "inputs": ["absent"]}, "there is no file 'absent'"),
    ],
)
def test_a_function_that_cannot_run_is_refused_when_the_campaign_is_read(
    beside: Path, given: dict[str, Any], why: str
) -> None:
    for folder in ("a", "b", "random"):
        (beside / folder).mkdir()
        (beside / folder / "x.txt").write_text("")
    for name in ("result.json", "json.py"):
        (beside / name).write_text("")
    (beside / "broken.py").write_text("x = 1\ndef f(document:\n")
    with pytest.raises(ValueError, match=why):
        checked(beside, **given)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"function": "energy"}, "pattern"),
        ({"function": "mine.energy()"}, "pattern"),
        ({"function": "a.b", "fields": ["coordinates.x"]}, "always in the function"),
        ({"function": "a.b", "fields": ["$x"]}, "pattern"),
        ({"function": "a.b", "arguments": {"x": float("nan")}}, "cannot be converted to"),
        ({"function": "a.b", "argument": {}}, "did you mean 'arguments'"),
    ],
)
def test_an_invalid_option_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Call.model_validate(given)


def test_large_modules_are_refused_with_a_better_way(beside: Path) -> None:
    (beside / "weights.bin").write_bytes(bytes(17 << 20))
    with pytest.raises(ValueError, match="name large files in 'inputs:'"):
        checked(beside, function="mine.half", modules=["weights.bin"])


def test_everything_that_is_sent_is_in_the_recipe(beside: Path) -> None:
    package = beside / "lib" / "shapes"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("__init__.py", "work.py", "n.txt", "__pycache__/work.cpython-311.pyc"):
        (package / name).write_text("def f(document): pass\n")
    (beside / "grid").write_text("")
    found = checked(beside, function="shapes.work.f", modules=["lib/shapes"], inputs=["grid"])
    assert set(TRAITS.uses(found.loaded)) == {
        *("lib/shapes/__init__.py", "lib/shapes/work.py", "lib/shapes/n.txt", "grid"),
    }
    assert set(found.loaded.files) == {
        *("shapes/__init__.py", "shapes/work.py", "shapes/n.txt"),
    }


def test_modules_are_sent_as_they_were_when_the_campaign_was_read(beside: Path) -> None:
    found = checked(beside, function="mine.half")
    (beside / "mine.py").write_text("changed")
    job = call(Molecule(1, (), (), document={}), [found], Software(beside=beside))
    [(name, content)] = json.loads(job.files["modules-s0.json"]).items()
    assert (name, base64.b64decode(content).decode()) == ("mine.py", MODULE)


def test_shared_files_are_made_once(beside: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (beside / "grid").write_text("1")
    software = Software(beside=beside, cache=cache)
    names = set()
    for _ in range(2):
        found = checked(beside, function="mine.half", inputs=["grid"])
        found = stages.prepared(TRAITS, found, software)
        job = call(Molecule(1, (), (), document={}), [found], software)
        assert set(job.files) == {"call-s0.json"}
        names.add(tuple(shared.path for shared in job.inputs))
        what = json.loads(job.files["call-s0.json"])
        assert what["modules"] == f"../shared/{job.inputs[1].name}"
        assert job.inputs[2].name == "grid"
        assert job.inputs[2].path.parent == cache
    assert len(names) == 1
    assert len(list(cache.iterdir())) == 2


def test_a_field_that_json_cannot_hold_fails_only_its_document(beside: Path) -> None:
    molecule = Molecule("x", (), (), document={"a": {"b": [1, float("inf")]}})
    with pytest.raises(BadDocument, match=r"'document\.a\.b\.1' of the document is not finite"):
        built(beside, molecule, function="mine.half", fields=["a"])


def test_no_value_of_a_document_is_in_a_command_line(beside: Path) -> None:
    jobs = [
        built(
            beside,
            Molecule(name, (1,), ((x, 0.0, 0.0),), 0, 2, {"s": name}),
            function="mine.half",
            fields=["s"],
        )
        for name, x in (("one", 0.5), ("two", 1.5))
    ]
    assert jobs[0][0].steps == jobs[1][0].steps
    assert jobs[0][1]["document"]["coordinates"] == [[0.5, 0.0, 0.0]]
    assert jobs[0][1]["seed"] != jobs[1][1]["seed"]


def test_an_integer_id_stays_an_integer(beside: Path) -> None:
    _, what = built(beside, Molecule(7, (), (), document={}), function="mine.half")
    assert what["document"] == {"_id": 7}


@pytest.mark.parametrize(
    ("commands", "words"),
    [
        ({}, ["python3"]),
        ({"python": "/opt/p/bin/python3.6 -s"}, ["/opt/p/bin/python3.6", "-s"]),
    ],
)
def test_functions_run_with_the_python_that_software_names(
    beside: Path, commands: dict[str, str], words: list[str]
) -> None:
    software = Software(commands=commands, beside=beside)
    found = checked(beside, function="mine.half")
    job = call(Molecule(1, (), (), document={}), [found], software)
    argv = list(job.steps[0].argv)
    assert TRAITS.runs is not None
    assert list(TRAITS.runs(step(function="mine.half").options, software)) == words[:1]
    assert argv == [*words, "../shared/wqmaster-harness.py", "call-s0.json"]


@pytest.mark.parametrize("name", ["python", "python3"])
def test_software_of_the_campaign_may_name_the_python(beside: Path, name: str) -> None:
    text = f"""\
campaign: test
campaign_config:
  func_name: wqmaster.tasks.python.call
  args: [{{name: s0, function: mine.half}}]
software: {{{name}: /opt/p/bin/python3.6}}
"""
    path = beside / "campaign.yaml"
    path.write_text(text)
    assert resolve(load(path, {})).programs() == ["/opt/p/bin/python3.6"]
    path.write_text(text.replace(f"{{{name}:", "{pythn:"))
    with pytest.raises(CampaignError, match="does not call 'pythn'"):
        resolve(load(path, {}))


def test_the_harness_uses_the_oldest_syntax() -> None:
    text = HARNESS.read_text(encoding="ascii")
    tree = ast.parse(text, feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.AsyncFunctionDef, ast.Match)
    for node in ast.walk(tree):
        assert not isinstance(node, newer), ast.dump(node)
        if isinstance(node, ast.arguments):
            # Python 2 must be able to parse the file, so that it can report that it is too old.
            assert not node.kwonlyargs
            assert not node.posonlyargs
            assert not any(argument.annotation for argument in node.args)
        if isinstance(node, ast.Raise):
            assert node.cause is None
        if isinstance(node, ast.Dict):
            assert None not in node.keys
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert not any(alias.name.startswith("wqmaster") for alias in node.names)
