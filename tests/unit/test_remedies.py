"""What comes after a failed attempt."""

import pytest

from wqmaster.jobs.failures import MAX_ATTEMPTS, FailureClass
from wqmaster.recipe.retry import WHOLE_JOB, Factors, Past, factors, plan, plan_of, rungs
from wqmaster.tasks.base import Rung

SCF, MEMORY, KILLED = (
    FailureClass.SCF_NOT_CONVERGED,
    FailureClass.MEMORY,
    FailureClass.KILLED,
)
LADDERS = {
    SCF: (Rung(name="slow"), Rung(name="kdiis"), Rung(name="last", time=3)),
    MEMORY: (Rung(name="more", memory=2), Rung(name="most", memory=4, disk=1.5)),
}


def history(*failures: FailureClass | tuple[FailureClass, str], retried: int = 0) -> list[Past]:
    """Attempts that failed so, each with the remedies that were planned for it."""
    past: list[Past] = []
    for number, failure in enumerate(failures, start=1):
        kind, step = failure if isinstance(failure, tuple) else (failure, "a")
        taken = plan(LADDERS, past) or {}
        past.append(Past(number, kind, step, taken, retried=number == retried))
    return past


def test_a_first_attempt_has_no_remedy() -> None:
    assert plan(LADDERS, []) == {}


def test_the_rungs_are_tried_in_order_and_then_it_is_given_up() -> None:
    tried = [plan(LADDERS, history(*[SCF] * count)) for count in range(1, 5)]
    assert tried == [{"a": ("slow",)}, {"a": ("kdiis",)}, {"a": ("last",)}, None]


def test_no_ladder_no_attempt() -> None:
    assert plan(LADDERS, history(FailureClass.TIME_LIMIT)) is None
    assert plan({}, history(SCF)) is None


def test_rungs_of_two_ladders_add_up() -> None:
    assert plan(LADDERS, history(SCF, MEMORY)) == {"a": ("slow", "more")}
    assert plan(LADDERS, history(SCF, MEMORY, SCF)) == {"a": ("more", "kdiis")}


def test_steps_have_remedies_of_their_own() -> None:
    assert plan(LADDERS, history(SCF, (SCF, "b"))) == {"a": ("slow",), "b": ("slow",)}


def test_an_infrastructure_failure_uses_up_no_rung() -> None:
    assert plan(LADDERS, history(KILLED)) == {}
    assert plan(LADDERS, history(KILLED, KILLED, SCF)) == {"a": ("slow",)}
    assert plan(LADDERS, history(SCF, KILLED)) == {"a": ("slow",)}
    assert plan(LADDERS, history(SCF, KILLED, SCF)) == {"a": ("kdiis",)}


def test_infrastructure_failures_have_an_end() -> None:
    assert plan(LADDERS, history(*[KILLED] * (MAX_ATTEMPTS - 1))) == {}
    assert plan(LADDERS, history(*[KILLED] * MAX_ATTEMPTS)) is None
    assert plan(LADDERS, history(KILLED, KILLED, SCF, KILLED)) is None


def test_no_remedy_is_tried_twice_even_after_a_retry() -> None:
    assert plan(LADDERS, history(SCF, SCF, retried=2)) == {"a": ("kdiis",)}
    assert plan(LADDERS, history(SCF, SCF, KILLED, SCF, retried=3)) == {"a": ("last",)}


def test_a_retry_where_no_rung_is_left_runs_as_before() -> None:
    assert plan(LADDERS, history(FailureClass.TIME_LIMIT, retried=1)) == {}
    assert plan(LADDERS, history(*[SCF] * 4, retried=4)) == {"a": ("last",)}


def test_a_retry_counts_infrastructure_failures_anew() -> None:
    assert plan(LADDERS, history(KILLED, KILLED, KILLED, retried=3)) == {}
    assert plan(LADDERS, history(*[KILLED] * 5, retried=3)) == {}
    assert plan(LADDERS, history(*[KILLED] * 6, retried=3)) is None


def test_a_class_of_another_version_is_final() -> None:
    assert plan(LADDERS, [Past(1, None, "a")]) is None


def test_a_job_that_the_engine_ended_has_a_ladder_as_well() -> None:
    past = [Past(1, MEMORY, None)]
    assert plan(LADDERS, past) == {WHOLE_JOB: ("more",)}
    past.append(Past(2, MEMORY, None, {WHOLE_JOB: ("more",)}))
    assert plan(LADDERS, past) == {WHOLE_JOB: ("most",)}


def test_factors_are_the_largest_of_all_steps() -> None:
    assert factors(LADDERS, {}) == Factors()
    both = {"a": ("more",), "b": ("most", "last")}
    assert factors(LADDERS, both) == Factors(memory=4, disk=1.5, time=3)


def test_a_rung_that_is_gone_from_the_campaign_is_left_out() -> None:
    assert [rung.name for rung in rungs(LADDERS, ("gone", "kdiis"))] == ["kdiis"]


@pytest.mark.parametrize("value", [None, "slow", ["slow"], 3])
def test_what_is_no_plan_is_an_empty_one(value: object) -> None:
    assert plan_of(value) == {}


def test_a_plan_comes_back_from_the_database() -> None:
    assert plan_of({"a": ["slow", "more"]}) == {"a": ("slow", "more")}
