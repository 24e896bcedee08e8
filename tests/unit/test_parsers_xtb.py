"""xtb's parsers on outputs from xtb. data/xtb/README.md describes the runs."""

import math
import re
from pathlib import Path
from typing import Any

import pytest

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers.base import Output, Parser
from wqmaster.parsers.xtb import (
    bond_orders,
    charges,
    diagnose,
    dipole,
    energy,
    gradient,
    homo_lumo_gap,
    opt_cycles,
    orbital_energies,
    program_version,
    thermochemistry,
)

DATA = Path(__file__).parent / "data" / "xtb"


def files(name: str, **changes: bytes | None) -> dict[str, bytes]:
    """The files of a run; `changes` replaces some (dots written as _) or removes them (None)."""
    found = {path.name: path.read_bytes() for path in (DATA / name).iterdir()}
    names = {path.replace(".", "_"): path for path in found}
    for key, content in changes.items():
        if content is None:
            del found[names[key]]
        else:
            found[names.get(key, key)] = content
    return found


def output(name: str, **changes: bytes | None) -> Output:
    return Output(files(name, **changes))


def replaced(name: str, file: str, old: str, new: str) -> Output:
    """The run with part of one of its files replaced."""
    found = files(name)
    assert old.encode() in found[file]
    found[file] = found[file].replace(old.encode(), new.encode())
    return Output(found)


def asked(natoms: int = 3, charge: int = 0, multiplicity: int = 1) -> Asked:
    return Asked(1, 1, natoms, charge, multiplicity, "molecule", "recipe", "target")


def diagnosis(found: Output, asked_for: Asked | None = None) -> tuple[FailureClass, str]:
    failure = diagnose(found, asked_for or asked(), {})
    assert failure is not None
    assert len(failure.message.splitlines()) == 1
    return failure.kind, failure.message


# --- values, as in xtb's own printout ----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("water", -5.070383095219),
        ("water-cation", -4.397338531283),
        ("clash", 642.777495008907),
    ],
)
def test_the_energy_equals_the_printed_one_to_all_decimals(name: str, printed: float) -> None:
    assert f"TOTAL ENERGY{printed:30.12f} Eh" in output(name).text
    assert energy(output(name)) == printed


def test_the_energy_without_a_gradient_has_the_decimals_of_the_printout() -> None:
    found = output("water-no-gradient")
    assert "TOTAL ENERGY               -5.070383095219 Eh" in found.text
    assert energy(found) == -5.070383095219
    # With the printout of another run, the energy is that of xtbout.json, with eight decimals.
    other = found.text.replace("-5.070383095219", "-5.070383995219")
    assert energy(found.with_text(other)) == -5.07038310


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("water", 0.022863029251),
        ("water-cation", 0.062250396526),
        ("clash", 483885.693286864494),
    ],
)
def test_the_norm_of_the_gradient_equals_the_printed_one(name: str, norm: float) -> None:
    assert f"GRADIENT NORM{norm:29.12f} Eh" in output(name).text
    found = gradient(output(name))
    computed = math.hypot(*(value for row in found for value in row))
    assert computed == pytest.approx(norm, rel=1e-15, abs=2e-12)


def test_the_gradient_has_one_row_per_atom_in_order() -> None:
    assert gradient(output("water")) == [
        [-0.016193515757, -0.0, -0.003113250144],
        [0.015379438485, 0.0, -0.000536197706],
        [0.000814077272, -0.0, 0.003649447850],
    ]


