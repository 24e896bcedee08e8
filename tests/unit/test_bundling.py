"""How many jobs form a task."""

import pytest

from wqmaster.campaign.models import Bundle
from wqmaster.engines.base import Returned, TaskResult
from wqmaster.run.bundling import MAX_AUTO_JOBS, Bundling
from wqmaster.run.run_times import RunTimes
from wqmaster.run.size_fit import MIN_VALUES

AUTO = Bundle(time=60)
FAILED = Returned("t", TaskResult.ERROR, 1, "node", 1.0, 2.0, "no space left")


def times(seconds: float, natoms: int = 10, count: int = 20) -> RunTimes:
    found = RunTimes()
    for _ in range(count):
        found.add(natoms, seconds)
    return found


@pytest.mark.parametrize("size", ["auto", 20])
def test_a_size_alone_is_short_for_a_mapping(size: object) -> None:
    assert Bundle.model_validate(size) == Bundle.model_validate({"size": size})


def test_a_size_from_an_environment_variable_is_a_number() -> None:
    """Once, `bundle: "20"` was refused, unlike other numbers in quotes."""
    assert Bundle.model_validate("20") == Bundle.model_validate({"size": "20"}) == Bundle(size=20)


@pytest.mark.parametrize("size", ["0", "1001", "-1", "\u0663", 0, 1001, "many", 2.5, True, None])
def test_other_sizes_are_refused(size: object) -> None:
    with pytest.raises(ValueError, match="must be 'auto'"):
        Bundle.model_validate({"size": size})


def test_a_fixed_size_stays_whatever_the_times() -> None:
    assert Bundling(times(100.0)).count(Bundle(size=7), 10, 1000) == 7


def test_until_times_are_known_each_job_is_a_task() -> None:
    assert Bundling(times(0.1, count=MIN_VALUES - 1)).count(AUTO, None, 2) == 1


@pytest.mark.parametrize(
    ("seconds", "count"), [(0.6, 99), (30.0, 1), (29.0, 2), (3600.0, 1), (0.001, MAX_AUTO_JOBS)]
)
def test_a_task_takes_the_time_that_is_asked_for(seconds: float, count: int) -> None:
    assert Bundling(times(seconds)).count(AUTO, None, 2) == count


@pytest.mark.parametrize(("slots", "count"), [(2, 8), (50, 8), (100, 16), (600, 99), (9000, 99)])
def test_by_default_few_workers_get_short_tasks(slots: int, count: int) -> None:
    """With tasks of a minute on two cores, a job of a higher priority waited for 20 s."""
    bundling = Bundling(times(0.6))
    assert bundling.count(Bundle(), None, slots) == count
    assert bundling.groups(Bundle(), [(str(n), 10) for n in range(99)])[0] == count


def test_tasks_shrink_toward_the_end_so_that_no_slot_is_idle() -> None:
    bundling = Bundling(times(0.1))
    left, sizes = 1000, []
    while left:
        sizes.append(bundling.count(AUTO, left, 4))
        left -= sizes[-1]
    assert sizes[0] == 125
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-4:] == [1, 1, 1, 1]


def test_workers_that_are_still_to_come_get_their_share() -> None:
    assert Bundling(times(0.1), most_slots=500).count(AUTO, 1000, 0) == 1


def test_large_outputs_make_small_tasks() -> None:
    bundling = Bundling(times(0.1))
    bundling.returned(10, 10 * (4 << 20))
    assert bundling.count(AUTO, None, 2) == 16


def test_large_molecules_are_in_tasks_with_few_others() -> None:
    known = times(1.0, natoms=10)
    for _ in range(20):
        known.add(80, 50.0)
    bundling = Bundling(known)
    jobs = [(str(n), 80 if n % 10 == 9 else 10) for n in range(30)]
    groups = bundling.groups(AUTO, jobs)
    assert sum(groups) == 30
    start = 0
    for size in groups:
        part = jobs[start : start + size]
        start += size
        assert sum(50 if natoms == 80 else 1 for _, natoms in part) <= 60


def test_a_job_that_ends_its_task_is_found_by_halving() -> None:
    bundling = Bundling(times(0.1))
    waiting = [[str(n) for n in range(64)]]
    culprit, failed = "37", []
    tasks = 0
    while waiting:
        keys = waiting.pop()
        start = 0
        for size in bundling.groups(AUTO, [(key, 10) for key in keys]):
            part = keys[start : start + size]
            start += size
            tasks += 1
            if culprit not in part:
                bundling.ended(part)
            elif len(part) == 1:
                failed.append(part[0])
                bundling.ended(part)
            else:
                bundling.failed(part, FAILED)
                waiting.append(part)
    assert failed == [culprit]
    assert tasks == 1 + 2 * 6


def test_doubts_end_with_a_verdict() -> None:
    bundling = Bundling(times(0.1))
    bundling.failed(["a", "b", "c", "d"], FAILED)
    assert bundling.groups(AUTO, [("a", 1), ("b", 1), ("c", 1), ("d", 1)]) == [2, 2]
    bundling.ended("abcd")
    assert bundling.groups(AUTO, [("a", 1), ("b", 1), ("c", 1), ("d", 1)]) == [4]
