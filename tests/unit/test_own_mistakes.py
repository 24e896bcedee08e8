"""A mistake in a user's module is a one-line error of the campaign file, with its location."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.test_conformance import MODULE
from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.recipe.resolving import resolve

TASK = "@task(program=PROGRAM, rung=CalmRung, ladders=LADDERS)"
LADDER = "{FailureClass.SCF_NOT_CONVERGED: "


class Module:
    """A user's module next to a campaign file, read as `wqmaster check` reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def error(self, text: str, step: dict[str, Any] | None = None, needs: str = "") -> str:
        """The one-line error of the campaign, which begins with the place in the campaign file."""
        package = self.folder / "tallying"
        if needs:
            package.mkdir()
            (package / "needs.py").write_text(needs)
        (package / "__init__.py" if needs else package.with_suffix(".py")).write_text(text)
        config = {
            "func_name": "tallying.count",
            "args": [{"name": "first", "parsers": ["energy"], **(step or {})}],
        }
        path = self.folder / "campaign.yaml"
        path.write_text(yaml.safe_dump({"campaign": "test", "campaign_config": config}))
        with pytest.raises(CampaignError) as caught:
            resolve(load(path))
        assert "\n" not in caught.value.message
        assert caught.value.exit_code == 2
        found = next(
            n for n, row in enumerate(path.read_text().splitlines(), 1) if "func_name" in row
        )
        self.is_of_function = caught.value.message.startswith(f"{path}:{found}: ")
        return caught.value.message


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """A folder for the user's module `tallying`, which Python imports again in each test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    importlib.invalidate_caches()
    yield Module(tmp_path)
    # Other tests have modules of these names that are no files.
    for name in [name for name in sys.modules if name.partition(".")[0] == "tallying"]:
        del sys.modules[name]


def changed(*changes: tuple[str, str]) -> str:
    """The text of the guide's module, after changes."""
    text = MODULE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def with_trait(name: str, function: str) -> str:
    """The text of the guide's module, whose task function has `mine` as this trait."""
    return changed((TASK, f"{function}\n\n\n{TASK[:-1]}, {name}=mine)"))


def line_of_mine(text: str, inner: str = "def mine") -> int:
    return text[: text.index(inner)].count("\n") + 1


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("check", "steps, software"),
        ("load", "options, software"),
        ("leaves", "options"),
        ("remarks", "options"),
        ("uses", "loaded"),
        ("fields", "loaded"),
        ("runs", "options, software"),
    ],
)
def test_a_trait_that_raises_is_named_with_its_line(own: Module, name: str, arguments: str) -> None:
    module = with_trait(name, f"def mine({arguments}):\n    return {{}}[1]")
    said = own.error(module)
    assert own.is_of_function
    assert f"the task function 'tallying.count': its '{name}' raised KeyError: 1" in said
    assert f"(tallying.py, line {line_of_mine(module) + 1}, in mine)" in said


@pytest.mark.parametrize(
    ("name", "function", "said"),
    [
        ("check", "def mine(steps):\n    pass", "@task(check=mine): it takes (steps), but is"),
        ("inspect", "mine = 1", "@task(inspect=...): 1 is not a function"),
        ("fields", "def mine(loaded):\n    return 'smiles'", "its 'fields' returned 'smiles'"),
        ("uses", "def mine(loaded):\n    pass", "its 'uses' returned None (of type NoneType)"),
        ("uses", "def mine(loaded):\n    yield 1 / 0", "its 'uses' raised ZeroDivisionError"),
        ("remarks", "def mine(options):\n    return ['no']", "returned the entry 'no' (of"),
        ("leaves", "def mine(options):\n    pass", "its 'leaves' returned None"),
        (
            "leaves",
            "from wqmaster.tasks.leaves import Leaves\n\n\n"
            "def mine(options):\n    return Leaves(file=lambda name: 1 / 0)",
            "its 'leaves' (file) raised ZeroDivisionError",
        ),
        ("version", "mine = 2", "@task(version=...) must be a string, not 2"),
        ("options", "mine = {'a': 1}", "@task(options=...) must be a class derived from"),
    ],
)
def test_an_invalid_trait_is_named(own: Module, name: str, function: str, said: str) -> None:
    found = own.error(with_trait(name, function), {"keep_files": {"a.dat": "{id}.dat"}})
    assert own.is_of_function
    assert said in found
    assert "(tallying.py, line " in found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("calm: bool = False", "calm: bool", "@task(rung=CalmRung): calm has no default"),
        (LADDER, '{"scf_not_converged": ', "write FailureClass.SCF_NOT_CONVERGED"),
        (LADDER, '{"scf_converge": ', "write FailureClass.SCF_NOT_CONVERGED"),
        ('[CalmRung(name="calm", calm=True)]', 'CalmRung(name="calm")', "must be a list of"),
        ('[CalmRung(name="calm", calm=True)]', '[{"name": "calm"}]', "which is not a Rung"),
        ("ladders=LADDERS", "ladders=[]", "@task(ladders=...) must be a mapping"),
        ("rung=CalmRung", "rung=CalmRung(name='a')", "@task(rung=...) must be a class derived"),
        ("program=PROGRAM", "program=sys", "be a wqmaster.tasks.Program or the name of one"),
        ('"tally", sys', '"tal ly", sys', "the name of a program must be one word"),
        ("sys.modules[__name__], ", "{}, ", "its parsers must be a module or the"),
        ('VERSION = "1"', "VERSION = 1", 'is 1, but must be a string: VERSION = "1"'),
        ("(output, asked, options)", "(output, asked)", "it takes (output, asked), but is called"),
        ("def program_version(output)", "def program_version()", "it takes (), but is called with"),
    ],
)
def test_an_invalid_declaration_is_named(own: Module, old: str, new: str, said: str) -> None:
    found = own.error(changed((old, new))).replace("\\", "")
    assert own.is_of_function
    assert said in found


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ("NEED = {}", "the module 'tallying.needs' has no NEEDS"),
        ("import no_such_module", "cannot be imported: ModuleNotFoundError"),
        (
            "NEEDS = {'energie': ('scf',)}",
            "not one of its parsers; did you mean 'energy'?",
        ),
        ("NEEDS = {'energy': 'scf'}", "has 'scf' for 'energy', but must have a tuple"),
    ],
)
def test_an_invalid_table_of_needs_is_named(own: Module, needs: str, said: str) -> None:
    assert said in own.error(MODULE, needs=f"{needs}\n")
    assert own.is_of_function


def test_an_unknown_short_name_is_answered_with_the_known_ones(own: Module) -> None:
    said = own.error(MODULE, {"parsers": ["gradient"]})
    assert said.endswith("unknown parser 'gradient' of tally; available: energy")


def test_a_short_name_needs_a_program(own: Module) -> None:
    said = own.error(changed(("program=PROGRAM, ", "")))
    assert "does not state whose parser" in said
