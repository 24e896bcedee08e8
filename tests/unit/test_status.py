"""Rates, the remaining time, and the progress line in the log."""

import time
from collections import Counter

import pytest

from wqmaster.database.documents import Counts
from wqmaster.engines.base import EngineStats
from wqmaster.run.holds import Hold, HoldKind, state_of
from wqmaster.run.progress import (
    Progress,
    Rate,
    RunState,
    duration,
    expectation,
    line,
    speed,
    time_left,
)


class Steady(Rate):
    """A constant rate."""

    def __init__(self, known: float) -> None:
        super().__init__()
        self.known = known

    def per_second(self, now: float | None = None) -> float:
        return self.known


def progress(rate: float = 0.0, **settings: object) -> Progress:
    return Progress("test", "local", rate=Steady(rate), **settings)  # type: ignore[arg-type]


def test_the_rate_is_zero_if_nothing_has_happened() -> None:
    assert Rate().per_second() == 0.0
    assert Rate().per_second(time.monotonic() + 1000) == 0.0


def test_a_rate_is_taken_over_the_whole_window() -> None:
    rate, now = Rate(window=60.0), time.monotonic() + 1000
    for second in range(60):
        rate.add(3, now + second)
    assert rate.per_second(now + 59) == pytest.approx(3.0)


def test_a_young_rate_is_taken_over_its_own_age() -> None:
    rate, now = Rate(window=60.0), time.monotonic()
    rate.add(50, now + 10)
    assert rate.per_second(now + 10) == pytest.approx(5.0, rel=0.01)


def test_events_older_than_the_window_are_forgotten() -> None:
    rate, now = Rate(window=60.0), time.monotonic() + 1000
    rate.add(600, now)
    rate.add(60, now + 50)
    assert rate.per_second(now + 50) == pytest.approx(11.0)
    assert rate.per_second(now + 70) == pytest.approx(1.0)
    assert rate.per_second(now + 200) == 0.0


def test_simultaneous_events_are_all_counted() -> None:
    rate, now = Rate(window=10.0), time.monotonic() + 1000
    for _ in range(1000):
        rate.add(1, now)
    assert rate.per_second(now) == pytest.approx(100.0)


def test_a_steady_stream_of_close_events_is_forgotten_bit_by_bit() -> None:
    rate, now = Rate(window=10.0), time.monotonic() + 1000
    for step in range(2000):
        rate.add(1, now + step * 0.01)
    assert rate.per_second(now + 20) == pytest.approx(100.0, rel=0.02)
    assert rate.per_second(now + 25) == pytest.approx(50.0, rel=0.03)


def test_remaining_documents_are_neither_done_nor_failed() -> None:
    found = progress(
        total=100,
        done_before=20,
        failures_before=Counter(time_limit=5),
        done=30,
        failures=Counter(killed=3, time_limit=2),
        sent=7,
    )
    assert found.failed == 5
    assert found.left == 40


def test_the_number_of_remaining_documents_is_never_negative() -> None:
    assert progress(total=3, done=5).left == 0


def test_a_total_that_could_not_be_counted_is_unknown() -> None:
    found = progress(2.0, done=5)
    assert found.left is None
    assert found.seconds_left is None


def test_the_time_left_follows_from_the_rate() -> None:
    assert progress(4.0, total=100, done=20).seconds_left == pytest.approx(20.0)
    assert progress(4.0, total=100, done=100).seconds_left == 0.0


def test_the_time_left_is_unknown_while_nothing_returns() -> None:
    assert progress(0.0, total=100).seconds_left is None


def test_a_held_run_states_no_time_left() -> None:
    found = progress(4.0, total=100, done=20)
    found.hold = Hold(HoldKind.PAUSE, "paused")
    assert found.seconds_left is None
    found.hold = Hold(HoldKind.CANARY, "the first jobs", is_routine=True)
    assert found.seconds_left == pytest.approx(20.0)


