"""ORCA's parsers on small handmade outputs, in the layouts of several ORCA versions.

test_orca_shared.py reads real outputs; test_diagnosis_orca.py tests the diagnosis.
"""

from typing import Any

import pytest

from tests.unit.orca_outputs import BANNER, output, text
from wqmaster.errors import ParseError
from wqmaster.parsers import orca
from wqmaster.parsers.base import Parser


def read(parser: Parser, name: str, *changes: tuple[str, str]) -> Any:
    return parser(output(text(name, *changes)))


# --- values, in the layouts of several versions --------------------------------------------------


@pytest.mark.parametrize(
    ("name", "total", "scf"),
    [
        ("v3-radical", -75.385123456789, -75.38512345),
        ("v4-opt", -100.251234741003, -100.25111134),
        ("v4-mp2", -56.443219876543, -56.21550011),
        ("v5-numgrad", -552.987654321098, -552.12345678),
        ("v6-radical", -129.901445554890, -129.90123456789012),
    ],
)
def test_energies_are_those_printed_last(name: str, total: float, scf: float) -> None:
    assert read(orca.total_energy, name) == total
    assert read(orca.scf_energy, name) == scf


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("v4-opt", [1e-6, -2e-9, 0.000051], [-1e-6, 2e-9, -0.000051]),
        ("v4-mp2", [0.0012, -0.0003, 0.0101], [-0.0003, -0.0005, -0.0034]),
        ("v5-numgrad", [0.0101, 1e-9, 0.0], [0.0104, -3e-9, 0.0]),
        ("v6-radical", [1e-9, 0.0, -0.004321098], [-1e-9, 0.0, 0.004321098]),
    ],
)
def test_the_gradient_in_its_layouts(name: str, first: list[float], last: list[float]) -> None:
    found = read(orca.gradient, name)
    assert found[0] == first
    assert found[-1] == last
    assert len(found) == len(read(orca.geometry, name))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v5-numgrad", [0.000036082, 0.001141919, 0.000151236]),
        ("v6-radical", [0.0, 0.0, -1.2e-5]),
    ],
)
def test_the_dispersion_gradient_with_and_without_symbols(name: str, expected: list[float]) -> None:
    assert read(orca.dispersion_gradient, name)[0] == expected


def test_the_dispersion_energy_is_not_a_line_of_the_gradient() -> None:
    assert read(orca.dispersion_energy, "v4-opt") == -0.000123401
    assert read(orca.dispersion_energy, "v6-radical") == -0.000210987


def test_the_nl_energy() -> None:
    assert read(orca.nl_energy, "v6-radical") == 0.075791465926
    line = "NL Energy, E(C,NL) :        0.035791465926 Eh"
    changed = ("NL    Energy:          0.075791465926", line)
    assert read(orca.nl_energy, "v6-radical", changed) == 0.035791465926


@pytest.mark.parametrize(
    ("parser", "name", "expected"),
    [
        (orca.mulliken_charges, "v3-radical", [-0.234561, 0.234561]),
        (orca.mulliken_spins, "v3-radical", [1.040321, -0.040321]),
        (orca.loewdin_charges, "v3-radical", [-0.101101, 0.101101]),
        (orca.loewdin_spins, "v3-radical", [1.020202, -0.020202]),
        (orca.mulliken_charges, "v4-opt", [-0.310001, 0.310001]),
        (orca.loewdin_charges, "v4-opt", [-0.210002, 0.210002]),
        (orca.mulliken_spins, "v5-numgrad", [0.7, 0.1, 0.2]),
        (orca.hirshfeld_charges, "v5-numgrad", [-0.501, -0.199, -0.2995]),
        (orca.hirshfeld_spins, "v5-numgrad", [0.65, 0.15, 0.2]),
        (orca.mbis_charges, "v6-radical", [0.0222, -0.022201]),
        (orca.mbis_spins, "v6-radical", [0.7001, 0.2999]),
        (orca.chelpg_charges, "v6-radical", [0.031415, -0.031415]),
    ],
)
def test_charges_and_spins(parser: Parser, name: str, expected: list[float]) -> None:
    assert read(parser, name) == expected


