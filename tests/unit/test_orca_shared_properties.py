"""Parsers for orbitals, vibrations, spectra and files, on real ORCA files.

The files and the values of cclib are in the folder `shared` next to the checkout. Where cclib has a
value that the file does not state, or reads it from another block, the test says so.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "orca"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="the folder shared with ORCA's files is not next to the checkout"
)

# The factor with which cclib converts Eh to eV (scipy's constants, CODATA 2018 or 2014).
EV_PER_EH = 27.211386


def _expected() -> dict[str, dict[str, Any]]:
    if not DATA.is_dir():
        return {}
    found: dict[str, dict[str, Any]] = json.loads((DATA / "expected.json").read_text())["files"]
    return found


EXPECTED = _expected()


def output(name: str) -> Output:
    return Output({"stdout": (DATA / name).read_bytes()})


def file(name: str) -> Output:
    path = DATA / name
    return Output({path.name: path.read_bytes()}, path.name)


def having(*keys: str) -> list[str]:
    """The files for which cclib has all of `keys`."""
    return [
        name
        for name, entry in EXPECTED.items()
        if all(key in (entry.get("cclib") or {}) for key in keys)
    ]


def rounding(name: str) -> float:
    """The rounding error of cclib's orbital energies, in eV.

    If coefficients are printed, cclib reads the energies above them, which have 5 decimals in Eh.
    """
    return 3e-4 if "MOLECULAR ORBITALS" in output(name).text else 2e-5


def by_spin(values: Any) -> list[list[float]]:
    return values if isinstance(values[0], list) else [values]


@pytest.mark.parametrize("name", having("homos"))
def test_orbitals(name: str) -> None:
    known = EXPECTED[name]["cclib"]
    energies = by_spin(orca.orbital_energies(output(name)))
    occupations = by_spin(orca.orbital_occupations(output(name)))
    assert [len(spin) for spin in occupations] == [len(spin) for spin in energies]
    assert [sum(o > 0 for o in spin) - 1 for spin in occupations] == known["homos"]
    if "virtual orbitals were printed." in output(name).text:
        # cclib's n_mo also counts orbitals that only the coefficients below the table list.
        assert all(len(spin) <= n for spin, n in zip(energies, known["n_mo"], strict=True))
    else:
        assert [len(spin) for spin in energies] == known["n_mo"]
    for spin, homo, pair in zip(
        energies, known["homos"], known["moenergies_homo_lumo_eV"], strict=True
    ):
        found = [spin[homo] * EV_PER_EH, spin[homo + 1] * EV_PER_EH]
        assert found == pytest.approx(pair, abs=rounding(name), rel=2e-7)


@pytest.mark.parametrize("name", having("homos"))
def test_the_gap(name: str) -> None:
    known = EXPECTED[name]["cclib"]["moenergies_homo_lumo_eV"]
    gap = min(pair[1] for pair in known) - max(pair[0] for pair in known)
    found = orca.homo_lumo_gap(output(name)) * EV_PER_EH
    assert found == pytest.approx(gap, abs=2 * rounding(name), rel=2e-7)


@pytest.mark.parametrize("name", having("vibfreqs"))
def test_frequencies(name: str) -> None:
    known = EXPECTED[name]["cclib"]["vibfreqs"]
    found = orca.frequencies(output(name))
    assert found == known
    natoms = EXPECTED[name]["cclib"]["natom"]
    modes = orca.normal_modes(output(name))
    assert [len(modes), len(modes[0]), len(modes[0][0])] == [len(known), natoms, 3]
    for mode in modes:
        assert sum(x * x for atom in mode for x in atom) == pytest.approx(1.0, abs=1e-5)
    intensities = orca.ir_intensities(output(name))
    assert [value is None for value in intensities] == [value < 0 for value in known]


@pytest.mark.parametrize("name", having("free_energy_hartree"))
def test_thermochemistry(name: str) -> None:
    known = EXPECTED[name]["cclib"]["free_energy_hartree"]
    assert orca.gibbs_free_energy(output(name)) == pytest.approx(known, abs=1e-9)
    values = orca.thermochemistry(output(name))
    assert values["temperature"] == 298.15
    # ORCA's zero-point energy is half the sum of the real frequencies; 1 Eh = 219474.6314 cm^-1.
    real = [value for value in orca.frequencies(output(name)) if value > 0]
    half = sum(real) / 2 / 219474.6314
    # The tolerance covers frequencies below a limit (1 or 35 cm^-1), which ORCA leaves out.
    assert values["zero_point_energy"] == pytest.approx(half, abs=1e-4)


@pytest.mark.parametrize("name", having("etenergies_cm1"))
def test_excitations(name: str) -> None:
    # For ORCA 6, cclib takes the energies from the spectrum, which is sorted by energy.
    known = sorted(EXPECTED[name]["cclib"]["etenergies_cm1"])
    states = orca.excitations(output(name))
    found = sorted(state["energy"] * 219474.63136 for state in states)
    assert found == pytest.approx(known, abs=0.15)
    assert [state["multiplicity"] for state in states] == [1] * 5 + [3] * 5
    assert orca.oscillator_strengths(output(name))[:2] == [0.005038390, 1.170940055]
    assert sum(orca.oscillator_strengths(output(name))[5:]) == 0.0


@pytest.mark.parametrize(
    ("name", "reference", "ccsd", "t1"),
    [
        ("5.0/water_ccsd_t.out", -74.963574242, -75.013487814, 0.004924542),
        ("6.0/water_ccsd_t.out", -74.963574245, -75.013487814, 0.004919716),
        ("4.2/numerical_orca.out", -958.685575207, -959.310417981, 0.016793093),
    ],
)
def test_coupled_cluster(name: str, reference: float, ccsd: float, t1: float) -> None:
    found = output(name)
    assert orca.reference_energy(found) == pytest.approx(reference, abs=2e-9)
    assert orca.ccsd_energy(found) == pytest.approx(ccsd, abs=2e-9)
    assert orca.t1_diagnostic(found) == t1
    total = EXPECTED[name]["text"]["final_single_point_energy"]
    assert orca.ccsd_t_energy(found) == pytest.approx(total, abs=2e-9)
    assert orca.ccsd_energy(found) + orca.triples_correction(found) == pytest.approx(
        total, abs=2e-9
    )
    assert orca.correlation_energy(found) == pytest.approx(total - reference, abs=4e-9)


@pytest.mark.parametrize("parser", [orca.ccsd_energy, orca.t1_diagnostic, orca.correlation_energy])
@pytest.mark.parametrize(
    "name", ["4.2/orca_wavefunction_not_converge_error.log", "4.2/orca_mdci_error.log"]
)
def test_a_failed_coupled_cluster_calculation_has_no_energy(parser: Any, name: str) -> None:
    with pytest.raises(ParseError):
        parser(output(name))


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, entry in EXPECTED.items()
        if entry["outcome"] == "ok" and name.endswith((".out", ".log"))
    ],
)
def test_every_good_output_has_its_times(name: str) -> None:
    found = output(name)
    modules = orca.timings(found)
    total = modules.pop("sum_of_individual_times")
    assert sum(modules.values()) == pytest.approx(total, abs=0.02)
    assert orca.total_run_time(found) >= total - 0.5


def test_the_hess_files() -> None:
    for name, text, natoms in (
        ("4.2/H2O_hess_orca.hess", "4.2/H2O_hess_orca.out", 3),
        ("6.1/water.hess.hess", "6.1/water.hess.out", 3),
    ):
        found, beside = file(name), output(text)
        hessian = orca.hess_hessian(found)
        assert [len(row) for row in hessian] == [3 * natoms] * (3 * natoms)
        frequencies = orca.frequencies(beside)
        assert orca.hess_frequencies(found) == pytest.approx(frequencies, abs=0.0051)
        intensities = orca.ir_intensities(beside)
        assert orca.hess_ir_intensities(found) == pytest.approx(intensities, abs=0.0051)
        modes = [atom for mode in orca.hess_normal_modes(found) for atom in mode]
        printed = [atom for mode in orca.normal_modes(beside) for atom in mode]
        for one, other in zip(modes, printed, strict=True):
            assert one == pytest.approx(other, abs=1e-6)
        geometry, other_geometry = orca.hess_geometry(found), orca.geometry(beside)
        assert orca.hess_symbols(found) == orca.symbols(beside)
        # The .hess file has another origin than the output, so all atoms have the same shift.
        shifts = [
            [x - y for x, y in zip(one, other, strict=True)]
            for one, other in zip(geometry, other_geometry, strict=True)
        ]
        for shift in shifts[1:]:
            assert shift == pytest.approx(shifts[0], abs=3e-6)
        assert orca.diagnose_file(found) is None


@pytest.mark.parametrize(
    "parser",
    [orca.hess_hessian, orca.hess_frequencies, orca.hess_normal_modes, orca.hess_geometry],
)
def test_the_broken_hess_file_is_refused(parser: Any) -> None:
    broken = file("4.2/H2O_hess_orca_broken.hess")
    with pytest.raises(ParseError):
        parser(broken)
    failure = orca.diagnose_file(broken)
    assert failure is not None
    assert failure.kind is FailureClass.TRUNCATED


def test_the_property_file() -> None:
    found = file("6.1/opi_pop_analysis.property.json")
    assert orca.json_total_energy(found) == -76.23039400230981
    # The file has three dipoles: from the SCF, unrelaxed MP2 and relaxed MP2 densities.
    assert orca.json_dipole(found) == pytest.approx([-0.49257992, 0.04930775, 0.74593582], abs=1e-8)
    assert orca.json_mulliken_charges(found)[0] == pytest.approx(-0.39908581, abs=1e-8)
    assert sum(orca.json_hirshfeld_charges(found)) == pytest.approx(0.0, abs=1e-4)
    assert sum(orca.json_chelpg_charges(found)) == pytest.approx(0.0, abs=1e-9)
    tensor = orca.json_polarizability(found)
    assert tensor[0][1] == pytest.approx(tensor[1][0], abs=1e-6)
    assert len(orca.json_geometry(found)) == 3
    assert orca.property_json(found)["Calculation_Info"]["NumOfElectrons"] == 10
    assert orca.diagnose_file(found) is None
