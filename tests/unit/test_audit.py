"""The parts of an audit: sample, statistics, signs of wrong forces, and the campaign's key."""

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from wqmaster.campaign.loading import load
from wqmaster.campaign.units import force_noise
from wqmaster.checks.table import checks_of
from wqmaster.database.audits import Estimate, Noise, noise_of
from wqmaster.datasets.frame import Frame
from wqmaster.datasets.source import LeftOut
from wqmaster.datasets.units import EV_PER_ANGSTROM, EV_PER_EH
from wqmaster.errors import CampaignError
from wqmaster.offline.audit import canary
from wqmaster.offline.audit.derived import of_accuracy
from wqmaster.offline.audit.recipes import Recomputation, in_words
from wqmaster.offline.audit.report import Compared, Report, Single, refused, reported
from wqmaster.offline.audit.sampling import Stratum, draw
from wqmaster.offline.audit.signs import powers, signs
from wqmaster.offline.audit.statistics import Difference, difference, summary
from wqmaster.offline.differences import Agreement, compared
from wqmaster.recipe.resolving import resolve
from wqmaster.tasks.program import Change

MEV_PER_ANGSTROM = 1000 * EV_PER_ANGSTROM


def frame(gradient: Any, energy: float = -1.0, places: Any = None, **more: Any) -> Frame:
    rows = np.array(gradient, dtype=np.float64)
    count = len(rows)
    coordinates = np.zeros((count, 3)) if places is None else np.array(places, dtype=np.float64)
    return Frame("a", np.ones(count, dtype=np.int64), coordinates, 0, 1, energy, rows, **more)


# --- the sample --------------------------------------------------------------------------------

SIZES = [(f"m{number}", 3 + number % 40) for number in range(1000)]


def drawn(sizes: Any, number: int, seed: int) -> set[Any]:
    return {document for stratum in draw(sizes, number, seed) for document, _ in stratum.drawn}


def test_a_sample_depends_on_the_seed_and_not_on_the_order_of_documents() -> None:
    mixed = list(SIZES)
    random.Random(7).shuffle(mixed)  # noqa: S311  # not a secret
    assert drawn(SIZES, 50, 1) == drawn(mixed, 50, 1)
    assert drawn(SIZES, 50, 1) != drawn(SIZES, 50, 2)
    assert len(drawn(SIZES, 50, 1)) == 50


def test_strata_are_quantiles_of_the_size_and_get_proportional_shares() -> None:
    found = draw(SIZES, 50, 1)
    assert [(one.smallest, one.largest) for one in found] == [
        *((3, 10), (11, 18), (19, 26), (27, 34), (35, 42)),
    ]
    assert [one.documents for one in found] == [200] * 5
    assert [len(one.drawn) for one in found] == [10] * 5
    assert all(one.smallest <= natoms <= one.largest for one in found for _, natoms in one.drawn)


def test_a_rare_size_is_in_the_sample() -> None:
    sizes = [(number, 5) for number in range(10_000)] + [("large", 300)]
    found = draw(sizes, 10, 0)
    assert [len(one.drawn) for one in found] == [9, 1]
    assert found[1].drawn == (("large", 300),)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 7, 100])
def test_the_sample_has_the_size_that_was_asked_for(number: int) -> None:
    sizes = [(1, 2), ("1", 2), (2, 3), (3, 9), (4, 9), (5, 30), (6, 80)]
    found = draw(sizes, number, 3)
    ids = [document for one in found for document, _ in one.drawn]
    assert len(ids) == min(number, len(sizes))
    assert len({(type(one), one) for one in ids}) == len(ids)
    assert not draw([], number, 3)


# --- the numbers -------------------------------------------------------------------------------


def test_differences_are_per_atom_and_per_component_in_mev() -> None:
    label = frame([[1e-4, 0, 0], [-1e-4, 0, 0]], energy=-1.0)
    tight = frame([[2e-4, 0, 0], [-1e-4, 0, -3e-4]], energy=-1.0002)
    found = difference(label, tight)
    assert found.energy == pytest.approx(0.0001 * EV_PER_EH * 1000)
    assert found.forces is not None
    assert found.forces.tolist() == pytest.approx(
        [1e-4 * MEV_PER_ANGSTROM, 0, 0, 0, 0, 3e-4 * MEV_PER_ANGSTROM]
    )
    assert found.rms == pytest.approx(np.sqrt(1e-7 / 6) * MEV_PER_ANGSTROM)


