"""The number of tasks that a manager is given, and restarts of tasks, without a real manager."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wqmaster.engines import tries
from wqmaster.engines.base import TaskResult
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.task_sizes import MAX_WAITING_TASKS, TaskSizes
from wqmaster.engines.tries import Held, Restarts
from wqmaster.jobs.job import Task


@dataclass
class Stats:
    """A manager's counts, under the names that the libraries use."""

    total_cores: int = 0
    total_memory: int = 0  # MB
    total_disk: int = 0  # MB
    tasks_on_workers: int = 0
    tasks_waiting: int = 0
    workers_connected: int = 0
    workers_lost: int = 0
    max_cores: int = 0
    max_memory: int = 0  # MB
    max_disk: int = 0  # MB
    bytes_sent: int = 0


def sizes(tmp_path: Path, **asked: Any) -> TaskSizes:
    found = TaskSizes(Setting(tmp_path))
    found.add(Task("t", 1, 60, **asked))
    return found


def test_no_more_tasks_are_given_than_memory_allows(tmp_path: Path) -> None:
    """A thousand workers of 16 cores and 32 GB take four tasks of 8 GB each, not sixteen."""
    stats = Stats(16_000, 32_000_000, 10**9, tasks_on_workers=4000, tasks_waiting=100)
    assert sizes(tmp_path, memory=8000).hungry(stats) == 0
    assert sizes(tmp_path).hungry(stats) > 0


def test_the_resources_of_a_campaign_are_remembered_while_it_has_no_task(tmp_path: Path) -> None:
    found = sizes(tmp_path, cores=4)
    found.remove(Task("t", 1, 60, cores=4))
    assert found.hungry(Stats(400, 10**6, 10**6)) == 110


def test_many_workers_that_arrive_each_are_fed_gradually(tmp_path: Path) -> None:
    stats = Stats(100_000, 10**9, 10**9)
    assert sizes(tmp_path).hungry(stats) == MAX_WAITING_TASKS
    stats.tasks_waiting = MAX_WAITING_TASKS
    assert sizes(tmp_path).hungry(stats) == 0


@pytest.mark.parametrize(("seconds", "reserve"), [(0.0, 100), (0.1, 100), (60.0, 34), (5000.0, 1)])
def test_of_long_tasks_only_as_many_wait_as_soon_end(
    tmp_path: Path, seconds: float, reserve: int
) -> None:
    """Of 1,000 slots, 17 per second become free if tasks take a minute."""
    stats = Stats(1000, 10**9, 10**9, tasks_on_workers=1000)
    assert sizes(tmp_path, seconds=seconds).hungry(stats) == reserve


def test_of_tasks_that_have_all_returned_the_times_are_forgotten(tmp_path: Path) -> None:
    found = sizes(tmp_path, seconds=0.1)
    for _ in range(10):
        found.add(Task("t", 1, 60, seconds=0.7))
    for seconds in (0.1, *[0.7] * 10):
        found.remove(Task("t", 1, 60, seconds=seconds))
    assert found.hungry(Stats(4, 10**6, 10**6, tasks_on_workers=4)) == 10


def test_without_workers_a_few_tasks_wait(tmp_path: Path) -> None:
    assert sizes(tmp_path, memory=100, seconds=60.0).hungry(Stats()) == 10


@dataclass
class Begun:
    """A library's task object, with the times that `Restarts` reads."""

    times: dict[str, int] = field(default_factory=dict)

    def get_metric(self, name: str) -> int:
        return self.times.get(name, 0)


def test_losses_and_restarts_elsewhere_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "RESTART_CHECK_INTERVAL_SECONDS", 0.0)
    begun = Begun()
    held = Held(Task("t", 1, 60), tmp_path, begun, hurried=False)
    restarts = Restarts()

    def look(began: int, wasted: int) -> int:
        begun.times = {"time_when_commit_start": began, "time_workers_execute_failure": wasted}
        assert restarts.too_many([held]) == []
        return held.restarts

    assert look(0, 0) == 0  # waiting
    assert look(100, 0) == 0  # running
    assert look(0, 5) == 1  # the task lost its worker
    assert look(200, 5) == 1  # running again: no change
    assert look(300, 9) == 2  # lost again, and already running elsewhere
    assert look(0, 9) == 2  # taken from a slow worker, and waiting
    assert look(400, 9) == 3  # running elsewhere: now the restart is counted
    held.restarts = tries.MAX_RETRIES
    begun.times["time_workers_execute_failure"] = 10
    assert restarts.too_many([held]) == [held]


def test_a_hurried_task_then_gets_its_time_in_a_separate_category() -> None:
    task = Task("t", 1, 60, category="molecules")
    assert tries.category(task, None, hurried=False) == "molecules"
    assert tries.category(task, 2.0, hurried=True) == "molecules"
    assert tries.category(task, 2.0, hurried=False) != "molecules"


def test_a_time_limit_counts_only_if_that_time_has_passed(tmp_path: Path) -> None:
    """A worker whose clock is set forward ends all its tasks."""
    held = Held(Task("t", 1, 60), tmp_path, Begun(), hurried=False)
    assert tries.is_premature(TaskResult.TIME_LIMIT, held)
    assert not tries.is_premature(TaskResult.MEMORY_LIMIT, held)
    held.submitted -= held.task.time_limit
    assert not tries.is_premature(TaskResult.TIME_LIMIT, held)
