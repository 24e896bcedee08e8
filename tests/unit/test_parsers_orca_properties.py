"""Parsers for orbitals, vibrations, thermochemistry and timings.

The fixtures in data/orca/more-* are handmade, in the layouts of the versions in their names.
"""

import pytest

from tests.unit.orca_outputs import fixture, of, replaced, text_of
from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output, Parser

# --- orbitals ----------------------------------------------------------------------------------


def test_orbitals_come_from_the_last_table() -> None:
    energies = [-26.251107, -1.598342, -0.750025, -0.612934, -0.612933, 0.198071, 1.402518]
    assert orca.orbital_energies(fixture("more-4.2-freq.out")) == energies
    assert orca.orbital_occupations(fixture("more-4.2-freq.out")) == [2.0] * 5 + [0.0] * 2
    assert orca.homo_lumo_gap(fixture("more-4.2-freq.out")) == pytest.approx(0.198071 + 0.612933)


def test_orbitals_of_both_spins_are_two_lists_with_irreps_and_a_note_below() -> None:
    found = fixture("more-6.0-freq.out")
    assert orca.orbital_energies(found) == [
        [-20.5, -1.1, -0.4, -0.05, 0.31],
        [-20.4, -0.9, -0.21, 0.11],
    ]
    assert orca.orbital_occupations(found) == [[1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]


def test_the_gap_is_taken_over_both_spins() -> None:
    # In Eh: the HOMO (up) is at -0.40, the LUMO (down) at -0.21.
    assert orca.homo_lumo_gap(fixture("more-6.0-freq.out")) == pytest.approx(0.19)


def test_a_singly_occupied_orbital_is_occupied() -> None:
    found = replaced("more-4.2-freq.out", "4   2.0000      -0.612933", "4   1.0000      -0.612933")
    assert orca.homo_lumo_gap(found) == pytest.approx(0.198071 + 0.612933)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("4   2.0000      -0.612933", "4   1.4321      -0.612933"),
        ("0.0000       0.198071", "2.0000       0.198071"),
    ],
)
def test_fractional_occupations_or_no_empty_orbitals_give_no_gap(old: str, new: str) -> None:
    text = text_of("more-4.2-freq.out").replace("0.0000       1.402518", "2.0000       1.402518")
    assert old in text
    with pytest.raises(ParseError, match="gap"):
        orca.homo_lumo_gap(of(text.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("   3   2.0000      -0.612934       -16.6788 \n", ""),
        ("-0.612934", "-0.912934"),
        ("-0.612934", "*********"),
        ("   3   2.0000 ", "   3 "),
        ("   3   2.0000 ", "   3   2.9000 "),
        (
            "   6   0.0000       1.402518        38.1645 \n\n",
            "   6   0.0000       1.402518        38",
        ),
    ],
)
def test_a_damaged_table_of_orbitals_is_a_parse_error(old: str, new: str) -> None:
    text = text_of("more-4.2-freq.out")
    assert old in text
    cut = "38" if new.endswith("38") else None
    text = text.replace(old, new)
    if cut:
        text = text[: text.index(new) + len(new)]
    for parser in (orca.orbital_energies, orca.orbital_occupations, orca.homo_lumo_gap):
        with pytest.raises(ParseError):
            parser(of(text))


def test_one_spin_alone_is_a_parse_error() -> None:
    with pytest.raises(ParseError, match="SPIN DOWN ORBITALS"):
        orca.orbital_energies(replaced("more-6.0-freq.out", "SPIN DOWN ORBITALS", "OTHERS"))


def test_the_echo_of_an_input_is_not_a_heading() -> None:
    with pytest.raises(ParseError, match="missing"):
        orca.orbital_energies(of("|  1> ! HF # ORBITAL ENERGIES\n"))


def test_dos_line_endings_are_accepted() -> None:
    for name in ("more-4.2-freq.out", "more-6.0-freq.out", "more-4.2-td.out", "more-6.0-td.out"):
        whole = fixture(name)
        dos = of(text_of(name).replace("\n", "\r\n"))
        parsers = (
            (orca.excitations,)
            if "td" in name
            else (
                orca.orbital_energies,
                orca.frequencies,
                orca.normal_modes,
                orca.ir_intensities,
                orca.thermochemistry,
                orca.timings,
            )
        )
        for parser in parsers:
            assert parser(dos) == parser(whole)