def test_means_and_percentiles_are_those_of_all_components() -> None:
    chance = np.random.default_rng(5)
    every = [
        Difference(number, 2 + number % 3, float(number), chance.random(3 * (2 + number % 3)))
        for number in range(40)
    ]
    found = summary(every, seed=1)
    flat = np.concatenate([one.forces for one in every if one.forces is not None])
    assert found.force_mean is not None
    assert found.force_p95 is not None
    assert found.force_mean.value == pytest.approx(flat.mean())
    assert found.force_p95.value == np.percentile(flat, 95, method="inverted_cdf")
    assert found.energy_mean.value == pytest.approx(19.5)
    assert found.energy_p95.value == 37.0
    # The standard error of a mean of 40 values that are evenly distributed is 11.5 / sqrt(40).
    assert found.energy_mean.low == pytest.approx(19.5 - 1.96 * 11.54 / 40**0.5, abs=0.5)
    assert found.energy_mean.high == pytest.approx(19.5 + 1.96 * 11.54 / 40**0.5, abs=0.5)
    assert found == summary(every, seed=1)
    assert found != summary(every, seed=2)


def test_without_forces_only_energies_are_summarized() -> None:
    found = summary([Difference(1, 2, 3.0, None)], seed=0)
    assert found.energy_mean == Estimate(3.0, 3.0, 3.0)
    assert found.force_mean is None
    assert found.rms_p95 is None


def test_the_numbers_survive_the_database() -> None:
    noise = Noise(3, Estimate(1, 0, 2), Estimate(2, 1, 3), Estimate(4, 3, 5), step="dft", seed=4)
    assert noise_of({**noise.as_document(), "later": 1}) == noise


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"check_net_force": 1}, "1 of 5 structures was also refused by check_net_force"),
        (
            {"check_net_force": 2, "check_electrons": 1},
            "3 of 5 structures were also refused by check_net_force (2), check_electrons (1)",
        ),
    ],
)
def test_refused_structures_are_counted_by_check(counts: dict[str, int], said: str) -> None:
    one = Estimate(1, 0, 2)
    noise = Noise(5, one, one, refused=counts)
    assert refused(noise) == said
    assert noise_of(noise.as_document()).refused == counts


def test_only_checks_of_accuracy_act_on_tighter_calculations(tmp_path: Path) -> None:
    path = written(tmp_path, None)
    text = path.read_text() + "checks: {preset: strict, net_force: {refuse: 3}}\n"
    path.write_text(text)
    key = of_accuracy(resolve(load(path)))
    rules = checks_of(key["preset"], {k: v for k, v in key.items() if k != "preset"}).rules
    assert {*rules} == {"net_force", "net_torque", "electrons"}
    assert rules["net_force"].limits.refuse == 3


# --- signs of wrong forces ---------------------------------------------------------------------


def test_net_force_and_torque_of_hand_made_forces() -> None:
    # A pair of opposite forces at a distance of 2 Angstrom turns the molecule but does not move it.
    turned = frame([[0, 3e-4, 0], [0, -3e-4, 0]], places=[[1, 0, 0], [-1, 0, 0]])
    assert signs(turned)["net_force"] == 0
    assert signs(turned)["net_torque"] == pytest.approx(3e-4 * MEV_PER_ANGSTROM)
    pushed = frame([[3e-4, 0, 0], [3e-4, 0, 0]], places=[[1, 0, 0], [-1, 0, 0]])
    assert signs(pushed)["net_force"] == pytest.approx(3e-4 * MEV_PER_ANGSTROM)
    assert signs(pushed)["net_torque"] == 0
    # What a run measured is not measured again.
    assert signs(frame([[1, 0, 0]], checks={"net_force": 7.0}))["net_force"] == 7.0


