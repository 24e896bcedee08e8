"""The fit of time against molecule size: accuracy, robustness, memory; and the tasks that hang."""

import math
import random

import pytest

from wqmaster.engines.base import RunningTask
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.run_times import RunTimes
from wqmaster.run.size_fit import MIN_VALUES
from wqmaster.run.stragglers import MAX_LISTED, Stragglers, published


def power(
    count: int, seed: int, *, exponent: float = 2.7, noise: float = 0.3, outliers: float = 0.0
) -> RunTimes:
    """Times of molecules of 5 to 80 atoms: 0.01 s x atoms^exponent, with log-normal noise."""
    chance = random.Random(seed)  # noqa: S311  # not a secret
    times = RunTimes()
    for _ in range(count):
        natoms = chance.randint(5, 80)
        seconds = 0.01 * natoms**exponent * math.exp(chance.gauss(0, noise))
        times.add(natoms, seconds * (50 if chance.random() < outliers else 1))
    return times


@pytest.mark.parametrize("outliers", [0.0, 0.1])
@pytest.mark.parametrize("count", [100, 5000])
def test_the_power_law_is_found_despite_noise_and_outliers(count: int, outliers: float) -> None:
    for seed in range(10):
        times = power(count, seed, outliers=outliers)
        for natoms in (6, 20, 40, 75):
            found = times.expected(natoms)
            assert found is not None
            assert found.value == pytest.approx(0.01 * natoms**2.7, rel=0.5)
            assert not found.is_extrapolated
            assert 0.2 < found.spread < 0.5


def test_larger_molecules_are_extrapolated() -> None:
    for seed in range(10):
        found = power(1000, seed).expected(200)
        assert found is not None
        assert found.is_extrapolated
        assert found.value == pytest.approx(0.01 * 200**2.7, rel=0.5)


def test_nothing_is_expected_from_a_few_times() -> None:
    times = RunTimes()
    for _ in range(MIN_VALUES - 1):
        times.add(3, 1.0)
    assert times.expected(3) is None
    times.add(3, 1.0)
    assert times.expected(3) is not None


def test_molecules_of_one_size_determine_no_exponent() -> None:
    times = RunTimes()
    for _ in range(50):
        times.add(10, 2.0)
    seconds = [times.expected(natoms).value for natoms in (5, 10, 20)]  # type: ignore[union-attr]
    assert seconds == pytest.approx([2.0, 2.0, 16.0])


def test_an_overhead_bends_the_line_but_not_the_expectation() -> None:
    times = RunTimes()
    for natoms in range(2, 100):
        for _ in range(10):
            times.add(natoms, 5.0 + 1e-3 * natoms**2.5)
    for natoms in (3, 10, 90):
        found = times.expected(natoms)
        assert found is not None
        assert found.value == pytest.approx(5.0 + 1e-3 * natoms**2.5, rel=0.25)


def test_documents_without_atoms_have_times_too() -> None:
    times = RunTimes()
    for _ in range(20):
        times.add(0, 0.0)
    found = times.expected(0)
    assert found is not None
    assert found.value == pytest.approx(0.01)


def test_memory_is_constant_and_old_times_are_replaced() -> None:
    times = RunTimes()
    for _ in range(10_000):
        times.add(30, 1.0)
    for _ in range(100):
        times.add(30, 9.0)
    found = times.expected(30)
    assert found is not None
    assert found.value == pytest.approx(9.0)
    for natoms in range(1, 1000):
        for _ in range(50):
            times.add(natoms, 1.0)
    assert sum(map(len, times._bins.values())) < 1500
    times.add(5, math.nan)
    times.add(5, -1.0)
    assert times.expected(5).value == pytest.approx(1.0)  # type: ignore[union-attr]


def learned(**settings: bool) -> Stragglers:
    """Stragglers that know 20 results of 10 atoms and 10 s each, and of 20 atoms and 80 s."""
    found = Stragglers(3600, has_software=False, **settings)
    for natoms, seconds in ((10, 10.0), (20, 80.0)):
        jobs = tuple(
            EndedJob(key=str(number), host="h", natoms=natoms, seconds=seconds)
            for number in range(20)
        )
        found.ended(Ended(task="t", jobs=jobs))
    return found


