"""`check_program` on our programs, and on ones that break the contract in one way each."""

import json
import re
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.orca_runs import run as orca_run
from tests.unit.orca_runs import single_point
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers.base import Output
from wqmaster.tasks.base import Software, traits_of
from wqmaster.tasks.command.task import run as run_command
from wqmaster.tasks.orca.task import sequential
from wqmaster.tasks.program import Program
from wqmaster.tasks.programs import program_called
from wqmaster.tasks.python.task import call
from wqmaster.tasks.vina.task import dock
from wqmaster.tasks.xtb.task import hessian, optimize, singlepoint
from wqmaster.testing import Sample, check_program

DATA = Path(__file__).parent / "data"
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "adding-a-program.md"
MODULE = GUIDE.read_text().partition("```python\n")[2].partition("```")[0]
WATER = Molecule("w", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)), document={})
TALLY = b"TALLY 2.1\nenergy: -5\nTALLY ENDED\n"


def files(*folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in DATA.joinpath(*folder).iterdir()}


def known(name: str) -> Program:
    found = program_called(name)
    assert found is not None
    return found


def values(program: str, content: Mapping[str, bytes], *names: str) -> dict[str, Any]:
    """What our parsers return; that they are right is what the tests of parsers are for."""
    parsers = known(program).own_parsers()
    return {
        name: parsers[name](Output(content, parsers[name].files[0]))  # type: ignore[attr-defined]
        for name in names
    }


def test_xtb_keeps_the_contract() -> None:
    water, opt, hess = files("xtb", "water"), files("xtb", "optimize"), files("xtb", "hessian")
    check_program(
        known("xtb"),
        [
            Sample(
                singlepoint,
                water,
                values("xtb", water, "energy", "gradient", "charges", "dipole"),
                version="6.7.1",
                molecule=WATER,
            ),
            Sample(
                optimize,
                opt,
                values("xtb", opt, "energy", "geometry", "symbols", "frames"),
                version="6.7.1",
                molecule=WATER,
            ),
            Sample(
                hessian,
                hess,
                values("xtb", hess, "frequencies", "hessian", "entropy_term"),
                version="6.7.1",
                molecule=WATER,
            ),
        ],
    )


def test_orca_keeps_the_contract() -> None:
    text = orca_run(single_point(0.76)).encode()
    hydrogen = Molecule("h2", (1, 1), ((0, 0, 0), (0, 0, 0.76)), document={})
    check_program(
        known("orca"),
        [
            Sample(
                sequential,
                {"stdout": text},
                values("orca", {"stdout": text}, "energy", "charge", "multiplicity"),
                version=known("orca").module.program_version(Output({"stdout": text})),
                options={"route": "! HF STO-3G"},
                molecule=hydrogen,
            )
        ],
    )


def test_vina_keeps_the_contract(tmp_path: Path) -> None:
    (tmp_path / "receptor.pdbqt").write_text(
        "ATOM      1  C   ALA A   1       0.000   0.000   4.000  1.00  0.00     0.000 C \n"
    )
    content = files("vina", "maps")
    ligand = content["out.pdbqt"].decode().partition("MODEL 1\n")[2].partition("ENDMDL")[0]
    found = Molecule("lig", (), (), document={"_id": "lig", "pdbqt": ligand})
    check_program(
        known("vina"),
        [
            Sample(
                dock,
                content,
                values("vina", content, "affinity", "affinities", "modes"),
                version="1.2.7",
                options={"receptor": "receptor.pdbqt", "center": [0, 0, 0], "size": [9, 9, 9]}
                | {"refine": True},
                molecule=found,
                software=Software(beside=tmp_path, cache=tmp_path),
            )
        ],
    )