def test_a_check_that_ranks_like_the_error_finds_the_worst_tenth() -> None:
    errors = np.arange(20.0)
    values = [
        {"good": error, "bad": -error, "flat": 1.0, **({"some": 1.0} if error else {})}
        for error in errors
    ]
    found = powers(values, errors)
    assert found == {
        "good": {"auc": 1.0, "found": 1.0},
        "bad": {"auc": 0.0, "found": 0.0},
        "flat": {"auc": 0.5, "found": 0.0},
    }
    assert powers(values[:9], errors[:9]) == {}


# --- the campaign's key ------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1.0 meV/A", "1 meV/Å", "1meV/\u212b", " 1.0  mev/angstrom "])
def test_a_bound_has_a_unit(text: str) -> None:
    assert force_noise(text) == 1.0


def written(tmp_path: Path, audit: Any, parsers: tuple[str, ...] = ("energy", "gradient")) -> Path:
    path = tmp_path / "campaign.yaml"
    step = {"name": "sp", "func_name": "wqmaster.tasks.xtb.singlepoint", "parsers": list(parsers)}
    campaign = {"campaign": "test", "campaign_config": {"args": [step]}, "audit": audit}
    path.write_text(yaml.safe_dump(campaign))
    return path


@pytest.mark.parametrize(
    ("audit", "said"),
    [
        ({"stop_above": 1.0}, "'1.0' is not a force"),
        ({"stop_above": "1 eV/A"}, "'1 eV/A' is not a force"),
        ({"stop_above": "0 meV/A"}, "a number above 0"),
        ({"sample": 5}, "stop_above"),
        ({"sample": 0, "stop_above": "1 meV/A"}, "audit.sample"),
        ({"seed": -1, "stop_above": "1 meV/A"}, "audit.seed"),
        ({"stop_abov": "1 meV/A"}, "did you mean 'stop_above'?"),
    ],
)
def test_a_wrong_key_is_refused_with_its_line(tmp_path: Path, audit: Any, said: str) -> None:
    with pytest.raises(CampaignError) as error:
        load(written(tmp_path, audit))
    assert said in error.value.message
    assert f"{tmp_path}/campaign.yaml:" in error.value.message


def test_labels_without_forces_cannot_be_audited(tmp_path: Path) -> None:
    audit = {"stop_above": "1 meV/A"}
    recipe = resolve(load(written(tmp_path, audit, ("energy",))))
    with pytest.raises(CampaignError, match="no parser 'gradient'"):
        canary.checked(recipe)
    assert canary.checked(resolve(load(written(tmp_path, audit)))) is not None
    assert canary.checked(resolve(load(written(tmp_path, None)))) is None


def test_the_audit_is_not_part_of_the_recipe(tmp_path: Path) -> None:
    hashes = {
        resolve(load(written(tmp_path, audit))).hash
        for audit in (None, {"stop_above": "1 meV/A"}, {"stop_above": "2 meV/A", "sample": 9})
    }
    assert len(hashes) == 1


def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    recipe = resolve(load(written(tmp_path, {"stop_above": "1 meV/A", "tighter": "accuracy_"})))
    with pytest.raises(CampaignError, match="did you mean 'accuracy'"):
        canary.checked(recipe)


def test_a_missing_file_of_tighter_options_is_not_taken_for_a_setting(tmp_path: Path) -> None:
    audit = {"stop_above": "1 meV/A", "tighter": "nofile.yaml"}
    with pytest.raises(CampaignError, match=r"there is no file '.*nofile\.yaml'") as error:
        canary.checked(resolve(load(written(tmp_path, audit))))
    assert "setting" not in error.value.message


# --- the comparison of values ------------------------------------------------------------------


def agreements(stored: dict[str, Any], new: dict[str, Any]) -> dict[str, Agreement]:
    return {one.name: one.agreement for one in compared("sp", stored, new)}


