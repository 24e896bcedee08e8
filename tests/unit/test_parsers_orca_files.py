"""Parsers for ORCA's files .engrad, .hess and .property.json.

The fixtures in data/orca/more-* are handmade, in the layouts of the versions in their names.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.orca_outputs import file, text_of
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output, Parser

# --- .engrad -----------------------------------------------------------------------------------


def test_the_engrad_file() -> None:
    found = file("more.engrad")
    assert orca.engrad_energy(found) == -100.012345678901
    assert orca.engrad_gradient(found) == [
        [1e-12, 2e-12, 0.012500000003],
        [-1e-12, -2e-12, -0.012500000003],
    ]
    geometry = orca.engrad_geometry(found)
    assert geometry[1] == pytest.approx([0.0, 0.0, 1.75 * 0.529177210903])
    assert orca.diagnose_file(found) is None


def test_an_engrad_file_cut_anywhere_is_a_parse_error() -> None:
    text = text_of("more.engrad").rstrip("\n")
    for length in range(len(text)):
        for parser in (orca.engrad_energy, orca.engrad_gradient, orca.engrad_geometry):
            with pytest.raises(ParseError):
                parser(file("more.engrad", text[:length]))


@pytest.mark.parametrize(
    ("old", "new"),
    [("\n 2\n", "\n 3\n"), ("\n 2\n", "\n-2\n"), ("\n 2\n", "\n 0\n"), ("\n   9  ", "\n 119  ")],
)
def test_an_inconsistent_engrad_file_is_diagnosed(old: str, new: str) -> None:
    text = text_of("more.engrad")
    assert old in text
    failure = orca.diagnose_file(file("more.engrad", text.replace(old, new)))
    assert failure is not None
    assert failure.kind is FailureClass.TRUNCATED


def test_the_gradient_is_per_atom_and_the_hessian_is_not() -> None:
    assert orca.engrad_gradient.per_atom  # type: ignore[attr-defined]
    assert orca.engrad_gradient.files == ("orca.engrad", "stdout")  # type: ignore[attr-defined]
    assert not orca.hess_hessian.per_atom  # type: ignore[attr-defined]
    assert orca.hess_hessian.files == ("orca.hess", "stdout")  # type: ignore[attr-defined]


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
    assert orca.hess_symbols(found) == ["F", "H"]
    assert geometry[1][2] == pytest.approx(1.75 * 0.529177210903)
    assert orca.diagnose_file(found) is None


def test_the_frequencies_of_the_hessian_equal_the_printed_ones() -> None:
    # The square root of 1 Eh/(u Bohr^2), as a wavenumber, is 5140.4871 cm^-1 (CODATA 2018).
    found = file(HESS[0])
    force = orca.hess_hessian(found)[2][2]
    reduced = 1 / sum(1 / mass for mass in orca.hess_masses(found))
    assert math.sqrt(force / reduced) * 5140.487 == pytest.approx(4154.6, abs=2.0)


@pytest.mark.parametrize("parser", OF_HESS)
@pytest.mark.parametrize("name", HESS)
def test_a_hess_file_cut_anywhere_is_a_parse_error(parser: Parser, name: str) -> None:
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


def test_the_property_file_has_the_last_geometry_and_the_best_density() -> None:
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
    assert geometry[1][2] == pytest.approx(1.75 * 0.529177210903)
    assert len(orca.property_json(found)["Geometries"]) == 2
    assert orca.diagnose_file(found) is None


def test_a_gradient_of_an_earlier_geometry_is_not_taken_for_the_last_one() -> None:
    with pytest.raises(ParseError, match=r"Nuclear_Gradient .* geometry 1, .* geometry 2"):
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
def test_a_property_file_of_another_structure_is_a_parse_error(
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
