"""Known programs: the built-in ones, and those that installed packages register."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wqmaster.errors import CampaignError
from wqmaster.recipe.names import program_named
from wqmaster.tasks import Program
from wqmaster.tasks.programs import forget, owner_of, program_called, programs, restricting


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of Python packages; each `NAME.dist-info` in it is an installed package."""
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield tmp_path
    forget()
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def install(folder: Path, name: str, entry: str, module: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[wqmaster.programs]\n{entry}\n")
    (folder / f"{name}.py").write_text(module)


def test_a_package_registers_a_program(installed: Path) -> None:
    module = (
        "import sys\n"
        "from wqmaster.parsers import reads\n"
        "from wqmaster.tasks import Program\n"
        "VERSION = '1'\n"
        "def diagnose(output, asked, options): return None\n"
        "def program_version(output): return None\n"
        "@reads('stdout')\n"
        "def energy(output): return float(output.text)\n"
        "PROGRAM = Program('abacus', sys.modules[__name__])\n"
    )
    install(installed, "abacus_package", "abacus = abacus_package:PROGRAM", module)
    program = program_named("abacus")
    assert program is program_called("abacus")
    assert list(program.own_parsers()) == ["energy"]
    assert owner_of(program.own_parsers()["energy"]) is program


@pytest.mark.parametrize(
    ("module", "said"),
    [("PROGRAM = 1\n", "is not a wqmaster.tasks.Program"), ("1 / 0\n", "cannot be imported")],
)
def test_a_registered_object_must_be_a_program(module: str, said: str, installed: Path) -> None:
    install(installed, "broken_package", "broken = broken_package:PROGRAM", module)
    with pytest.raises(CampaignError, match=said):
        programs()


def test_a_package_cannot_replace_one_of_our_programs(installed: Path) -> None:
    module = "from wqmaster.tasks import Program\nPROGRAM = Program('xtb', 'other')\n"
    install(installed, "other_package", "xtb = other_package:PROGRAM", module)
    assert programs()["xtb"].module_name == "wqmaster.parsers.xtb"


@pytest.mark.parametrize("name", sorted(programs()))
def test_each_of_our_programs_can_be_judged(name: str) -> None:
    program = programs()[name]
    assert program.name == name
    assert program.lacks() is None
    assert program_named(name) is program


def test_an_executable_is_recognized_by_its_name() -> None:
    xtb = program_called("xtb")
    assert xtb is not None
    assert xtb.installation
    assert program_called("no-such-program") is None
    assert str(restricting("orca_scf_mpi")) == "ORCA"
    assert restricting("orcas") is None


def test_a_name_that_is_not_known_has_a_nearest_one() -> None:
    with pytest.raises(ValueError, match=r"unknown program 'xbt'.*; did you mean 'xtb'\?$"):
        program_named("xbt")
    with pytest.raises(ValueError, match="'nowhere' cannot be imported"):
        program_named(Program("a", "nowhere"))
