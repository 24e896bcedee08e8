"""Checks of the values in real outputs, and the steps to which they do not apply."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_judgement import ASKED, recipe
from wqmaster.checks.base import Level
from wqmaster.checks.table import NO_CHECKS, checks_of
from wqmaster.database.records import summary
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Outcome, StepOutcome
from wqmaster.parsers import pyscf, xtb
from wqmaster.parsers.base import Output, Parser, ProgramParsers
from wqmaster.recipe.judgement import Verdict, judge
from wqmaster.recipe.recipe import ParserCall
from wqmaster.tasks.orca.checks import inapplicable_checks
from wqmaster.tasks.orca.task import Step
from wqmaster.tasks.xtb.options import Singlepoint
from wqmaster.tasks.xtb.task import singlepoint

DATA = Path(__file__).parent / "data"


def judged(
    program: str,
    folder: str,
    names: tuple[str, ...],
    *,
    checks: bool = True,
    inapplicable: Mapping[str, str] | None = None,
    **asked: int,
) -> Verdict:
    files = {path.name: path.read_bytes() for path in (DATA / program / folder).iterdir()}
    module: ProgramParsers = {"xtb": xtb, "pyscf": pyscf}[program]
    found: dict[str, Parser] = {name: getattr(module, name) for name in names}
    calls = [ParserCall(name, one.files[0], one) for name, one in found.items()]  # type: ignore[attr-defined]
    made = recipe(*calls, program=program)
    steps = tuple(replace(step, inapplicable_checks=inapplicable or {}) for step in made.steps)
    made = replace(made, steps=steps, checks=checks_of("default", {}) if checks else NO_CHECKS)
    outcome = Outcome("node1", (StepOutcome("a", 0, 1.5, False, files),))
    return judge(made, replace(ASKED, **asked), outcome)  # type: ignore[arg-type]


def numbers(verdict: Verdict) -> dict[str, float]:
    found = verdict.checks or verdict.results[0].checks
    return {one.check.name: one.value for one in found}


def test_the_torque_of_xtb_is_taken_at_the_geometry_of_its_gradient() -> None:
    """The gradient of this run of xtb 6.7.1 is wrong (DESIGN.md, F31)."""
    verdict = judged("xtb", "water", ("energy", "gradient"))
    assert verdict.failure is not None
    assert verdict.failure.kind is FailureClass.CHECK_NET_TORQUE
    assert verdict.failure.value == pytest.approx(191.5, abs=0.1)
    assert verdict.failure.step == "a"
    assert verdict.results == ()
    assert numbers(verdict)["net_force"] == pytest.approx(0, abs=1e-6)


def test_without_checks_the_same_output_is_a_result() -> None:
    verdict = judged("xtb", "water", ("energy", "gradient"), checks=False)
    assert verdict.failure is None
    assert verdict.results[0].checks == ()
    assert summary(verdict.results[0].checks) == {}


def test_a_force_field_has_sound_forces() -> None:
    verdict = judged("xtb", "gfnff", ("energy", "gradient", "charges"))
    assert verdict.failure is None
    assert set(numbers(verdict)) == {"max_force", "net_force", "net_torque", "charges"}
    assert not verdict.is_warned


def test_a_coarse_grid_shows_in_the_net_force() -> None:
    """A grid of level 1 in PySCF."""
    verdict = judged("pyscf", "singlepoint", ("energy", "gradient"))
    assert verdict.failure is not None
    assert verdict.failure.kind is FailureClass.CHECK_NET_FORCE
    assert verdict.failure.value == pytest.approx(10.126, abs=1e-3)
    verdict = judged("pyscf", "radical", ("energy", "gradient"), natoms=2, multiplicity=2)
    assert verdict.failure is None
    assert verdict.is_warned
    stored = summary(verdict.results[0].checks)
    assert stored["warned"] == ["net_force"]
    # Read from the output, although the campaign does not store them.
    assert stored["values"]["s_squared"] == pytest.approx(0.0010268, abs=1e-7)
    assert stored["values"]["electrons"] == pytest.approx(1.5198e-5 / 9, rel=1e-3)
    assert stored["values"]["scf_cycles"] == 42


def test_values_that_are_not_stored_need_no_check_of_forces_and_charges() -> None:
    verdict = judged("pyscf", "singlepoint", ("energy",))
    assert verdict.failure is None
    assert set(numbers(verdict)) == {"electrons", "s_squared", "homo_lumo_gap", "scf_cycles"}


def test_what_does_not_apply_to_a_step_is_not_measured() -> None:
    why = {"net_torque": "it is embedded"}
    verdict = judged("xtb", "water", ("energy", "gradient"), inapplicable=why)
    assert verdict.failure is None
    assert "net_torque" not in numbers(verdict)


def test_a_parser_that_finds_nothing_is_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(output: Output) -> None:
        raise KeyError("s_squared")

    def missing(output: Output) -> None:
        raise ParseError("there are no cycles")

    for name, function in {"s_squared": broken, "scf_cycles": missing}.items():
        function.files = ("pyscf.json",)  # type: ignore[attr-defined]
        monkeypatch.setattr(pyscf, name, function)
    verdict = judged("pyscf", "singlepoint", ("energy",))
    assert verdict.failure is None
    assert set(numbers(verdict)) == {"electrons", "homo_lumo_gap"}
    assert all(one.level is Level.PASS for one in verdict.results[0].checks)


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("! wB97M-V def2-TZVPD EnGrad", set()),
        ("! PBE def2-SVP EnGrad CPCM(water)", set()),
        ('! PBE def2-SVP EnGrad\n%pointcharges "charges.pc"', {"net_force", "net_torque"}),
        ("! QM/XTB PBE def2-SVP EnGrad", {"net_force", "net_torque"}),
        ("! PBE def2-SVP\n%scf efield 0.0, 0.0, 0.1 end", {"net_force", "net_torque"}),
        (
            "! Opt PBE def2-SVP\n%geom constraints {B 0 1 1.5 C} end end",
            {"net_force", "net_torque"},
        ),
        ("! UKS PBE def2-SVP DeltaSCF", {"homo_lumo_gap"}),
    ],
)
def test_an_orca_route_tells_which_checks_make_no_sense(route: str, expected: set[str]) -> None:
    assert set(inapplicable_checks(Step(route=route))) == expected


def test_the_grid_of_xtbs_cosmo_does_not_turn_with_the_molecule() -> None:
    traits = singlepoint.traits  # type: ignore[attr-defined]
    for solvation, expected in {"cosmo": {"net_torque"}, "alpb": set()}.items():
        options = Singlepoint.model_validate({"solvent": "water", "solvation": solvation})
        assert set(traits.inapplicable_checks(options)) == expected
