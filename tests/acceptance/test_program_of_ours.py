"""A mistake in wqmaster's own program packages is reported with its line and crashes no command.

The mistakes are made in a copy of wqmaster next to the campaign file.
"""

import shutil
from pathlib import Path

import pytest

import wqmaster
from tests.acceptance.test_own_program import MODULE, PROGRAM, settings
from tests.conftest import Campaigns, Cli

PARSERS, _, TASK = MODULE.partition("\n\nPROGRAM = ")
TASK = (
    "from wqmaster.failures import FailureClass\n"
    "from wqmaster.job import Execution, Job\n"
    "from wqmaster.tasks import Program, Rung, task\n\n"
    "PROGRAM = " + TASK.replace('"tally", sys.modules[__name__]', '"springy", "PARSERS"')
).replace("PARSERS", "wqmaster.parsers.springy")
INIT = "from wqmaster.tasks.springy.task import PROGRAM, count\n"


@pytest.fixture
def path(campaigns: Campaigns) -> Path:
    """A campaign with the guide's program, which is the package `springy` in a copy of wqmaster."""
    ours = Path(wqmaster.__file__).parent
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ours, campaigns.folder / "wqmaster", ignore=skipped)
    program = campaigns.folder / "tally"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    for kind in ("tasks", "parsers"):
        (campaigns.folder / "wqmaster" / kind / "springy").mkdir()
    springy(campaigns.folder)
    own = settings(campaigns, "wqmaster.tasks.springy.count")
    own["software"] = {"tally": own["software"]["tally"]}
    return campaigns.write(**own)


def springy(folder: Path, task: str = TASK, init: str = INIT, parsers: str = PARSERS) -> None:
    package = folder / "wqmaster"
    (package / "tasks" / "springy" / "task.py").write_text(task)
    (package / "tasks" / "springy" / "__init__.py").write_text(init)
    (package / "parsers" / "springy" / "__init__.py").write_text("from .values import *\n")
    values = f"{parsers}\n\n__all__ = ['VERSION', 'diagnose', 'energy', 'program_version']\n"
    (package / "parsers" / "springy" / "values.py").write_text(values)


@pytest.mark.parametrize(
    ("changes", "said", "where"),
    [
        (
            {"task": TASK.replace("installation=", "instalation=")},  # codespell:ignore instalation
            "unexpected keyword argument 'instalation'",
            "(wqmaster/tasks/springy/task.py, line 5)",
        ),
        (
            {"init": "from wqmaster.tasks.springy.task import count\n"},
            "wqmaster/tasks/springy/__init__.py does not name PROGRAM",
            "",
        ),
        (
            {"task": TASK.replace('"springy", ', '"spring", ')},
            "wqmaster/tasks/springy/__init__.py: PROGRAM is named 'spring', but must have",
            "",
        ),
        (
            {"task": TASK.replace("ladders=LADDERS", "ladders=[1]")},
            "@task(ladders=...) must be a mapping",
            "(wqmaster/tasks/springy/task.py, line ",
        ),
    ],
)
def test_a_package_that_is_not_a_program_is_named_by_all_commands(
    path: Path, campaigns: Campaigns, cli: Cli, changes: dict[str, str], said: str, where: str
) -> None:
    springy(campaigns.folder, **changes)
    (campaigns.folder / "a.out").write_text("TALLY 2.1\n")
    for words in (
        ("check", path),
        ("parse", "--program", "springy", "a.out"),
        ("software", "pack", "xtb", "--program", "/bin/sh"),
    ):
        cli(*words, code=2)
        (line,) = cli.errors.splitlines()
        assert said in line
        assert where in line
        assert (f"{path}:" in line) is (words[0] == "check")
    cli("parse", "--program", "xtb", "a.out")


def test_parsers_that_cannot_be_imported_are_named(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    springy(campaigns.folder, parsers=f"{PARSERS}\ndef broken(:\n")
    (campaigns.folder / "a.out").write_text("TALLY 2.1\n")
    line = PARSERS.count("\n") + 2
    for words in (("check", path), ("parse", "--program", "springy", "a.out")):
        cli(*words, code=2)
        (found,) = cli.errors.splitlines()
        assert "cannot be imported: invalid syntax" in found
        assert f"(wqmaster/parsers/springy/values.py, line {line})" in found


def test_errors_inside_a_package_are_reported_with_their_line(
    path: Path, campaigns: Campaigns, cli: Cli
) -> None:
    campaigns.waters(1)
    own = settings(campaigns, "wqmaster.tasks.springy.count")
    own["software"] = {}
    path = campaigns.write(**own)
    springy(campaigns.folder, task=TASK.replace('mood = "restless" if', 'mood = ""[3] if 1 or'))
    cli("check", path, code=1)
    place = "(wqmaster/tasks/springy/task.py, line "
    assert f"IndexError: string index out of range {place}" in cli.errors
    assert "document 1: " in cli.errors
    springy(campaigns.folder, parsers=PARSERS.replace("return float(found[1])", "return found[2]"))
    (campaigns.folder / "a.out").write_text("TALLY 2.1\natoms: 3\nenergy: -5\nTALLY ENDED\n")
    said = cli("parse", "--program", "springy", "--parser", "energy", "a.out", code=1)
    place = "(wqmaster/parsers/springy/values.py, line "
    assert f"the parser raised IndexError: no such group {place}" in said
