"""The task function for ORCA: routes, resources, remedies."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wqmaster.campaign.loading import load
from wqmaster.errors import CampaignError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.orca.remedies import LADDERS, OrcaRung, check_route
from wqmaster.tasks.orca.task import Step, check, impostor, sequential

EXAMPLE = Path(__file__).parents[2] / "examples" / "orca-wb97mv"
ROUTE = "! B3LYP def2-SVP EnGrad\n%scf maxiter 100 end\n"
RADICAL = Molecule(
    id="x'; rm -rf / #",
    numbers=(8, 1),
    coordinates=((0.125, 0.0, 1 / 3), (0.0, -1e-7, 0.96875)),
    charge=-2,
    multiplicity=3,
)


def request(name: str = "sp", route: str = ROUTE, **more: Any) -> StepRequest:
    others = ("remedies", "rescued", "files", "geometry")
    taken = {key: more.pop(key) for key in others if key in more}
    return StepRequest(name, Step(route=route, **more), taken.pop("files", frozenset()), **taken)


def build(*steps: StepRequest, **software: Any) -> Job:
    check(steps, Software(**software))
    return sequential(RADICAL, steps, Software(**software))


def text(job: Job, name: str = "sp") -> str:
    return job.files[f"{name}.inp"].decode()


def test_the_input_is_the_route_and_the_molecule() -> None:
    assert text(build(request())).splitlines() == [
        "! B3LYP def2-SVP EnGrad",
        "%scf maxiter 100 end",
        "* xyz -2 3",
        "O        0.125000000000       0.000000000000       0.333333333333",
        "H        0.000000000000      -0.000000100000       0.968750000000",
        "*",
    ]


def test_resources_become_pal_and_maxcore() -> None:
    lines = text(build(request(), cores=4, memory=8000)).splitlines()
    assert lines[2:4] == ["%pal nprocs 4 end", "%maxcore 1500"]
    lines = text(build(request(), memory=8000)).splitlines()
    assert lines[2:4] == ["%maxcore 6000", "* xyz -2 3"]


def test_a_route_that_requests_the_same_processes_is_unchanged() -> None:
    for route in ("! HF\n%pal nprocs 4 end", "! HF PAL4", "%PAL\n  nprocs 4\nend\n! HF"):
        assert "nprocs 4 end\n*" not in text(build(request(route=route), cores=4)).replace(
            route, ""
        )


@pytest.mark.parametrize(
    ("route", "software", "said"),
    [
        ("! HF\n%pal nprocs 8 end", {"cores": 4}, "asks for 8 processes"),
        ("! HF PAL4", {}, "asks for 4 processes"),
        ("! HF\n%pal nprocs=4 end", {}, "asks for 4 processes"),
        ("! HF PAL2\n%pal nprocs 4 end", {"cores": 4}, "asks for 2 processes"),
        ("! HF\n%maxcore=4000", {"cores": 4, "memory": 8000}, "%maxcore 4000 for 4"),
        ("! HF\n%maxcore 4000", {"cores": 4, "memory": 8000}, "%maxcore 4000 for 4"),
        ('! HF moread\n%moinp "scf.gbw"', {}, "no earlier step writes"),
    ],
)
def test_a_route_that_contradicts_the_campaign_is_refused(
    route: str, software: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        check([request(route=route)], Software(**software))


@pytest.mark.parametrize(
    "route",
    [
        "! HF\n* xyz 0 1\nH 0 0 0\n*",
        "! HF\n*xyzfile 0 1 a.xyz",
        "! HF def2-SVP * xyz 0 1",
        "! HF def2-SVP *xyzfile 0 1 a.xyz",
        "! HF\n%coords\nend",
        "! HF\n$new_job\n! HF",
        '! HF\n%base "x"',
        "# only a comment",
        "",
    ],
)
def test_an_invalid_route_is_refused(route: str) -> None:
    with pytest.raises(ValidationError):
        Step(route=route)


def test_a_comment_is_not_part_of_a_route() -> None:
    Step(route="! HF # * xyz 0 1 # def2-SVP\n# %coords\n")


def test_a_later_step_finds_the_files_of_an_earlier_one() -> None:
    job = build(request("first"), request("second", "! wB97X\n", moread="first", geometry="first"))
    lines = text(job, "second").splitlines()
    assert lines == ["! wB97X", "! moread", '%moinp "first.gbw"', "* xyzfile -2 3 first.xyz"]
    first, second = job.steps
    assert first.rename == (("first.inp", "orca.inp"),)
    assert second.rename == (
        ("second.inp", "orca.inp"),
        ("orca.gbw", "first.gbw"),
        ("orca.xyz", "first.xyz"),
    )
    assert first.argv == second.argv == ("orca", "orca.inp")


def test_moread_may_be_in_the_route() -> None:
    build(request("a"), request("b", '! HF moread\n%moinp "a.gbw"'))
    with pytest.raises(ValueError, match="does not name an earlier step"):
        build(request("a", moread="b"), request("b"))


def test_wanted_files_are_returned_and_leftover_ones_are_not() -> None:
    wanted = frozenset({"orca.engrad", "orca.gbw", "stdout"})
    job = build(request("a", files=wanted), request("b", files=wanted))
    step = job.steps[1]
    assert step.outputs == ("orca.engrad", "orca.gbw")
    assert {"orca.engrad", "orca.hess", "orca.property.json"} <= set(job.removed_before(1))
    assert step.rescue == ("orca.gbw",)


def test_a_parallel_orca_is_called_by_its_full_path() -> None:
    [step] = build(request(), cores=2).steps
    assert step.argv[:2] == ("sh", "-c")
    assert step.argv[-2:] == ("orca", "orca.inp")
    [step] = build(request(), cores=2, commands={"orca": "/opt/orca/orca"}).steps
    assert step.argv == ("/opt/orca/orca", "orca.inp")


def test_no_value_of_the_document_is_in_a_command_line() -> None:
    job = build(request())
    assert not any("rm" in word or "-2" in word for step in job.steps for word in step.argv)


# --- remedies ------------------------------------------------------------------------------------


def with_rung(
    route: str, rung: OrcaRung, rescued: dict[str, bytes] | None = None, **more: Any
) -> str:
    return text(build(request(route=route, remedies=(rung,), rescued=rescued or {}), **more))


def test_a_rung_adds_to_the_route() -> None:
    rung = OrcaRung(name="slow", route="! SlowConv KDIIS\n%scf maxiter 500 end")
    assert with_rung(ROUTE, rung).splitlines()[:4] == [
        "! B3LYP def2-SVP EnGrad",
        "%scf maxiter 100 end",
        "! SlowConv KDIIS",
        "%scf maxiter 500 end",
    ]


def test_a_keyword_is_never_given_twice_and_opposites_are_removed() -> None:
    rung = OrcaRung(name="slow", route="! VerySlowConv KDIIS")
    lines = with_rung("! HF slowconv KDIIS def2-SVP # slowconv", rung).splitlines()
    assert lines[0].split()[:3] == ["!", "HF", "def2-SVP"]
    assert lines[1] == "! VerySlowConv KDIIS"


def test_a_restart_begins_from_the_returned_orbitals() -> None:
    rung = OrcaRung(name="again", restart=True)
    step = request(remedies=(rung,), rescued={"orca.gbw": b"orbitals"})
    job = build(step)
    assert job.files["restart-sp.gbw"] == b"orbitals"
    assert '! moread\n%moinp "restart-sp.gbw"\n' in text(job)
    assert "moread" not in with_rung(ROUTE, rung)


def test_each_step_begins_from_its_own_orbitals() -> None:
    rung = OrcaRung(name="again", restart=True)
    steps = [
        request(name, remedies=(rung,), rescued={"orca.gbw": name.encode()})
        for name in ("first", "second")
    ]
    job = build(*steps)
    for name in ("first", "second"):
        assert job.files[f"restart-{name}.gbw"] == name.encode()
        assert f'%moinp "restart-{name}.gbw"' in text(job, name)


GEOMETRY = b"""
---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
  O      0.500000    0.000000    0.000000
  H      1.500000    0.000000    0.250000