# --- vibrations --------------------------------------------------------------------------------


def test_frequencies_are_those_of_vibrations_with_imaginary_ones_negative() -> None:
    assert orca.frequencies(fixture("more-4.2-freq.out")) == [4321.0]
    assert orca.frequencies(fixture("more-6.0-freq.out")) == [-812.34, 1500.5, 3600.25]


def test_normal_modes_match_the_frequencies() -> None:
    assert orca.normal_modes(fixture("more-4.2-freq.out")) == [
        [[0.0, 0.0, 0.998601], [0.0, 0.0, -0.052877]]
    ]
    modes = orca.normal_modes(fixture("more-6.0-freq.out"))
    assert [len(modes), len(modes[0]), len(modes[0][0])] == [3, 3, 3]
    # The elements in the fixture are 0.1 * mode + 0.001 * coordinate.
    assert modes[1][2] == pytest.approx([0.706, 0.707, 0.708])


def test_intensities_are_in_km_per_mol_in_both_layouts() -> None:
    assert orca.ir_intensities(fixture("more-4.2-freq.out")) == [37.123456]
    assert orca.ir_intensities(fixture("more-6.0-freq.out")) == [None, 61.25, 4.5]


def test_an_atom_has_no_vibrations() -> None:
    text = text_of("more-4.2-freq.out")
    start, end = text.index("   3:         0.00"), text.index("------------\nNORMAL MODES")
    table = "".join(f"{row:6d}" + 3 * "   0.577350" + "\n" for row in range(3))
    modes = "------------\nNORMAL MODES\n------------\n\n        0     1     2\n" + table
    spectrum = "\n-----------\nIR SPECTRUM\n-----------\n\nThe first frequency considered\n\n"
    found = of(text[:start] + "\n\n" + modes + spectrum)
    assert end > start
    assert orca.frequencies(found) == []
    assert orca.normal_modes(found) == []
    assert orca.ir_intensities(found) == []


@pytest.mark.parametrize("parser", [orca.frequencies, orca.normal_modes, orca.ir_intensities])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("     4:       0.00 cm**-1    2-B1\n", ""),
        ("     8:    3600.25 cm**-1    3-B1\n", ""),
        ("    3600.25 cm", "  ********* cm"),
    ],
)
def test_a_damaged_table_of_frequencies_is_a_parse_error(
    parser: Parser, old: str, new: str
) -> None:
    with pytest.raises(ParseError):
        parser(replaced("more-6.0-freq.out", old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    4   0.000000   0.604000", "    3   0.000000   0.604000"),
        ("   0.604000", ""),
        ("   0.604000", "   ********"),
        ("          5          6          7          8\n", "          5          6          7\n"),
    ],
)
def test_a_damaged_table_of_normal_modes_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.normal_modes(replaced("more-6.0-freq.out", old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  7:   1500.50   0.012794   61.25  0.002514  ( 0.037060  0.027342 -0.019822)\n", ""),
        ("  7:   1500.50   0", "  7:   1400.50   0"),
        ("  8:   3600.25   0", "  9:   3600.25   0"),
        ("   61.25  0", "   *****  0"),
    ],
)
def test_a_damaged_spectrum_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.ir_intensities(replaced("more-6.0-freq.out", old, new))


# --- thermochemistry ---------------------------------------------------------------------------


def test_thermochemistry_of_a_linear_molecule() -> None:
    found = orca.thermochemistry(fixture("more-4.2-freq.out"))
    assert found["temperature"] == 298.15
    assert found["pressure"] == 1.0
    assert found["electronic_energy"] == -100.01234567
    assert found["zero_point_energy"] == 0.00984399
    assert found["thermal_rotational_correction"] == 0.00094418
    assert found["inner_energy"] == -100.00014123
    assert found["enthalpy"] == -99.99919702
    assert found["entropy_term"] == 0.01912372
    assert found["gibbs_free_energy"] == -100.01832074
    assert found["gibbs_correction"] == pytest.approx(-0.00597507, abs=2e-8)