def test_functions_and_commands_keep_the_contract(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(document):\n    return 1.5\n")
    written = {"value": [1.5, 2.5], "python": "3.11.2", "function": "mine.f"}
    result = {"stdout": b"", "stderr": b"", "result.json": json.dumps(written).encode()}
    software = Software(beside=tmp_path)
    check_program(
        known("python"),
        [
            Sample(
                call,
                result,
                {"result": [1.5, 2.5]},
                version="3.11.2",
                options={"function": "mine.f"},
                software=software,
            )
        ],
    )
    check_program(
        known("command"),
        [
            Sample(
                run_command,
                {"stdout": b"1.5 2.5\n"},
                {"text": "1.5 2.5\n"},
                options={"command": "prog in", "files": {"in": "{{ molecule.xyz }}"}},
            )
        ],
    )


# --- programs that break it -----------------------------------------------------------------------


def tally(*changes: tuple[str, str]) -> tuple[Program, Sample]:
    """The program of the guide, with changes to its module; and a sample of its output."""
    text = MODULE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    module = types.ModuleType("tallying")
    # `sys.modules[__name__]` is how the module of the guide names itself.
    text = text.replace("sys.modules[__name__]", "_THIS")
    vars(module)["_THIS"] = module
    exec(compile(text, "tallying.py", "exec"), vars(module))  # noqa: S102  # of the guide
    sample = Sample(module.count, {"stdout": TALLY}, {"energy": -5.0}, version="2.1")
    return module.PROGRAM, sample


def test_the_program_of_the_guide_keeps_the_contract() -> None:
    program, sample = tally()
    check_program(program, [sample])


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"TALLY ENDED" not in output.text', "False", "diagnose takes an empty output"),
        ("return float(found[1])", "return [float(found[1])]", "energy is a list"),
        ('raise ParseError("there', 'raise ValueError("there', "not a ParseError"),
        ("found is None", "not found[1]", "not a ParseError"),
        (
            "return float(found[1])",
            "return -float(found[1])",
            "returns 5.0, and should return -5.0",
        ),
        ('"molecule.xyz", word', '"molecule.xyz", str(molecule.id)', "into the command line"),
        ('"molecule.xyz", word', '"molecule.xyz", molecule.xyz()', "into the command line"),
        ('VERSION = "1"', "VERSION = 1", "VERSION is a string"),
        ("return found[1] if", 'return "9" if', "returns '9', and should return '2.1'"),
        ('    """Total energy in Eh."""\n', "", "has no docstring"),
        ("@task(program=PROGRAM, ", "@task(", "is not marked with this program"),
        ("for step in steps), files", "for step in steps[:1]), files", "a job of two steps"),
    ],
)
def test_each_break_of_the_contract_is_found(old: str, new: str, why: str) -> None:
    program, sample = tally((old, new))
    with pytest.raises(AssertionError, match=re.escape(why)):
        check_program(program, [sample])


def test_a_table_that_is_cut_short_is_found() -> None:
    """The fault that loses atoms without a word."""
    program, sample = tally(
        (
            '@reads("stdout")\ndef energy',
            '@reads("stdout")\ndef table(output):\n'
            '    """Numbers, as many as there are."""\n'
            '    return [float(word) for word in re.findall(r"^(\\d)$", output.text, re.M)]\n\n\n'
            '@reads("stdout")\ndef energy',
        ),
        ('"TALLY ENDED" not in output.text', '"TALLY" not in output.text'),
    )
    text = b"TALLY 2.1\nenergy: -5\ntable\n1\n2\n3\n"
    cut = Sample(sample.function, {"stdout": text}, {"table": [1.0, 2.0, 3.0]}, version="2.1")
    with pytest.raises(AssertionError, match="is taken for a result, and the parser table"):
        check_program(program, [cut])


def test_a_program_without_a_sample_is_not_checked_silently() -> None:
    program, sample = tally()
    with pytest.raises(AssertionError, match="there is no sample"):
        check_program(program, [])
    bare = Sample(sample.function, sample.files, version="2.1")
    with pytest.raises(AssertionError, match="no sample states a value"):
        check_program(program, [bare])
    assert traits_of(sample.function).program is program
