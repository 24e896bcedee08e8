"""The circuit breaker: what holds a run, what does not, and how it goes on."""

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.unit.test_master import House, fails, well
from wqmaster.campaign.waste import Breaker, Threshold
from wqmaster.jobs.failures import FailureClass
from wqmaster.run.breaker import MAX_PAUSE_SECONDS, BreakerMeter, Cause, cause_of
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.gates import Gates, Room
from wqmaster.run.holds import HoldKind


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def verdict(kind: str | None, number: int = 0, hosts: int = 5, key: str = "x") -> Ended:
    """The end of a task with one job."""
    failure = kind and JobFailure(failure_class=kind, message="why", final=False)
    job = EndedJob(key=key, host=f"n{number % hosts}", failure=failure or None)
    return Ended(task="t", jobs=(job,))


def hear(meter: BreakerMeter, kinds: Iterable[str | None], hosts: int = 5) -> int | None:
    """Let `meter` hear of verdicts until it holds; return after how many."""
    for number, kind in enumerate(kinds, 1):
        meter.ended(verdict(kind, number, hosts))
        if meter.hold() is not None:
            return number
    return None


def meter(clock: Clock | None = None, hosts_now: int = 0, **settings: int) -> BreakerMeter:
    breaker = Breaker(**settings)
    return BreakerMeter(
        breaker,
        "wqmaster resume c.yaml",
        "wqmaster run c.yaml",
        lambda: hosts_now,
        clock=clock or Clock(),
    )


def test_a_sudden_run_of_lost_programs_holds_the_campaign() -> None:
    found = meter()
    assert hear(found, [None] * 5000) is None
    count = hear(found, ["program_missing"] * 200)
    assert count == 80
    hold = found.hold()
    assert hold is not None
    assert (hold.kind, hold.is_routine, hold.retries_go_on) == (HoldKind.BREAKER, False, False)
    assert hold.command == "wqmaster resume c.yaml"
    for part in ("80 of the last 100 jobs", "program_missing", "5 hosts", "before: 0%", "60 s"):
        assert part in str(hold)
    assert found.room().is_full


@pytest.mark.parametrize(
    ("kind", "count"),
    [("killed", 80), ("module_crash", 180), ("parse_error", 180), ("time_limit", 475)],
)
def test_the_more_a_class_can_be_the_molecules_fault_the_more_verdicts_it_takes(
    kind: str, count: int
) -> None:
    found = meter()
    hear(found, [None] * 3000)
    assert hear(found, [kind] * 1000) == count


def test_every_failure_class_has_a_cause() -> None:
    causes = {kind.label: cause_of(kind.label) for kind in FailureClass}
    assert causes["document_changed"] is Cause.SCIENCE
    assert causes["disk_full"] is Cause.INFRASTRUCTURE
    assert causes["missing_output"] is Cause.PROGRAM
    assert {causes[kind] for kind in ("scf_not_converged", "memory", "not_finite")} == {
        Cause.SCIENCE
    }


def test_two_bad_hosts_among_several_hold_nothing() -> None:
    found = meter(hosts_now=10)
    hear(found, [None] * 1000, hosts=10)
    assert hear(found, ["program_missing"] * 1000, hosts=2) is None


def test_a_bad_host_holds_nothing_while_tasks_run_on_others() -> None:
    assert hear(meter(hosts_now=4), ["killed"] * 1000, hosts=1) is None


def test_a_single_host_is_all_hosts() -> None:
    assert hear(meter(), ["killed"] * 1000, hosts=1) == 100


def test_verdicts_of_the_canary_do_not_count() -> None:
    due = [False]
    commands = ("wqmaster resume c.yaml", "wqmaster run c.yaml")
    found = BreakerMeter(Breaker(), *commands, is_due=lambda: due[0])
    assert hear(found, ["killed"] * 500) is None
    due[0] = True
    assert hear(found, ["killed"] * 500) == 100


def test_documents_without_a_molecule_have_no_host_and_hold_a_run_all_the_same() -> None:
    found = meter(hosts_now=5)
    hear(found, [None] * 1000)
    failure = JobFailure(failure_class="bad_document", message="no coordinates", final=True)
    for number in range(475):
        assert found.hold() is None
        found.ended(Ended(task="", jobs=(EndedJob(key=str(number), host="", failure=failure),)))
    hold = found.hold()
    assert hold is not None
    assert " host" not in hold.reason


def test_a_class_that_was_as_frequent_before_holds_nothing() -> None:
    found = meter()
    assert hear(found, ["killed", "killed", "killed", None] * 1000) is None
    assert hear(found, ["killed"] * 100) is None


def test_a_lost_bundle_is_one_failure() -> None:
    found = meter()
    failure = JobFailure(failure_class="worker_lost", message="why", final=False)
    for number in range(99):
        jobs = tuple(
            EndedJob(key=str(job), host=f"n{number}", failure=failure) for job in range(1000)
        )
        found.ended(Ended(task=str(number), jobs=jobs))
    assert found.hold() is None


