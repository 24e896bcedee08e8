"""Each error or limit of xtb ends as a failure of the right class; remedies cure some."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.xtb_runs import (
    HELIUM,
    HYDROGEN,
    HYDROXIDE,
    METHANE,
    NEEDS_XTB,
    RADICAL,
    SHORT_MD,
    WATER,
    Harness,
    molecule,
    pair,
    run,
    some,
)
from wqmaster.errors import CampaignError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.molecule import SYMBOLS, Molecule
from wqmaster.parsers.base import Output
from wqmaster.parsers.xtb import diagnose
from wqmaster.recipe.judgement import judge
from wqmaster.recipe.retry import remedies
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.xtb.task import (
    LADDERS,
    Dynamics,
    Hessian,
    Optimize,
    Singlepoint,
    md,
    optimize,
    singlepoint,
)

pytestmark = NEEDS_XTB


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


# --- failures ----------------------------------------------------------------------------------

FLUORIDE = molecule([("F", 0, 0, 0)], charge=-1)
FAR = {"time": 0.5, "step": 50.0, "temperature": 3000.0, "shake": 0, "hmass": 1}


@pytest.mark.parametrize(
    ("function", "one", "options", "kind"),
    [
        ("optimize", WATER, {"cycles": 2, "level": "extreme"}, FailureClass.OPT_NOT_CONVERGED),
        ("optimize", WATER, {"cycles": 2, "gfn": "ff"}, FailureClass.OPT_NOT_CONVERGED),
        ("md", WATER, FAR, FailureClass.DIVERGED),
        ("md", WATER, {**FAR, "gfn": 1}, FailureClass.DIVERGED),
        ("md", WATER, {**FAR, "gfn": "ff"}, FailureClass.DIVERGED),
        ("md", METHANE, {**FAR, "step": 20.0}, FailureClass.DIVERGED),
        ("md", HELIUM, SHORT_MD, FailureClass.DIVERGED),
        ("singlepoint", pair("H", "H", 1e-4), {}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("H", "H", 1e-3), {"gfn": 1}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("C", "O", 0.01), {"gfn": "ff"}, FailureClass.IMPLAUSIBLE_ENERGY),
        ("singlepoint", pair("H", "H", 0.0), {}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 0.0), {"gfn": "ff"}, FailureClass.COINCIDENT_ATOMS),
        # xtb 6.7.1 omits the repulsion here, so the energy is like that of two hydrogen atoms.
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": 1}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": 2}, FailureClass.COINCIDENT_ATOMS),
        ("singlepoint", pair("H", "H", 1e-6), {"gfn": "ff"}, FailureClass.COINCIDENT_ATOMS),
        # No document can hold such a charge, but xtb terminates normally.
        (
            "singlepoint",
            molecule([("O", 0, 0, 0), ("H", 0, 0, 1), ("H", 1, 0, 0)], charge=20),
            {},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        (
            "singlepoint",
            molecule([("O", 0, 0, 0), ("H", 0, 0, 1), ("H", 1, 0, 0)], multiplicity=2),
            {},
            FailureClass.CHARGE_MULTIPLICITY,
        ),
        ("singlepoint", WATER, {"software": "xtb --frobnicate"}, FailureClass.INPUT_KEYWORD),
        ("singlepoint", WATER, {"software": "xtb --acc 1e-9"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --etemp 5000"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --chrg 1"}, FailureClass.CHARGE_MULTIPLICITY),
        ("singlepoint", WATER, {"software": "xtb --chrg 2"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", WATER, {"software": "xtb --uhf 2"}, FailureClass.NOT_AS_ASKED),
        ("singlepoint", FLUORIDE, {"solvent": "water"}, FailureClass.PROGRAM_ERROR),
        ("singlepoint", HYDROGEN, {"solvent": "toluene"}, FailureClass.PROGRAM_ERROR),
        ("singlepoint", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("optimize", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("hessian", WATER, {"iterations": 2}, FailureClass.SCF_NOT_CONVERGED),
        ("singlepoint", pair("Np", "H", 2.0, multiplicity=1), {}, FailureClass.INPUT_BASIS),
        ("singlepoint", molecule([("U", 0, 0, 0)]), {"gfn": 1}, FailureClass.INPUT_BASIS),
        ("singlepoint", molecule([("Og", 0, 0, 0)]), {"gfn": "ff"}, FailureClass.INPUT_BASIS),
    ],
)
def test_each_kind_of_failure_has_its_class(
    harness: Harness, function: str, one: Molecule, options: dict[str, Any], kind: FailureClass
) -> None:
    assert harness.failure(function, one, **options) is kind


@pytest.mark.parametrize(
    "options",
    [
        {"gfn": 2, "solvent": "vodka", "solvation": "alpb"},
        {"gfn": 1, "solvent": "dmf", "solvation": "gbsa"},
        {"gfn": "ff", "solvent": "vodka", "solvation": "alpb"},
    ],
)
def test_a_solvent_that_xtb_lacks_is_an_input_error(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    unchecked = Singlepoint().model_copy(update=options)
    [outcome] = run(
        [singlepoint(WATER, [StepRequest("a", unchecked, frozenset())], Software())], tmp_path
    )
    job = Harness(tmp_path).recipe("singlepoint").asked_of(WATER)
    failure = diagnose(Output(outcome.steps[0].files), job, options)
    assert failure is not None
    assert failure.kind is FailureClass.INPUT_KEYWORD
    assert f"'{options['solvent']}' is not parametrized" in failure.message


def test_a_clash_in_a_large_molecule_is_found_whatever_the_energy(harness: Harness) -> None:
    [large] = some(1)
    x, y, z = large.coordinates[0]
    for apart in (1e-3, 0.05):
        rows = [(SYMBOLS[n], *p) for n, p in zip(large.numbers, large.coordinates, strict=True)]
        clashing = molecule([*rows, ("H", x + apart, y, z), ("H", x, y + 4.0, z)])
        assert harness.failure("singlepoint", clashing) in (
            FailureClass.COINCIDENT_ATOMS,
            FailureClass.IMPLAUSIBLE_ENERGY,
        )


@pytest.mark.parametrize(
    ("ran", "asked"),
    [
        (Singlepoint(gfn=1), Singlepoint(gfn=2)),
        (Singlepoint(gfn="ff"), Singlepoint(gfn=2)),
        (Singlepoint(gfn=2), Singlepoint(gfn="ff")),
        (Singlepoint(), Singlepoint(solvent="water")),
        (Singlepoint(solvent="water"), Singlepoint()),
        (Singlepoint(solvent="water"), Singlepoint(solvent="dmso")),
        (Singlepoint(solvent="water"), Singlepoint(solvent="water", solvation="gbsa")),
        (Singlepoint(), Singlepoint(accuracy=0.1)),
        (Singlepoint(), Optimize()),
        (Singlepoint(), Hessian()),
        (Singlepoint(), Dynamics()),
        (Optimize(level="crude"), Optimize()),
        (Optimize(level="crude", gfn="ff"), Optimize(gfn="ff")),
        *(
            (Dynamics(**SHORT_MD), Dynamics(**{**SHORT_MD, name: value}))
            for name, value in [
                ("time", 0.06),
                ("step", 0.51),
                ("temperature", 300.0),
                ("dump", 10.0),
                ("shake", 1),
                ("hmass", 2),
                ("nvt", False),
                ("sccacc", 1.0),
            ]
        ),
    ],
)
def test_a_run_other_than_the_requested_one_is_refused(
    tmp_path: Path, ran: Any, asked: Any
) -> None:
    functions = {Singlepoint: singlepoint, Optimize: optimize, Dynamics: md}
    steps = [StepRequest("a", ran, frozenset())]
    [outcome] = run([functions[type(ran)](METHANE, steps, Software())], tmp_path)
    output = Output(outcome.steps[0].files)
    job = Harness(tmp_path).recipe("singlepoint").asked_of(METHANE)
    assert diagnose(output, job, ran.model_dump(mode="json", exclude_none=True)) is None
    failure = diagnose(output, job, asked.model_dump(mode="json", exclude_none=True))
    assert failure is not None
    missing = failure.kind is FailureClass.MISSING_OUTPUT and ran.gfn == "ff"
    assert failure.kind is FailureClass.NOT_AS_ASKED or missing


@pytest.mark.parametrize("mode", ["cut", "killed", "json"])
def test_a_truncated_output_is_not_a_result(tmp_path: Path, mode: str) -> None:
    [outcome] = run(
        [optimize(WATER, [StepRequest("a", Optimize(), frozenset())], Software())], tmp_path
    )
    files = dict(outcome.steps[0].files)
    job = Harness(tmp_path).recipe("optimize").asked_of(WATER)
    options = Optimize().model_dump(mode="json", exclude_none=True)
    assert diagnose(Output(files), job, options) is None
    if mode == "json":
        files["xtbout.json"] = files["xtbout.json"][:-40]
        expected = FailureClass.PARSE_ERROR
    else:
        files["stdout"] = files["stdout"][: len(files["stdout"]) // 2]
        files["stderr"] = b""
        expected = FailureClass.TRUNCATED
    if mode == "killed":
        files["stderr"] = b"\nProgram received signal SIGSEGV: Segmentation fault\n"
        expected = FailureClass.MODULE_CRASH
    failure = diagnose(Output(files), job, options)
    assert failure is not None
    assert failure.kind is expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"solvent": "vodka"}, "no solvent 'vodka' for GFN2-xTB"),
        ({"solvent": "toluen"}, "did you mean 'toluene'"),
        ({"solvent": "dmf", "solvation": "gbsa", "gfn": 1}, "no solvent 'dmf' for GFN1-xTB"),
        ({"solvation": "gbsa"}, "needs a 'solvent'"),
        ({"gfn": 3}, "1, 2 or 'ff'"),
        ({"gfn": True}, "1, 2 or ff"),
    ],
)
def test_options_that_xtb_does_not_support_are_refused_before_it_runs(
    harness: Harness, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(CampaignError, match=words):
        harness.recipe("singlepoint", **options)


# --- remedies ----------------------------------------------------------------------------------


def rung(kind: FailureClass, position: int) -> Any:
    return LADDERS[kind][position]


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("gfn", [1, 2])
def test_a_remedy_for_the_scf_gives_the_same_energy(
    harness: Harness, position: int, gfn: int
) -> None:
    name = rung(FailureClass.SCF_NOT_CONVERGED, position).name
    for one in (METHANE, HYDROXIDE, RADICAL):
        recipe = harness.recipe("singlepoint", "energy", "gradient", gfn=gfn, accuracy=0.01)
        jobs = [recipe.build(one), recipe.build(one, remedies(recipe.ladders, {"a": (name,)}))]
        assert jobs[0] != jobs[1]
        usual, cured = (
            judge(recipe, recipe.asked_of(one), outcome) for outcome in run(jobs, harness.folder)
        )
        assert usual.failure is None
        assert cured.failure is None
        there, here = usual.results[0].values, cured.results[0].values
        assert here["energy"] == pytest.approx(there["energy"], abs=1e-7)


def test_more_iterations_cure_too_few(harness: Harness) -> None:
    recipe = harness.recipe("singlepoint", "energy", iterations=2)
    plan = {"a": (rung(FailureClass.SCF_NOT_CONVERGED, 0).name,)}
    [outcome] = run([recipe.build(WATER, remedies(recipe.ladders, plan))], harness.folder)
    verdict = judge(recipe, recipe.asked_of(WATER, 2, plan), outcome)
    assert verdict.failure is None
    assert verdict.results[0].values["energy"] == pytest.approx(-5.070383095219, abs=1e-8)


@pytest.mark.parametrize("position", range(2))
@pytest.mark.parametrize("gfn", [1, 2, "ff"])
def test_an_optimization_continues_from_where_it_ended(
    harness: Harness, position: int, gfn: int | str
) -> None:
    options = {"gfn": gfn, "level": "extreme", "accuracy": 0.01}
    usual = harness.values("optimize", METHANE, "energy", **options)
    recipe = harness.recipe("optimize", "energy", "opt_trajectory_energies", cycles=2, **options)
    [outcome] = run([recipe.build(METHANE)], harness.folder)
    first = judge(recipe, recipe.asked_of(METHANE), outcome).failure
    assert first is not None
    assert first.kind is FailureClass.OPT_NOT_CONVERGED
    plan = {"a": (rung(FailureClass.OPT_NOT_CONVERGED, position).name,)}
    rescued = {"a": outcome.steps[0].files}
    [again] = run([recipe.build(METHANE, remedies(recipe.ladders, plan), rescued)], harness.folder)
    verdict = judge(recipe, recipe.asked_of(METHANE, 2, plan), again)
    assert verdict.failure is None, verdict.failure
    values = verdict.results[0].values
    assert values["energy"] == pytest.approx(usual["energy"], abs=1e-7)
    reached = harness.values("singlepoint", METHANE, "energy", gfn=gfn, accuracy=0.01)["energy"]
    assert values["opt_trajectory_energies"][0] < reached
