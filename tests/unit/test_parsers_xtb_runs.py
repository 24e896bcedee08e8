"""xtb's optimizations, Hessians, MD and GFN-FF, compared with xtb's own printout."""

import contextlib
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.offline.parse import read as read_file
from wqmaster.parsers import xtb
from wqmaster.parsers.base import Output, Parser
from wqmaster.tasks.programs import programs

DATA = Path(__file__).parent / "data" / "xtb"
FOLDERS = sorted(path.name for path in DATA.iterdir() if path.is_dir())
PARSERS: list[Parser] = [
    value for name in xtb.__all__ if hasattr(value := getattr(xtb, name), "files")
]


def files(name: str, **changes: bytes | None) -> dict[str, bytes]:
    """The files of a run; `changes` (dots written as _) replaces some or removes them (None)."""
    found = {path.name: path.read_bytes() for path in (DATA / name).iterdir()}
    names = {path.replace(".", "_"): path for path in found}
    for key, content in changes.items():
        if content is None:
            del found[names[key]]
        else:
            found[names.get(key, key)] = content
    return found


def replaced(name: str, file: str, old: str, new: str) -> Output:
    found = files(name)
    assert old.encode() in found[file]
    found[file] = found[file].replace(old.encode(), new.encode())
    return Output(found)


def read(parser: Parser, found: Output) -> Any:
    return parser(found.beside(parser.files[0]))  # type: ignore[attr-defined]


def asked(natoms: int = 3, charge: int = 0, multiplicity: int = 1) -> Asked:
    return Asked(1, 1, natoms, charge, multiplicity, "molecule", "recipe", "target")


def diagnosis(found: Output, wish: Asked | None = None, **options: Any) -> Failure:
    failure = xtb.diagnose(found, wish, options)
    assert failure is not None
    return failure


# --- values ------------------------------------------------------------------------------------


def test_an_optimization_has_its_last_geometry_and_energies() -> None:
    found = Output(files("optimize"))
    assert read(xtb.geometry, found)[1] == [-0.01303105406332, 0.0, 0.96618902400902]
    assert read(xtb.optimized_geometry, found) == read(xtb.geometry, found)
    assert read(xtb.symbols, found) == ["O", "H", "H"]
    assert read(xtb.opt_cycles, found) == 4
    energies = read(xtb.opt_trajectory_energies, found)
    assert energies == [-5.070383095219, -5.070529378702, -5.070542344896, -5.070543980538]
    assert read(xtb.geometry_trajectory, found)[0][1] == [0.0, 0.0, 0.96]
    assert read(xtb.energy, found) == -5.070543980552
    assert read(xtb.gradient_norm, found) == 0.000942139971


@pytest.mark.parametrize(("name", "places"), [("optimize", 3), ("optimize-gfn1", 4)])
def test_the_dipole_of_an_optimization_is_not_that_of_its_start(name: str, places: int) -> None:
    found = Output(files(name))
    stale = [
        float(w)
        for w in re.findall(r'dipole / a.u.": \[(.*)\]', found.file("xtbout.json"))[0].split(",")
    ]
    value = read(xtb.dipole, found)
    assert abs(value[0] - stale[0]) > 0.01
    text = found.text[found.text.rindex("dipole") - 40 :]
    [printed] = re.findall(
        r"full: +(\S+) +(\S+) +(\S+) +2|^ +(\S+) +(\S+) +(\S+)  total", text, re.M
    )
    assert [round(v, places) for v in value] == pytest.approx([float(w) for w in printed if w])


def test_a_dipole_that_contradicts_the_printed_one_is_a_parse_error() -> None:
    found = replaced("optimize", "stdout", "full:        0.689", "full:        0.789")
    with pytest.raises(ParseError, match="charges give"):
        read(xtb.dipole, found)