def test_the_moments() -> None:
    assert read(orca.dipole, "v4-mp2") == [0.00001, 0.0, 0.59123]
    assert read(orca.dipole_trajectory, "v4-mp2") == [[0.0, 0.0, 0.61], [0.00001, 0.0, 0.59123]]
    assert read(orca.dipole, "v6-radical") == [0.000000001, 0.0, 0.061234567]
    xx, yy, zz, xy, xz, yz = -37.80272, -41.7834, -38.33865, 5.41045, 0.05916, -1.16908
    assert read(orca.quadrupole, "v5-numgrad") == [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]


def test_the_columns_of_the_quadrupole_are_read_by_their_names() -> None:
    names = (
        "XX           YY           ZZ           XY",
        "YY           XX           ZZ           XY",
    )
    found = read(orca.quadrupole, "v5-numgrad", names)
    assert (found[0][0], found[1][1]) == (-41.7834, -37.80272)


def test_bond_orders_and_spin_contamination() -> None:
    assert read(orca.mayer_bond_orders, "v6-radical") == [[0, 1, 1.9876]]
    found = read(orca.s_squared, "v5-numgrad")
    assert found == {"value": 0.75809, "ideal": 0.75, "deviation": 0.00809}
    with pytest.raises(ParseError, match="S\\*\\*2"):
        read(orca.s_squared, "v4-opt")


def test_bond_orders_are_empty_if_none_reaches_the_threshold() -> None:
    """ORCA 6 states that there are none; older versions print nothing."""
    bond = "B(  0-N ,  1-O ) :   1.9876 "
    assert read(orca.mayer_bond_orders, "v6-radical", (bond, "  => no bond orders to print")) == []
    assert read(orca.mayer_bond_orders, "v6-radical", (bond, "")) == []
    with pytest.raises(ParseError):
        read(orca.mayer_bond_orders, "v6-radical", (bond, f"{bond}\n  => no bond orders to print"))


def test_a_number_and_a_symbol_may_have_no_space_between_them() -> None:
    changes = [("   0 N :", "   0Na:"), ("   1 O :", "   1O :")]
    assert read(orca.mulliken_charges, "v6-radical", *changes) == [0.0123, -0.0123]
    with pytest.raises(ParseError, match="atom 2 is missing"):
        read(orca.mulliken_charges, "v6-radical", changes[0], ("   1 O :", "  12Cl:"))


def test_the_data_that_the_output_states_about_the_run() -> None:
    assert read(orca.version, "v3-radical") == "3.0.3"
    assert orca.program_version(output(text("v6-radical"))) == "6.1.0"
    assert orca.program_version(output("")) is None
    assert read(orca.basis, "v3-radical") == "cc-VDZ"
    assert read(orca.basis, "v5-numgrad") == "ma-def2-SVP"
    assert read(orca.charge, "v5-numgrad") == -1
    assert read(orca.multiplicity, "v5-numgrad") == 2


def test_charge_and_multiplicity_without_an_scf_come_from_the_echoed_input() -> None:
    started = text("v5-numgrad").partition("SCF SETTINGS")[0]
    assert orca.charge(output(started)) == -1
    assert orca.multiplicity(output(started)) == 2


def test_the_geometries_of_an_optimization() -> None:
    found = read(orca.geometry_trajectory, "v4-opt")
    assert len(found) == 3
    assert found[0] == [[0.0, 0.0, 0.0], [0.0, 0.0, 0.95]]
    final = [[0.0, 0.0, -0.01], [0.0, 0.0, 0.925]]
    assert read(orca.symbols, "v4-opt") == ["F", "H"]
    assert read(orca.geometry, "v4-opt") == final
    assert read(orca.optimized_geometry, "v4-opt") == final
    found = read(orca.optimisation, "v4-opt")  # codespell:ignore optimisation
    assert found == {"converged": True, "cycles": 2}


