"""PySCF: options, remedies, parsers and diagnosis, on reports of real runs (data/pyscf)."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked, Job
from wqmaster.jobs.molecule import Molecule
from wqmaster.parsers import pyscf as parsers
from wqmaster.parsers.base import Output
from wqmaster.parsers.pyscf.report import FILE
from wqmaster.tasks.base import Software, StepRequest
from wqmaster.tasks.pyscf import names
from wqmaster.tasks.pyscf.leaves import CHECKPOINT, LAST_GEOMETRY
from wqmaster.tasks.pyscf.options import Common, Optimize, Singlepoint
from wqmaster.tasks.pyscf.remedies import LADDERS, PyscfRung
from wqmaster.tasks.pyscf.task import PROGRAM, hessian, optimize, singlepoint
from wqmaster.testing import Sample, check_program

DATA = Path(__file__).parent / "data" / "pyscf"
WATER = Molecule("w", (8, 1, 1), ((0, 0, 0), (0, 0, 0.96), (0.93, 0, -0.24)), document={})
RADICAL = Molecule("oh", (8, 1), ((0, 0, 0), (0, 0, 0.98)), multiplicity=2, document={})
LEVEL = {"xc": "wb97x-d3bj", "basis": "def2-svp"}


def output(name: str, change: Callable[[Any], object] | None = None) -> Output:
    """The files of a run in data/pyscf; `change` edits its report."""
    files = {path.name: path.read_bytes() for path in (DATA / name).iterdir()}
    if change is not None:
        found = json.loads(files[FILE])
        change(found)
        files[FILE] = json.dumps(found).encode()
    return Output(files)


def asked(molecule: Molecule = WATER) -> Asked:
    return Asked(
        *(molecule.id, 1, len(molecule.numbers), molecule.charge, molecule.multiplicity),
        *("m", "r", "t"),
    )


def diagnosed(name: str, change: Callable[[Any], object] | None = None, **options: Any) -> Any:
    molecule = RADICAL if name in ("radical", "not-converged") else WATER
    found = parsers.diagnose(output(name, change), asked(molecule), options)
    return found and found.kind


# --- the contract ------------------------------------------------------------------------------


def test_pyscf_keeps_the_contract() -> None:
    def files(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (DATA / name).iterdir()}

    wet = {"xc": "wb97m-v", "basis": "sto-3g", "density_fit": True, "solvent": "water"}
    small = {"basis": "sto-3g", "grid": 1}
    good = Sample(
        singlepoint,
        files("singlepoint"),
        {
            "energy": -75.31802490012123,
            "gradient": [
                [0.07344515838654331, -2.5128134259854057e-15, 0.05752710612508816],
                [-0.014074042488716118, -1.4623164176491943e-16, -0.05884108113474946],
                [-0.05982390499548371, -3.07829271317935e-17, 0.0009345293168747991],
            ],
            "nuclear_energy": 9.166026557521228,
            "one_electron_energy": -122.425669098841,
            "xc_energy": -9.459310032654553,
            "nl_energy": 0.04307737569643761,
            "solvation_energy": -0.00731504127451043,
            "mulliken_charges": [-0.40158084781274006, 0.2008925280193834, 0.20068831979335755],
            "iao_charges": [-0.49941525790320895, 0.24977080139329644, 0.24964445650991068],
            "mulliken_spins": [0.0, 0.0, 0.0],
            "iao_spins": [0.0, 0.0, 0.0],
            "homo_lumo_gap": 0.7366073752950941,
            "basis_functions": 7,
            "charge": 0,
            "multiplicity": 1,
            "integrated_electrons": {
                "total": 9.999983555312763,
                "alpha": 4.999991777656382,
                "beta": 4.999991777656382,
            },
            "scf_cycles": {"cycles": 7, "limit": 50, "converged": True, "at_limit": False},
        },
        "2.14.0",
        options={**wet, "grid": 1, "nlc_grid": 0},
        molecule=WATER,
    )
    radical = Sample(
        singlepoint,
        files("radical"),
        {
            "energy": -74.68585210888244,
            "dispersion_energy": -0.00025206751239919927,
            "mulliken_spins": [1.0390500307380046, -0.03905003073800517],
            "loewdin_charges": [-0.10387500192097576, 0.10387500192097338],
            "iao_spins": [1.030404031899133, -0.030404031899135875],
            "s_squared": {
                "value": 0.7510267687467573,
                "ideal": 0.75,
                "deviation": 0.0010267687467573339,
            },
        },
        "2.14.0",
        options={**small, "xc": "wb97x-d3bj"},
        molecule=RADICAL,
    )
    moved = Sample(
        optimize,
        files("optimize"),
        {"energy": -74.9659011863632, "opt_cycles": 5},
        "2.14.0",
        options={"xc": "hf", "basis": "sto-3g"},
        molecule=WATER,
    )
    waves = Sample(
        hessian,
        files("hessian"),
        {
            "frequencies": [1746.7647884345836, 4297.963449252284, 4630.174869451566],
            # Half the sum of the frequencies, 5337.451553069216 / cm, in Eh.
            "zero_point_energy": 0.024319218674237343,
        },
        "2.14.0",
        options={**small, "xc": "pbe"},
        molecule=WATER,
    )
    restricted = Sample(
        singlepoint,
        files("restricted"),
        {"energy": -74.96335863557601},
        "2.14.0",
        options={"xc": "hf", "basis": "sto-3g", "gradient": False, "restricted": True},
        molecule=WATER,
    )
    failed = Sample(
        singlepoint,
        {**files("not-converged"), CHECKPOINT: b"HDF5"},
        version="2.14.0",
        options={"xc": "pbe", "basis": "sto-3g", "grid": 0, "max_cycle": 2},
        molecule=RADICAL,
        failure=FailureClass.SCF_NOT_CONVERGED,
    )
    check_program(PROGRAM, [good, radical, moved, waves, restricted, failed])


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"xc": "wb97xd3bj"}, "did you mean 'wb97x-d3bj'"),
        ({"xc": "wb97x-d3"}, "the nearest is 'wb97x-d3bj'"),
        ({"xc": "wb97x-d4"}, "means different functionals in different versions"),
        ({"xc": "0.2*HF + 0.8*B8, LYP"}, "functional 'b8'"),
        ({"xc": "b3lyp-d3xx"}, "dispersion correction 'd3xx'"),
        ({"xc": ""}, "the functional is empty"),
        ({"basis": "def2-svpp"}, "did you mean 'def2-svp"),
        ({"basis": {"C": "def2-svp", "Q": "def2-svp"}}, "'Q' is neither an element"),
        ({"auxbasis": "def2-universal-jkfit"}, "add 'density_fit: true'"),
        ({"xc": "b3lyp", "dispersion": "d3"}, "correction 'd3'; did you mean"),
        ({"xc": "b3lyp-d3bj", "dispersion": "d4"}, "includes a dispersion correction"),
        ({"solvent": "watr"}, "did you mean 'water'"),
        ({"solvation": "smd"}, "needs a 'solvent'"),
        ({"ecp": "lanl2d"}, "did you mean 'lanl2dz'"),
        ({"xc": "hf", "nlc": "vv10"}, "Hartree-Fock has none"),
        ({"xc": "b2plyp-d3bj"}, "needs MP2"),
        ({"xc": "wb97m(2)"}, "needs MP2"),
        ({"xc": "r2scan-3c"}, "composite method"),
        ({"xc": "lyp"}, "correlation only; name an exchange functional before it: 'pbe,lyp'"),
        ({"xc": "ak13"}, "exchange only"),
        ({"xc": "wb97m-v", "dispersion": "d3bj"}, "count dispersion twice"),
        ({"xc": "wb97x-d3bj", "nlc": "vv10"}, "count dispersion twice"),
        ({"basis": "def2-universal-jkfit"}, "is an auxiliary basis; name it in 'auxbasis'"),
        ({"density_fit": True, "auxbasis": "def2-svp"}, "is not an auxiliary basis"),
        ({"basis": {}}, "no basis is named"),
        ({"basis": {"h": "sto-3g", "H": "6-31g"}}, "'H' is named twice"),
        ({"grid": True}, "must be a number"),
        ({"solvent": "xyz"}, "no solvent 'xyz'; write its full name"),
        ({"guess": "chkfile"}, "guess"),
        ({"grids": 3}, "unknown key 'grids'"),
    ],
)
def test_what_pyscf_does_not_know_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Singlepoint.model_validate({**LEVEL, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"xc": "PBE0"},
        {"xc": "0.2*HF + 0.08*LDA + 0.72*B88, 0.81*LYP + 0.19*VWN"},
        {"xc": "pbe,pbe"},
        {"xc": "B3LYP-D3BJ"},
        {"xc": "m06-2x", "dispersion": "d3zero"},
        {"xc": "r2scan-d4"},
        {"xc": "wb97x-v", "nlc": False, "dispersion": "d4:wb97x"},
        {"basis": "6-31G(d,p)"},
        {"basis": "6-311++G**"},
        {"basis": "aug-cc-pVTZ"},
        {"basis": {"I": "def2-TZVP", "default": "def2-SVP"}, "ecp": {"I": "def2-TZVP"}},
        {"density_fit": True, "auxbasis": "def2-universal-jkfit"},
        {"solvent": "Acetonitrile", "solvation": "IEF-PCM"},
        {"xc": "b88,lyp"},
        {"xc": "wb97m-v", "nlc": False, "dispersion": "d3bj"},
        {"xc": "pbe", "nlc": "VV10"},
        {"density_fit": True, "auxbasis": {"H": "weigend", "default": "def2-tzvp-ri"}},
    ],
)
def test_what_pyscf_knows_is_accepted(options: dict[str, Any]) -> None:
    Singlepoint.model_validate({**LEVEL, **options})


@pytest.mark.parametrize("name", names.solvents())
def test_every_solvent_has_its_own_spelling(name: str) -> None:
    assert Singlepoint.model_validate({**LEVEL, "solvent": name.upper()}).solvent == name


@pytest.mark.parametrize(
    ("alias", "name"), [("DMSO", "dimethylsulfoxide"), ("thf", "tetrahydrofuran"), ("H2O", "water")]
)
def test_usual_names_of_solvents_are_known(alias: str, name: str) -> None:
    assert Singlepoint.model_validate({**LEVEL, "solvent": alias}).solvent == name


def test_every_usual_name_of_a_solvent_means_one_that_pyscf_has() -> None:
    assert set(names.SOLVENT_ALIASES.values()) <= set(names.solvents())


def test_a_level_of_theory_must_be_stated() -> None:
    with pytest.raises(ValidationError, match="xc"):
        Singlepoint.model_validate({"basis": "def2-svp"})


@pytest.mark.parametrize("key", sorted(set(Common.model_fields) - set(PyscfRung.model_fields)))
def test_no_remedy_changes_the_level_of_theory(key: str) -> None:
    with pytest.raises(ValidationError, match="may change the level of theory"):
        PyscfRung.model_validate({"name": "mine", key: 1})


# --- jobs --------------------------------------------------------------------------------------


def call_of(job: Job, step: str = "a") -> Any:
    return json.loads(job.files[f"pyscf-{step}.json"])


def job_of(function: Any, model: Any, **more: Any) -> Job:
    request = StepRequest("a", model.model_validate(LEVEL), frozenset(), **more)
    return function(WATER, [request], Software(memory=1000))  # type: ignore[no-any-return]


def test_a_rung_sets_the_path_and_leaves_the_options_alone() -> None:
    plain = call_of(job_of(singlepoint, Singlepoint))
    for rung in LADDERS[FailureClass.SCF_NOT_CONVERGED]:
        changed = call_of(job_of(singlepoint, Singlepoint, remedies=(rung,)))
        assert changed["options"] == plain["options"]
        assert changed["settings"]


def test_a_restart_uses_the_files_of_the_failed_attempt() -> None:
    [rung] = LADDERS[FailureClass.OPT_NOT_CONVERGED]
    moved = replace(WATER, coordinates=((0, 0, 0.01), (0, 0, 0.96), (0.93, 0, -0.24)))
    rescued = {CHECKPOINT: b"hdf5", LAST_GEOMETRY: moved.xyz().encode()}
    job = job_of(optimize, Optimize, remedies=(rung,), rescued=rescued)
    assert call_of(job)["start"][0] == [0, 0, 0.01]
    assert job.files[call_of(job)["settings"]["checkpoint"]] == b"hdf5"
    of_others = {LAST_GEOMETRY: RADICAL.xyz().encode()}
    other = job_of(optimize, Optimize, remedies=(rung,), rescued=of_others)
    assert call_of(other)["start"] is None
    assert "checkpoint" not in call_of(other)["settings"]


# --- diagnosis ---------------------------------------------------------------------------------


def test_a_good_report_is_a_result() -> None:
    assert diagnosed("singlepoint", xc="wb97m-v", grid=1) is None
    assert diagnosed("radical") is None


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda d: d["molecule"].update(natoms=4), FailureClass.ATOM_COUNT),
        (lambda d: d["molecule"].update(charge=1), FailureClass.NOT_AS_ASKED),
        (lambda d: d["molecule"].update(multiplicity=3), FailureClass.NOT_AS_ASKED),
        (lambda d: d["method"].update(xc="pbe"), FailureClass.NOT_AS_ASKED),
        (lambda d: d["method"].update(grid=3), FailureClass.NOT_AS_ASKED),
        (lambda d: d["method"].update(density_fit=False), FailureClass.NOT_AS_ASKED),
        (lambda d: d["method"].update(solvent=None), FailureClass.NOT_AS_ASKED),
        (lambda d: d["basis"]["names"].update(H="sto-6g"), FailureClass.NOT_AS_ASKED),
        (lambda d: d["scf"].update(converged=False), FailureClass.SCF_NOT_CONVERGED),
        (lambda d: d["scf"].update(conv_tol=1e-5), FailureClass.NOT_AS_ASKED),
        (lambda d: d["values"].update(energy=float("nan")), FailureClass.NOT_FINITE),
        (lambda d: d["values"].update(energy=1.0), FailureClass.IMPLAUSIBLE_ENERGY),
        (lambda d: d["values"].update(energy=-75.4), FailureClass.IMPLAUSIBLE_ENERGY),
        (
            lambda d: d["values"]["integrated_electrons"].update(total=9.0),
            FailureClass.IMPLAUSIBLE_ENERGY,
        ),
        (lambda d: d.update(finished=False), FailureClass.TRUNCATED),
        (lambda d: d.pop("scf"), FailureClass.PARSE_ERROR),
        (lambda d: d["values"].pop("energy"), FailureClass.PARSE_ERROR),
        (lambda d: d.update(wqmaster=2), FailureClass.TRUNCATED),
    ],
)
def test_a_report_that_is_not_the_result_is_refused(
    change: Callable[[Any], object], kind: FailureClass
) -> None:
    assert diagnosed("singlepoint", change) is kind


def test_the_report_must_echo_what_was_asked_for() -> None:
    assert diagnosed("singlepoint", basis="sto-3g") is None
    assert diagnosed("singlepoint", basis="def2-svp") is FailureClass.NOT_AS_ASKED


@pytest.mark.parametrize(
    ("kind", "type_name", "expected"),
    [
        ("scf_not_converged", "Refused", FailureClass.SCF_NOT_CONVERGED),
        ("memory", "MemoryError", FailureClass.MEMORY),
        ("program_missing", "ModuleNotFoundError", FailureClass.PROGRAM_MISSING),
        ("library_missing", "Refused", FailureClass.LIBRARY_MISSING),
        ("input_basis", "Refused", FailureClass.INPUT_BASIS),
        ("charge_multiplicity", "Refused", FailureClass.CHARGE_MULTIPLICITY),
        (None, "RuntimeError", FailureClass.PROGRAM_ERROR),
        (None, "KeyboardInterrupt", FailureClass.KILLED),
    ],
)
def test_an_error_has_its_class(kind: str | None, type_name: str, expected: FailureClass) -> None:
    error = {"kind": kind, "type": type_name, "message": "something"}
    assert diagnosed("singlepoint", lambda d: d.update(error=error, finished=False)) is expected


@pytest.mark.parametrize(
    ("stderr", "kind"),
    [
        (b"", FailureClass.MODULE_CRASH),
        (b"terminate called after throwing 'std::bad_alloc'\n", FailureClass.MEMORY),
        (b"ModuleNotFoundError: No module named 'encodings'\n", FailureClass.PROGRAM_MISSING),
    ],
)
def test_a_run_without_a_report_has_a_class(stderr: bytes, kind: FailureClass) -> None:
    found = parsers.diagnose(Output({"stdout": b"", "stderr": stderr}), asked(), {})
    assert found is not None
    assert found.kind is kind


def test_a_failed_calculation_has_no_values() -> None:
    with pytest.raises(ParseError, match="ended with an error"):
        parsers.energy(output("not-converged").beside(FILE))


def test_the_last_frame_is_where_the_optimization_ended() -> None:
    found = parsers.frames(output("optimize").beside(FILE))
    assert [frame["converged"] for frame in found] == [False] * (len(found) - 1) + [True]
    energy = parsers.energy(output("optimize").beside(FILE))
    assert found[-1]["energy"] == pytest.approx(energy, abs=1e-8)


def test_a_molecule_without_an_empty_orbital_has_no_gap() -> None:
    def fill(report: Any) -> None:
        values = report["values"]
        values["orbital_occupations"] = [2.0] * len(values["orbital_occupations"])
        del values["homo_lumo_gap"]

    assert parsers.homo_lumo_gap(output("optimize", fill)) is None

    def damage(report: Any) -> None:
        del report["values"]["homo_lumo_gap"]

    with pytest.raises(ParseError):
        parsers.homo_lumo_gap(output("optimize", damage))