def test_a_hessian_has_three_modes_and_thermochemistry() -> None:
    found = Output(files("hessian"))
    assert read(xtb.frequencies, found) == [1565.09693998, 3634.95127638, 3643.62212055]
    assert read(xtb.ir_intensities, found) == [131.84889479, 12.89392144, 7.37904474]
    assert read(xtb.imaginary_frequencies, found) == []
    assert read(xtb.stationary, found) is False
    matrix = read(xtb.hessian, found)
    assert [len(row) for row in matrix] == [9] * 9
    assert (matrix[0][0], matrix[0][6], matrix[1][0]) == (0.4764836697, -0.4364028328, -2.6393e-06)
    assert read(xtb.zero_point_energy, found) == 0.020147363524
    assert read(xtb.enthalpy, found) == -5.046455141674
    assert read(xtb.gibbs_free_energy, found) == -5.067868420835
    # The table has 188.5647 J/K/mol.
    assert read(xtb.entropy, found) * 2625499.64 == pytest.approx(188.5647, abs=1e-3)
    thermo = read(xtb.thermochemistry, found)
    assert (thermo["temperature"], thermo["symmetry"], thermo["frequencies"]) == (298.15, "c2v", 3)
    assert thermo["gibbs_correction"] == 0.002514674384
    assert read(xtb.gradient_norm, found) == 0.022863029251


def test_frequencies_without_a_json_file_come_from_vibspectrum() -> None:
    found = Output(files("hessian", xtbout_json=None))
    assert read(xtb.frequencies, found) == [1565.10, 3634.95, 3643.62]
    assert len(read(xtb.frequencies, Output(files("hessian-linear")))) == 4
    assert read(xtb.frequencies, Output(files("hessian-atom"))) == []


def test_an_imaginary_frequency_is_negative_and_translations_are_omitted() -> None:
    content = (DATA / "hessian" / "vibspectrum").read_text()
    lines = content.splitlines()
    moved = [*lines[:3], "     1        a           -412.50        11.00000         YES"]
    moved += [re.sub(r"^ +(\d)", lambda m: f"     {int(m[1]) + 1}", line) for line in lines[3:9]]
    moved += [
        line.replace(f"     {n}  ", f"     {n}  ") for n, line in ((8, lines[10]), (9, lines[11]))
    ]
    text = "\n".join([*moved, "$end", ""])
    found = Output(files("hessian", xtbout_json=None, vibspectrum=text.encode()))
    assert read(xtb.frequencies, found) == [-412.5, 3634.95, 3643.62]
    assert read(xtb.imaginary_frequencies, found) == [-412.5]


def test_the_symmetry_code_may_print_into_the_middle_of_a_number() -> None:
    whole = (DATA / "hessian" / "stdout").read_text()
    lines = re.compile(r"Molecule has the following.*\nIt seems to be the .*\n")
    [said] = lines.findall(whole)
    without = lines.sub("", whole)
    place = without.index("-5.0678684208")
    broken = without[: place + 5] + said + without[place + 5 :]
    found = Output({"stdout": broken.encode()})
    assert xtb.gibbs_free_energy(found) == -5.067868420835
    assert xtb.zero_point_energy(found) == 0.020147363524


def test_an_md_has_means_over_its_steps() -> None:
    found = Output(files("md"))
    summary = read(xtb.md_summary, found)
    assert (summary["steps"], summary["step"], summary["time"]) == (100, 0.5, 0.05)
    assert (summary["frames"], summary["degrees_of_freedom"]) == (5, 9)
    assert summary["thermostat"] == 300.0
    # xtb divides by the number of steps plus one, so its averages are corrected.
    assert summary["potential_energy"] == pytest.approx(-5.0173144088272794 * 1.01, abs=1e-12)
    assert summary["temperature"] == pytest.approx(210.06709390598920 * 1.01, abs=1e-9)
    assert summary["accurate_potential_energy"] == -5.0672103517533262
    assert read(xtb.md_frames, found) == 5
    assert read(xtb.md_energies, found)[:2] == [-5.070383095219, -5.068420968063]


def test_a_force_field_run_has_the_values_that_it_computes() -> None:
    found = Output(files("gfnff"))
    assert read(xtb.energy, found) == -0.327386454109
    assert read(xtb.charges, found) == [-0.62204235, 0.31115405, 0.3108883]
    assert read(xtb.method, found) == "GFN-FF"
    assert read(xtb.dipole, found)[0] == 0.546
    assert len(read(xtb.gradient, found)) == 3
    for parser in (xtb.homo_lumo_gap, xtb.orbital_energies, xtb.unpaired_electrons):
        with pytest.raises(ParseError):
            read(parser, found)


def test_a_solvent_has_its_free_energy() -> None:
    assert read(xtb.solvation_energy, Output(files("solvent"))) == -0.019264495636