def test_the_trajectories_of_an_optimization() -> None:
    assert read(orca.energy_trajectory, "v4-opt") == [
        -100.250134679001,
        -100.251234733002,
        -100.251234741003,
    ]
    assert read(orca.mulliken_charges_trajectory, "v4-opt") == [[-0.3, 0.3], [-0.310001, 0.310001]]
    assert [step[1][2] for step in read(orca.gradient_trajectory, "v4-opt")] == [0.0251, -0.000051]


def test_the_optimized_geometry_needs_a_converged_optimization() -> None:
    with pytest.raises(ParseError, match="HAS CONVERGED"):
        read(orca.optimized_geometry, "v6-radical")
    again = text("v4-opt") + "*   GEOMETRY OPTIMIZATION CYCLE   1   *\n"
    with pytest.raises(ParseError, match="did not converge"):
        orca.optimized_geometry(output(again))


def test_the_last_of_several_jobs_counts() -> None:
    both = output(text("v4-opt") + text("v6-radical"))
    assert orca.total_energy(both) == -129.901445554890
    assert orca.gradient(both)[1][2] == 0.004321098
    assert orca.basis(both) == "def2-TZVPP"
    assert orca.mulliken_spins(both) == [0.71, 0.29]
    assert len(orca.energy_trajectory(both)) == 4
    with pytest.raises(ParseError, match="restricted"):
        orca.mulliken_spins(output(text("v6-radical") + text("v4-opt")))


def test_windows_line_endings_are_accepted() -> None:
    found = output(text("v6-radical").replace("\n", "\r\n"))
    assert orca.total_energy(found) == -129.901445554890
    assert orca.gradient(found)[1][2] == 0.004321098
    assert orca.mulliken_charges(found) == [0.0123, -0.0123]


def test_the_energies_of_layers_are_not_steps() -> None:
    layers = "".join(
        f"FINAL SINGLE POINT ENERGY {label}   {energy}\n"
        for step in (1, 2)
        for label, energy in (("(MM)", 0.5), ("", -10.25 - step), ("(QM/MM)", -10.5 - step))
    )
    assert orca.energy_trajectory(output(layers)) == [-11.5, -12.5]
    assert orca.total_energy(output(layers)) == -12.5
    # If another job follows, the trajectory has its energy and the energies of every layer.
    later = f"{layers}FINAL SINGLE POINT ENERGY     -3.5\n"
    assert len(orca.energy_trajectory(output(later))) == 7


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FINAL SINGLE POINT ENERGY (QM/MM)      -10.5", -10.5),
        ("FINAL SINGLE POINT ENERGY (From external program)    -3.25", -3.25),
        ("FINAL SINGLE POINT ENERGY      -10.5   (QM/MM)", -10.5),
    ],
)
def test_labels_of_the_final_energy(line: str, expected: float) -> None:
    assert orca.total_energy(output(f"{line}\n")) == expected


# --- what must not be read -----------------------------------------------------------------------

PARSERS = [
    getattr(orca, name)
    for name in orca.__all__
    if hasattr(getattr(orca, name), "files") and getattr(orca, name).files[0] == "stdout"
]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.__name__)
def test_a_missing_block_is_a_parse_error(parser: Parser) -> None:
    with pytest.raises(ParseError, match=r"missing|there is no"):
        parser(output(BANNER))