def test_a_task_that_takes_much_longer_than_its_size_explains_is_slow() -> None:
    stragglers = learned()
    sizes = {"fast": (10,), "hung": (10,), "large": (20,), "bundle": (10,) * 8, "hardest": (200,)}
    running = [RunningTask(name, f"host-of-{name}", 1000.0) for name in sizes]
    running[0] = RunningTask("fast", "h", 1290.0)

    def sent(task: str) -> tuple[list[str], tuple[int, ...]]:
        return [f"{task}-{number}" for number in range(len(sizes[task]))], sizes[task]

    assert stragglers.slow(running, sent, 1025.0) == []
    found = stragglers.slow(running, sent, 1100.0)
    assert [one.document for one in found] == ["hung-0"]
    assert (found[0].host, found[0].seconds) == ("host-of-hung", 100.0)
    assert found[0].expected == pytest.approx(10.0)
    # 240 s are the limit for 80 s that are expected, as for eight jobs of 10 s.
    names = [one.document for one in stragglers.slow(running, sent, 1300.0)]
    assert sorted(names) == ["bundle-0", "hung-0", "large-0"]


def test_without_an_expectation_a_task_is_slow_near_its_time_limit() -> None:
    stragglers = Stragglers(3600, has_software=False)
    running = [RunningTask("t", "h", 0.0)]
    assert stragglers.slow(running, lambda task: (["a"], (3,)), 1799.0) == []
    [found] = stragglers.slow(running, lambda task: (["a"], (3,)), 1801.0)
    assert found.expected is None
    # The jobs have a remedy, so that their times are unknown.
    assert learned().slow(running, lambda task: (["a"], ()), 1000.0) == []
    # The task has returned meanwhile.
    assert learned().slow(running, lambda task: None, 9999.0) == []


def test_software_that_a_worker_unpacks_is_taken_into_account() -> None:
    stragglers = Stragglers(3600, has_software=True)
    stragglers.times = learned().times
    running = [RunningTask("t", "h", 0.0)]
    assert stragglers.slow(running, lambda task: (["a"], (10,)), 300.0) == []
    assert stragglers.slow(running, lambda task: (["a"], (10,)), 400.0)


def test_times_of_failures_and_of_remedies_teach_nothing() -> None:
    stragglers = Stragglers(3600, has_software=False)
    failure = JobFailure(failure_class="time_limit", message="why", final=True)
    failed = EndedJob(key="a", host="h", failure=failure, natoms=3, seconds=3600.0)
    remedied = EndedJob(key="a", host="h", natoms=3)
    for _ in range(50):
        stragglers.ended(Ended(task="t", jobs=(failed, remedied)))
    assert stragglers.times.count == 0


def test_the_list_of_slow_tasks_is_short_and_harmless() -> None:
    running = [RunningTask(f"t{number}", "h\x1b[2J", float(number)) for number in range(100)]
    found = learned().slow(running, lambda task: ([f"{task}\n" * 999], (10,)), 1000.0)
    shown = published(found)
    assert (shown["count"], len(shown["listed"])) == (100, MAX_LISTED)
    first = shown["listed"][0]
    assert first["document"].startswith("t0")
    assert (first["document"] + first["host"]).isprintable()
    assert len(first["document"]) < 200
    assert first["running_for"] == 1000.0


def test_jobs_of_a_healthy_campaign_are_hardly_ever_called_slow() -> None:
    """Log-normal times with a standard deviation of 0.3: at most 1 job in 1,000."""
    chance = random.Random(5)  # noqa: S311  # not a secret
    stragglers = Stragglers(36_000, has_software=False)
    slow = jobs = 0
    for number in range(4000):
        natoms = chance.randint(20, 80)
        seconds = 0.05 * natoms**2.7 * math.exp(chance.gauss(0, 0.3))
        if number > 100:
            task = [RunningTask("t", "h", 0.0)]
            jobs += 1
            size = (natoms,)
            slow += bool(stragglers.slow(task, lambda _, size=size: (["a"], size), seconds))
        job = EndedJob(key="a", host="h", natoms=natoms, seconds=seconds)
        stragglers.ended(Ended(task="t", jobs=(job,)))
    assert slow <= jobs / 1000
