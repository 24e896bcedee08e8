"""The task function for xtb builds a job from a molecule and steps."""

from typing import Any

import pytest
from pydantic import ValidationError

from wqmaster.jobs.job import Job, check_file_name
from wqmaster.jobs.molecule import Molecule
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.xtb.task import (
    LADDERS,
    Dynamics,
    Hessian,
    Optimize,
    Singlepoint,
    XtbRung,
    hessian,
    md,
    optimize,
    singlepoint,
)
from wqmaster.tasks.xtb.turning import turned

# All values in this document differ from those in the campaign.
CATION = Molecule(
    id="id-from-document; rm -rf /",
    numbers=(8, 1, 1),
    coordinates=((0.125, 0.0, 0.0), (0.0, 0.0, 0.96875), (0.9375, 0.0, -0.25)),
    charge=-3,
    multiplicity=4,
    document={"_id": "id-from-document; rm -rf /", "note": "$(from-document)"},
)


def build(
    *options: Singlepoint, software: Software | None = None, files: frozenset[str] = frozenset()
) -> Job:
    steps = [StepRequest(f"step{n}", option, files) for n, option in enumerate(options)]
    return singlepoint(CATION, steps, software or Software())


def test_the_default_is_a_gfn2_gradient() -> None:
    [step] = build(Singlepoint()).steps
    assert step.argv == ("xtb", "molecule.xyz", "--gfn", "2", "--json", "--grad")


def test_options_become_arguments() -> None:
    options = Singlepoint(gfn=1, gradient=False, accuracy=0.01, iterations=500)
    [step] = build(options).steps
    assert " ".join(step.argv) == ("xtb molecule.xyz --gfn 1 --json --acc 0.01 --iterations 500")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gfn", 0),
        ("gfn", "2"),
        ("accuracy", 0),
        ("accuracy", -1),
        ("iterations", 0),
        ("solvent", 1),
        ("accuracy", 1e-5),
        ("accuracy", 1001),
        ("gfn", True),
        ("gfn", "FF"),
    ],
)
def test_an_option_that_xtb_does_not_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Singlepoint.model_validate({name: value})


def test_charge_and_unpaired_electrons_are_written_to_files() -> None:
    files = build(Singlepoint()).files
    assert files[".CHRG"] == b"-3\n"
    assert files[".UHF"] == b"3\n"
    assert files["molecule.xyz"] == turned(CATION).xyz().encode()


def test_no_value_of_a_document_is_in_a_command_line() -> None:
    other = Molecule("other", (1,), ((9.5, 9.5, 9.5),), charge=0, multiplicity=2)
    steps = [StepRequest("a", Singlepoint(), frozenset({"wbo"}))]
    one = singlepoint(CATION, steps, Software())
    two = singlepoint(other, steps, Software())
    assert one.steps == two.steps
    assert one.files.keys() == two.files.keys()


def test_building_twice_gives_the_same_job() -> None:
    assert build(Singlepoint(), Singlepoint(gfn=1)) == build(Singlepoint(), Singlepoint(gfn=1))


def test_a_command_of_the_campaign_is_split_as_a_shell_would() -> None:
    software = Software(commands={"xtb": "nice -n 5 '/opt/my xtb/bin/xtb'", "orca": "x"})
    [step] = build(Singlepoint(), software=software).steps
    assert step.argv[:4] == ("nice", "-n", "5", "/opt/my xtb/bin/xtb")
    assert step.argv[4] == "molecule.xyz"


def test_xtb_gets_as_many_threads_as_the_job_has_cores() -> None:
    [step] = build(Singlepoint(), software=Software(cores=4)).steps
    assert step.environment["OMP_NUM_THREADS"] == step.environment["MKL_NUM_THREADS"] == "4"


def test_the_json_and_files_for_parsers_are_outputs_but_streams_are_not() -> None:
    [step] = build(Singlepoint(), files=frozenset({"stdout", "stderr", "wbo"})).steps
    assert set(step.outputs) == {"xtbout.json", "molecule.xyz", "wbo"}


def test_steps_run_in_order_and_each_removes_the_files_of_the_one_before() -> None:
    job = build(Singlepoint(gfn=1), Singlepoint(gfn=2), files=frozenset({"wbo"}))
    steps = job.steps
    assert [(step.name, step.argv[3]) for step in steps] == [("step0", "1"), ("step1", "2")]
    removed = set(job.removed_before(1))
    assert {"xtbout.json", "wbo", "molecule.engrad", "xtbrestart"} <= removed
    assert not {"molecule.xyz", ".CHRG", ".UHF"} & removed


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "-rf", "a b", "a\nb", "a\n", "a;b", "$x", "*", "é"]
)
def test_a_name_that_could_escape_the_sandbox_or_its_quotes_is_not_a_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        check_file_name(name)


@pytest.mark.parametrize("name", ["orca.gbw", ".CHRG", "...", "a-b_c.1", "_x"])
def test_a_plain_name_is_a_file_name(name: str) -> None:
    assert check_file_name(name) == name


# --- optimizations, hessians, dynamics -----------------------------------------------------------