def test_thermochemistry_comes_from_the_last_temperature() -> None:
    found = fixture("more-6.0-freq.out")
    values = orca.thermochemistry(found)
    assert values["temperature"] == 350.0
    assert orca.zero_point_energy(found) == 0.02
    assert orca.entropy(found) == values["entropy_term"] == pytest.approx(0.02650827)
    assert orca.enthalpy(found) == values["enthalpy"]
    assert orca.gibbs_free_energy(found) == values["gibbs_free_energy"]
    assert values["gibbs_free_energy"] == pytest.approx(
        values["enthalpy"] - values["entropy_term"], abs=2e-8
    )


def test_the_thermochemistry_of_an_atom_with_an_infinite_entropy_is_refused() -> None:
    # ORCA 4.1 prints such infinities for a single atom, whose enthalpy contains false vibrations.
    text = text_of("more-4.2-freq.out")
    for old in ("0.00000000 Eh       0.00 kcal/mol\nRotational entropy", "0.01912372 Eh"):
        assert old in text
        text = text.replace(old, old.replace("0.00000000", "-inf", 1).replace("0.01912372", "-inf"))
    text = text.replace("-100.01832074 Eh", "inf Eh").replace("-0.00597507 Eh", "inf Eh")
    for parser in (
        *(orca.entropy, orca.gibbs_free_energy, orca.enthalpy, orca.zero_point_energy),
        orca.thermochemistry,
    ):
        with pytest.raises(ParseError, match="vibrations of 0 cm"):
            parser(of(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-99.99919702", "-99.99819702"),
        ("0.00984399 Eh", "0.00884399 Eh"),
        ("-100.01832074", "-100.01832174"),
        ("0.01659227", "0.01759227"),
        ("-99.99919702", "************"),
        ("Zero point energy", "Zero point"),
    ],
)
def test_a_damaged_thermochemistry_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.thermochemistry(replaced("more-4.2-freq.out", old, new))


def test_a_thermochemistry_that_is_cut_short_is_a_parse_error() -> None:
    text = text_of("more-4.2-freq.out")
    for cut in ("Total Enthalpy", "Final Gibbs", "G-E(el)"):
        with pytest.raises(ParseError, match="truncated"):
            orca.gibbs_free_energy(of(text[: text.index(cut)]))


# --- timings -----------------------------------------------------------------------------------


def test_timings_by_module() -> None:
    assert orca.timings(fixture("more-4.2-freq.out")) == {
        "sum_of_individual_times": 101.25,
        "gto_integral_calculation": 0.5,
        "scf_iterations": 40.25,
        "solution_of_cp_scf_eqns": 20.25,
        "analytical_frequency_calculation": 40.25,
    }
    assert orca.timings(fixture("more-6.0-freq.out"))["startup_calculation"] == 1.867


def test_the_total_run_time_is_in_seconds() -> None:
    found = orca.total_run_time(fixture("more-4.2-freq.out"))
    assert found == pytest.approx(((24 + 2) * 60 + 3) * 60 + 4.567)
    assert orca.total_run_time(fixture("more-6.0-freq.out")) == pytest.approx(39.043)


@pytest.mark.parametrize(
    ("parser", "old", "new"),
    [
        (orca.timings, "       40.250 sec (=   0.671 min)  39.8 %\nSol", "  ****** sec\nSol"),
        (orca.timings, "101.250 sec", "91.250 sec"),
        (orca.timings, "GTO integral calculation        ", "SCF iterations                  "),
        (orca.timings, "Sum of individual times         ", "Some of individual times        "),
        (orca.total_run_time, "567 msec", "567 ms"),
        (orca.total_run_time, "2 hours", "x hours"),
        (orca.total_run_time, "TOTAL RUN TIME:", "TIME:"),
    ],
)
def test_damaged_times_are_a_parse_error(parser: Parser, old: str, new: str) -> None:
    with pytest.raises(ParseError):
        parser(replaced("more-4.2-freq.out", old, new))


# --- all parsers -------------------------------------------------------------------------------


def test_every_parser_declares_its_files_and_describes_its_value() -> None:
    for name in orca.__all__:
        function = getattr(orca, name)
        if name in ("VERSION", "diagnose", "diagnose_file", "file_name", "program_version"):
            continue
        assert function.files, name
        assert function.__doc__, name


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00" * 100, bytes(range(256)) * 20])
def test_garbage_is_a_parse_error_for_every_parser(content: bytes) -> None:
    for name in orca.__all__:
        function = getattr(orca, name)
        if hasattr(function, "files"):
            with pytest.raises(ParseError):
                function(Output({function.files[0]: content}, function.files[0]))
