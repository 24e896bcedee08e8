"""Errors and unexpected printouts of xtb 6.7.1, found in manual runs."""

import re

import pytest

from tests.unit.test_parsers_xtb_runs import diagnosis, files, read
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers import xtb
from wqmaster.parsers.base import Output, Parser


def test_an_atom_has_a_single_structure_even_if_xtb_logs_none() -> None:
    line = b" energy: -5.932215052758 gnorm: 0.000000000000 xtb: 6.7.1 (unknown)"
    atom = b"1\n" + line + b"\nNe 1.0 2.0 3.0\n"
    found = Output(files("optimize", xtbopt_log=b"", xtbopt_xyz=atom))
    assert read(xtb.opt_trajectory_energies, found) == [-5.932215052758]
    assert read(xtb.geometry_trajectory, found) == [[[1.0, 2.0, 3.0]]]
    for cut in (Output(files("optimize", xtbopt_log=b"")), Output({"xtbopt.log": b""})):
        with pytest.raises(ParseError, match="is empty"):
            read(xtb.opt_trajectory_energies, cut)


def test_the_energy_of_a_run_with_an_ion_belongs_to_the_molecule() -> None:
    """`xtb --vip` prints the molecule's SUMMARY, then the ion's SUMMARY and properties."""
    text = files("hydrogen-atom")["stdout"].decode()
    place = text.index("Property Printout")
    [printed] = re.findall(r":: total energy +(\S+) Eh", text)
    ion = text[place:].replace(printed, "-0.100000000000")
    heading = "          |        vertical delta SCC IP calculation        |\n"
    found = Output({"stdout": (text[:place] + heading + ion).encode()})
    assert xtb.diagnose(found, None, {}) is None
    assert read(xtb.energy, found) == float(printed)
    parsers: tuple[Parser, ...] = (xtb.charges, xtb.dipole, xtb.orbital_energies, xtb.homo_lumo_gap)
    for parser in parsers:
        read(parser, Output({"stdout": text.encode()}))
        with pytest.raises(ParseError, match="to the ion"):
            read(parser, found)


@pytest.mark.parametrize(
    ("lines", "kind", "words"),
    [
        (
            "-3- Command line argument parsing failed\n-2- set_chrg: Charge could not be read\n"
            "-1- readin_getIntValue: could not parse 'abc'",
            FailureClass.INPUT_KEYWORD,
            "could not parse 'abc'",
        ),
        (
            "-2- Command line argument parsing failed\n"
            "-1- prog_main_parseArguments: No solvent name provided for ALPB",
            FailureClass.INPUT_KEYWORD,
            "No solvent name provided",
        ),
        (
            "-3- Reading charge from file failed\n-2- set_chrg: Charge could not be read\n"
            "-1- readin_getIntValue: could not parse 'x'",
            FailureClass.INPUT_KEYWORD,
            "could not parse 'x'",
        ),
        (
            "-1- gfnff_ini: Particular close distance present",
            FailureClass.COINCIDENT_ATOMS,
            "Particular close distance",
        ),
    ],
)
def test_the_message_of_xtb_is_the_cause(lines: str, kind: FailureClass, words: str) -> None:
    text = files("solvent")["stdout"].decode()
    text = text[: text.index("Calculation Setup")] + "\n"
    text += f"{'#' * 72}\n[ERROR] Program stopped due to fatal error\n{lines}\n{'#' * 72}\n"
    failure = diagnosis(Output({"stdout": text.encode()}))
    assert failure.kind is kind
    assert words in failure.message


def test_a_steep_gradient_is_a_clash_at_any_energy() -> None:
    """If O and H in water are 1e-6 Angstrom apart, xtb omits the repulsion; all else looks fine.

    The numbers are from a real run.
    """
    text = files("water")["stdout"].decode()
    [norm] = re.findall(r":: gradient norm +(\S+) ", text)
    found = Output({"stdout": text.replace(f" {norm} ", " 58.675193991215 ").encode()})
    failure = diagnosis(found)
    assert failure.kind is FailureClass.IMPLAUSIBLE_ENERGY
    assert "atoms clash" in failure.message


def test_an_energy_in_a_solvent_without_an_empty_orbital_is_refused() -> None:
    """Runs of xtb 6.7.1 with one input, F- in water, gave -3.75, -5.08, -6.15 and 13.6 Eh."""
    text = files("solvent")["stdout"].decode()
    full = text.replace("atomic orbitals                   6 ", "atomic orbitals 4 ")
    assert full != text
    failure = diagnosis(Output({"stdout": full.encode()}))
    assert failure.kind is FailureClass.PROGRAM_ERROR
    assert "no orbital is empty" in failure.message
    cold = full.replace("300.0000000     K", "0.0000000     K")
    assert xtb.diagnose(Output({"stdout": cold.encode()}), None, {}) is None
    gas = files("hydrogen-atom")["stdout"]
    assert xtb.diagnose(Output({"stdout": gas}), None, {}) is None