def build_with(function: Any, options: Any, *rungs: Any, **rescued: bytes) -> Job:
    names = {name.replace("_", "."): content for name, content in rescued.items()}
    step = StepRequest("step0", options, frozenset(), rungs, names)
    found = function(CATION, [step], Software())
    assert isinstance(found, Job)
    return found


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (singlepoint, Singlepoint(gfn="ff"), "molecule.xyz --gfnff --grad"),
        (
            singlepoint,
            Singlepoint(solvent="H2O", gradient=False),
            "molecule.xyz --gfn 2 --json --alpb water",
        ),
        (
            optimize,
            Optimize(level="tight", cycles=50, solvent="n-hexane", solvation="gbsa"),
            "molecule.xyz --gfn 2 --json --gbsa hexane --opt tight --cycles 50",
        ),
        (hessian, Hessian(gfn=1), "molecule.xyz --gfn 1 --json --hess --input step0.inp"),
        (md, Dynamics(gfn="ff"), "start.step0.xyz --gfnff --md --input step0.inp"),
    ],
)
def test_each_function_has_its_arguments(function: Any, options: Any, words: str) -> None:
    [step] = build_with(function, options).steps
    assert " ".join(step.argv) == f"xtb {words}"


def test_a_new_option_does_not_change_the_hash_of_old_recipes() -> None:
    assert Singlepoint().model_dump(exclude_none=True) == {"gfn": 2, "gradient": True}


def test_synonyms_of_a_solvent_are_one_option() -> None:
    for name in ("h2o", "Water", " WATER "):
        found = Singlepoint.model_validate({"solvent": name}).model_dump(exclude_none=True)
        assert (found["solvent"], found["solvation"]) == ("water", "alpb")


def test_the_settings_of_an_md_are_written_to_a_file() -> None:
    options = Dynamics(time=1.5, step=0.5, temperature=350.0, nvt=False, velocities=True)
    job = build_with(md, options)
    assert job.files["step0.inp"].decode().split() == [
        "$md",
        *("time=1.5", "step=0.5", "temp=350.0", "dump=50.0", "shake=1", "hmass=4"),
        *("nvt=false", "velo=true", "sccacc=2.0"),
        "$samerand",
        "$end",
    ]
    assert b"samerand" not in build_with(md, Dynamics(samerand=False)).files["step0.inp"]


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Dynamics, {"time": 0.001}),
        (Dynamics, {"step": 0.0}),
        (Dynamics, {"dump": 1.0, "step": 2.0}),
        (Dynamics, {"time": 1000.0, "step": 0.5}),
        (Dynamics, {"shake": 3}),
        (Dynamics, {"shake": True}),
        (Dynamics, {"temperature": 0}),
        (Optimize, {"level": "best"}),
        (Optimize, {"cycles": 0}),
        (Hessian, {"temperature": -1}),
        (Singlepoint, {"solvent": "vodka"}),
        (Singlepoint, {"solvation": "alpb"}),
        (Singlepoint, {"solvent": "dmf", "solvation": "gbsa", "gfn": 1}),
        (XtbRung, {"name": "hot", "etemp": 5000}),
        (XtbRung, {"name": "a", "engine": "none"}),
    ],
)
def test_invalid_options_and_rungs_are_refused(model: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)


def test_a_rung_for_the_charges_never_lowers_the_requested_settings() -> None:
    rung = XtbRung(name="more", iterations=1000, damping=0.1)
    job = build_with(singlepoint, Singlepoint(iterations=2000), rung)
    assert " ".join(job.steps[0].argv[1:]) == (
        "molecule.xyz --gfn 2 --json --grad --iterations 2000 --input step0.inp"
    )
    assert job.files["step0.inp"].split() == [b"$scc", b"broydamp=0.1", b"$end"]
    same = build_with(singlepoint, Singlepoint(gfn="ff"), rung)
    assert same == build_with(singlepoint, Singlepoint(gfn="ff"))


GEOMETRY = b"3\n energy: -1.0\nO 0.1 0.2 0.3\nH 0.5 0.5 1.5\nH 1.5 0.5 0.5\n"


@pytest.mark.parametrize("name", ["xtbopt_xyz", "xtblast_xyz", "xtbopt_log"])
def test_an_optimization_continues_from_the_last_geometry(name: str) -> None:
    rung = XtbRung(name="restart", restart=True, cycles=500, engine="lbfgs")
    content = GEOMETRY.replace(b"0.1", b"9.9") * (name == "xtbopt_log") + GEOMETRY
    job = build_with(optimize, Optimize(), rung, **{name: content})
    assert job.steps[0].argv[1] == "start.step0.xyz"
    assert b"0.100000000000" in job.files["start.step0.xyz"]
    assert job.files["molecule.xyz"] == turned(CATION).xyz().encode()
    assert job.files["step0.inp"].split() == [b"$opt", b"engine=lbfgs", b"$end"]
    assert "--cycles 500" in " ".join(job.steps[0].argv)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        GEOMETRY[:-10],
        GEOMETRY.replace(b"0.1", b"NaN"),
        GEOMETRY.replace(b"O", b"S"),
        b"2\n\nO 0 0 0\nH 0 0 1\n",
    ],
)
def test_a_last_geometry_of_another_molecule_is_not_used(content: bytes) -> None:
    rung = XtbRung(name="restart", restart=True)
    job = build_with(optimize, Optimize(), rung, xtbopt_xyz=content)
    assert job.steps[0].argv[1] == "molecule.xyz"


def test_only_an_optimization_may_start_elsewhere() -> None:
    rung = XtbRung(name="restart", restart=True)
    for function, options in ((singlepoint, Singlepoint()), (hessian, Hessian()), (md, Dynamics())):
        job = build_with(function, options, rung, xtbopt_xyz=GEOMETRY)
        assert job == build_with(function, options)


def test_the_rungs_of_a_ladder_have_different_names() -> None:
    names = [rung.name for ladder in LADDERS.values() for rung in ladder]
    assert len(set(names)) == len(names)
