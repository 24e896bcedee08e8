"""How much memory jobs get: what is learned, its limits, and what a failed attempt changes."""

import math
import random
from typing import Any

import pytest

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.task_sizes import Memory
from wqmaster.jobs.failures import FailureClass
from wqmaster.recipe.retry import Past
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.memory_needs import MemoryNeeds
from wqmaster.tasks.needs import Needs

KILLED = JobFailure(failure_class="memory", message="it used too much", final=False)


def needs_of(memory: Any = "auto", **more: Any) -> MemoryNeeds:
    return MemoryNeeds(
        Campaign.model_validate(
            {
                "campaign": "test",
                "campaign_config": {"func_name": "none", "args": [{"name": "none"}]},
                "workers": {"type": "none"},
                "resources": {"memory": memory},
                **more,
            }
        )
    )


def job(size: float, used: float | None, asked: int | None, **more: Any) -> EndedJob:
    return EndedJob(key="k", host="h", size=size, used=used, memory=asked, **more)


def learned(memory: Any, function: Any, *, noise: float, seed: int = 1) -> MemoryNeeds:
    """What follows from 500 jobs of 10 to 100 atoms."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    found = needs_of(memory)
    for _ in range(500):
        size = chance.randint(10, 100)
        used = function(size) * math.exp(chance.gauss(0, noise))
        found.ended(Ended(task="t", jobs=(job(size, used, 100_000),)))
    return found


def asked(needs: MemoryNeeds, size: float, **more: Any) -> int:
    found = needs.asked(Needs(size, more.get("memory")), more.get("past", ()), more.get("by", 1.0))
    assert found is not None
    return found


def test_a_fixed_number_is_not_learned() -> None:
    needs = needs_of(2000)
    assert needs.asked(Needs(10), (), 1.0) is None
    assert (needs.limit(2000), needs.limit(None)) == (0, None)  # it is only measured
    assert needs_of({"size": 2000, "enforce": True}).limit(2000) == 2000
    assert needs_of({"enforce": False}).limit(2000) == 0
    assert needs_of().limit(2000) == 2000
    assert needs_of(None).limit(None) is None


def test_the_first_jobs_get_what_is_stated_or_what_their_program_needs() -> None:
    assert asked(needs_of(), 10) == 2000
    assert asked(needs_of(), 10, memory=1333.0) == 1333
    assert asked(needs_of({"first": "500MB"}), 10, memory=1333.0) == 500
    assert asked(needs_of({"max": 1000}), 10) == 1000


@pytest.mark.parametrize("noise", [0.03, 0.1])
@pytest.mark.parametrize("exponent", [1.0, 2.2])
def test_hardly_any_job_needs_more_than_it_gets_and_little_is_wasted(
    noise: float, exponent: float
) -> None:
    def used(size: float) -> float:
        return 150 + 0.5 * size**exponent

    needs, chance = learned("auto", used, noise=noise), random.Random(2)  # noqa: S311
    over, ratios = 0, []
    for _ in range(1000):
        size = chance.randint(10, 100)
        now = used(size) * math.exp(chance.gauss(0, noise))
        has = asked(needs, size)
        over += now > has
        ratios.append(has / now)
    assert over <= 10
    assert sorted(ratios)[500] < 1.6


def test_larger_molecules_than_all_measured_ones_get_at_least_what_the_program_needs() -> None:
    needs = learned("auto", lambda size: 100 + size, noise=0.0)
    assert asked(needs, 1000) >= 2000  # the default
    assert asked(needs, 1000, memory=9000.0) >= 9000
    assert asked(needs, 90, memory=9000.0) < 400
    needs = learned({"first": 300}, lambda size: size**2, noise=0.0)
    assert asked(needs, 200) > 200**2


def test_smaller_molecules_than_all_measured_ones_get_as_much_as_the_smallest() -> None:
    needs = learned("auto", lambda size: 100 * size, noise=0.0)
    assert asked(needs, 1) == asked(needs, 10)


def test_safety_and_bounds_are_kept() -> None:
    def used(size: float) -> float:
        return 10 * size

    few = asked(learned({"safety": 1.0}, used, noise=0.0), 50)
    many = asked(learned({"safety": 2.0}, used, noise=0.0), 50)
    assert many == pytest.approx(2 * few, rel=0.1)
    assert asked(learned({"min": 900}, used, noise=0.0), 50) >= 900
    assert asked(learned({"max": 2000}, used, noise=0.0), 100) > 1000
    assert asked(learned({"first": 200, "max": 700}, used, noise=0.0), 100) == 700


def test_after_a_kill_a_job_gets_more_than_it_had_whatever_was_learned_since() -> None:
    needs = learned("auto", lambda size: 200.0, noise=0.0)
    usual = asked(needs, 50)
    past = [
        Past(1, FailureClass.MEMORY, None, memory=2000),
        Past(2, FailureClass.KILLED, None, memory=9000),
    ]
    assert usual < 300
    assert asked(needs, 50, past=past, by=2.0) == 4000
    # A remedy for something else can ask for more memory, too.
    assert asked(needs, 50, by=4.0) == pytest.approx(4 * usual, rel=0.1)


def test_jobs_that_failed_for_another_reason_teach_nothing() -> None:
    needs = needs_of()
    failure = JobFailure(failure_class="scf_not_converged", message="", final=True)
    for _ in range(50):
        needs.ended(Ended(task="t", jobs=(job(50, 5.0, 2000, failure=failure),)))
    assert asked(needs, 50) == 2000


def test_a_program_that_fills_its_memory_does_not_get_less_and_less() -> None:
    """PySCF plans with a share of what it has; so the next would use less, and so on."""
    needs, has = needs_of({"first": 4000}), 4000
    for _ in range(1000):
        needs.ended(Ended(task="t", jobs=(job(50, 0.75 * has, has),)))
        has = asked(needs, 50)
    assert has > 3900


def test_kills_and_the_ratio_of_what_was_asked_and_used_are_published() -> None:
    needs = needs_of()
    assert needs.published() == {"killed": 0, "asked_by_used": None}
    needs.ended(Ended(task="a", jobs=(job(9, 500.0, 1000), job(5, 400.0, 1000))))
    needs.ended(Ended(task="b", jobs=(job(9, None, 1000),)))
    assert needs.published() == {"killed": 0, "asked_by_used": 2.0}
    needs.ended(Ended(task="c", jobs=(job(9, 1100.0, 1000, failure=KILLED),)))
    assert needs.published()["killed"] == 1


def test_no_job_gets_more_than_a_worker_has() -> None:
    workers = {"type": "condor", "memory": "3GB", "cores": 1}
    needs = needs_of({"first": "8GB"}, workers=workers)
    assert asked(needs, 10) == 3000


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 0},
        {"size": "much"},
        {"first": 50},
        {"first": 500, "max": 400},
        {"safety": 0.5},
        {"size": 2000, "first": 100},
        {"size": 2000, "max": 3000},
        "4 apples",
        True,
    ],
)
def test_what_contradicts_itself_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"memory|size|first|safety"):
        Memory.model_validate(wrong)


def test_a_model_accepts_its_own_values() -> None:
    """Collectors receive the campaign with all its keys."""
    for value in ("auto", 2000, "4GB", {"first": 300, "enforce": False}, {"size": 5}):
        found = Memory.model_validate(value)
        assert Memory.model_validate(found.model_dump(mode="json")) == found


def test_two_ways_of_learning_are_refused() -> None:
    with pytest.raises(ValueError, match="both decide"):
        needs_of(engine={"allocation": "max"})
