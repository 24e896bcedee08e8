"""The task function of xtb: a molecule and steps become a job."""

import pytest
from pydantic import ValidationError

from wqmaster.job import Job, check_file_name
from wqmaster.molecule import Molecule
from wqmaster.tasks import Software, StepRequest
from wqmaster.tasks.xtb import Singlepoint, singlepoint

# All values of the document are told apart from what the campaign says.
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
    ],
)
def test_an_option_that_xtb_cannot_have_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        Singlepoint.model_validate({name: value})


def test_charge_and_unpaired_electrons_stand_in_files() -> None:
    files = build(Singlepoint()).files
    assert files[".CHRG"] == b"-3\n"
    assert files[".UHF"] == b"3\n"
    assert files["molecule.xyz"] == CATION.xyz().encode()


def test_nothing_of_a_document_is_in_a_command_line() -> None:
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


def test_the_json_and_what_parsers_want_come_back_but_streams_are_not_named() -> None:
    [step] = build(Singlepoint(), files=frozenset({"stdout", "stderr", "wbo"})).steps
    assert set(step.outputs) == {"xtbout.json", "wbo"}


def test_steps_run_in_order_and_each_removes_what_the_one_before_left() -> None:
    steps = build(Singlepoint(gfn=1), Singlepoint(gfn=2), files=frozenset({"wbo"})).steps
    assert [(step.name, step.argv[3]) for step in steps] == [("step0", "1"), ("step1", "2")]
    for step in steps:
        assert set(step.outputs) | {"molecule.engrad", "xtbrestart"} <= set(step.clean)
        assert not {"molecule.xyz", ".CHRG", ".UHF"} & set(step.clean)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "/a", "-rf", "a b", "a\nb", "a\n", "a;b", "$x", "*", "é"]
)
def test_a_name_that_could_leave_the_sandbox_or_its_quotes_is_no_file_name(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        check_file_name(name)


@pytest.mark.parametrize("name", ["orca.gbw", ".CHRG", "...", "a-b_c.1", "_x"])
def test_a_plain_name_is_a_file_name(name: str) -> None:
    assert check_file_name(name) == name