@pytest.mark.parametrize(
    ("name", "full", "total"),
    [("water", [0.707, 0.0, 0.548], 2.273), ("water-cation", [1.033, 0.0, 0.800], 3.321)],
)
def test_the_dipole_equals_the_printed_one(name: str, full: list[float], total: float) -> None:
    assert re.search(rf"full: +{full[0]:.3f} +-0\.000 +{full[2]:.3f} +{total}", output(name).text)
    found = dipole(output(name))
    assert found == pytest.approx(full, abs=6e-4)
    # xtb prints the norm in Debye; 1 e a0 = 2.5417 D.
    assert math.hypot(*found) * 2.541746 == pytest.approx(total, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("water", [-0.563, 0.282, 0.281]),
        ("water-cation", [0.034, 0.483, 0.483]),
        ("charge-20", [6.0, 1.0, 1.0]),
    ],
)
def test_charges_equal_the_printed_ones(name: str, printed: list[float]) -> None:
    table = re.findall(r"^ +\d+ +\d+ [A-Z] +\d\.\d{3} +(-?\d\.\d{3})", output(name).text, re.M)
    assert [float(word) for word in table] == printed
    assert charges(output(name)) == pytest.approx(printed, abs=6e-4)


def test_charges_add_up_to_the_charge_of_the_molecule() -> None:
    assert sum(charges(output("water"))) == pytest.approx(0.0, abs=1e-7)
    assert sum(charges(output("water-cation"))) == pytest.approx(1.0, abs=1e-7)


def test_the_gap_equals_the_printed_one_in_hartree() -> None:
    # The table of orbitals states "HL-Gap 0.5335630 Eh 14.5190 eV".
    assert homo_lumo_gap(output("water")) == pytest.approx(0.5335630, abs=6e-8)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("water", [(0, 1, 0.920), (0, 2, 0.920)]),
        ("water-cation", [(0, 1, 0.765), (0, 2, 0.765)]),
        ("clash", [(0, 1, 1.000)]),
        ("charge-20", []),
    ],
)
def test_bond_orders_equal_the_printed_ones_with_atoms_counted_from_0(
    name: str, printed: list[tuple[int, int, float]]
) -> None:
    found = bond_orders(output(name))
    assert [(i, j) for i, j, _ in found] == [(i, j) for i, j, _ in printed]
    assert [order for _, _, order in found] == pytest.approx([b for _, _, b in printed], abs=6e-4)


def test_bond_orders_name_the_lower_atom_first() -> None:
    assert bond_orders(output("water", wbo=b" 12 3  0.5\n")) == [[2, 11, 0.5]]


@pytest.mark.parametrize("name", ["water", "scf-failure", "coincident"])
def test_the_version_is_the_one_that_xtb_states(name: str) -> None:
    assert program_version(output(name)) == "6.7.1"


def test_an_output_without_a_version_gives_none() -> None:
    assert program_version(output("water", stdout=b"")) is None


# --- files that are broken ---------------------------------------------------------------------

OF_JSON = [energy, dipole, charges, homo_lumo_gap]


@pytest.mark.parametrize("parser", OF_JSON)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"total energy": -5.07'],
    ids=["empty", "brace", "list", "null", "no keys", "binary", "deep", "cut"],
)
def test_a_broken_json_is_a_parse_error_that_names_the_file(parser: Parser, content: bytes) -> None:
    with pytest.raises(ParseError, match=r"xtbout\.json"):
        parser(output("water", xtbout_json=content))


@pytest.mark.parametrize("parser", OF_JSON)
def test_a_json_file_cut_anywhere_is_a_parse_error(parser: Parser) -> None:
    whole = files("water")["xtbout.json"]
    for length in range(0, len(whole.rstrip()), 31):
        with pytest.raises(ParseError):
            parser(output("water", xtbout_json=whole[:length]))


@pytest.mark.parametrize(
    ("parser", "key"),
    [
        (energy, "total energy"),
        (dipole, "dipole / a.u."),
        (charges, "partial charges"),
        (homo_lumo_gap, "HOMO-LUMO gap / eV"),
    ],
)
def test_a_missing_key_is_reported(parser: Parser, key: str) -> None:
    with pytest.raises(ParseError, match=f"'{key}' is missing from xtbout.json"):
        parser(replaced("water", "xtbout.json", f'"{key}"', '"other"'))


