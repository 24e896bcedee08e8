"""The canary: its arithmetic, how often it stops a healthy campaign, and a run that it holds."""

import math
import random
from pathlib import Path

import pytest

from tests.unit.test_master import House, fails, well
from wqmaster.campaign.waste import Canary
from wqmaster.cli.status import _held
from wqmaster.run.canary import CanaryMeter, good_enough
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.gates import Gates, Room
from wqmaster.run.holds import HoldKind
from wqmaster.run.meters import meters
from wqmaster.testing import Answer, SandboxedJob, outcome, step_outcome


def job(key: str, kind: str | None = None, *, final: bool = True, host: str = "h") -> EndedJob:
    """How a job ended."""
    failure = kind and JobFailure(failure_class=kind, message=f"why {key}", final=final)
    return EndedJob(key=key, host=host, failure=failure or None)


def ended(*jobs: EndedJob) -> Ended:
    return Ended(task="t", jobs=jobs)


def canary(jobs: int = 10, stop_share: float = 0.8) -> CanaryMeter:
    canary = Canary(jobs=jobs, stop_share=stop_share)
    return CanaryMeter(canary, "wqmaster resume c.yaml", "wqmaster run c.yaml")


def keys(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def test_no_more_documents_than_the_canary_go_first() -> None:
    meter = canary(10)
    assert (meter.room().new, meter.hold()) == (10, None)
    meter.sent(keys(4))
    assert meter.room().new == 6
    meter.sent(keys(10))
    hold = meter.hold()
    assert meter.room().new == 0
    assert hold is not None
    assert hold.is_routine


def test_most_of_the_canary_failing_with_one_class_holds_the_run() -> None:
    meter = canary(10)
    meter.sent(keys(10))
    meter.ended(ended(*(job(key, "program_missing") for key in keys(7)), job("7")))
    assert meter.hold().is_routine  # type: ignore[union-attr]
    meter.ended(ended(job("8", "program_missing", host="other")))
    hold = meter.hold()
    assert hold is not None
    assert (hold.kind, hold.is_routine) == (HoldKind.CANARY, False)
    assert hold.command == "wqmaster resume c.yaml"
    assert "wqmaster run c.yaml --no-canary" in str(hold.afterwards)
    for part in ("8 of the first 9 documents", "program_missing", "on 2 hosts", "0: why 0"):
        assert part in hold.reason
    assert meter.room().new == 0
    assert meter.release()
    assert (meter.hold(), meter.room()) == (None, Room())
    assert not meter.release()


def test_a_canary_without_verdicts_is_not_released() -> None:
    meter = canary(10)
    meter.sent(keys(10))
    assert not meter.release()
    assert meter.room().new == 0


def test_a_few_results_release_the_rest() -> None:
    meter = canary(50)
    enough = good_enough(Canary())
    assert enough == 11
    meter.sent(keys(20))
    meter.ended(ended(*map(job, keys(enough - 1))))
    assert meter.room().new == 30
    meter.ended(ended(job(keys(enough)[-1])))
    assert meter.room() == Room()


def test_failures_of_several_classes_release_the_rest() -> None:
    meter = canary(10)
    meter.sent(keys(10))
    meter.ended(ended(*(job(key, "killed") for key in keys(5))))
    assert meter.room().new == 0
    meter.ended(ended(*(job(key, "memory") for key in keys(8)[5:])))
    assert meter.room() == Room()


def test_an_attempt_that_is_followed_by_another_is_no_verdict() -> None:
    meter = canary(2)
    meter.sent(keys(2))
    for _ in range(3):
        meter.ended(ended(*(job(key, "scf_not_converged", final=False) for key in keys(2))))
        meter.sent(keys(2))
    assert meter.hold().is_routine  # type: ignore[union-attr]
    meter.ended(ended(job("0")))
    assert meter.room() == Room()


def test_a_canary_on_its_way_asks_nothing_of_the_user() -> None:
    """Once, status advised 'resume', which has no effect before the canary has failed."""
    meter = canary(2)
    meter.sent(keys(2))
    hold = meter.hold()
    assert hold is not None
    assert "resume" not in _held(dict(hold.published()), Path("c.yaml"))
    meter.ended(ended(job("0", "killed"), job("1", "killed")))
    failed = meter.hold()
    assert failed is not None
    assert _held(dict(failed.published()), Path("c.yaml")).endswith("resume c.yaml")


def test_documents_of_earlier_runs_do_not_count() -> None:
    meter = canary(2)
    meter.sent(["0"])
    meter.ended(ended(job("old", "killed"), job("older", "killed")))
    assert (meter.room().new, meter.hold()) == (1, None)


def test_a_document_that_vanished_is_replaced() -> None:
    meter = canary(2)
    meter.sent(keys(2))
    meter.ended(ended(job("0", "killed")))
    meter.idle()
    assert (meter.room().new, meter.hold()) == (1, None)
    meter.sent(["other"])
    meter.ended(ended(job("other", "killed")))
    assert not meter.hold().is_routine  # type: ignore[union-attr]


def test_control_characters_of_a_message_are_not_shown() -> None:
    meter = canary(1)
    meter.sent(["x"])
    failure = JobFailure(failure_class="killed", message="\x1b[2J\nbad" + "y" * 9999, final=True)
    meter.ended(ended(EndedJob(key="x", host="h", failure=failure)))
    hold = meter.hold()
    assert hold is not None
    assert hold.reason.isprintable()
    assert len(hold.reason) < 400


def test_a_task_has_a_small_part_of_the_canary_only() -> None:
    assert canary(50).room().size(1000) == 5
    assert canary(3).room().size(1000) == 1
    assert Room().size(1000) == 1000
    assert Room(documents=7).size(20) == 7


def tail(jobs: int, limit: int, share: float) -> float:
    """The probability that at least `limit` of `jobs` fail, each with the probability `share`."""
    return sum(
        math.comb(jobs, count) * share**count * (1 - share) ** (jobs - count)
        for count in range(limit, jobs + 1)
    )


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_a_healthy_campaign_is_not_held(share: float) -> None:
    """The probability follows from the binomial distribution, and is below 1e-18 for 20 %."""
    assert tail(50, 40, share) < 1e-17
    chance = random.Random(14)  # noqa: S311  # not a secret
    waited = []
    for _ in range(1000):
        meter = canary(50)
        meter.sent(keys(50))
        for count, key in enumerate(keys(50), 1):
            kind = chance.choice(["memory", "time_limit"]) if chance.random() < share else None
            meter.ended(ended(job(key, kind)))
            if meter.room() == Room():
                waited.append(count)
                break
            assert meter.hold().is_routine  # type: ignore[union-attr]
    assert len(waited) == 1000
    assert max(waited) <= (20 if share < 0.2 else 35)


def held_house(tmp_path: Path, count: int, **canary_settings: float) -> tuple[House, CanaryMeter]:
    house = House(tmp_path, fails)
    house.fill(count)
    return house, canary(**{"jobs": 10, **canary_settings})  # type: ignore[arg-type]


def test_a_broken_program_fails_the_canary_only(tmp_path: Path) -> None:
    house, meter = held_house(tmp_path, 40)
    shown: list[str] = []

    def show(progress: object) -> None:
        if (hold := house.progress.hold) is not None and not hold.is_routine:
            shown.append(hold.reason)
            master.stop()

    master = house.master(gates=Gates(meters=[meter]), show=show)
    master.run()
    assert len(house.engine.submitted) == 10
    assert house.progress.failed == 10
    assert "program_error" in shown[0]
    published = [one["hold"] for one in house.store.presence.published if one["hold"]]
    assert published[-1]["kind"] == "canary"


def test_a_released_run_computes_the_rest(tmp_path: Path) -> None:
    house, meter = held_house(tmp_path, 40)
    gates = Gates(meters=[meter])

    def show(progress: object) -> None:
        if (hold := house.progress.hold) is not None and not hold.is_routine:
            house.engine.answer = well
            assert gates.release()

    house.master(gates=gates, show=show).run()
    assert (house.progress.done, house.progress.failed) == (30, 10)
    assert house.progress.hold is None


@pytest.mark.parametrize("count", [4, 9, 10])
def test_a_campaign_that_is_not_larger_than_the_canary_ends_by_itself(
    tmp_path: Path, count: int
) -> None:
    house, meter = held_house(tmp_path, count)
    house.master(gates=Gates(meters=[meter])).run()
    assert house.progress.failed == count
    assert house.progress.hold is None


def test_a_healthy_run_goes_on_in_the_bundles_that_were_asked_for(tmp_path: Path) -> None:
    house = House(tmp_path, well, bundle={"size": 6})
    house.fill(60)
    house.master(gates=Gates(meters=[canary(10)])).run()
    assert house.progress.done == 60
    sizes = [task.jobs for task in house.engine.submitted]
    assert sizes[:3] == [1, 1, 1]
    assert 6 in sizes


def test_documents_that_cannot_be_built_count_too(tmp_path: Path) -> None:
    house, meter = held_house(tmp_path, 40)
    for document in house.store.documents.values():
        document["coordinates"] = None

    def show(progress: object) -> None:
        if (hold := house.progress.hold) is not None and not hold.is_routine:
            master.stop()

    master = house.master(gates=Gates(meters=[meter]), show=show)
    master.run()
    assert [kind for _, _, kind, _ in house.failures] == ["bad_document"] * 10


def test_retries_of_the_canary_pass_while_new_documents_wait(tmp_path: Path) -> None:
    seen: set[bytes] = set()

    def answer(sandboxed: SandboxedJob) -> Answer:
        number = sandboxed.files["number"]
        if number in seen:
            return well(sandboxed)
        seen.add(number)
        return outcome(step_outcome("one", b"", exit_code=127))

    house = House(tmp_path, answer)
    house.fill(20)
    house.master(gates=Gates(meters=[canary(4)])).run()
    assert house.progress.done == 20


def test_results_of_earlier_runs_replace_the_canary(tmp_path: Path) -> None:
    house = House(tmp_path, well)
    loaded = house.recipe.loaded

    def kinds(done: int, **options: bool) -> list[str]:
        house.progress.done_before, house.progress.total = done, 1000
        found = meters(loaded, house.store, house.progress, **options)  # type: ignore[arg-type]
        return [type(meter).__name__ for meter in found]

    enough = good_enough(Canary())
    assert kinds(enough - 1, canary=True) == ["CanaryMeter", "BreakerMeter"]
    assert kinds(enough, canary=True) == ["BreakerMeter"]
    assert kinds(0, canary=False) == ["BreakerMeter"]
    house = House(tmp_path, well, canary=False, breaker=False)
    loaded = house.recipe.loaded
    assert kinds(0, canary=True) == []