@pytest.mark.parametrize(
    ("call", "level"),
    [
        ("molecule.xyz --opt tightt", "tightt"),
        ("molecule.xyz --ohess 4", "4"),
        ("molecule.xyz --opt TIGHT", "TIGHT"),
        ("molecule.xyz --opt", None),
        ("--gfn 2 --opt molecule.xyz", None),
        ("molecule.xyz --opt normal", None),
        ("molecule.xyz --opt --gfn 2", None),
    ],
)
def test_a_level_that_xtb_misread_is_not_as_asked(call: str, level: str | None) -> None:
    text = files("optimize")["stdout"].decode()
    text = re.sub(r"(program call +: xtb).*", rf"\1 {call}", text)
    text = re.sub(r"(coordinate file +:).*", r"\1 molecule.xyz", text)
    failure = xtb.diagnose(Output({"stdout": text.encode()}), None, {})
    if level is None:
        assert failure is None
    else:
        assert failure is not None
        assert failure.kind is FailureClass.NOT_AS_ASKED
        assert f"{level} was asked for" in failure.message


def test_the_4f_electrons_of_a_lanthanide_are_named() -> None:
    text = files("uhf-1")["stdout"].decode()
    assert " 8 O " in text
    failure = diagnosis(Output({"stdout": text.replace(" 8 O ", "58 Ce").encode()}))
    assert failure.kind is FailureClass.CHARGE_MULTIPLICITY
    assert "4f electrons of Ce" in failure.message
    assert "4f" not in diagnosis(Output({"stdout": text.encode()})).message


OLD_WARNINGS = (
    "[WARNING] Please study the warnings concerning your input carefully\n"
    "-2- prog_main: XTBPATH is not set, using XTBHOME instead\n"
    "-1- prog_main: XTBHOME is not set, using HOME instead\n"
    "########################################################################\n"
)


def called(words: str, *more: str) -> bytes:
    call = f"          program call               : xtb molecule.xyz {words}\n"
    return "".join([call, *more]).encode()


def test_warnings_about_unset_variables_are_harmless() -> None:
    """117 of 179 public outputs of 6.2 and 6.3 begin with them."""
    run = files("water")
    old = run | {"stdout": called("", OLD_WARNINGS) + run["stdout"]}
    assert xtb.diagnose(Output(old), None, {}) is None
    unknown = OLD_WARNINGS.replace("XTBPATH is not set, using XTBHOME", "Unknown option '--x'")
    wrong = run | {"stdout": called("", unknown) + run["stdout"]}
    assert diagnosis(Output(wrong)).kind is FailureClass.INPUT_KEYWORD


@pytest.mark.parametrize(("asked", "right"), [("0", True), ("-1", False)])
def test_a_summary_without_a_charge_leaves_the_charge_that_xtb_was_given(
    asked: str, right: bool
) -> None:
    """6.3.2 prints `charge : 0` above the SUMMARY, which has no total charge."""
    given = "          charge                     :                     0\n"
    run = files("water")
    text = re.sub(rb" +:: total charge .*\n", b"", run["stdout"])
    found = Output(run | {"stdout": called(f"--chrg {asked}", given) + text})
    assert (xtb.diagnose(found, None, {}) is None) is right


@pytest.mark.parametrize(("stated", "right"), [("true ", True), ("false", False)])
def test_the_solvent_of_xtb_6_2_is_recognized(stated: str, right: bool) -> None:
    solvent = (
        "      Solvent             : Water\n"
        f"          :  GBSA solvation                   {stated}         :\n"
    )
    run = files("water")
    text = called("--gbsa Water", solvent) + run["stdout"]
    assert (xtb.diagnose(Output(run | {"stdout": text}), None, {}) is None) is right


def test_a_gradient_without_the_rows_of_fixed_atoms_is_refused() -> None:
    """xtb writes zeros for atoms in `$fix`, but its SUMMARY has the norm of the full gradient."""
    run = files("water")
    row = b"-0.016193515757"
    assert row in run["molecule.engrad"]
    fixed = run | {"molecule.engrad": run["molecule.engrad"].replace(row, b" 0.000000000000")}
    with pytest.raises(ParseError, match=r"zeros for fixed atoms"):
        read(xtb.gradient, Output(fixed))
    assert read(xtb.energy, Output(fixed)) == read(xtb.energy, Output(run))
