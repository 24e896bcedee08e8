"""ORCA's parsers and diagnosis on real outputs next to the checkout (../shared/data/orca).

`expected.json` has the values from an independent reading ("text") and from cclib. These keys
are not checked here:
- Orbitals, frequencies, excitations and free energies are checked by test_orca_shared_properties
  (homos, n_mo, moenergies_homo_lumo_eV, vibfreqs, free_energy_hartree, etenergies_cm1).
- cclib's gradient, dipole and charges equal those of "text" if `agree` is true, and are faulty
  otherwise (see `_about`). The same holds for final_scf_energy_hartree, which is rounded.
- The file property.json and the .hess files have no expected values.
"""

from typing import Any

import pytest

from tests.shared_orca import CLASSES, DATA, EXPECTED, NEEDS_DATA, VALUES
from wqmaster.errors import ParseError
from wqmaster.jobs.failures import FailureClass
from wqmaster.jobs.job import Asked
from wqmaster.parsers import orca
from wqmaster.parsers.base import Output
from wqmaster.parsers.orca.plausibility import atomic_number

pytestmark = NEEDS_DATA
OUTPUTS = sorted(name for name in EXPECTED if name.endswith((".out", ".log")))
OTHER_KEYS = {
    "n_final_single_point_energies",
    "terminated_normally",
    "gradient_header",
    "energy_suffix",
    "scf_converged",
    "opt_converged",
}
SPINS = {"mulliken": "mulliken_spins", "lowdin": "loewdin_spins"}


def output(name: str) -> Output:
    return Output({"stdout": (DATA / name).read_bytes()})


def pairs(section: str, *keys: str) -> list[tuple[str, str]]:
    """All pairs of a file and a key for which there is an expected value."""
    return [
        (name, key) for name in OUTPUTS for key in keys if key in EXPECTED[name].get(section, {})
    ]


def asked(name: str) -> Asked | None:
    """The state and the number of atoms that this output's job computed, according to cclib."""
    found = EXPECTED[name].get("cclib", {})
    if not {"natom", "charge", "mult"} <= set(found):
        return None
    return Asked(
        1, 1, found["natom"], found["charge"], found["mult"], "molecule", "recipe", "target"
    )


def flat(values: Any) -> list[float]:
    if isinstance(values, list):
        return [number for value in values for number in flat(value)]
    return [values]


def off(found: Any, expected: Any) -> float:
    """The largest difference between two values of the same shape."""
    assert len(flat(found)) == len(flat(expected))
    return max(abs(one - other) for one, other in zip(flat(found), flat(expected), strict=True))


def test_every_key_of_the_independent_reading_is_checked() -> None:
    keys = {key for entry in EXPECTED.values() for key in entry.get("text", {})}
    assert keys == set(VALUES) | OTHER_KEYS


@pytest.mark.parametrize(("name", "key"), pairs("text", *VALUES))
def test_the_values_of_the_independent_reading(name: str, key: str) -> None:
    parser, tolerance = VALUES[key]
    expected = EXPECTED[name]["text"]
    if key == "gradient" and expected.get("opt_converged"):
        # The last gradient in the text does not belong to the geometry of the last energy.
        with pytest.raises(ParseError, match="belongs to optimization cycle"):
            orca.gradient(output(name))
        (*_, last) = (frame for frame in orca.frames(output(name)) if frame["gradient"])
        assert off(last["gradient"], expected[key]) <= tolerance
        assert off(orca.gradient_trajectory(output(name))[-1], expected[key]) <= tolerance
        return
    if "energy_suffix" in expected and key == "final_single_point_energy":
        with pytest.raises(ParseError, match="not fully converged"):
            orca.total_energy(output(name))
        return
    assert off(getattr(orca, parser)(output(name)), expected[key]) <= tolerance


@pytest.mark.parametrize("name", OUTPUTS)
def test_absent_values_are_not_read(name: str) -> None:
    found = EXPECTED[name]["text"]
    for key, (parser, _) in VALUES.items():
        if key not in found:
            with pytest.raises(ParseError, match="is missing"):
                getattr(orca, parser)(output(name))