def test_each_quantity_has_the_tolerance_of_its_unit() -> None:
    stored = {"energy": -1.0, "gradient": [[0.0, 0.0, 1e-3]], "dipole": [0.0, 0.0, 1.0], "_run": {}}
    new = {"energy": -1.0 + 2e-6, "gradient": [[0.0, 9e-6, 1e-3]], "dipole": [0.0, 0.0, 1.0]}
    assert agreements(stored, new) == {
        "energy": Agreement.DIFFERS,
        "gradient": Agreement.WITHIN,
        "dipole": Agreement.IDENTICAL,
    }


def report_of(*pairs: tuple[Frame, Frame]) -> Report:
    """The report on labels beside tighter ones, with a setting that changes nothing."""
    how = Recomputation("f", {"grid": 1}, (Change("grid", lambda options: {"grid": 5}),))
    found = [difference(*pair) for pair in pairs]
    singles = [Single("grid", [(one, one) for one in found])]
    about = {"step": "sp", "recipe": "r", "sample": len(pairs), "seed": 0}
    sizes = {len(one.numbers) for one, _ in pairs}
    strata = [Stratum(size, size, len(pairs), ()) for size in sorted(sizes)]
    compared_ = Compared(pairs, LeftOut(), {})
    return reported(how, strata, compared_, singles, about, "level", datetime.now(UTC))


def test_options_that_change_nothing_are_no_sign_of_good_labels() -> None:
    label = frame([[0.1, 0, 0]])
    said = "\n".join(report_of((label, label), (label, label)).lines())
    assert "was not measured" in said
    assert "1 atom:" in said
    assert "-0%" not in said
    noisy = report_of((label, frame([[0.2, 0, 0]])), (label, frame([[0.3, 0, 0]])))
    assert "was not measured" not in "\n".join(noisy.lines())


def test_advice_states_the_settings_in_words() -> None:
    assert in_words({"accuracy": (None, 0.01)}) == "accuracy from its default to 0.01"
    both = {"density_fit": (True, None), "route": ("! PBE\n", ["! PBE", "DEFGRID3"])}
    assert in_words(both) == (
        "density_fit from true to its default and route from '! PBE' to '! PBE DEFGRID3'"
    )


def test_a_small_sample_has_a_note_and_one_structure_no_interval() -> None:
    label = frame([[0.1, 0, 0]])
    pairs = [(label, frame([[0.1 + number, 0, 0]])) for number in range(1, 13)]
    (forces,) = [line for line in report_of(pairs[0]).lines() if line.startswith("  forces")]
    assert " to " not in forces
    for number, has_note in ((1, True), (9, True), (12, False)):
        said = "\n".join(report_of(*pairs[:number]).lines())
        assert ("larger --sample" in said) == has_note


@pytest.mark.parametrize(
    ("stored", "new", "agreement"),
    [
        ({"frames": [{"energy": 1.0}]}, {"frames": [{"energy": 1.0 + 1e-7}]}, Agreement.WITHIN),
        ({"frames": [{"energy": 1.0}]}, {"frames": [{"energy": 1.0 + 1e-5}]}, Agreement.DIFFERS),
        ({"frames": [{"energy": 1.0}]}, {"frames": []}, Agreement.DIFFERS),
        ({"mine": 1000.0}, {"mine": 1000.0005}, Agreement.WITHIN),
        ({"mine": 1000.0}, {"mine": 1000.1}, Agreement.DIFFERS),
        ({"mine": 0.0}, {"mine": 1e-300}, Agreement.DIFFERS),
        ({"symbols": ["H"]}, {"symbols": ["He"]}, Agreement.DIFFERS),
        ({"mine": None}, {"mine": 1.0}, Agreement.DIFFERS),
        ({"flag": True}, {"flag": False}, Agreement.DIFFERS),
        ({"timings": {"scf": 1.0}}, {"timings": {"scf": 9.0}}, Agreement.NOT_COMPARED),
        ({"old": 1.0}, {}, Agreement.NOT_COMPARED),
    ],
)
def test_values_of_any_shape_are_compared(
    stored: dict[str, Any], new: dict[str, Any], agreement: Agreement
) -> None:
    assert [*agreements(stored, new).values()] == [agreement]
