"""`check_program` finds faults in declarations, traits, remedies and diagnosis."""

import sys
import types
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_conformance import (
    COUNT,
    FIRST_LINE,
    MODULE,
    RUNG,
    TALLY,
    complaint,
    module,
    tally,
    with_parser,
)
from wqmaster.jobs.failures import FailureClass
from wqmaster.tasks.program import Program
from wqmaster.testing import Sample, check_program
from wqmaster.testing.conformance.declarations import states_unit
from wqmaster.testing.conformance.values import differing


@pytest.mark.parametrize(
    ("docstring", "is_right"),
    [
        ("Total energy in Eh.", True),
        ("Total energy in Eh/Angstrom.", False),
        ("Total energy in kcal/mol.", False),
        ("Total energy (Eh, SCF).", True),
    ],
)
def test_the_unit_of_a_quantity_is_in_the_docstring(docstring: str, is_right: bool) -> None:
    program, sample = tally(("Total energy in Eh.", docstring))
    if is_right:
        check_program(program, [sample])
    else:
        said = complaint(program, sample)
        assert "the docstring of the parser energy does not state the unit of this quant" in said


@pytest.mark.parametrize("unit", ["Eh/Bohr", "Eh/a0"])
def test_a_unit_may_have_any_usual_spelling(unit: str) -> None:
    assert states_unit(f"Gradient in {unit}, shape (n, 3).", "Eh/a0")
    assert not states_unit(f"Hessian in {unit}^2.", "Eh/a0")
    assert not states_unit(f"In {unit}.", "Eh")


def test_a_program_whose_needs_are_misspelled_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = types.ModuleType("tallying.needs")
    monkeypatch.setitem(sys.modules, "tallying.needs", needs)
    found = module(
        ("@task(program=PROGRAM, ", "@task(program=PROGRAM, leaves=leaves, "),
        (
            "class CalmRung",
            "from wqmaster.tasks.leaves import Lack, Leaves\n"
            "def leaves(options): return Leaves({'scf': Lack('it is off', 'put it on')})\n"
            "class CalmRung",
        ),
    )
    monkeypatch.setitem(sys.modules, "tallying", found)
    sample = Sample(found.count, {"stdout": TALLY}, {"energy": -5.0}, "2.1", states=["natoms"])
    vars(needs)["NEED"] = {}
    assert "the module 'tallying.needs' has no NEEDS" in complaint(found.PROGRAM, sample)
    vars(needs)["NEEDS"] = {"energy": ("scf",)}
    check_program(found.PROGRAM, [sample])
    vars(needs)["NEEDS"] = {"energy": ("sfc",)}
    said = complaint(found.PROGRAM, sample)
    assert "states 'sfc' for energy, but `leaves` names this quantity for none" in said


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("leaves", "options"),
        ("remarks", "options"),
        ("check", "steps, software"),
        ("uses", "loaded"),
        ("fields", "loaded"),
        ("runs", "options, software"),
        ("load", "options, software"),
        ("inspect", "molecule, options"),
    ],
)
def test_a_trait_that_raises_is_found(name: str, arguments: str) -> None:
    function = f"def mine({arguments}): return {{}}[1]\nclass CalmRung"
    marked = ("@task(program=PROGRAM, ", f"@task(program=PROGRAM, {name}=mine, ")
    said = complaint(*tally(("class CalmRung", function), marked))
    assert f"sample 0: count: its '{name}' raised KeyError: 1 (tallying.py, line " in said


def restarting(*changes: tuple[str, str]) -> tuple[Program, list[Sample]]:
    """The guide's program with a remedy that continues from tally.left; a good and a failed run."""
    found = module(
        (RUNG, f'{RUNG[:-1]}, CalmRung(name="go-on", restart=True)]'),
        (COUNT, f'{COUNT[:-1]}, rescue=("tally.left",))'),
        *changes,
    )
    good = Sample(found.count, {"stdout": TALLY}, {"energy": -5.0}, "2.1", states=["natoms"])
    content = {"stdout": b"TALLY 2.1\nTALLY: NOT CONVERGED\n", "tally.left": b"3"}
    scf = FailureClass.SCF_NOT_CONVERGED
    return found.PROGRAM, [good, replace(good, files=content, values={}, failure=scf)]


def test_a_remedy_that_ignores_the_files_of_the_failed_attempt_is_found() -> None:
    program, samples = restarting()
    said = complaint(program, *samples)
    assert "the remedy go-on declares `restart`, but" in said
    assert "the remedy calm" not in said
    reads = "files |= {name: content for step in steps for name, content in step.rescued.items()}"
    program, samples = restarting(("    executions = []", f"    {reads}\n    executions = []"))
    check_program(program, samples)


def test_the_output_of_another_program_must_not_count_as_truncated() -> None:
    banner = 'if not "TALLY ".startswith(output.text[:6]):'
    assert banner in MODULE
    said = complaint(*tally((banner, "if not output:")))
    assert "diagnose returns truncated for the output of another program" in said
    assert "check first for the banner" in said


def test_a_mistake_in_a_diagnosis_is_reported_once() -> None:
    program, sample = tally((FIRST_LINE, f"    {{}}[1]\n{FIRST_LINE}"))
    said = complaint(program, sample, sample)
    assert said.count("KeyError: 1") == 1
    assert "samples 0, 1: diagnose raises KeyError: 1" in said
    blind = "    if b'5' not in output.text.encode():\n        {}[1]\n"
    program, sample = tally((FIRST_LINE, f"{blind}{FIRST_LINE}"))
    said = complaint(program, sample)
    assert "cut to 0 bytes: diagnose raises KeyError: 1" in said
    assert said.count("KeyError: 1") == 1


def test_a_difference_late_in_a_table_is_shown_with_its_position() -> None:
    program, sample = tally(with_parser("table", "return [[1.0] * 50, [2.0] * 49 + [3.0]]"))
    table = [[1.0] * 50, [2.0] * 50]
    said = complaint(program, replace(sample, values={**sample.values, "table": table}))
    assert "the parser table returns 3.0 at [1][49], but should return 2.0" in said


@pytest.mark.parametrize(
    ("found", "stated", "said"),
    [
        (1.0, 2.0, ("1.0", "2.0")),
        ([1.0] * 60, [1.0] * 59, ("1.0 at [59]", "nothing")),
        ({"a": "x" * 200}, {"a": "x" * 199 + "y"}, ("'x' at ['a'][199:]", "'y'")),
        ({"a": [1] * 60, "b": 2}, {"a": [1] * 60}, ("2 at ['b']", "nothing")),
        ("x" * 200, 5, (f"'{'x' * 99}", "5")),
    ],
)
def test_the_first_difference_is_shown(found: Any, stated: Any, said: tuple[str, str]) -> None:
    assert differing(found, stated) == said