def test_orbitals_come_from_the_table() -> None:
    found = Output(files("optimize"))
    alone = Output({"stdout": files("optimize")["stdout"]})
    assert xtb.orbital_energies(found) == pytest.approx(xtb.orbital_energies(alone), abs=6e-8)
    assert xtb.orbital_occupations(found) == xtb.orbital_occupations(alone) == [2.0] * 4 + [0.0] * 2
    assert xtb.charges(alone) == [-0.565, 0.282, 0.282]
    assert xtb.unpaired_electrons(alone) == 0
    cut = alone.text.replace("         5                          0.0829722", "       ...")
    with pytest.raises(ParseError, match="leaves some out"):
        xtb.orbital_energies(Output({"stdout": cut.encode()}))


def test_an_atom_without_a_lumo_has_no_gap() -> None:
    assert read(xtb.homo_lumo_gap, Output(files("hydrogen-atom"))) is None
    alone = Output({"stdout": files("hydrogen-atom")["stdout"]})
    assert xtb.homo_lumo_gap(alone) is None


@pytest.mark.parametrize("printed", ["inf", "-Infinity", "NaN", "0.400000000000"])
def test_a_total_charge_that_is_not_a_whole_number_is_refused(printed: str) -> None:
    text = files("water-cation")["stdout"].decode()
    assert xtb.charge(Output({"stdout": text.encode()})) == 1
    wrong = text.replace("1.000000000000 e ", f"{printed} e ")
    assert wrong != text
    with pytest.raises(ParseError, match="is not a whole number"):
        xtb.charge(Output({"stdout": wrong.encode()}))


def test_charges_in_the_printout_of_gfn1_are_mulliken_charges() -> None:
    alone = Output({"stdout": files("optimize-gfn1")["stdout"]})
    found = Output(files("optimize-gfn1"))
    assert xtb.charges(alone) == pytest.approx(read(xtb.charges, found), abs=6e-6)


@pytest.mark.parametrize(
    ("name", "file", "parser"),
    [
        ("optimize", "xtbopt.xyz", xtb.geometry),
        ("optimize", "xtbopt.log", xtb.opt_trajectory_energies),
        ("hessian", "hessian", xtb.hessian),
        ("md", "xtb.trj", xtb.md_energies),
    ],
)
def test_a_truncated_file_is_never_read_as_something_else(
    name: str, file: str, parser: Parser
) -> None:
    whole = files(name)[file]
    right = read(parser, Output(files(name)))
    for length in range(0, len(whole.rstrip()), 37):
        found = Output({**files(name), file: whole[:length]})
        try:
            value = read(parser, found)
        except ParseError:
            continue
        # Only whole structures at the end, or the last digits of a number, can be lost unnoticed.
        assert len(value) <= len(right)
        if isinstance(value[0], float):
            assert value == pytest.approx(right[: len(value)], abs=1e-2)
        else:
            assert len(value) == len(right)


@pytest.mark.parametrize("old", ["0.96618902400902", "H           -0.0130"])
@pytest.mark.parametrize("new", ["****************", "x", ""])
def test_a_broken_number_of_a_geometry_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError, match=r"xtbopt\.xyz"):
        read(xtb.geometry, replaced("optimize", "xtbopt.xyz", old, new))


# --- diagnosis ---------------------------------------------------------------------------------

