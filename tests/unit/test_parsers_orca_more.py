"""Parsers of orbitals, vibrations, spectra, correlation, timings and ORCA's files.

The fixtures in data/orca/more-* are made by hand in the layouts of the versions in their names.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wqmaster.errors import ParseError
from wqmaster.failures import FailureClass
from wqmaster.parsers import Output, Parser, orca

DATA = Path(__file__).parent / "data" / "orca"


def text_of(name: str) -> str:
    return (DATA / name).read_text()


def output(name: str) -> Output:
    return Output({"stdout": (DATA / name).read_bytes()})


def of(text: str) -> Output:
    return Output({"stdout": text.encode()})


def replaced(name: str, old: str, new: str) -> Output:
    text = text_of(name)
    assert old in text
    return of(text.replace(old, new))


def file(name: str, text: str | None = None) -> Output:
    """The file alone, under its own name."""
    return Output({name: (text_of(name) if text is None else text).encode()}, name)


# --- orbitals ----------------------------------------------------------------------------------


def test_orbitals_are_those_of_the_last_table() -> None:
    energies = [-26.251107, -1.598342, -0.750025, -0.612934, -0.612933, 0.198071, 1.402518]
    assert orca.orbital_energies(output("more-4.2-freq.out")) == energies
    assert orca.orbital_occupations(output("more-4.2-freq.out")) == [2.0] * 5 + [0.0] * 2
    assert orca.homo_lumo_gap(output("more-4.2-freq.out")) == pytest.approx(0.198071 + 0.612933)


def test_orbitals_of_both_spins_are_two_lists_with_irreps_and_a_note_below() -> None:
    found = output("more-6.0-freq.out")
    assert orca.orbital_energies(found) == [
        [-20.5, -1.1, -0.4, -0.05, 0.31],
        [-20.4, -0.9, -0.21, 0.11],
    ]
    assert orca.orbital_occupations(found) == [[1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]


def test_the_gap_is_that_of_both_spins_together() -> None:
    # HOMO: -0.40 (up); LUMO: -0.21 (down).
    assert orca.homo_lumo_gap(output("more-6.0-freq.out")) == pytest.approx(0.19)


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
def test_there_is_no_gap_between_fractions_or_without_empty_orbitals(old: str, new: str) -> None:
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


def test_the_echo_of_an_input_is_no_heading() -> None:
    with pytest.raises(ParseError, match="missing"):
        orca.orbital_energies(of("|  1> ! HF # ORBITAL ENERGIES\n"))


def test_lines_that_end_as_in_dos_are_read() -> None:
    for name in ("more-4.2-freq.out", "more-6.0-freq.out", "more-4.2-td.out", "more-6.0-td.out"):
        whole = output(name)
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


def test_frequencies_are_those_of_vibrations_imaginary_ones_negative() -> None:
    assert orca.frequencies(output("more-4.2-freq.out")) == [4321.0]
    assert orca.frequencies(output("more-6.0-freq.out")) == [-812.34, 1500.5, 3600.25]


def test_normal_modes_are_those_of_the_frequencies() -> None:
    assert orca.normal_modes(output("more-4.2-freq.out")) == [
        [[0.0, 0.0, 0.998601], [0.0, 0.0, -0.052877]]
    ]
    modes = orca.normal_modes(output("more-6.0-freq.out"))
    assert [len(modes), len(modes[0]), len(modes[0][0])] == [3, 3, 3]
    # The fixture has 0.1 * mode + 0.001 * coordinate.
    assert modes[1][2] == pytest.approx([0.706, 0.707, 0.708])


def test_intensities_are_in_both_layouts_those_in_km_per_mol() -> None:
    assert orca.ir_intensities(output("more-4.2-freq.out")) == [37.123456]
    assert orca.ir_intensities(output("more-6.0-freq.out")) == [None, 61.25, 4.5]


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
    found = orca.thermochemistry(output("more-4.2-freq.out"))
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


def test_thermochemistry_is_that_of_the_last_temperature() -> None:
    found = output("more-6.0-freq.out")
    values = orca.thermochemistry(found)
    assert values["temperature"] == 350.0
    assert orca.zero_point_energy(found) == 0.02
    assert orca.entropy(found) == values["entropy_term"] == pytest.approx(0.02650827)
    assert orca.enthalpy(found) == values["enthalpy"]
    assert orca.gibbs_free_energy(found) == values["gibbs_free_energy"]
    assert values["gibbs_free_energy"] == pytest.approx(
        values["enthalpy"] - values["entropy_term"], abs=2e-8
    )


def test_an_infinite_entropy_is_handed_on_to_be_judged() -> None:
    # ORCA 4.1 prints these for a single atom.
    text = text_of("more-4.2-freq.out")
    for old in ("0.00000000 Eh       0.00 kcal/mol\nRotational entropy", "0.01912372 Eh"):
        assert old in text
        text = text.replace(old, old.replace("0.00000000", "-inf", 1).replace("0.01912372", "-inf"))
    text = text.replace("-100.01832074 Eh", "inf Eh").replace("-0.00597507 Eh", "inf Eh")
    assert orca.entropy(of(text)) == -math.inf
    assert orca.gibbs_free_energy(of(text)) == math.inf


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
        with pytest.raises(ParseError, match="cut short"):
            orca.gibbs_free_energy(of(text[: text.index(cut)]))


# --- spectra -----------------------------------------------------------------------------------


def test_excitations_of_the_layout_up_to_5() -> None:
    found = output("more-4.2-td.out")
    assert orca.excitation_energies(found) == [0.2, 0.25, 0.25, 0.15, 0.22]
    assert orca.oscillator_strengths(found) == [0.005, 0.0, 0.125, 0.0, 0.0]
    states = orca.excitations(found)
    assert [state["multiplicity"] for state in states] == [1, 1, 1, 3, 3]
    assert [state["state"] for state in states] == [1, 2, 3, 4, 5]
    assert states[0]["wavelength"] == 227.8


def test_excitations_of_the_layout_since_6_are_brought_into_the_order_of_the_states() -> None:
    found = output("more-6.0-td.out")
    assert orca.excitation_energies(found) == [0.2, 0.25, 0.25, 0.15, 0.22]
    assert orca.oscillator_strengths(found) == [0.01, 0.2, 0.3, 0.0, 0.0]
    assert [state["multiplicity"] for state in orca.excitations(found)] == [1, 1, 1, 3, 3]
    assert orca.excitations(found)[3]["wavelength"] == 303.8


def test_the_roots_of_an_ionisation_are_no_excitations() -> None:
    found = output("more-5.0-eom.log")
    assert orca.excitation_energies(found) == [0.21, 0.29]
    assert orca.oscillator_strengths(found) == [0.0005, 0.9975]
    assert orca.excitations(found)[0]["multiplicity"] is None


def test_an_unrestricted_calculation_has_states_without_a_multiplicity() -> None:
    text = text_of("more-4.2-td.out")
    text = text[
        text.rindex("------------------------------------\nTD-DFT/TDA EXCITED STATES (SING") :
    ]
    start, end = text.index("*" * 32), text.index("-----------------------------\nTD-DFT/TDA-EXC")
    text = text[:start] + text[end:]
    rows = [line for line in text.splitlines(True) if "mult=3" not in line]
    found = of("".join(rows).replace("EXCITED STATES (SINGLETS)", "EXCITED STATES"))
    assert orca.oscillator_strengths(found) == [0.005, 0.0, 0.125]
    assert [state["multiplicity"] for state in orca.excitations(found)] == [None] * 3


def test_without_states_the_spectrum_alone_is_read() -> None:
    text = text_of("more-6.0-td.out")
    found = of(text[text.index("-----------------------------\nTD-DFT/TDA-EXC") :])
    assert orca.excitation_energies(found) == pytest.approx([0.15, 0.2, 0.22, 0.25, 0.25], abs=1e-7)
    assert orca.oscillator_strengths(found) == [0.0, 0.01, 0.0, 0.2, 0.3]


@pytest.mark.parametrize("name", ["more-4.2-td.out", "more-6.0-td.out"])
def test_a_spectrum_of_other_states_is_a_parse_error(name: str) -> None:
    text = text_of(name).replace("43894.9", "43884.9")
    text = text.replace("cm**-1", "cm**-1 ").replace("43884.9 cm", "43894.9 cm")
    assert orca.excitation_energies(of(text))[0] == 0.2
    with pytest.raises(ParseError, match="not in the spectrum"):
        orca.oscillator_strengths(of(text))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("more-4.2-td.out", "STATE  2:", "STATE  3:"),
        ("more-4.2-td.out", "E=   0.220000 au", "E=   0.230000 au"),
        ("more-4.2-td.out", "E=   0.250000 au", "E=   ******** au"),
        ("more-6.0-td.out", "STATE  4:", "STATUS 4:"),
        ("more-5.0-eom.log", "IROOT=  2:", "IROOT=  3:"),
    ],
)
def test_a_damaged_state_is_a_parse_error(name: str, old: str, new: str) -> None:
    for parser in (orca.excitation_energies, orca.excitations):
        with pytest.raises(ParseError):
            parser(replaced(name, old, new))


def test_a_spectrum_that_lacks_a_line_is_a_parse_error() -> None:
    lines = text_of("more-6.0-td.out").splitlines(True)
    place = next(i for i, line in enumerate(lines) if " 2-3Bu" in line)
    with pytest.raises(ParseError, match="5 excited states, 4 lines"):
        orca.excitations(of("".join(lines[:place] + lines[place + 1 :])))


def test_states_that_are_cut_short_are_a_parse_error() -> None:
    text = text_of("more-6.0-td.out")
    with pytest.raises(ParseError):
        orca.excitation_energies(of(text[: text.index("STATE  5")]))


def test_the_polarizability_of_both_layouts() -> None:
    assert orca.polarizability(output("more-4.1-polar.out")) == [
        [10.5, 0.25, 0.0],
        [0.25, 12.0, -1.5],
        [0.0, -1.5, 15.0],
    ]
    # The tensor of the velocity gauge comes after it.
    assert orca.polarizability(output("more-6.1-polar.out")) == [
        [5.5, 0.5, 0.0],
        [0.5, 6.5, -0.25],
        [0.0, -0.25, 7.5],
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("   10.50000 ", "   10.60000 "),
        ("    0.25000     12", "    9.25000     12"),
        ("     -1.50000  \n", "\n"),
        ("     15.00000  \n", "     ********  \n"),
        ("Isotropic polarizability :  12.50000", ""),
    ],
)
def test_a_damaged_polarizability_is_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.polarizability(replaced("more-4.1-polar.out", old, new))


# --- correlation -------------------------------------------------------------------------------


def test_coupled_cluster_energies_are_the_last_ones() -> None:
    found = output("more-5.0-ccsd_t.out")
    assert orca.reference_energy(found) == -75.123456789
    assert orca.ccsd_correlation_energy(found) == -0.250000001
    assert orca.ccsd_energy(found) == -75.37345679
    assert orca.triples_correction(found) == -0.004
    assert orca.ccsd_t_energy(found) == -75.37745679
    assert orca.correlation_energy(found) == -0.254000001
    assert orca.t1_diagnostic(found) == 0.0123


def test_dlpno_has_strong_and_weak_pairs() -> None:
    found = output("more-4.2-dlpno.out")
    assert orca.dlpno_strong_pairs_energy(found) == -0.6
    assert orca.dlpno_weak_pairs_energy(found) == -0.0125
    assert orca.ccsd_correlation_energy(found) == -0.6125
    assert orca.ccsd_energy(found) == -191.1125
    assert orca.ccsd_t_energy(found) == -191.1345
    assert orca.correlation_energy(found) == -0.6345


def test_canonical_coupled_cluster_has_no_pairs() -> None:
    with pytest.raises(ParseError, match="weak-pairs"):
        orca.dlpno_weak_pairs_energy(output("more-5.0-ccsd_t.out"))


COUPLED_CLUSTER = [
    orca.reference_energy,
    orca.ccsd_correlation_energy,
    orca.ccsd_energy,
    orca.correlation_energy,
    orca.t1_diagnostic,
]


@pytest.mark.parametrize("parser", COUPLED_CLUSTER)
def test_what_did_not_converge_is_a_parse_error(parser: Parser) -> None:
    with pytest.raises(ParseError, match="did not converge"):
        parser(output("more-6.1-ccsd-unconverged.out"))


@pytest.mark.parametrize("parser", [*COUPLED_CLUSTER, orca.ccsd_t_energy, orca.triples_correction])
def test_an_output_without_coupled_cluster_is_a_parse_error(parser: Parser) -> None:
    with pytest.raises(ParseError, match="missing"):
        parser(output("more-4.1-polar.out"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-0.250000001\n", "-0.350000001\n"),
        ("...     -0.250000001\n", "-0.250000001\n"),
        ("...     -0.250000001\n", "...     ************\n"),
        ("E(CORR)                                    ...     -0.250000001\n", ""),
    ],
)
def test_energies_that_do_not_add_up_are_a_parse_error(old: str, new: str) -> None:
    with pytest.raises(ParseError):
        orca.ccsd_energy(replaced("more-5.0-ccsd_t.out", old, new))


def test_triples_that_do_not_add_up_are_a_parse_error() -> None:
    with pytest.raises(ParseError, match="not E"):
        orca.ccsd_t_energy(replaced("more-5.0-ccsd_t.out", "-75.377456790", "-75.477456790"))


def test_an_energy_at_the_very_end_of_a_cut_file_is_a_parse_error() -> None:
    text = text_of("more-5.0-ccsd_t.out")
    end = text.rindex("-75.377456790") + len("-75.3774")
    with pytest.raises(ParseError, match="cut short"):
        orca.ccsd_t_energy(of(text[:end]))


def test_another_method_is_no_ccsd() -> None:
    found = replaced("more-5.0-ccsd_t.out", "COUPLED CLUSTER ITER", "COUPLED PAIR ITER")
    with pytest.raises(ParseError, match="not one of coupled cluster"):
        orca.ccsd_energy(found)
    assert orca.ccsd_correlation_energy(found) == -0.250000001


@pytest.mark.parametrize(
    ("name", "total", "correlation"),
    [
        ("more-5.0-mp2.out", -76.310956829, -0.203409367),
        ("more-6.0-mp3.out", -74.999000616, -0.035000372),
    ],
)
def test_mp2_energies(name: str, total: float, correlation: float) -> None:
    assert orca.mp2_energy(output(name)) == total
    assert orca.mp2_correlation_energy(output(name)) == correlation
    assert orca.correlation_energy(output(name)) == correlation


@pytest.mark.parametrize("name", ["more-5.0-mp2.out", "more-6.0-mp3.out"])
@pytest.mark.parametrize("parser", [orca.mp2_energy, orca.mp2_correlation_energy])
def test_an_mp2_energy_that_is_cut_is_a_parse_error(parser: Parser, name: str) -> None:
    text = text_of(name)
    end = text.index("MP2" if "mp3" in name else "CORRELATION") + 30
    with pytest.raises(ParseError):
        parser(of(text[:end]))


# --- timings -----------------------------------------------------------------------------------


def test_timings_by_module() -> None:
    assert orca.timings(output("more-4.2-freq.out")) == {
        "sum_of_individual_times": 101.25,
        "gto_integral_calculation": 0.5,
        "scf_iterations": 40.25,
        "solution_of_cp_scf_eqns": 20.25,
        "analytical_frequency_calculation": 40.25,
    }
    assert orca.timings(output("more-6.0-freq.out"))["startup_calculation"] == 1.867


def test_the_total_run_time_is_in_seconds() -> None:
    found = orca.total_run_time(output("more-4.2-freq.out"))
    assert found == pytest.approx(((24 + 2) * 60 + 3) * 60 + 4.567)
    assert orca.total_run_time(output("more-6.0-freq.out")) == pytest.approx(39.043)


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


# --- .engrad -----------------------------------------------------------------------------------


def test_the_engrad_file() -> None:
    found = file("more.engrad")
    assert orca.engrad_energy(found) == -100.012345678901
    assert orca.engrad_gradient(found) == [
        [1e-12, 2e-12, 0.012500000003],
        [-1e-12, -2e-12, -0.012500000003],
    ]
    geometry = orca.engrad_geometry(found)
    assert geometry["symbols"] == ["F", "H"]
    assert geometry["coordinates"][1] == pytest.approx([0.0, 0.0, 1.75 * 0.529177210903])
    assert orca.diagnose_file(found) is None


def test_an_engrad_file_that_is_cut_anywhere_is_a_parse_error() -> None:
    text = text_of("more.engrad").rstrip("\n")
    for length in range(len(text)):
        for parser in (orca.engrad_energy, orca.engrad_gradient, orca.engrad_geometry):
            with pytest.raises(ParseError):
                parser(file("more.engrad", text[:length]))


@pytest.mark.parametrize(
    ("old", "new"),
    [("\n 2\n", "\n 3\n"), ("\n 2\n", "\n-2\n"), ("\n 2\n", "\n 0\n"), ("\n   9  ", "\n 119  ")],
)
def test_an_engrad_file_at_odds_with_itself_is_diagnosed(old: str, new: str) -> None:
    text = text_of("more.engrad")
    assert old in text
    failure = orca.diagnose_file(file("more.engrad", text.replace(old, new)))
    assert failure is not None
    assert failure.kind is FailureClass.TRUNCATED


def test_the_gradient_is_per_atom_and_the_hessian_is_not() -> None:
    assert orca.engrad_gradient.per_atom  # type: ignore[attr-defined]
    assert orca.engrad_gradient.files == ("orca.engrad",)  # type: ignore[attr-defined]
    assert not orca.hess_hessian.per_atom  # type: ignore[attr-defined]
    assert orca.hess_hessian.files == ("orca.hess",)  # type: ignore[attr-defined]


# --- .hess -------------------------------------------------------------------------------------

HESS = ["more-4.2.hess", "more-6.1.hess"]
OF_HESS = [
    orca.hess_hessian,
    orca.hess_frequencies,
    orca.hess_normal_modes,
    orca.hess_ir_intensities,
    orca.hess_geometry,
    orca.hess_masses,
]


@pytest.mark.parametrize("name", HESS)
def test_the_hess_file(name: str) -> None:
    found = file(name)
    hessian = orca.hess_hessian(found)
    assert [len(row) for row in hessian] == [6] * 6
    assert (hessian[2][2], hessian[2][5], hessian[5][2]) == (0.625, -0.6248, -0.625)
    assert orca.hess_frequencies(found) == [4321.002345]
    assert orca.hess_normal_modes(found) == [[[0.0, 0.0, 0.998601], [0.0, 0.0, -0.052877]]]
    assert orca.hess_ir_intensities(found) == [37.125]
    assert orca.hess_masses(found) == [18.998, 1.008]
    geometry = orca.hess_geometry(found)
    assert geometry["symbols"] == ["F", "H"]
    assert geometry["coordinates"][1][2] == pytest.approx(1.75 * 0.529177210903)
    assert orca.diagnose_file(found) is None


def test_the_frequencies_of_the_hessian_are_the_printed_ones() -> None:
    # 1 Eh / (u Bohr^2) as a wavenumber: 5140.4871 cm^-1 squared (CODATA 2018).
    found = file(HESS[0])
    force = orca.hess_hessian(found)[2][2]
    reduced = 1 / sum(1 / mass for mass in orca.hess_masses(found))
    assert math.sqrt(force / reduced) * 5140.487 == pytest.approx(4154.6, abs=2.0)


@pytest.mark.parametrize("parser", OF_HESS)
@pytest.mark.parametrize("name", HESS)
def test_a_hess_file_that_is_cut_anywhere_is_a_parse_error(parser: Parser, name: str) -> None:
    text = text_of(name).rstrip("\n")
    for length in range(0, len(text), 7):
        with pytest.raises(ParseError):
            parser(file(name, text[:length]))


@pytest.mark.parametrize(
    ("parser", "old", "new"),
    [
        (orca.hess_hessian, "$hessian\n6\n", "$hessian\n9\n"),
        (orca.hess_hessian, "$hessian\n6\n", "$hessian\n3\n"),
        (orca.hess_hessian, "$hessian\n6\n", ""),
        (orca.hess_hessian, "$atoms\n2\n", "$atoms\n3\n"),
        (orca.hess_hessian, "  -6.2480000000E-01", "  -5.2480000000E-01"),
        (orca.hess_hessian, "  -6.2480000000E-01", "  ****************"),
        (orca.hess_hessian, "  -6.2480000000E-01", ""),
        (orca.hess_hessian, "$vibrational_frequencies", "$hessian"),
        (orca.hess_frequencies, "    3        0.000000\n", ""),
        (orca.hess_frequencies, "4321.002345", "****"),
        (orca.hess_frequencies, "$vibrational_frequencies\n6", "$vibrational_frequencies\n5"),
        (orca.hess_normal_modes, "$normal_modes\n6 6", "$normal_modes\n7 7"),
        (orca.hess_ir_intensities, "   4321.00", "   4421.00"),
        (orca.hess_ir_intensities, "      37.1250", ""),
        (orca.hess_geometry, "18.99800", ""),
    ],
)
def test_a_damaged_hess_file_is_a_parse_error(parser: Parser, old: str, new: str) -> None:
    text = text_of("more-4.2.hess")
    assert old in text
    with pytest.raises(ParseError):
        parser(file("more-4.2.hess", text.replace(old, new, 1)))


def test_damaged_hess_files_are_diagnosed() -> None:
    text = text_of("more-4.2.hess")
    cases = {
        text[:1500]: FailureClass.TRUNCATED,
        text.replace("$hessian\n", "\n"): FailureClass.TRUNCATED,
        text.replace("-6.2480000000E-01", "-5.2480000000E-01"): FailureClass.PARSE_ERROR,
        text.replace("-6.2480000000E-01", "nan"): FailureClass.NOT_FINITE,
    }
    for content, kind in cases.items():
        failure = orca.diagnose_file(file("more-4.2.hess", content))
        assert failure is not None
        assert failure.kind is kind
        assert failure.message.startswith("ORCA: ")


# --- property.json -----------------------------------------------------------------------------


def test_the_property_file_gives_the_last_geometry_and_the_best_density() -> None:
    found = file("more.property.json")
    assert orca.json_total_energy(found) == -100.0125
    assert orca.json_dipole(found) == [0.0, 0.0, 0.75]
    assert orca.json_polarizability(found)[2] == [0.0, 0.0, 5.5]
    assert orca.json_mulliken_charges(found) == [-0.4, 0.4]
    assert orca.json_loewdin_charges(found) == [-0.2, 0.2]
    assert orca.json_hirshfeld_charges(found) == [-0.25, 0.25]
    assert orca.json_mbis_charges(found) == [-0.5, 0.5]
    assert orca.json_chelpg_charges(found) == [-0.45, 0.45]
    assert orca.json_frequencies(found) == [4321.002345]
    assert orca.json_hessian(found)[5][2] == -0.625
    assert orca.json_thermochemistry(found)["gibbs_free_energy"] == -100.02
    geometry = orca.json_geometry(found)
    assert geometry["symbols"] == ["F", "H"]
    assert geometry["coordinates"][1][2] == pytest.approx(1.75 * 0.529177210903)
    assert len(orca.property_json(found)["Geometries"]) == 2
    assert orca.diagnose_file(found) is None


def test_a_gradient_of_an_earlier_geometry_is_not_that_of_the_last_one() -> None:
    with pytest.raises(ParseError, match=r"Nuclear_Gradient\.grad' is missing"):
        orca.json_gradient(file("more.property.json"))
    text = text_of("more.property.json").replace("Dipole_Moment", "Nuclear_Gradient")
    text = text.replace("dipoleTotal", "grad")
    with pytest.raises(ParseError, match="3 components"):
        orca.json_gradient(file("more.property.json", text))


OF_JSON: list[Callable[[Output], Any]] = [
    orca.json_total_energy,
    orca.json_dipole,
    orca.json_polarizability,
    orca.json_mulliken_charges,
    orca.json_gradient,
    orca.json_hessian,
    orca.json_frequencies,
    orca.json_thermochemistry,
    orca.json_geometry,
]


@pytest.mark.parametrize("parser", [*OF_JSON, orca.property_json])
@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"Geometries": [', "[" * 100_000])
def test_a_broken_property_file_is_a_parse_error(
    parser: Callable[[Output], Any], content: str
) -> None:
    found = file("more.property.json", content)
    with pytest.raises(ParseError, match=r"more\.property\.json"):
        parser(found)
    failure = orca.diagnose_file(found)
    assert failure is not None
    assert failure.kind is FailureClass.TRUNCATED


@pytest.mark.parametrize("parser", OF_JSON)
@pytest.mark.parametrize(
    "content",
    ["{}", '{"Geometries": []}', '{"Geometries": [1]}', '{"Geometries": {"Geometry": 1}}'],
)
def test_a_property_file_of_another_form_is_a_parse_error(
    parser: Callable[[Output], Any], content: str
) -> None:
    with pytest.raises(ParseError):
        parser(file("more.property.json", content))


@pytest.mark.parametrize(
    ("parser", "old", "new"),
    [
        (orca.json_total_energy, '"Converged": true', '"Converged": false'),
        (orca.json_total_energy, '"FinalEnergy": -100.0125', '"FinalEnergy": "-100"'),
        (orca.json_mulliken_charges, '"NumOfAtoms": 2', '"NumOfAtoms": 3'),
        (orca.json_hessian, '"NumOfAtoms": 2', '"NumOfAtoms": 3'),
        (orca.json_geometry, '"NumOfAtoms": 2', '"NumOfAtoms": 3'),
        (orca.json_geometry, '"Units": "a.u."', '"Units": "ells"'),
        (orca.json_loewdin_charges, "-0.2", '"x"'),
        (orca.json_polarizability, "5.5", "null"),
        (orca.json_dipole, "0.75", "true"),
    ],
)
def test_a_damaged_property_file_is_a_parse_error(
    parser: Callable[[Output], Any], old: str, new: str
) -> None:
    text = text_of("more.property.json")
    assert old in text
    with pytest.raises(ParseError):
        parser(file("more.property.json", text.replace(old, new)))


# --- all ---------------------------------------------------------------------------------------


def test_every_parser_is_marked_and_has_units_or_says_what_it_gives() -> None:
    for name in orca.__all__:
        function = getattr(orca, name)
        if name in ("VERSION", "diagnose", "diagnose_file", "file_name", "program_version"):
            continue
        assert function.files, name
        assert function.__doc__, name


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00" * 100, bytes(range(256)) * 20])
def test_rubbish_is_a_parse_error_for_every_parser(content: bytes) -> None:
    for name in orca.__all__:
        function = getattr(orca, name)
        if hasattr(function, "files"):
            with pytest.raises(ParseError):
                function(Output({function.files[0]: content}, function.files[0]))