@pytest.mark.parametrize(
    ("parser", "key", "former"),
    [
        (dipole, "dipole / a.u.", "dipole"),
        (homo_lumo_gap, "HOMO-LUMO gap / eV", "HOMO-LUMO gap/eV"),
        (orbital_energies, "orbital energies / eV", "orbital energies/eV"),
    ],
)
def test_a_key_as_xtb_wrote_it_up_to_6_6_is_read(parser: Parser, key: str, former: str) -> None:
    found = replaced("water", "xtbout.json", f'"{key}"', f'"{former}"')
    assert parser(found) == parser(output("water"))


@pytest.mark.parametrize(
    ("parser", "missing"),
    [
        (gradient, "molecule_engrad"),
        (bond_orders, "wbo"),
    ],
)
def test_a_missing_file_is_reported(parser: Parser, missing: str) -> None:
    with pytest.raises(ParseError, match=f"the file {missing.replace('_', '.')} is missing"):
        parser(output("water", **{missing: None}))


def test_the_printout_alone_gives_the_printed_values() -> None:
    alone = Output({"stdout": files("water")["stdout"]})
    assert energy(alone) == -5.070383095219
    assert dipole(alone) == [0.707, 0.0, 0.548]
    assert homo_lumo_gap(alone) == pytest.approx(14.518987926825 / 27.21138505, abs=1e-12)


@pytest.mark.parametrize(
    ("parser", "old"),
    [
        (energy, ' "total energy":          -5.07038310'),
        (homo_lumo_gap, '"HOMO-LUMO gap / eV":          14.51898793'),
        (dipole, '"dipole / a.u.": [     0.70686590'),
        (charges, "       -0.56298959"),
    ],
)
@pytest.mark.parametrize("printed", ["***************", "NaN", "-Infinity"])
def test_fortrans_placeholders_for_a_number_are_never_a_finite_number(
    parser: Parser, old: str, printed: str
) -> None:
    new = re.sub(r"-?[\d.]+$", printed, old)
    found = replaced("water", "xtbout.json", old, new)
    if parser is energy:
        found = Output({"xtbout.json": found.file("xtbout.json").encode()})
    value = parser(found)
    assert not math.isfinite(value[0] if isinstance(value, list) else value)


def test_stars_in_another_value_do_not_hide_the_energy() -> None:
    assert "***************]" in output("clash").file("xtbout.json")
    assert energy(output("clash")) == 642.777495008907


@pytest.mark.parametrize("value", ['"x"', "null", "[1]", "{}"])
@pytest.mark.parametrize(
    ("parser", "old"), [(energy, "-5.07038310"), (homo_lumo_gap, "14.51898793")]
)
def test_a_value_that_is_not_a_number_is_a_parse_error(
    parser: Parser, old: str, value: str
) -> None:
    with pytest.raises(ParseError, match="not a number"):
        parser(replaced("water", "xtbout.json", old, value))


def test_a_dipole_with_two_components_is_a_parse_error() -> None:
    with pytest.raises(ParseError, match="3 components, not 2"):
        dipole(replaced("water", "xtbout.json", "0.70686590,", ""))


def test_charges_that_are_not_numbers_are_a_parse_error() -> None:
    with pytest.raises(ParseError, match="does not consist of numbers"):
        charges(replaced("water", "xtbout.json", "-0.56298959", '"much"'))


def test_an_engrad_file_cut_anywhere_is_a_parse_error() -> None:
    whole = files("water")["molecule.engrad"]
    for length in range(len(whole.rstrip()) - 9):
        for parser in (gradient, energy):
            with pytest.raises(ParseError, match=r"molecule\.engrad"):
                parser(output("water", molecule_engrad=whole[:length]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("     3\n", "     2\n"),
        ("     3\n", "     4\n"),
        ("     3\n", "    -3\n"),
        ("     3\n", "     0\n"),
        ("     3\n", "999999999999999999\n"),
        ("     3\n", " three\n"),
        ("0.015379438485", "***************"),
        ("-5.070383095219", "x"),
    ],
)
def test_an_inconsistent_engrad_file_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError, match=r"molecule\.engrad"):
        gradient(replaced("water", "molecule.engrad", old, new))


def test_a_nan_in_the_engrad_file_is_returned_unchanged() -> None:
    found = gradient(replaced("water", "molecule.engrad", "0.015379438485", "NaN"))
    assert math.isnan(found[1][0])