GOOD: dict[str, tuple[Asked, dict[str, Any]]] = {
    "optimize": (asked(), {"gfn": 2, "level": "normal"}),
    "optimize-gfn1": (asked(), {"gfn": 1, "level": "normal"}),
    "hessian": (asked(), {"gfn": 2, "temperature": 298.15}),
    "hessian-atom": (asked(1, 0, 2), {"gfn": 2, "temperature": 298.15}),
    "hessian-linear": (asked(), {"gfn": 2, "temperature": 298.15}),
    "md": (asked(), {"gfn": 2, "time": 0.05, "step": 0.5, "temperature": 300.0, "nvt": True}),
    "gfnff": (asked(), {"gfn": "ff", "gradient": True}),
    "solvent": (asked(), {"gfn": 2, "solvent": "water", "solvation": "alpb"}),
    "hydrogen-atom": (asked(1, 0, 2), {"gfn": 2}),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_run_has_no_diagnosis(name: str) -> None:
    wish, options = GOOD[name]
    assert xtb.diagnose(Output(files(name)), wish, options) is None
    assert xtb.diagnose(Output(files(name)), None, {}) is None
    assert xtb.diagnose(Output({"stdout": files(name)["stdout"]}), None, {}) is None


@pytest.mark.parametrize("name", GOOD)
def test_a_molecule_or_method_other_than_requested_is_found(name: str) -> None:
    wish, options = GOOD[name]
    found = Output(files(name))
    more = asked(wish.natoms + 1, 0, wish.multiplicity)
    assert diagnosis(found, more, **options).kind is FailureClass.ATOM_COUNT
    ion = asked(wish.natoms, -1, wish.multiplicity)
    assert diagnosis(found, ion, **options).kind is FailureClass.NOT_AS_ASKED
    for gfn in (1, 2, "ff"):
        if gfn != options["gfn"]:
            other = diagnosis(found, wish, **{**options, "gfn": gfn})
            assert other.kind is FailureClass.NOT_AS_ASKED


def test_an_optimization_that_is_not_reported_as_converged_did_not_converge() -> None:
    found = replaced("optimize", "stdout", "GEOMETRY OPTIMIZATION CONVERGED", "OPTIMIZATION ENDED")
    assert diagnosis(found).kind is FailureClass.OPT_NOT_CONVERGED
    assert diagnosis(found, asked()).kind is FailureClass.OPT_NOT_CONVERGED


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("optimize-not-converged", FailureClass.OPT_NOT_CONVERGED),
        ("md-blown", FailureClass.DIVERGED),
        ("unknown-option", FailureClass.INPUT_KEYWORD),
        ("uhf-1", FailureClass.CHARGE_MULTIPLICITY),
        ("charge-20", FailureClass.CHARGE_MULTIPLICITY),
        ("clash", FailureClass.IMPLAUSIBLE_ENERGY),
        ("coincident", FailureClass.COINCIDENT_ATOMS),
        ("scf-failure", FailureClass.SCF_NOT_CONVERGED),
    ],
)
def test_a_bad_run_is_recognized_from_its_printout_alone(name: str, kind: FailureClass) -> None:
    alone = Output({"stdout": files(name)["stdout"], "stderr": files(name)["stderr"]})
    assert diagnosis(alone).kind is kind


@pytest.mark.parametrize(
    ("flag", "kind"),
    [
        ("--chrg 1", FailureClass.NOT_AS_ASKED),
        ("-c -1", FailureClass.NOT_AS_ASKED),
        ("--uhf 2", FailureClass.NOT_AS_ASKED),
        ("--gfn 1", FailureClass.NOT_AS_ASKED),
        ("-gfn 1", FailureClass.NOT_AS_ASKED),
        ("--gfnff", FailureClass.NOT_AS_ASKED),
        ("--alpb water", FailureClass.NOT_AS_ASKED),
        ("--acc 0.1", FailureClass.NOT_AS_ASKED),
        ("--opt tight", FailureClass.NOT_AS_ASKED),
    ],
)
def test_an_output_is_compared_with_its_own_command_line(flag: str, kind: FailureClass) -> None:
    found = replaced("optimize", "stdout", "--json --opt normal", f"--json {flag}")
    assert diagnosis(found).kind is kind


def test_an_energy_from_uninitialized_memory_is_an_error_that_a_rerun_may_cure() -> None:
    found = files("hydrogen-atom", molecule_engrad=None)
    for name in ("stdout", "xtbout.json"):
        found[name] = found[name].replace(b"   -0.393482763936", b" 3599.606517236064")
        found[name] = found[name].replace(b"   -0.39348276", b" 3599.60651724")
    failure = diagnosis(Output(found), asked(1, 0, 2), gfn=2)
    assert failure.kind is FailureClass.ERRATIC
    assert "uninitialized" in failure.message


def test_a_trajectory_with_missing_structures_is_truncated() -> None:
    trajectory = files("md")["xtb.trj"]
    part = b"".join(trajectory.splitlines(keepends=True)[:20])
    found = Output(files("md", xtb_trj=part))
    assert diagnosis(found, asked()).kind is FailureClass.TRUNCATED


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_a_printout_that_a_full_disk_cut_short_is_truncated(part: float) -> None:
    whole = files("optimize")["stdout"]
    cut = whole[: int(part * whole.index(b"* finished run on"))]
    found = Output(files("optimize", stdout=cut))
    assert b"normal termination" in files("optimize")["stderr"]
    assert diagnosis(found, asked()).kind is FailureClass.TRUNCATED


