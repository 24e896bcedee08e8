"""Each check, at its limits, with numbers computed by hand."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from wqmaster.campaign.models import Campaign
from wqmaster.checks.base import Level, Limits, Measurement
from wqmaster.checks.evaluated import Evaluated
from wqmaster.checks.forces import rigid_part
from wqmaster.checks.table import CHECKS, NO_CHECKS, checks_of
from wqmaster.datasets.composition_fit import EnergyByComposition
from wqmaster.errors import BadDocument, Defect
from wqmaster.jobs.failures import FailureClass, Family
from wqmaster.jobs.molecule import Molecule

# 1 Eh/Bohr in eV/Angstrom (CODATA 2018): 27.211386245988 / 0.529177210903.
FORCE = 51.42206747632590
PAIR = [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]  # Angstrom


def applied(
    preset: str = "default",
    own: Mapping[str, Any] | None = None,
    natoms: int = 2,
    charge: int = 0,
    multiplicity: int = 1,
    inapplicable: Mapping[str, str] | None = None,
    **values: Any,
) -> dict[str, Measurement]:
    evaluated = Evaluated(
        values.get,
        natoms=natoms,
        charge=charge,
        multiplicity=multiplicity,
        inapplicable=inapplicable,
    )
    return {found.check.name: found for found in checks_of(preset, own or {}).applied(evaluated)}


def level(name: str, **given: Any) -> str:
    return str(applied(**given)[name].level)


def test_every_check_has_a_failure_class_unless_it_sees_the_whole_campaign() -> None:
    for name, check in CHECKS.items():
        assert check.name == name
        if name != "energy_by_composition":
            assert check.kind is FailureClass.of(f"check_{name}")
            assert check.kind.family is Family.JUDGEMENT
            assert not check.kind.again


def test_without_values_nothing_is_measured() -> None:
    assert applied() == {}
    assert NO_CHECKS.applied(Evaluated({"gradient": [[9.0, 0, 0]]}.get, natoms=1)) == []


# --- forces ------------------------------------------------------------------------------------


def opposed(size: float) -> list[list[float]]:
    """Gradients of two atoms along their bond, of `size` eV/Angstrom each."""
    return [[0.0, 0.0, size / FORCE], [0.0, 0.0, -size / FORCE]]


@pytest.mark.parametrize(("size", "expected"), [(49.99, "pass"), (50.01, "refuse")])
def test_the_largest_force_is_a_norm_in_ev_per_angstrom(size: float, expected: str) -> None:
    found = applied(gradient=opposed(size))["max_force"]
    assert [found.level, found.value] == [expected, pytest.approx(size)]
    # 3, 4 and 12 make a norm of 13.
    rows = [[3 / FORCE, 4 / FORCE, 12 / FORCE], [0, 0, 0]]
    assert applied(gradient=rows)["max_force"].value == pytest.approx(13)


@pytest.mark.parametrize(
    ("net", "expected"), [(0.99, "pass"), (1.01, "warn"), (9.99, "warn"), (10.01, "refuse")]
)
def test_the_net_force_is_divided_by_the_number_of_atoms(net: float, expected: str) -> None:
    # The sum of two forces, in meV/Angstrom, is twice the net force per atom.
    rows = [[2 * net / 1000 / FORCE, 0.0, 0.0], [0.0, 0.0, 0.0]]
    found = applied(gradient=rows)["net_force"]
    assert [found.level, found.value] == [expected, pytest.approx(net)]


@pytest.mark.parametrize(
    ("torque", "expected"), [(0.99, "pass"), (1.01, "warn"), (9.99, "warn"), (10.01, "refuse")]
)
def test_the_net_torque_is_about_the_mean_position(torque: float, expected: str) -> None:
    # Two opposite forces f at 0.5 Angstrom from the middle: f per pair, f / 2 per atom.
    size = 2 * torque / 1000 / FORCE
    rows = [[size, 0.0, 0.0], [-size, 0.0, 0.0]]
    for shift in (0.0, 100.0):
        places = [[x + shift, y - shift, z + shift] for x, y, z in PAIR]
        found = applied(gradient=rows, geometry=places)
        assert found["net_torque"].value == pytest.approx(torque)
        assert found["net_torque"].level == expected
        assert found["net_force"].value == pytest.approx(0)


def test_the_torque_needs_the_geometry_of_the_gradient() -> None:
    rows = [[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]
    assert "net_torque" not in applied(gradient=rows)
    assert "net_torque" not in applied(gradient=rows, geometry=[[0.0, 0.0, 0.0]])


def test_sums_do_not_matter_if_something_acts_from_outside() -> None:
    rows = [[0.1, 0.0, 0.0], [0.1, 0.2, 0.0]]
    why = dict.fromkeys(("net_force", "net_torque"), "point charges act on the molecule")
    assert set(applied(gradient=rows, geometry=PAIR, inapplicable=why)) == {"max_force"}


def test_the_rigid_part_is_what_translations_and_rotations_explain() -> None:
    random = np.random.default_rng(7)
    places = random.normal(size=(6, 3))
    arms = places - places.mean(axis=0)
    shift, turn = np.array([0.3, -0.1, 0.2]), np.array([0.05, 0.2, -0.3])
    rigid = shift + np.cross(turn, arms)
    assert rigid_part(rigid.tolist(), places.tolist()) == pytest.approx(
        math.sqrt((rigid**2).mean())
    )
    # Forces along the connecting lines add nothing.
    inner = np.zeros((6, 3))
    inner[0], inner[3] = arms[3] - arms[0], arms[0] - arms[3]
    assert rigid_part(inner.tolist(), places.tolist()) == pytest.approx(0, abs=1e-12)
    assert rigid_part((rigid + inner).tolist(), places.tolist()) == pytest.approx(
        math.sqrt((rigid**2).mean())
    )
    # A linear molecule cannot be turned about its axis.
    assert rigid_part([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]], PAIR) == pytest.approx(math.sqrt(1 / 3))
    assert rigid_part([[0.0, 3.0, 0.0]], [[1.0, 2.0, 3.0]]) == pytest.approx(math.sqrt(3))


# --- the density -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "expected"),
    [(9.99991, "pass"), (9.9998, "warn"), (9.9989, "warn"), (9.98, "refuse"), (10.02, "refuse")],
)
def test_electrons_are_compared_with_those_that_the_program_states(
    total: float, expected: str
) -> None:
    limits = {"electrons": {"warn": 1.1e-5, "refuse": 1.5e-4}}
    found = applied(own=limits, integrated_electrons={"total": total}, electrons=10)["electrons"]
    assert found.value == pytest.approx(abs(total - 10) / 10)
    assert found.level == expected


def test_core_electrons_do_not_count() -> None:
    """Silver iodide has 47 + 53 electrons, of which def2 replaces 28 + 28."""
    grid: dict[str, Any] = {"integrated_electrons": {"total": 43.99999}, "symbols": ["Ag", "I"]}
    stated = applied(electrons=44, **grid)["electrons"]
    assert stated.value == pytest.approx(1e-5 / 44)
    # If the program states no number of electrons, a core potential may explain the deficit.
    assert "electrons" not in applied(**grid)


def test_without_a_statement_the_nuclear_charge_and_the_charge_count() -> None:
    grid: dict[str, Any] = {
        "integrated_electrons": {"total": 8.99},
        "symbols": ["O", "H", "H"],
    }
    assert applied(charge=1, **grid)["electrons"].value == pytest.approx(0.01 / 9)
    assert "electrons" not in applied(integrated_electrons={"total": 8.99}, symbols=["Q", "H"])


@pytest.mark.parametrize(
    ("multiplicity", "symbols", "deviation", "expected"),
    [
        (2, ["O", "H"], 0.49, "pass"),
        (2, ["O", "H"], 0.51, "refuse"),
        (2, ["O", "H"], -0.51, "refuse"),
        (2, ["Fe", "O"], 1.09, "pass"),
        (2, ["Fe", "O"], 1.11, "refuse"),
        (4, ["Gd", "O"], 1.09, "pass"),
        (2, ["Al", "O"], 0.6, "refuse"),
        # A broken-symmetry singlet.
        (1, ["O", "O"], 1.0, "pass"),
        (1, ["O", "O"], 1.2, "refuse"),
    ],
)
def test_spin_contamination(
    multiplicity: int, symbols: list[str], deviation: float, expected: str
) -> None:
    ideal = (multiplicity**2 - 1) / 4
    found = {"value": ideal + deviation, "ideal": ideal, "deviation": deviation}
    given = applied(s_squared=found, symbols=symbols, multiplicity=multiplicity)["s_squared"]
    assert [given.level, given.value] == [expected, pytest.approx(abs(deviation))]


def test_limits_of_the_campaign_hold_for_metals_too() -> None:
    found = {"value": 1.2, "ideal": 0.75, "deviation": 0.45}
    own = {"s_squared": {"refuse": 0.3}}
    for symbols in (["Fe", "O"], ["O", "H"]):
        assert level("s_squared", own=own, s_squared=found, symbols=symbols) == "refuse"


@pytest.mark.parametrize(("gap", "expected"), [(0.0, "pass"), (0.3, "pass"), (-1e-6, "refuse")])
def test_a_negative_gap_is_refused(gap: float, expected: str) -> None:
    assert level("homo_lumo_gap", homo_lumo_gap=gap) == expected


def test_the_spins_have_their_own_gaps() -> None:
    """In a triplet, the hole of the one spin may lie below the electron of the other."""
    energies = [[-0.6, -0.4, -0.1, 0.2], [-0.55, -0.3, 0.1, 0.25]]
    occupations = [[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]]
    triplet: dict[str, Any] = {
        "multiplicity": 3,
        "homo_lumo_gap": -0.2,  # over both spins
        "orbital_energies": energies,
        "orbital_occupations": occupations,
    }
    found = applied(**triplet)["homo_lumo_gap"]
    assert [found.level, found.value] == ["pass", pytest.approx(0.25)]
    swapped = [[1.0, 1.0, 0.0, 1.0], occupations[1]]
    found = applied(**{**triplet, "orbital_occupations": swapped})["homo_lumo_gap"]
    assert [found.level, found.value] == ["refuse", pytest.approx(-0.1 - 0.2)]
    # A gap over both spins that is not negative is not larger than that of either spin.
    assert applied(**{**triplet, "homo_lumo_gap": 0.1})["homo_lumo_gap"].value == 0.1


def test_a_restricted_open_shell_and_fractions_have_no_gap() -> None:
    one: dict[str, Any] = {
        "homo_lumo_gap": -0.2,
        "orbital_energies": [-0.6, -0.1, -0.2],
        "orbital_occupations": [2.0, 1.0, 0.0],
    }
    assert "homo_lumo_gap" not in applied(multiplicity=2, **one)
    fractions: dict[str, Any] = {
        "orbital_energies": [[-0.5, -0.1], [-0.5, -0.1]],
        "orbital_occupations": [[1.0, 0.5], [1.0, 0.5]],
    }
    assert "homo_lumo_gap" not in applied(multiplicity=3, **fractions)


@pytest.mark.parametrize(("cycles", "expected"), [(49, "pass"), (50, "warn"), (51, "warn")])
def test_an_scf_at_its_limit_is_warned_about(cycles: int, expected: str) -> None:
    found = {"cycles": cycles, "limit": 50, "converged": True, "at_limit": cycles >= 50}
    assert level("scf_cycles", scf_cycles=found) == expected
    strict = {"pass": "pass", "warn": "refuse"}[expected]
    assert level("scf_cycles", preset="strict", scf_cycles=found) == strict


def test_unknown_limits_of_the_scf_are_not_checked() -> None:
    found = {"cycles": 50, "limit": None, "converged": True, "at_limit": None}
    assert "scf_cycles" not in applied(scf_cycles=found)


@pytest.mark.parametrize(
    ("error", "expected"), [(0.0009, "pass"), (0.0011, "warn"), (0.0099, "warn"), (0.011, "refuse")]
)
def test_charges_add_up_to_the_charge(error: float, expected: str) -> None:
    values = [0.5123456789 + error, -1.5123456789]
    assert level("charges", charge=-1, charges=values) == expected


def test_printed_digits_explain_a_part_of_the_error() -> None:
    """100 charges with 3 decimals may be off by 0.05 e in all, 6 decimals by 0.00005 e."""
    thirds = [0.333, 0.333, 0.334] * 33 + [0.001]
    found = applied(natoms=100, charge=33, charges=thirds)["charges"]
    assert found.value == 0
    off = applied(natoms=100, charge=33, charges=[*thirds[:-1], 0.081])["charges"]
    assert off.value == pytest.approx(0.081 - 0.05)
    fine = [value + 1e-6 for value in thirds]
    found = applied(natoms=100, charge=33, charges=fine)["charges"]
    assert found.value == pytest.approx(0.001 + 1e-4 - 5e-5)


# --- atoms -------------------------------------------------------------------------------------


def pair(distance: float) -> Molecule:
    return Molecule("m", (1, 1), ((0.0, 0.0, 0.0), (0.0, 0.0, distance)))


def test_atoms_that_are_too_close_are_refused_before_anything_is_computed() -> None:
    checks = checks_of("default", {})
    checks.inspect(pair(0.51))
    with pytest.raises(BadDocument, match=r"0\.49 Angstrom") as caught:
        checks.inspect(pair(0.49))
    assert caught.value.defect is Defect.CLOSE_ATOMS
    checks_of("off", {}).inspect(pair(0.2))
    checks_of("default", {"closest_atoms": "off"}).inspect(pair(0.2))
    with pytest.raises(BadDocument):
        checks_of("default", {"closest_atoms": {"refuse": 0.8}}).inspect(pair(0.74))


# --- limits ------------------------------------------------------------------------------------


def test_presets_and_own_limits() -> None:
    assert checks_of("off", {}).rules == {}
    some = checks_of("off", {"net_force": "default", "charges": {"warn": 0.5}})
    assert {name: rule.limits for name, rule in some.rules.items()} == {
        "net_force": Limits(1.0, 10.0),
        "charges": Limits(0.5, None),
    }
    own = checks_of("default", {"net_force": {"refuse": None}, "net_torque": {"refuse": 0.5}})
    assert own.limits("net_force") == Limits(1.0, None)
    assert own.limits("net_torque") == Limits(None, 0.5)  # nothing is left to warn about
    assert checks_of("strict", {}).limits("net_force") == Limits(0.1, 1.0)


def test_checks_without_limits_measure_and_never_refuse() -> None:
    # The loose limits for metals are gone as well.
    checks = checks_of("strict", {"s_squared": "default"}).without_limits()
    spoiled = {
        "gradient": [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        "s_squared": {"value": 9.0, "expected": 0.0, "deviation": 9.0},
    }
    found = checks.applied(Evaluated(spoiled.get, natoms=2, charge=0, multiplicity=1))
    values = {one.check.name: (str(one.level), one.value) for one in found}
    assert values == {
        "max_force": ("pass", pytest.approx(FORCE)),
        "net_force": ("pass", pytest.approx(FORCE / 2 * 1000)),
        "s_squared": ("pass", 9.0),
    }
    assert checks.limits("closest_atoms") == Limits()


def test_a_value_at_the_limit_passes_and_nan_never_does() -> None:
    check = CHECKS["net_force"]
    assert not check.exceeds(10.0, 10.0)
    assert check.exceeds(math.nan, 10.0)
    assert CHECKS["homo_lumo_gap"].exceeds(math.nan, 0.0)


def test_a_message_states_number_unit_and_limit() -> None:
    found = applied(gradient=[[0.04 / FORCE, 0.0, 0.0], [0.0, 0.0, 0.0]])["net_force"]
    assert found.level is Level.REFUSE
    assert found.message == "the net force per atom is 20 meV/Angstrom, above the limit of 10"


def test_the_key_survives_its_way_to_a_collector() -> None:
    given = {"preset": False, "net_force": {"warn": 1, "refuse": None}, "charges": False}
    base = {"campaign": "c", "campaign_config": {"func_name": "f", "args": [{"name": "a"}]}}
    campaign = Campaign.model_validate({**base, "checks": given})
    expected = {"preset": "off", "net_force": {"warn": 1.0, "refuse": None}, "charges": "off"}
    assert campaign.checks == expected
    assert Campaign.model_validate(campaign.model_dump()).checks == expected
    assert Campaign.model_validate(base).checks == {"preset": "default"}
    assert Campaign.model_validate({**base, "checks": False}).checks == {"preset": "off"}


# --- energies of a campaign --------------------------------------------------------------------

ATOMS = {1: -0.6, 6: -38.1, 8: -75.2, 17: -460.1}


def campaign_of(count: int, seed: int) -> list[tuple[list[int], float, int]]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        numbers = [6] * int(random.integers(1, 8)) + [8] * int(random.integers(0, 4))
        numbers += [1] * int(random.integers(1, 16))
        charge = int(random.integers(-1, 2))
        energy = sum(ATOMS[number] for number in numbers) + 0.3 * max(charge, 0)
        energy += 0.1 * max(-charge, 0) + float(random.normal(0, 0.01)) * len(numbers) ** 0.5
        found.append((numbers, energy, charge))
    return found


@pytest.mark.parametrize("count", [60, 700, 6000])
def test_energies_that_do_not_fit_the_composition_stand_out(count: int) -> None:
    rows = campaign_of(count, seed=count)
    wrong = {3, count // 2, count - 1}
    fit = EnergyByComposition()
    for place, (numbers, energy, charge) in enumerate(rows):
        fit.add(numbers, energy + (2.0 if place in wrong else 0.0), charge)
    fit.fit()
    scores = [
        fit.z(numbers, energy + (2.0 if place in wrong else 0.0), charge) or 0.0
        for place, (numbers, energy, charge) in enumerate(rows)
    ]
    assert {place for place, score in enumerate(scores) if score > 10} == wrong
    assert 0.4 < float(np.median(scores)) < 0.9  # 0.67 for a normal distribution


def test_compositions_that_depend_on_each_other_are_no_obstacle() -> None:
    """All molecules are (CH2)n, so the energies of C and H are not separately known."""
    fit = EnergyByComposition()
    for number in range(1, 60):
        fit.add([6, 1, 1] * number, -39.3 * number)
    fit.fit()
    assert fit.z([6, 1, 1] * 4, -39.3 * 4) == pytest.approx(0, abs=1e-3)
    off = fit.z([6, 1, 1] * 4, -39.3 * 4 + 1)
    assert off is not None
    assert off > 20


def test_a_few_documents_are_not_judged_at_all() -> None:
    """In a set of eight molecules, a sound methyl radical was refused."""
    fit = EnergyByComposition()
    rows = campaign_of(30, seed=2)
    for numbers, energy, charge in rows:
        fit.add(numbers, energy, charge)
    fit.fit()
    numbers, energy, charge = rows[0]
    assert fit.z(numbers, energy + 5.0, charge) is None


def test_unpaired_electrons_have_an_energy_of_their_own() -> None:
    fit = EnergyByComposition()
    for place, (numbers, energy, charge) in enumerate(campaign_of(400, seed=3)):
        unpaired = place % 3
        fit.add(numbers, energy + 0.5 * unpaired, charge, 1 + unpaired)
    fit.fit()
    numbers, energy, charge = campaign_of(400, seed=3)[0]
    assert (
        (fit.z(numbers, energy + 1.0, charge, 3) or 9.0)
        < 6
        < (fit.z(numbers, energy + 1.0, charge) or 0.0)
    )


def test_an_element_of_a_few_documents_is_not_judged() -> None:
    fit = EnergyByComposition()
    assert fit.z([1], -0.5) is None
    for numbers, energy, charge in campaign_of(50, seed=1):
        fit.add(numbers, energy, charge)
    fit.add([17, 1], -460.7)
    fit.fit()
    assert fit.z([17, 1], 0.0) is None
    assert fit.z([79], 0.0) is None


def test_a_solution_that_is_stable_may_have_a_negative_gap() -> None:
    """The lowest solution of F2 at 2.5 Angstrom (PBE) has a gap of -0.026 Eh."""
    values: dict[str, Any] = {"homo_lumo_gap": -0.026, "scf_settings": {"stable": True}}
    assert "homo_lumo_gap" not in applied(**values)
    for stable in (None, False):
        values["scf_settings"] = {"stable": stable}
        assert applied(**values)["homo_lumo_gap"].level == Level.REFUSE