def test_the_published_status_has_the_counts_under_their_names() -> None:
    found = progress(
        1.23456,
        total=10,
        sent=3,
        spooled=3,
        stats=EngineStats(workers=4, cores=8, waiting=1, running=2),
    ).published()
    assert (found["running"], found["spooled"], found["workers"], found["cores"]) == (2, 3, 4, 8)
    assert found["jobs_per_second"] == 1.235
    assert found["tasks_waiting"] == 1
    assert found["trouble"] is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (0, "0 s"),
        (42.4, "42 s"),
        (59.7, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.9, "1 h 00 min"),
        (2 * 3600 + 7 * 60 + 59, "2 h 07 min"),
        (86399.9, "1 d 0 h"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_is_printed_in_convenient_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_the_line_includes_the_counts_of_this_run_and_of_earlier_ones() -> None:
    found = progress(
        2.5,
        total=100,
        done_before=10,
        failures_before=Counter(killed=1),
        done=20,
        failures=Counter(killed=4),
        sent=12,
        spooled=7,
        stats=EngineStats(workers=8, cores=16, running=2, waiting=10),
    )
    assert line(found) == (
        "test: 30/100 done, 5 failed, 2 running, 7 spooled, 56 pending, 2.5 jobs/s, 26 s left, "
        "8 workers, 16 cores"
    )
    assert found.total == 30 + 5 + 2 + 7 + 56


@pytest.mark.parametrize(
    ("sent", "tasks", "running"),
    [(12, (2, 10), 2), (60, (2, 10), 10), (0, (0, 0), 0), (3, (0, 0), 0), (4, (4, 0), 4)],
)
def test_jobs_of_running_tasks_are_running_and_the_others_are_pending(
    sent: int, tasks: tuple[int, int], running: int
) -> None:
    stats = EngineStats(running=tasks[0], waiting=tasks[1])
    found = progress(total=100, sent=sent, spooled=3, stats=stats)
    assert (found.running, found.pending) == (running, 100 - running - 3)
    published = found.published()
    assert (published["running"], published["sent"]) == (running, sent)
    assert (published["tasks_running"], published["tasks_waiting"]) == tasks


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0.0 jobs/s"),
        (27.84, "27.8 jobs/s"),
        (0.1, "6.0 jobs/min"),
        (0.0004, "1.4 jobs/h"),
    ],
)
def test_a_speed_is_never_rounded_to_nothing(rate: float, text: str) -> None:
    assert speed(rate) == text


def test_jobs_that_failed_count_as_finished() -> None:
    found = progress(total=40, failures=Counter(killed=40))
    found.started = time.monotonic() - 10
    assert found.speed == pytest.approx(4.0, rel=0.1)


def test_changed_documents_no_longer_count_as_failed() -> None:
    found = progress(total=10, failures_before=Counter(killed=2), failures=Counter(killed=1))
    found.reopen(["killed", "killed", "killed"])
    assert (found.failed_before, found.failed, found.left, found.mended) == (0, 0, 10, 3)


def test_the_line_shows_unknown_counts_and_trouble() -> None:
    text = line(progress(trouble="the database cannot be reached"))
    assert text.startswith("test: 0/? done, ")
    assert ", time left unknown, " in text
    assert text.endswith(", the database cannot be reached")
    assert "\n" not in text


def test_canceled_documents_do_not_count_as_computed() -> None:
    found = progress(done=3, failures=Counter(canceled=5, time_limit=2))
    assert found.computed == 5
    found.started = time.monotonic() - 10
    assert found.speed == pytest.approx(0.5, rel=0.01)


def test_counts_that_others_have_changed_are_replaced_and_jobs_that_ran_still_count() -> None:
    found = progress(done_before=10, failures_before=Counter(killed=3), total=20)
    found.done, found.failures = 4, Counter(killed=1, timeout=1, canceled=1)
    assert found.computed == 6
    # All but one failure were queued again, and so were two results of this run.
    found.correct(Counts(done=2, failed=1, undone=19, failures={"timeout": 1}))
    assert (found.done_before, found.done, found.all_done) == (0, 2, 2)
    assert (found.all_failed, found.failures) == (1, Counter(timeout=1))
    assert (found.total, found.pending) == (21, 18)
    assert found.computed == 6


def test_no_time_is_left_if_nothing_is_left_to_compute() -> None:
    found = progress(total=4, done=3, failures=Counter(time_limit=1))
    assert found.seconds_left == 0.0
    assert time_left(found) == "nothing left"
    found.hold = Hold(HoldKind.CANARY, "most jobs fail")
    assert found.seconds_left is None


@pytest.mark.parametrize(
    ("limit_left", "total", "state", "is_limited"),
    [
        (0, 9, RunState.FINISHED, True),
        (0, 3, RunState.FINISHED, False),
        (2, 3, RunState.FINISHED, False),
        (None, 9, RunState.FINISHED, False),
        (0, 9, RunState.STOPPED, False),
    ],
)
def test_a_run_that_ends_at_its_limit_does_not_just_finish(
    limit_left: int | None, total: int, state: RunState, is_limited: bool
) -> None:
    found = progress(total=total, done=3, limit_left=limit_left, state=state)
    assert (found.outcome != str(state)) is is_limited


@pytest.mark.parametrize("kind", HoldKind)
def test_every_hold_is_called_held_but_a_pause(kind: HoldKind) -> None:
    hold = Hold(kind, "paused by me" if kind is HoldKind.PAUSE else "why", "resume")
    word = "paused" if kind is HoldKind.PAUSE else "held"
    assert str(hold).startswith(word)
    assert str(hold).endswith("; to go on: resume")
    assert state_of(str(kind)) == word


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "unknown"),
        (0.02, "less than 1 s"),
        (0.99, "less than 1 s"),
        (1.0, "1 s"),
        (90, "1 min 30 s"),
    ],
)
def test_a_task_of_less_than_a_second_is_not_expected_to_take_none(
    seconds: float | None, text: str
) -> None:
    assert expectation(seconds) == text