@pytest.mark.parametrize(("name", "key"), pairs("text", "n_final_single_point_energies"))
def test_the_number_of_energies(name: str, key: str) -> None:
    expected = EXPECTED[name]["text"]
    if expected[key] == 0 or "energy_suffix" in expected:
        with pytest.raises(ParseError):
            orca.energy_trajectory(output(name))
        return
    assert len(orca.energy_trajectory(output(name))) == expected[key]


@pytest.mark.parametrize(("name", "key"), pairs("text", "opt_converged"))
def test_converged_optimizations(name: str, key: str) -> None:
    found = output(name)
    state = orca.optimisation(found)  # codespell:ignore optimisation
    assert state["converged"] is EXPECTED[name]["text"][key]
    expected = EXPECTED[name]["cclib"]["final_coords"]
    assert off(orca.optimized_geometry(found), expected) <= 1e-5


@pytest.mark.parametrize(("name", "key"), pairs("cclib", "charge", "mult"))
def test_charge_and_multiplicity_agree_with_cclib(name: str, key: str) -> None:
    parser = {"charge": orca.charge, "mult": orca.multiplicity}[key]
    assert parser(output(name)) == EXPECTED[name]["cclib"][key]


@pytest.mark.parametrize(("name", "key"), pairs("cclib", "final_coords"))
def test_the_geometry_agrees_with_cclib(name: str, key: str) -> None:
    expected = EXPECTED[name]["cclib"]
    found = output(name)
    assert off(orca.geometry(found), expected[key]) <= 1e-5
    assert [atomic_number(symbol) for symbol in orca.symbols(found)] == expected["atomnos"]
    assert len(orca.geometry(found)) == expected["natom"]


@pytest.mark.parametrize(("name", "_key"), pairs("cclib", "spins"))
def test_the_spin_populations_agree_with_cclib(name: str, _key: str) -> None:
    expected = EXPECTED[name]["cclib"]["spins"]
    for key in set(expected) & set(SPINS):
        assert off(getattr(orca, SPINS[key])(output(name)), expected[key]) <= 1e-6


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_version(name: str) -> None:
    assert orca.program_version(output(name)) == EXPECTED[name]["version"]


@pytest.mark.parametrize("name", [name for name in OUTPUTS if EXPECTED[name]["outcome"] == "ok"])
def test_good_outputs_are_results(name: str) -> None:
    assert orca.diagnose(output(name), asked(name), {}) is None


@pytest.mark.parametrize("name", [name for name in OUTPUTS if EXPECTED[name]["outcome"] in CLASSES])
def test_failures_and_traps_get_their_class(name: str) -> None:
    failure = orca.diagnose(output(name), asked(name), {})
    assert failure is not None
    assert failure.kind is CLASSES[EXPECTED[name]["outcome"]]
    assert failure.message.startswith("ORCA: ")


def test_a_removed_block_is_missing() -> None:
    """In the outputs marked trap:missing_block, all other blocks are intact."""
    names = [name for name in OUTPUTS if EXPECTED[name]["outcome"] == "trap:missing_block"]
    for name in names:
        assert orca.diagnose(output(name), asked(name), {}) is None
        with pytest.raises(ParseError, match="LOEWDIN"):
            orca.loewdin_charges(output(name))
    assert names


def test_every_outcome_is_checked() -> None:
    outcomes = {EXPECTED[name]["outcome"] for name in OUTPUTS}
    assert outcomes == {"ok", "trap:missing_block", *CLASSES}


@pytest.mark.parametrize("name", [name for name in OUTPUTS if EXPECTED[name]["outcome"] == "ok"])
def test_good_outputs_of_another_molecule_are_refused(name: str) -> None:
    right = asked(name)
    assert right is not None
    for changed, kind in (
        ({"natoms": right.natoms + 1}, FailureClass.ATOM_COUNT),
        ({"charge": right.charge + 1}, FailureClass.NOT_AS_ASKED),
        ({"multiplicity": right.multiplicity + 2}, FailureClass.NOT_AS_ASKED),
    ):
        wrong = Asked(**{**vars(right), **changed})
        failure = orca.diagnose(output(name), wrong, {})
        assert failure is not None
        assert failure.kind is kind
