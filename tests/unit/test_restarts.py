"""Pauses and budget of children that are started again, by a clock that the tests set."""

import pytest

from wqmaster.system.restarts import Pace, Restarts


def pauses(restarts: Restarts, deaths: int, lived: float = 0.0) -> list[float]:
    """The pauses before the starts, if each child lives `lived` seconds."""
    now, found = 1000.0, []
    for _ in range(deaths):
        now += lived
        due = restarts.died(now, lived)
        found.append(due - now)
        assert not restarts.may_start(due - 0.01)
        assert restarts.may_start(due)
        now = due
        restarts.started(now)
        assert not restarts.may_start(now + 1e6)
    return found


def test_pauses_double_up_to_the_longest() -> None:
    assert pauses(Restarts(Pace(max_restarts=100)), 9) == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_child_that_lived_long_begins_a_new_count() -> None:
    restarts = Restarts(Pace(max_restarts=2, period_seconds=1e6, steady_seconds=50))
    assert pauses(restarts, 2) == [1, 2]
    assert restarts.died(5000.0, 49.0) == 5060.0
    assert restarts.exhausted
    restarts.started(5060.0)
    assert restarts.died(5200.0, 140.0) == 5201.0
    assert not restarts.exhausted


def test_a_used_up_budget_means_the_longest_pause_and_never_the_end() -> None:
    restarts = Restarts(Pace(max_restarts=3, period_seconds=1e6))
    assert pauses(restarts, 6) == [1, 2, 4, 60, 60, 60]
    assert restarts.exhausted


def test_starts_count_only_within_the_period() -> None:
    restarts = Restarts(Pace(max_restarts=3, period_seconds=100))
    assert pauses(restarts, 3) == [1, 2, 4]
    restarts.died(2000.0, 10.0)
    assert not restarts.exhausted


def test_a_child_that_is_of_no_use_uses_up_the_budget_at_once() -> None:
    restarts = Restarts()
    assert restarts.died(10.0, 5.0, hopeless=True) == 610.0
    assert restarts.exhausted
    restarts.recovered()
    restarts.started(610.0)
    assert restarts.died(615.0, 5.0) == 616.0
    assert not restarts.exhausted


@pytest.mark.parametrize("now", [0.0, 1e9])
def test_nothing_is_due_before_the_first_death(now: float) -> None:
    assert not Restarts().may_start(now)
    assert Restarts().due is None
