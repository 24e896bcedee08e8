"""The decision about the next attempt after a failed one."""

import pytest

from wqmaster.jobs.failures import MAX_ATTEMPTS, FailureClass
from wqmaster.recipe.retry import (
    NO_REMEDIES,
    WHOLE_JOB,
    Again,
    Factors,
    GiveUp,
    Past,
    WithRemedies,
    decide,
    plan_of,
    remedies,
)
from wqmaster.tasks.base import Rung

SCF, MEMORY, KILLED = (
    FailureClass.SCF_NOT_CONVERGED,
    FailureClass.MEMORY,
    FailureClass.KILLED,
)
_OF_STEPS = {
    SCF: (Rung(name="slow"), Rung(name="kdiis"), Rung(name="last", time=3)),
    MEMORY: (Rung(name="more", memory=2), Rung(name="most", memory=4, disk=1.5)),
}
LADDERS = dict.fromkeys(("a", "b", WHOLE_JOB), _OF_STEPS)


def history(*failures: FailureClass | tuple[FailureClass, str], retried: int = 0) -> list[Past]:
    """Attempts that ended with these failures, each with the remedies that were planned for it."""
    past: list[Past] = []
    for number, failure in enumerate(failures, start=1):
        kind, step = failure if isinstance(failure, tuple) else (failure, "a")
        taken = decide(LADDERS, past).plan
        past.append(Past(number, kind, step, taken, retried=number == retried))
    return past


def test_a_first_attempt_has_no_remedy() -> None:
    assert decide(LADDERS, []) == Again()


def test_the_rungs_are_tried_in_order_before_the_document_fails() -> None:
    tried = [decide(LADDERS, history(*[SCF] * count)) for count in range(1, 5)]
    names = ("slow", "kdiis", "last")
    assert tried == [*(WithRemedies({"a": (name,)}) for name in names), GiveUp()]


def test_without_a_ladder_there_is_no_further_attempt() -> None:
    assert decide(LADDERS, history(FailureClass.TIME_LIMIT)) == GiveUp()
    assert decide({}, history(SCF)) == GiveUp()


def test_rungs_of_two_ladders_add_up() -> None:
    assert decide(LADDERS, history(SCF, MEMORY)) == WithRemedies({"a": ("slow", "more")})
    assert decide(LADDERS, history(SCF, MEMORY, SCF)) == WithRemedies({"a": ("more", "kdiis")})


def test_each_step_has_its_own_remedies() -> None:
    assert decide(LADDERS, history(SCF, (SCF, "b"))) == WithRemedies(
        {"a": ("slow",), "b": ("slow",)}
    )


def test_an_infrastructure_failure_uses_up_no_rung() -> None:
    assert decide(LADDERS, history(KILLED)) == Again()
    assert decide(LADDERS, history(KILLED, KILLED, SCF)) == WithRemedies({"a": ("slow",)})
    assert decide(LADDERS, history(SCF, KILLED)) == WithRemedies({"a": ("slow",)})
    assert decide(LADDERS, history(SCF, KILLED, SCF)) == WithRemedies({"a": ("kdiis",)})


def test_infrastructure_failures_are_limited() -> None:
    assert decide(LADDERS, history(*[KILLED] * (MAX_ATTEMPTS - 1))) == Again()
    assert decide(LADDERS, history(*[KILLED] * MAX_ATTEMPTS)) == GiveUp()
    assert decide(LADDERS, history(KILLED, KILLED, SCF, KILLED)) == GiveUp()


def test_no_remedy_is_tried_twice_even_after_a_retry() -> None:
    assert decide(LADDERS, history(SCF, SCF, retried=2)) == WithRemedies({"a": ("kdiis",)})
    assert decide(LADDERS, history(SCF, SCF, KILLED, SCF, retried=3)) == WithRemedies(
        {"a": ("last",)}
    )


def test_a_retry_without_a_remaining_rung_runs_as_before() -> None:
    assert decide(LADDERS, history(FailureClass.TIME_LIMIT, retried=1)) == Again()
    assert decide(LADDERS, history(*[SCF] * 4, retried=4)) == WithRemedies({"a": ("last",)})


def test_a_retry_resets_the_count_of_infrastructure_failures() -> None:
    assert decide(LADDERS, history(KILLED, KILLED, KILLED, retried=3)) == Again()
    assert decide(LADDERS, history(*[KILLED] * 5, retried=3)) == Again()
    assert decide(LADDERS, history(*[KILLED] * 6, retried=3)) == GiveUp()


def test_a_class_of_another_version_is_final() -> None:
    assert decide(LADDERS, [Past(1, None, "a")]) == GiveUp()


def test_a_job_that_the_engine_ended_also_has_a_ladder() -> None:
    past = [Past(1, MEMORY, None)]
    assert decide(LADDERS, past) == WithRemedies({WHOLE_JOB: ("more",)})
    past.append(Past(2, MEMORY, None, {WHOLE_JOB: ("more",)}))
    assert decide(LADDERS, past) == WithRemedies({WHOLE_JOB: ("most",)})


def test_each_factor_is_the_largest_of_all_steps() -> None:
    assert remedies(LADDERS, {}) == NO_REMEDIES
    assert not NO_REMEDIES
    both = {"a": ("more",), "b": ("most", "last")}
    assert remedies(LADDERS, both).factors == Factors(memory=4, disk=1.5, time=3)


def test_a_rung_that_was_removed_from_the_campaign_is_skipped() -> None:
    found = remedies(LADDERS, {"a": ("gone", "kdiis")})
    assert [rung.name for rung in found.rungs["a"]] == ["kdiis"]


@pytest.mark.parametrize("value", [None, "slow", ["slow"], 3])
def test_an_invalid_plan_counts_as_empty(value: object) -> None:
    assert plan_of(value) == {}


def test_a_plan_survives_storage_in_the_database() -> None:
    assert plan_of({"a": ["slow", "more"]}) == {"a": ("slow", "more")}