def trip(clock: Clock, **settings: int) -> BreakerMeter:
    found = meter(clock, **settings)
    assert hear(found, ["killed"] * 100) == 100
    return found


def attempt(found: BreakerMeter, kinds: list[str | None]) -> None:
    """Send the documents of a trial, and let their verdicts arrive."""
    assert found.room() == Room(documents=len(kinds), bundle=1)
    keys = [f"trial{number}" for number in range(len(kinds))]
    found.sent(keys)
    assert found.room().is_full
    for number, (key, kind) in enumerate(zip(keys, kinds, strict=True)):
        assert found.hold() is not None
        found.ended(verdict(kind, number, key=key))


def test_a_trial_that_succeeds_lets_the_run_go_on() -> None:
    clock = Clock()
    found = trip(clock, pause=60, probe=4)
    clock.now = 59.0
    assert found.room().is_full
    clock.now = 60.0
    attempt(found, [None, "killed", None, "memory"])
    assert (found.hold(), found.room()) == (None, Room())


def test_the_pauses_grow_while_trials_fail() -> None:
    clock = Clock()
    found = trip(clock, pause=60, probe=2)
    for pause in (60, 120, 240, 480, 960, 1920, 3600, 3600):
        clock.now += pause - 1
        assert found.room().is_full
        clock.now += 1
        attempt(found, ["killed", "killed"])
    assert MAX_PAUSE_SECONDS == 3600


def test_jobs_that_were_sent_before_the_hold_decide_no_trial() -> None:
    clock = Clock()
    found = trip(clock, pause=60, probe=1)
    clock.now = 60.0
    assert found.room().documents == 1
    found.sent(["trial"])
    for number in range(20):
        found.ended(verdict(None, number, key=f"old{number}"))
    assert found.hold() is not None
    found.ended(verdict(None, key="trial"))
    assert found.hold() is None


def test_a_trial_of_documents_that_vanished_is_decided_by_the_others() -> None:
    clock = Clock()
    found = trip(clock, pause=60, probe=5)
    clock.now = 60.0
    assert found.room().documents == 5
    found.sent(["a", "b", "c"])
    found.ended(verdict(None, key="a"))
    found.idle()
    assert found.hold() is None


def test_a_user_who_lets_it_go_on_is_asked_again_later_each_time() -> None:
    found = meter()
    hear(found, [None] * 1000)
    counts = []
    for _ in range(4):
        counts.append(hear(found, ["killed"] * 10_000))
        assert found.release()
    assert not found.release()
    assert counts == [80, 200, 400, 800]
    hear(found, [None] * 2000)
    assert hear(found, ["killed"] * 10_000) == 80


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_healthy_campaign_is_never_held(share: float) -> None:
    """Random failures of any cause: no hold in 40 campaigns of 5,000 documents on 8 hosts."""
    kinds = ("program_missing", "killed", "program_error", "scf_not_converged", "time_limit")
    for seed in range(40):
        chance = random.Random(seed)  # noqa: S311  # not a secret
        kind = kinds[seed % len(kinds)]
        found = meter()
        verdicts = (kind if chance.random() < share else None for _ in range(5000))
        assert hear(found, verdicts, hosts=8) is None, seed


def test_input_that_is_sorted_by_size_is_not_held_at_its_hard_end() -> None:
    """The share of molecules that run out of time grows from 0 to 90 %."""
    for seed in range(20):
        chance = random.Random(seed)  # noqa: S311  # not a secret
        found = meter()
        count = 5000
        verdicts = (
            "time_limit" if chance.random() < 0.9 * number / count else None
            for number in range(count)
        )
        assert hear(found, verdicts, hosts=8) is None, seed


def test_memory_is_bounded() -> None:
    found = meter()
    chance = random.Random(3)  # noqa: S311  # not a secret
    for number in range(20_000):
        kind = "killed" if chance.random() < 0.1 else None
        found.ended(verdict(kind, number, hosts=1_000_000))
    for window in found._windows.values():
        assert len(window.verdicts) <= window.size
        assert sum(len(hosts) for hosts in window.hosts.values()) <= window.size
        assert window.weight < 2002


def test_a_run_pauses_tries_and_goes_on_by_itself(tmp_path: Path) -> None:
    """The program breaks after 30 documents, and is mended while the run pauses."""
    clock = Clock()
    breaker = Breaker(
        pause=60,
        probe=3,
        program=Threshold(verdicts=10, stop_share=0.9),
    )
    found = BreakerMeter(breaker, "wqmaster resume c.yaml", "wqmaster run c.yaml", clock=clock)
    house = House(tmp_path, lambda job: well(job) if len(house.values) < 30 else fails(job))
    house.engine.slots = 2
    house.fill(200)
    held: list[int] = []

    def show(progress: object) -> None:
        if house.progress.hold is not None:
            held.append(house.progress.failed)
            if len(held) == 2:
                house.engine.answer = well
            clock.now += 30

    house.master(gates=Gates(meters=[found]), show=show).run()
    assert 9 <= held[0] <= 12
    assert house.progress.failed <= 16
    assert house.progress.done + house.progress.failed == 200
    assert house.progress.hold is None
