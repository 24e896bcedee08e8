"""What is learned of memory and time reaches the tasks, in a master in memory."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_bundling import times
from tests.unit.test_campaign import MINIMAL, loaded
from tests.unit.test_master import House
from wqmaster.campaign.models import Bundle
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import CampaignError
from wqmaster.jobs.job import MemoryUse, Task
from wqmaster.run.bundling import Bundling
from wqmaster.run.run_times import RunTimes
from wqmaster.testing import Answer, SandboxedJob, outcome, step_outcome

FIRST_JOBS = 8  # of which nothing is known yet


def used(job: SandboxedJob, megabytes: float, *, seconds: float = 30.0, code: int = 0) -> Answer:
    step = step_outcome("one", job.files["number"], exit_code=code, wall_time=seconds)
    return outcome(replace(step, memory=MemoryUse(megabytes, 0.9 * seconds)))


def test_tasks_get_the_memory_that_earlier_ones_used(tmp_path: Path) -> None:
    told = []

    def answer(job: SandboxedJob) -> Answer:
        told.append(int(job.files["told"]))
        return used(job, 400)

    step = {
        "name": "one",
        "command": "cat number",
        "files": {"number": "{{ document.number }}", "told": "{{ memory }}"},
        "parsers": ["number"],
    }
    config = {"func_name": "wqmaster.tasks.command.run", "args": [step]}
    house = House(
        tmp_path, answer, resources={"memory": "auto"}, workers="none", campaign_config=config
    )
    house.engine.slots = 1
    house.fill(30)
    house.master().run()
    memory = [task.memory for task in house.engine.submitted]
    assert memory[:FIRST_JOBS] == [2000] * FIRST_JOBS
    assert all(one is not None and 400 < one < 600 for one in memory[FIRST_JOBS + 2 :])
    assert told == memory
    assert [task.memory_limit for task in house.engine.submitted] == memory
    assert house.progress.published()["memory"] == {"killed": 0, "asked_by_used": memory[-1] / 400}


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        ("min: 5GB, max: 1GB", "'min' is larger than 'max'"),
        ("min: 2GB, first: 1GB, max: 3GB", "'min' is larger than 'first'"),
        ("first: 2GB, max: 1GB", "'first' is larger than 'max'"),
    ],
)
def test_bounds_of_memory_that_contradict_each_other_are_named(
    tmp_path: Path, memory: str, words: str
) -> None:
    with pytest.raises(CampaignError) as caught:
        loaded(tmp_path, f"{MINIMAL}resources: {{memory: {{size: auto, {memory}}}}}\n")
    assert words in caught.value.message
    assert caught.value.code is ErrorCode.CAMPAIGN_INVALID


def test_a_job_beyond_its_memory_gets_twice_as_much(tmp_path: Path) -> None:
    def answer(job: SandboxedJob) -> Answer:
        assert job.task.memory is not None
        over = job.files["number"] == b"2.5" and job.task.memory < 900
        return used(job, 950, code=137) if over else used(job, 400)

    house = House(tmp_path, answer, resources={"memory": {"first": 600}}, workers="none")
    house.fill(3)
    house.master().run()
    assert set(house.values) == {1, 2, 3}
    assert house.failures == [(2, 1, "memory", False)]
    assert max(task.memory or 0 for task in house.engine.submitted) == 1200
    assert house.progress.published()["memory"]["killed"] == 1


def test_a_job_that_was_killed_within_its_memory_runs_again_unchanged(tmp_path: Path) -> None:
    seen = []

    def answer(job: SandboxedJob) -> Answer:
        seen.append(job.task.memory)
        return used(job, 300, code=137 if len(seen) == 1 else 0)

    house = House(tmp_path, answer, resources={"memory": {"first": 600}}, workers="none")
    house.fill(1)
    house.master().run()
    assert house.failures == [(1, 1, "killed", False)]
    assert seen == [600, 600]


def test_without_memory_in_the_file_nothing_is_measured(tmp_path: Path) -> None:
    house = House(tmp_path, lambda job: used(job, 300))
    house.fill(1)
    house.master().run()
    assert [(task.memory, task.memory_limit) for task in house.engine.submitted] == [(None, None)]


@pytest.mark.parametrize("stated", [None, 500])
def test_a_worker_must_have_the_time_that_jobs_are_expected_to_take(
    tmp_path: Path, stated: int | None
) -> None:
    more = {} if stated is None else {"resources": {"running_time_min": stated}}
    workers = {"type": "condor", "walltime": "1h"}
    house = House(tmp_path, lambda job: used(job, 300), workers=workers, **more)
    house.engine.slots = 1
    house.fill(20)
    house.master().run()
    found = [task.running_time_min for task in house.engine.submitted]
    if stated is not None:
        assert found == [stated] * 20
    else:
        assert found[:FIRST_JOBS] == [None] * FIRST_JOBS
        assert all(one is not None and 30 < one < 60 for one in found[FIRST_JOBS + 2 :])
    assert house.engine.submitted[-1].seconds == pytest.approx(30, rel=0.1)


def test_workers_that_stay_need_no_time_left(tmp_path: Path) -> None:
    house = House(tmp_path, lambda job: used(job, 300))
    house.fill(20)
    house.master().run()
    assert {task.running_time_min for task in house.engine.submitted} == {None}


def test_no_task_is_longer_than_half_of_a_workers_time() -> None:
    bundle = Bundle.model_validate({"time": "4h"})
    jobs = [(str(number), 10) for number in range(100)]
    assert Bundling(times(60.0)).groups(bundle, jobs) == [100]
    short = Bundling(times(60.0), walltime=3600)
    assert max(short.groups(bundle, jobs)) == 29
    # A single job that takes longer goes to a worker that has just begun.
    assert Bundling(times(5000.0), walltime=3600).expected([10]) == pytest.approx((5000.0, 1800))


def test_what_a_task_takes_is_known_only_if_each_of_its_jobs_is() -> None:
    assert Bundling(RunTimes()).expected([10]) is None
    seconds, most = Bundling(times(60.0)).expected([10, 10]) or (0.0, 0.0)
    assert seconds == pytest.approx(120)
    assert 120 < most < 200


def test_long_tasks_go_first_but_never_before_a_higher_priority() -> None:
    def rank(priority: int, seconds: float) -> float:
        return Task("t", 1, 60, priority=priority, seconds=seconds).rank

    assert rank(0, 0.0) < rank(0, 5.0) < rank(0, 4000.0) < rank(1, 0.0)
    assert rank(-10, 1e9) < rank(-9, 0.0)


def test_the_largest_molecules_of_a_page_come_first(tmp_path: Path) -> None:
    house = House(tmp_path, lambda job: used(job, 300), bundle={"size": 5})
    house.engine.slots = 1
    house.store.insert(
        {
            "_id": number,
            "number": number + 0.5,
            "atomic_numbers": [2] * number,
            "coordinates": [[3.0 * atom, 0.0, 0.0] for atom in range(number)],
        }
        for number in range(1, 6)
    )
    order = []

    def answer(job: SandboxedJob) -> Answer:
        order.append(float(job.files["number"]))
        return used(job, 300)

    house.engine.answer = answer
    house.master().run()
    assert order == [5.5, 4.5, 3.5, 2.5, 1.5]