def test_stars_for_far_away_coordinates_do_not_hide_the_gradient() -> None:
    # xtb 6.7.1 prints these for a water molecule at (-600, -700, -800) Angstrom.
    found = replaced(
        "water",
        "molecule.engrad",
        "   8     0.0000000    0.0000000    0.0000000",
        "   8  ************ ************ ************",
    )
    assert gradient(found) == gradient(output("water"))


def test_the_energies_of_two_different_runs_are_a_parse_error() -> None:
    other = files("water-cation")["molecule.engrad"]
    with pytest.raises(ParseError, match="from different runs"):
        energy(output("water", molecule_engrad=other))


@pytest.mark.parametrize("line", ["1 2", "one 2 0.5", "1 2 x", "1", "", "1.5 2 0.5"])
def test_a_line_that_is_not_a_bond_order_is_a_parse_error(line: str) -> None:
    with pytest.raises(ParseError, match="in wbo is not a bond order"):
        bond_orders(output("water", wbo=f"{line}\n".encode()))


# --- diagnosis ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "asked_for"),
    [
        ("water", asked()),
        ("water-no-gradient", asked()),
        ("water-cation", asked(charge=1, multiplicity=2)),
        ("water", None),
    ],
)
def test_a_good_run_has_no_diagnosis(name: str, asked_for: Asked | None) -> None:
    assert diagnose(output(name), asked_for, {}) is None


def test_an_unconverged_scf_is_distinguished_from_other_errors() -> None:
    assert diagnosis(output("scf-failure")) == (
        FailureClass.SCF_NOT_CONVERGED,
        "xtb: scf: Self consistent charge iterator did not converge",
    )


def test_an_unconverged_scf_is_found_even_if_xtb_succeeds() -> None:
    found = replaced(
        "water",
        "stdout",
        "criteria satisfied after 8 iterations",
        "criteria cannot be satisfied within 250 iterations",
    )
    assert diagnosis(found)[0] is FailureClass.SCF_NOT_CONVERGED


def test_atoms_at_the_same_position_are_an_error_with_its_cause() -> None:
    kind, message = diagnosis(output("coincident"), asked(natoms=2))
    assert kind is FailureClass.COINCIDENT_ATOMS
    assert message == "xtb: Found *very* short distance of 0.000E+00 for H1-H2"


def test_clashing_atoms_are_implausible_even_if_xtb_succeeds() -> None:
    assert "normal termination of xtb" in output("clash").file("stderr")
    assert diagnosis(output("clash"), asked(natoms=2)) == (
        FailureClass.IMPLAUSIBLE_ENERGY,
        "xtb: an energy of 642.777495008907 Eh is above zero",
    )


def test_an_impossible_charge_is_found_even_if_xtb_succeeds() -> None:
    assert "normal termination of xtb" in output("charge-20").file("stderr")
    for wish in (asked(charge=20), asked(charge=8), None):
        failure = diagnose(output("charge-20"), wish, {})
        assert failure is not None
        assert failure.kind is FailureClass.CHARGE_MULTIPLICITY


def test_a_charge_that_xtb_did_not_reach_is_found_at_any_energy() -> None:
    found = files("charge-20")
    found["xtbout.json"] = found["xtbout.json"].replace(b"13.20253774", b"-3.20253774")
    found["stdout"] = found["stdout"].replace(b"net charge                         20", b"")
    assert diagnosis(Output(found), asked(charge=20)) == (
        FailureClass.NOT_AS_ASKED,
        "xtb: the total charge is 8.0 e, but 20 was asked for",
    )


@pytest.mark.parametrize("charge", [-1, 1])
def test_a_charge_other_than_requested_is_found(charge: int) -> None:
    kind, message = diagnosis(output("water"), asked(charge=charge, multiplicity=2))
    assert kind is FailureClass.NOT_AS_ASKED
    assert message == f"xtb: the total charge is 0.0 e, but {charge} was asked for"


