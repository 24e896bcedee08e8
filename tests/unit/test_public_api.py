"""The public interface: its names, their descriptions and parameters."""

import importlib
import inspect
import re
from enum import EnumType
from pathlib import Path
from types import ModuleType

import pytest

import wqmaster
import wqmaster.testing
from wqmaster.system import lazy

TOP = Path(__file__).resolve().parents[2]
# A parameter without "=" is required; one after "*" is keyword-only. Changing or removing any
# breaks users' modules: read "Compatibility" in CONTRIBUTING.md, and add a line to CHANGELOG.md.
CALLS = {
    "Asked": "document, attempt, natoms, charge, multiplicity, molecule, recipe, target, remedy=, "
    "computed=, size=, memory=",
    "BadDocument": "message=, defect=",
    "Change": "name, apply",
    "DataFolder": "variable, folder",
    "Execution": "name, argv, outputs=, continues=, clean=, rename=, copy=, rescue=, environment=",
    "Failure": "kind, message, step=, tail=, parser=, value=",
    "Input": "path, name",
    "Job": "steps, files, inputs=, supplies=",
    "Lack": "reason, instead, certain=",
    "Leaves": "quantities=, file=",
    "Model": "",
    "Molecule": "id, numbers, coordinates, charge=, multiplicity=, document=, further=",
    "Output": "files, name=",
    "ParseError": "message=, *, code=",
    "Program": "name, parsers, title=, installation=, version_argument=, data=, trial=, impostor=, "
    "restricts=, has_own_format=, oldest_version=, level=, tighter=, theory=, single_point=",
    "Remark": "message, key, line=, certain=",
    "Rung": "*, name, restart=, memory=, disk=, time=",
    "Software": "commands=, cores=, memory=, beside=, cache=, supplies=, here=",
    "StepRequest": "name, options, files, remedies=, rescued=, loaded=, prepared=, geometry=",
    "Trial": "arguments=, files=, says=",
    "WqmasterError": "message=, *, code=",
    "reads": "*files, per_atom=",
    "task": "*, program=, options=, version=, rung=, ladders=, molecule=, load=, uses=, fields=, "
    "check=, prepare=, runs=, remarks=, leaves=, inspect=, takes_geometry=, "
    "final_geometry=, keeps_geometry=, inapplicable_checks=, needs=, alone=",
}
# The modules from which users' modules for earlier versions import.
FORMER = {
    "wqmaster.errors": "BadDocument ParseError WqmasterError",
    "wqmaster.failures": "Failure FailureClass",
    "wqmaster.job": "Asked Execution Input Job",
    "wqmaster.molecule": "Molecule",
    "wqmaster.parsers": "Output reads",
    "wqmaster.tasks": "DataFolder Program Rung Software StepRequest Trial task",
}


def called(function: object) -> str:
    """The parameters of a function or class, written as in CALLS."""
    words = []
    keywords = False
    for name, parameter in inspect.signature(function).parameters.items():  # type: ignore[arg-type]
        if parameter.kind is parameter.VAR_POSITIONAL:
            words.append(f"*{name}")
            keywords = True
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            words.append("*")
            keywords = True
        words.append(name if parameter.default is parameter.empty else f"{name}=")
    return ", ".join(words)


def test_each_public_name_can_be_imported_and_no_other_exists() -> None:
    assert len(set(wqmaster.__all__)) == len(wqmaster.__all__)
    for name in wqmaster.__all__:
        assert getattr(wqmaster, name) is not None
    assert set(wqmaster.__all__) <= set(dir(wqmaster))
    namespace: dict[str, object] = {}
    exec("from wqmaster import *", namespace)  # noqa: S102
    assert set(namespace) - {"__builtins__"} == set(wqmaster.__all__)
    # All other names are modules, so no name is public by accident.
    others = set(dir(wqmaster)) - set(wqmaster.__all__)
    accidental = {
        name
        for name in others
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and not isinstance(getattr(wqmaster, name), ModuleType)
    }
    assert not accidental


@pytest.mark.parametrize("package", [wqmaster, wqmaster.testing], ids=lambda found: found.__name__)
def test_names_are_sorted(package: ModuleType) -> None:
    # Ruff sorts classes first, then functions and modules.
    names = package.__all__
    assert names == sorted(names, key=lambda name: (name.strip("_").islower(), name))


def test_type_checkers_see_the_same_imports_as_python() -> None:
    """A type checker reads imports that never run; Python reads a table."""
    source = inspect.getsource(wqmaster)
    block = source.partition("if TYPE_CHECKING:\n")[2].partition("\n\n")[0]
    places = {
        name.strip(): module
        for module, names in re.findall(r"^    from (\S+) import (.+)$", block, re.M)
        for name in names.split(",")
    }
    assert places.pop("testing") == "wqmaster"
    table = dict(wqmaster._PLACES)
    assert table.pop("testing") == "wqmaster.testing"
    assert places == table
    assert set(wqmaster._PLACES) == set(wqmaster.__all__)


def test_an_unknown_name_raises_pythons_usual_errors() -> None:
    with pytest.raises(AttributeError, match="module 'wqmaster' has no attribute 'Jib'"):
        wqmaster.Jib  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Jib' from 'wqmaster'"):
        exec("from wqmaster import Jib")  # noqa: S102


def test_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("some_package")
    monkeypatch.setitem(importlib.sys.modules, "some_package", package)  # type: ignore[attr-defined]
    package.__getattr__ = lazy.getter("some_package", {"pi": "math"})  # type: ignore[method-assign]
    assert "pi" not in vars(package)
    assert package.pi == pytest.approx(3.14159265)
    assert "pi" in vars(package)
    assert "pi" in lazy.lister("some_package", {"pi": "math", "e": "math"})()


def test_each_name_is_described() -> None:
    text = (TOP / "docs" / "api.md").read_text()
    described = set(
        re.findall(r"`(?:wqmaster\.)?([\w.]+)`", "".join(re.findall(r"^\| (`.+?) \|", text, re.M)))
    )
    names = {*wqmaster.__all__, *(f"testing.{name}" for name in wqmaster.testing.__all__)}
    assert described == names - {"__version__"}
    assert "`wqmaster.__version__`" in text
    for place in FORMER:
        assert f"`{place}`" in text


def test_each_name_has_a_docstring() -> None:
    for name in wqmaster.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(wqmaster, name)), name


def test_the_parameters_of_public_names_are_unchanged() -> None:
    kinds = {name: getattr(wqmaster, name) for name in wqmaster.__all__}
    calls = {
        name: called(found)
        for name, found in kinds.items()
        if callable(found) and not isinstance(found, EnumType)
    }
    assert calls == CALLS
    assert called(wqmaster.testing.check_program) == "program, samples, *, untested="


@pytest.mark.parametrize("place", FORMER)
def test_former_modules_have_the_same_objects(place: str) -> None:
    module = importlib.import_module(place)
    for name in FORMER[place].split():
        assert getattr(module, name) is getattr(wqmaster, name), name
