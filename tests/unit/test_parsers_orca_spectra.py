"""Parsers for excited states, polarizabilities and correlated energies.

The fixtures in data/orca/more-* are handmade, in the layouts of the versions in their names.
"""

import pytest

from tests.unit.orca_outputs import fixture, of, replaced, text_of
from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Parser

# --- spectra -----------------------------------------------------------------------------------


def test_excitations_in_the_layout_up_to_orca_5() -> None:
    found = fixture("more-4.2-td.out")
    assert orca.excitation_energies(found) == [0.2, 0.25, 0.25, 0.15, 0.22]
    assert orca.oscillator_strengths(found) == [0.005, 0.0, 0.125, 0.0, 0.0]
    states = orca.excitations(found)
    assert [state["multiplicity"] for state in states] == [1, 1, 1, 3, 3]
    assert [state["state"] for state in states] == [1, 2, 3, 4, 5]
    assert states[0]["wavelength"] == 227.8


def test_excitations_in_the_layout_since_orca_6_are_sorted_by_state() -> None:
    found = fixture("more-6.0-td.out")
    assert orca.excitation_energies(found) == [0.2, 0.25, 0.25, 0.15, 0.22]
    assert orca.oscillator_strengths(found) == [0.01, 0.2, 0.3, 0.0, 0.0]
    assert [state["multiplicity"] for state in orca.excitations(found)] == [1, 1, 1, 3, 3]
    assert orca.excitations(found)[3]["wavelength"] == 303.8


def test_the_roots_of_an_ionization_are_not_excitations() -> None:
    found = fixture("more-5.0-eom.log")
    assert orca.excitation_energies(found) == [0.21, 0.29]
    assert orca.oscillator_strengths(found) == [0.0005, 0.9975]
    assert orca.excitations(found)[0]["multiplicity"] is None


def test_a_warning_between_the_states_of_steom_does_not_end_them() -> None:
    warning = "Warning:: the state may have not converged\n-------- Handle with Care --------\n"
    states = "".join(
        f"IROOT=  {root}:  {energy:.6f} au     2.734 eV   {energy * 219474.6314:.1f} cm**-1\n"
        f"  Amplitude    Excitation\n   0.834204   100 -> 101\n\n{warning}\n"
        for root, energy in ((1, 0.100488), (2, 0.108331))
    )
    heading = "------------------\nSTEOM-CCSD RESULTS\n------------------\n\n"
    end = "STEOM-CCSD done (1.0 sec)\n\n------\nOTHERS\n------\n"
    assert orca.excitation_energies(of(heading + states + end)) == [0.100488, 0.108331]


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


def test_without_states_only_the_spectrum_is_read() -> None:
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
    with pytest.raises(ParseError, match="5 excited states but 4 lines"):
        orca.excitations(of("".join(lines[:place] + lines[place + 1 :])))


def test_states_that_are_cut_short_are_a_parse_error() -> None:
    text = text_of("more-6.0-td.out")
    with pytest.raises(ParseError):
        orca.excitation_energies(of(text[: text.index("STATE  5")]))


def test_the_polarizability_of_both_layouts() -> None:
    assert orca.polarizability(fixture("more-4.1-polar.out")) == [
        [10.5, 0.25, 0.0],
        [0.25, 12.0, -1.5],
        [0.0, -1.5, 15.0],
    ]
    # The tensor in the velocity gauge, which follows in the output, is not read.
    assert orca.polarizability(fixture("more-6.1-polar.out")) == [
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


def test_coupled_cluster_energies_are_those_printed_last() -> None:
    found = fixture("more-5.0-ccsd_t.out")
    assert orca.reference_energy(found) == -75.123456789
    assert orca.ccsd_correlation_energy(found) == -0.250000001
    assert orca.ccsd_energy(found) == -75.37345679
    assert orca.triples_correction(found) == -0.004
    assert orca.ccsd_t_energy(found) == -75.37745679
    assert orca.correlation_energy(found) == -0.254000001
    assert orca.t1_diagnostic(found) == 0.0123


def test_dlpno_has_strong_and_weak_pairs() -> None:
    found = fixture("more-4.2-dlpno.out")
    assert orca.dlpno_strong_pairs_energy(found) == -0.6
    assert orca.dlpno_weak_pairs_energy(found) == -0.0125
    assert orca.ccsd_correlation_energy(found) == -0.6125
    assert orca.ccsd_energy(found) == -191.1125
    assert orca.ccsd_t_energy(found) == -191.1345
    assert orca.correlation_energy(found) == -0.6345


def test_canonical_coupled_cluster_has_no_pairs() -> None:
    with pytest.raises(ParseError, match="weak-pairs"):
        orca.dlpno_weak_pairs_energy(fixture("more-5.0-ccsd_t.out"))


COUPLED_CLUSTER = [
    orca.reference_energy,
    orca.ccsd_correlation_energy,
    orca.ccsd_energy,
    orca.correlation_energy,
    orca.t1_diagnostic,
]


@pytest.mark.parametrize("parser", COUPLED_CLUSTER)
def test_an_unconverged_calculation_is_a_parse_error(parser: Parser) -> None:
    with pytest.raises(ParseError, match="did not converge"):
        parser(fixture("more-6.1-ccsd-unconverged.out"))


@pytest.mark.parametrize("parser", [*COUPLED_CLUSTER, orca.ccsd_t_energy, orca.triples_correction])
def test_an_output_without_coupled_cluster_is_a_parse_error(parser: Parser) -> None:
    with pytest.raises(ParseError, match="missing"):
        parser(fixture("more-4.1-polar.out"))


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
    with pytest.raises(ParseError, match="truncated"):
        orca.ccsd_t_energy(of(text[:end]))


def test_another_method_is_not_taken_for_ccsd() -> None:
    found = replaced("more-5.0-ccsd_t.out", "COUPLED CLUSTER ITER", "COUPLED PAIR ITER")
    for parser in (orca.ccsd_energy, orca.ccsd_correlation_energy):
        with pytest.raises(ParseError, match="not a coupled-cluster energy"):
            parser(found)


@pytest.mark.parametrize(
    ("name", "total", "correlation"),
    [
        ("more-5.0-mp2.out", -76.310956829, -0.203409367),
        ("more-6.0-mp3.out", -74.999000616, -0.035000372),
    ],
)
def test_mp2_energies(name: str, total: float, correlation: float) -> None:
    assert orca.mp2_energy(fixture(name)) == total
    assert orca.mp2_correlation_energy(fixture(name)) == correlation
    assert orca.correlation_energy(fixture(name)) == correlation


@pytest.mark.parametrize("name", ["more-5.0-mp2.out", "more-6.0-mp3.out"])
@pytest.mark.parametrize("parser", [orca.mp2_energy, orca.mp2_correlation_energy])
def test_an_mp2_energy_that_is_cut_is_a_parse_error(parser: Parser, name: str) -> None:
    text = text_of(name)
    end = text.index("MP2" if "mp3" in name else "CORRELATION") + 30
    with pytest.raises(ParseError):
        parser(of(text[:end]))