def test_atoms_at_the_same_position_are_found_in_the_structure() -> None:
    close = b"3\n\nO 0 0 0\nH 0 0 0.96\nH 0 0 0.960001\n"
    found = Output(files("hessian", molecule_xyz=close))
    failure = diagnosis(found, asked())
    assert failure.kind is FailureClass.COINCIDENT_ATOMS
    assert "H2 and H3" in failure.message


def test_an_element_without_parameters_is_found() -> None:
    found = Output(files("hessian", molecule_xyz=b"3\n\nU 0 0 0\nH 0 0 2\nH 2 0 0\n"))
    assert diagnosis(found, asked()).kind is FailureClass.INPUT_BASIS


# --- arbitrary input ---------------------------------------------------------------------------


def mutations(seed: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Runs from the test data, each with one of its files altered."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    name = chance.choice(FOLDERS)
    found = files(name)
    key = chance.choice(sorted(found))
    content = bytearray(found[key])
    for _ in range(chance.randint(1, 3)):
        kind, size = chance.randint(0, 4), len(content)
        place = chance.randrange(size + 1)
        if kind == 0:
            del content[place:]
        elif kind == 1 and size:
            content[chance.randrange(size)] = chance.randrange(256)
        elif kind == 2:
            lines = content.splitlines(keepends=True)
            at = chance.randrange(len(lines) + 1)
            content = bytearray(b"".join([*lines[:at], *lines[at : at + 1], *lines[at:]]))
        elif kind == 3:
            end = min(size, place + chance.randint(0, 2000))
            content = content[:place] + content[end:] + content[place:end]
        else:
            numbers = list(re.finditer(rb"-?\d+\.\d+", bytes(content)))
            if numbers:
                one = chance.choice(numbers)
                new = chance.choice([b"NaN", b"********", b"Infinity", b"", b"1e999", b"-"])
                content[one.start() : one.end()] = new
    found[key] = bytes(content)
    yield name, found


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9))
def test_no_parser_raises_anything_other_than_a_parse_error(seed: int) -> None:
    for name, found in mutations(seed):
        output = Output(found)
        for parser in PARSERS:
            for one in (output, Output({"stdout": found.get("stdout", b"")})):
                try:
                    read(parser, one)
                except ParseError:
                    continue
        wish, options = GOOD.get(name, (asked(), {}))
        for one in (wish, None):
            failure = xtb.diagnose(output, one, options)
            assert failure is None or len(failure.message.splitlines()) == 1
        xtb.program_version(output)


@pytest.mark.parametrize(
    "unit",
    [
        "| TOTAL ENERGY ",
        "Molecule has the following symmetry elements: ",
        "-1- x\n[ERROR]\n",
        "          :  net charge  1 :\n",
        "1\n\nH 0 0 0\n",
        "H 0 0 0\n",
        "* ",
        "[",
        "$hessian\n",
        " 1.0",
        "\n",
        "          |               Molecular Dynamics                |\n",
    ],
)
def test_megabytes_of_any_text_are_read_or_refused(unit: str) -> None:
    content = (unit * (1_000_000 // len(unit))).encode()
    names = ("stdout", "stderr", "xtbout.json", "xtbopt.xyz", "xtbopt.log", "xtb.trj", "hessian")
    found = Output(dict.fromkeys(names, content))
    for parser in PARSERS:
        with contextlib.suppress(ParseError):
            read(parser, found)
    assert xtb.diagnose(found, None, {}) is not None


def test_a_file_that_is_parsed_alone_is_not_a_failed_run() -> None:
    """Once, `wqmaster parse xtbout.json` reported a run without standard output."""
    parsers = {"multiplicity": xtb.multiplicity}
    alone = read_file(DATA / "hessian" / "xtbout.json", programs()["xtb"], parsers)
    assert (alone.is_diagnosed, alone.failure) == (False, None)
    assert alone.values == {"multiplicity": 1}
    assert read_file(DATA / "hessian", programs()["xtb"], parsers).is_diagnosed