@pytest.mark.parametrize("printed", ["***", "NaN", ""])
def test_a_charge_that_cannot_be_read_is_not_as_asked(printed: str) -> None:
    found = replaced("water", "stdout", "0.000000000000 e ", f"{printed} e ")
    assert diagnosis(found)[0] is FailureClass.NOT_AS_ASKED


def test_a_multiplicity_other_than_requested_is_found() -> None:
    assert diagnosis(output("water"), asked(multiplicity=3)) == (
        FailureClass.NOT_AS_ASKED,
        "xtb: the number of unpaired electrons is 0, but 2 was asked for",
    )


def test_a_different_number_of_atoms_is_found() -> None:
    assert diagnosis(output("water"), asked(natoms=4)) == (
        FailureClass.ATOM_COUNT,
        "xtb: the number of atoms is 3, but 4 was asked for",
    )


@pytest.mark.parametrize("printed", ["***************", "NaN"])
def test_an_energy_that_is_not_a_number_is_not_finite(printed: str) -> None:
    found = replaced("water-no-gradient", "xtbout.json", "-5.07038310", printed)
    assert diagnosis(found)[0] is FailureClass.NOT_FINITE


@pytest.mark.parametrize("printed", ["NaN", "***************"])
def test_a_nan_in_both_json_and_engrad_is_a_failure(printed: str) -> None:
    found = files("water")
    found["xtbout.json"] = found["xtbout.json"].replace(b"-5.07038310", printed.encode())
    engrad = found["molecule.engrad"].replace(b"-5.070383095219", printed.encode())
    found["molecule.engrad"] = engrad
    assert diagnosis(Output(found))[0] in (FailureClass.NOT_FINITE, FailureClass.PARSE_ERROR)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"total energy": -5.07038310}'])
def test_a_broken_json_is_a_parse_error(content: bytes) -> None:
    assert diagnosis(output("water", xtbout_json=content))[0] is FailureClass.PARSE_ERROR


def test_a_missing_json_is_a_missing_output() -> None:
    assert diagnosis(output("water", xtbout_json=None))[0] is FailureClass.MISSING_OUTPUT


@pytest.mark.parametrize(
    ("stderr", "expected"),
    [
        (b"", FailureClass.TRUNCATED),
        (None, FailureClass.TRUNCATED),
        (b"Program received signal SIGSEGV\n", FailureClass.MODULE_CRASH),
        (b"ERROR STOP\n\nError termination. Backtrace:\n", FailureClass.PROGRAM_ERROR),
        (b"Fortran runtime error: No space left on device\n", FailureClass.DISK_FULL),
        (b"Error allocating 8 bytes: Cannot allocate memory\n", FailureClass.MEMORY),
    ],
)
def test_an_output_that_ends_without_a_message_is_an_error(
    stderr: bytes | None, expected: FailureClass
) -> None:
    kind, message = diagnosis(output("water", stderr=stderr))
    assert kind is expected
    assert "no 'normal termination'" in message or "No space" in message or "memory" in message


def test_an_abnormal_termination_without_a_cause_is_an_error() -> None:
    found = output("water", stderr=b"abnormal termination of xtb\n")
    assert diagnosis(found) == (FailureClass.PROGRAM_ERROR, "xtb: xtb ended with an error")


def test_a_run_without_stdout_is_a_failure() -> None:
    assert diagnosis(output("water", stdout=None))[0] in (
        FailureClass.MISSING_OUTPUT,
        FailureClass.PARSE_ERROR,
        FailureClass.PROGRAM_ERROR,
    )


def test_binary_garbage_is_diagnosed() -> None:
    rubbish: dict[str, Any] = dict.fromkeys(files("water"), bytes(range(256)) * 10)
    assert diagnosis(Output(rubbish))[0] is FailureClass.PROGRAM_ERROR


def test_a_calculation_that_was_not_run_is_missing_rather_than_failed_or_truncated() -> None:
    found = output("water")
    with pytest.raises(ParseError, match="no optimization was run"):
        opt_cycles(found)
    with pytest.raises(ParseError, match="'Thermodynamic Functions' is missing"):
        thermochemistry(found)