@pytest.mark.parametrize(
    ("parser", "name", "old", "new"),
    [
        (orca.total_energy, "v4-mp2", "-56.443219876543", "-56.44   (SCF not fully converged!)"),
        (orca.energy_trajectory, "v4-opt", "-100.250134679001", "-1 (SCF not fully converged!)"),
        (orca.total_energy, "v4-mp2", "-56.443219876543", "************"),
        (orca.scf_energy, "v4-mp2", "-56.21550011 Eh", "-56.21550011"),
        (orca.gradient, "v4-mp2", "  2: ", "  3: "),
        (
            orca.gradient,
            "v4-mp2",
            "NORM OF THE MP2 GRADIENT:  0.0",
            "NORM OF THE MP2 GRADIENT:  0.1",
        ),
        (orca.gradient, "v6-radical", "   0.004321098\n\nDiff", "   0.004311098\n\nDiff"),
        (orca.gradient, "v6-radical", "   1   N   :", "   0.1 N   :"),
        (orca.mulliken_charges, "v6-radical", "   0 N :    0.012300", "   0 N :    0.013300"),
        (orca.mulliken_charges, "v6-radical", "Sum of atomic charges", "Sun of atomic charges"),
        (orca.mulliken_charges, "v6-radical", "   0 N :    0.012300", "   0 N :    "),
        (orca.loewdin_charges, "v6-radical", "   1 O :   -0.045600", "   2 O :   -0.045600"),
        (orca.loewdin_charges, "v6-radical", "   1 O :   -0.045600    0.310000\n", ""),
        (orca.hirshfeld_charges, "v5-numgrad", "  TOTAL  -0.999500", "  TOTAL  -0.899500"),
        (orca.mbis_charges, "v6-radical", "  ATOM     CHARGE    POPULATION", "  ATOM     CHARGE"),
        (orca.chelpg_charges, "v6-radical", "Total charge:     0.0", "Total charge:     0.1"),
        (
            orca.dipole,
            "v6-radical",
            "Magnitude (a.u.)       :      0.06123",
            "Magnitude (a.u.) : 1",
        ),
        (orca.dipole, "v4-mp2", "      0.59123\n    ", "\n    "),
        (orca.quadrupole, "v5-numgrad", "  TOT       -37.80272", "  TOT  "),
        (orca.quadrupole, "v5-numgrad", "  TOT ", "  NUC "),
        (orca.mayer_bond_orders, "v6-radical", "1-O ) :   1.9876", "1-O ) :   1.98a6"),
        (orca.s_squared, "v6-radical", "Deviation ", "Deviance "),
        (orca.geometry, "v6-radical", "  O       0.000000    0.000000    1.150000\n", ""),
        (
            orca.geometry,
            "v6-radical",
            "  O       0.000000    0.000000    1.150000",
            "  O       0.0",
        ),
        (orca.charge, "v6-radical", "Charge          ....    0", "Charge          ....    x"),
    ],
)
def test_a_damaged_block_is_a_parse_error(parser: Parser, name: str, old: str, new: str) -> None:
    read(parser, name)
    with pytest.raises(ParseError):
        read(parser, name, (old, new))


@pytest.mark.parametrize(
    ("parser", "name", "words"),
    [
        (orca.total_energy, "v4-mp2", "ENERGY      -56.4432"),
        (orca.gradient, "v4-mp2", "  3:  -0.00030000  -0.0005"),
        (orca.gradient, "v6-radical", "    0.000000000    0.0043"),
        (orca.mulliken_charges, "v4-mp2", "   2 H :    0.200"),
        (orca.loewdin_charges, "v3-radical", "   1 H :    0.1011"),
        (orca.mayer_bond_orders, "v6-radical", "1-O ) :   1.98"),
        (orca.dipole, "v6-radical", "Total Dipole Moment    :    0.000"),
        (orca.geometry, "v6-radical", "  O       0.000000    0.000000    1.1500"),
    ],
)
def test_a_block_that_is_cut_short_is_a_parse_error(parser: Parser, name: str, words: str) -> None:
    whole = text(name)
    assert words in whole
    with pytest.raises(ParseError):
        parser(output(whole[: whole.rindex(words) + len(words)]))


def test_headings_in_the_echoed_input_are_ignored() -> None:
    echo = "|  9> # CARTESIAN GRADIENT\n|  9> FINAL SINGLE POINT ENERGY -1.0\n"
    found = output(text("v6-radical") + echo)
    assert orca.total_energy(found) == -129.901445554890
    assert orca.gradient(found)[1][2] == 0.004321098


def test_a_number_with_an_underscore_is_not_a_number() -> None:
    with pytest.raises(ParseError, match="is not a number"):
        read(orca.total_energy, "v4-mp2", ("-56.443219876543", "-5_6.443219876543"))