"""


@pytest.mark.parametrize(
    ("route", "output", "x"),
    [
        ("! HF Opt", GEOMETRY, "0.500000000000"),
        ("! HF TightOpt", GEOMETRY, "0.500000000000"),
        ("! HF OptTS", GEOMETRY, "0.500000000000"),
        ("! HF", GEOMETRY, "0.125000000000"),
        ("! HF Opt\n%geom\n Scan B 0 1 = 1.0, 2.0, 5 end\nend", GEOMETRY, "0.125000000000"),
        ("! HF Opt", GEOMETRY.replace(b"  H ", b"  F "), "0.125000000000"),
        ("! HF Opt", GEOMETRY.replace(b"0.500000", b"     nan"), "0.125000000000"),
        ("! HF Opt", GEOMETRY[:150], "0.125000000000"),
        ("! HF Opt", b"", "0.125000000000"),
    ],
)
def test_an_optimization_continues_where_it_stopped(route: str, output: bytes, x: str) -> None:
    rung = OrcaRung(name="again", restart=True)
    lines = with_rung(route, rung, {"stdout": output}).splitlines()
    [atom] = [line for line in lines if line.startswith("O ")]
    assert atom.split()[1] == x


def test_fewer_processes_have_more_memory_each() -> None:
    rung = OrcaRung(name="serial", processes=1)
    assert "%maxcore 6000\n" in with_rung(ROUTE, rung, cores=4, memory=8000)
    lines = with_rung("! HF\n%pal nprocs 4 end", rung, cores=4)
    assert "%pal nprocs 1 end" in lines


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("! HF PAL4", "! HF\n* xyz"),
        ("! HF\n!PAL4", "! HF\n* xyz"),
        ("! HF\n%pal # all of them!\n  nprocs=4\nend", "nprocs=1\nend\n* xyz"),
    ],
)
def test_fewer_processes_replace_the_number_in_the_route(route: str, expected: str) -> None:
    found = with_rung(route, OrcaRung(name="serial", processes=1), cores=4)
    assert expected in found.replace(" \n", "\n")
    assert "4" not in found.partition("* xyz")[0]


def test_orbitals_are_not_read_if_a_rung_has_its_own_guess() -> None:
    rung = OrcaRung(name="guess", route="! VerySlowConv Hueckel")
    before = request("pre", "! HF")
    for step in (
        request(route="! HF", moread="pre", remedies=(rung,)),
        request(route='! HF moread\n%moinp "pre.gbw"', remedies=(rung,)),
        request(route='! HF\n! moread\n%moinp "pre.gbw"', remedies=(rung,)),
    ):
        found = text(build(before, step))
        assert "Hueckel" in found
        assert "mo" not in found.lower().partition("* xyz")[0]
        assert "!\n" not in found
    again = OrcaRung(name="again", restart=True)
    step = request(
        route='! HF moread\n%moinp "pre.gbw"',
        remedies=(rung, again),
        rescued={"orca.gbw": b"orbitals"},
    )
    found = text(build(before, step))
    assert found.lower().count("moinp") == 1
    assert '! moread\n%moinp "restart-sp.gbw"\n' in found


def test_the_routes_own_maxcore_grows_with_the_memory() -> None:
    rung = OrcaRung(name="more", memory=2)
    found = with_rung("! HF\n%maxcore 1000 # each", rung, memory=8000)
    assert found.count("%maxcore") == found.count("%maxcore 2000") == 1


@pytest.mark.parametrize(
    "route",
    [
        "! def2-TZVPP",
        "! B3LYP",
        "! NoRI",
        "! RIJCOSX",
        "! DefGrid3",
        "! LooseSCF",
        "! TightSCF",
        "! SlowConv B3LYP",
        "! NoIter",
        "! UKS",
        "%scf convergence loose end",
        "%scf tole 1e-4 end",
        "%scf thresh 1e-8 end",
        "%scf smeartemp 5000 end",
        "%scf hftyp uhf end",
        "%scf brokensym 1,1 end",
        "%basis basis def2-SVP end",
        '%basis newgto H "x" end end',
        "%method functional pbe end",
        "%method grid 5 end",
        "%geom convergence loose end",
        "%geom tole 1e-3 end",
        "%mdci tcutpno 1e-5 end",
        "%cpcm epsilon 80 end",
        "%maxcore 4000",
        "%pal nprocs 4 end",
        '%moinp "other.gbw"',
        "* xyz 0 1",
        "%scf maxiter 500",
        "%scf maxiter end",
        "%scf shift convergence loose end end",
        "%scf maxiter $(reboot) end",
        "B3LYP",
        "! SlowConv\nB3LYP",
    ],
)
def test_a_rung_that_may_change_the_level_of_theory_is_refused(route: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_route(route)
    with pytest.raises(ValidationError):
        OrcaRung(name="x", route=route)


@pytest.mark.parametrize(
    "route",
    [
        "! SlowConv",
        "! kdiis SOSCF notrah",
        "! PAtom # B3LYP",
        "%scf maxiter 500 guess hueckel end",
        "%scf\n  Shift Shift 0.1 ErrOff 0.1 end\n  DIISMaxEq 15\nend",
        "%geom maxiter 200 coordsys cartesian end\n%scf maxiter 300 end",
        "%mdci maxiter 200 lshift 0.5 end",
        "%mdci levelshift 0.5 end",
        "",
    ],
)
def test_a_rung_that_changes_only_the_way_is_accepted(route: str) -> None:
    assert OrcaRung(name="x", route=route).route == route


@pytest.mark.parametrize(
    "rung", [rung for ladder in LADDERS.values() for rung in ladder], ids=lambda rung: rung.name
)
def test_the_default_rungs_pass_their_own_check(rung: OrcaRung) -> None:
    check_route(rung.route)


# --- the campaign --------------------------------------------------------------------------------


def changed(folder: Path, more: str) -> Path:
    path = folder / "campaign.yaml"
    path.write_text((EXAMPLE / "campaign.yaml").read_text() + more)
    return path


def test_a_campaign_with_old_names_gives_the_same_recipe() -> None:
    new = resolve(load(EXAMPLE / "campaign.yaml", {}))
    old = resolve(load(EXAMPLE / "campaign-htrq.yaml", {}))
    assert (new.hash, new.target, new.named) == (old.hash, old.target, old.named)
    [step] = new.steps
    assert [call.name for call in step.parsers] == ["total_energy", "gradient", "dipole"]
    assert step.needed == {"stdout", "orca.gbw"}


def test_old_parser_names_map_to_ours_and_stay_the_stored_names(tmp_path: Path) -> None:
    path = tmp_path / "campaign.yaml"
    text = (EXAMPLE / "campaign-htrq.yaml").read_text()
    path.write_text(text.replace("orca.dipole", "orca.dftd_gradient"))
    [step] = resolve(load(path, {})).steps
    assert [call.name for call in step.parsers] == ["total_energy", "gradient", "dftd_gradient"]
    assert step.parsers[-1].function.__name__ == "dispersion_gradient"


@pytest.mark.parametrize(
    ("more", "line", "said"),
    [
        ("remedies: {scf_not_convrged: []}\n", 26, "did you mean 'scf_not_converged'"),
        ("remedies: {input_keyword: [slow_conv]}\n", 26, "never retried"),
        ("remedies: {killed: [slow_conv]}\n", 26, "retried elsewhere"),
        ("remedies: {scf_not_converged: [slowconv]}\n", 26, "did you mean 'slow_conv'"),
        (
            "remedies:\n  scf_not_converged:\n  - {name: a, route: '! PBE'}\n",
            28,
            "'PBE' may change the level of theory",
        ),
        ("remedies: {memory: [{name: a, memory: 2}]}\n", 26, "'resources: {memory: MB}'"),
        ("remedies: {memory: [{name: a, memroy: 2}]}\n", 26, "did you mean 'memory'"),
        ("remedies: {diverged: [{name: slow_conv, time: 2}]}\n", 26, "rename yours"),
    ],
)
def test_a_wrong_remedy_is_refused_with_its_line(
    tmp_path: Path, more: str, line: int, said: str
) -> None:
    with pytest.raises(CampaignError) as caught:
        resolve(load(changed(tmp_path, more), {}))
    assert said in caught.value.message
    assert f"campaign.yaml:{line}: " in caught.value.message


def test_a_campaign_may_change_some_ladders_and_keep_the_others(tmp_path: Path) -> None:
    more = (
        "resources: {memory: 4000}\n"
        "remedies:\n  scf_not_converged: [kdiis_soscf, {name: mine, route: '! LShift'}]\n"
        "  opt_not_converged: []\n"
    )
    ladders = resolve(load(changed(tmp_path, more), {})).ladders["wb97md3bj"]
    names = {kind: [rung.name for rung in ladder] for kind, ladder in ladders.items()}
    assert names[FailureClass.SCF_NOT_CONVERGED] == ["kdiis_soscf", "mine"]
    assert names[FailureClass.OPT_NOT_CONVERGED] == []
    assert names[FailureClass.MEMORY] == ["memory_2x", "memory_4x"]


def test_remedies_can_be_switched_off(tmp_path: Path) -> None:
    found = resolve(load(changed(tmp_path, "remedies: false\n"), {}))
    assert not any(found.ladders.values())


def test_more_memory_is_never_requested_if_the_amount_is_unknown() -> None:
    ladders = resolve(load(EXAMPLE / "campaign.yaml", {})).ladders["wb97md3bj"]
    assert ladders[FailureClass.MEMORY] == []


def test_the_screen_reader_is_not_taken_for_orca(tmp_path: Path) -> None:
    reader = tmp_path / "orca"
    reader.write_text(
        "#!/usr/bin/python3\n#\n# Orca\n#\n# Copyright 2012 The Orca Team\n\nimport argparse\n"
        'import gi\ngi.require_version("Atspi", "2.0")\nfrom orca import debug\n'
    )
    assert "screen reader" in (impostor(reader) or "")
    reader.write_bytes(b"\x7fELF" + b"\x00" * 100)
    assert impostor(reader) is None
    reader.write_text(
        '#!/bin/sh\n# ORCA from orca_6_1_0, not of the Orca Team\nexec "$ORCA" "$@"\n'
    )
    assert impostor(reader) is None
