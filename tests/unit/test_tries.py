"""How much is given to a manager, and which tasks it has begun too often; without a manager."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from wqmaster.engines import ndcctools, tries
from wqmaster.engines.ndcctools import Setting, Sizes
from wqmaster.engines.tries import Held, Restarts
from wqmaster.jobs.job import Task


@dataclass
class Stats:
    """Counts, as the libraries name them."""

    total_cores: int = 0
    total_memory: int = 0  # MB
    total_disk: int = 0  # MB
    tasks_on_workers: int = 0
    tasks_waiting: int = 0


def sizes(tmp_path: Path, **asked: Any) -> Sizes:
    found = Sizes(Setting(tmp_path))
    found.add(Task("t", 1, 60, **asked))
    return found


def test_no_more_is_given_than_memory_allows(tmp_path: Path) -> None:
    """A thousand workers of 16 cores and 32 GB take four tasks of 8 GB each, not sixteen."""
    stats = Stats(16_000, 32_000_000, 10**9, tasks_on_workers=4000, tasks_waiting=100)
    assert ndcctools.hungry(stats, sizes(tmp_path, memory=8000)) == 0
    assert ndcctools.hungry(stats, sizes(tmp_path)) > 0


def test_what_a_campaign_asked_is_remembered_while_it_has_no_task(tmp_path: Path) -> None:
    found = sizes(tmp_path, cores=4)
    found.remove(Task("t", 1, 60, cores=4))
    assert ndcctools.hungry(Stats(400, 10**6, 10**6), found) == 110


def test_many_workers_that_come_at_once_are_fed_by_and_by(tmp_path: Path) -> None:
    stats = Stats(100_000, 10**9, 10**9)
    assert ndcctools.hungry(stats, sizes(tmp_path)) == ndcctools.MOST_WAITING
    stats.tasks_waiting = ndcctools.MOST_WAITING
    assert ndcctools.hungry(stats, sizes(tmp_path)) == 0


def test_without_workers_a_few_tasks_wait(tmp_path: Path) -> None:
    assert ndcctools.hungry(Stats(), sizes(tmp_path, memory=100)) == 10


@dataclass
class Begun:
    """A task of the library, with the times that `Restarts` looks at."""

    times: dict[str, int] = field(default_factory=dict)

    def get_metric(self, name: str) -> int:
        return self.times.get(name, 0)


def test_losses_and_beginnings_elsewhere_are_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "LOOK", 0.0)
    begun = Begun()
    held = Held(Task("t", 1, 60), tmp_path, begun, hurried=False)
    restarts = Restarts()

    def look(began: int, wasted: int) -> int:
        begun.times = {"time_when_commit_start": began, "time_workers_execute_failure": wasted}
        assert restarts.too_many([held]) == []
        return held.restarts

    assert look(0, 0) == 0  # it waits
    assert look(100, 0) == 0  # runs
    assert look(0, 5) == 1  # its worker was lost
    assert look(200, 5) == 1  # runs again: the same
    assert look(300, 9) == 2  # was lost, and runs already
    assert look(0, 9) == 2  # taken from a slow worker
    assert look(400, 9) == 3  # which is seen when it runs elsewhere
    held.restarts = tries.MAX_RETRIES
    begun.times["time_workers_execute_failure"] = 10
    assert restarts.too_many([held]) == [held]


def test_a_task_that_was_hurried_is_left_its_time_in_a_category_of_its_own() -> None:
    task = Task("t", 1, 60, category="molecules")
    assert tries.category(task, None, hurried=False) == "molecules"
    assert tries.category(task, 2.0, hurried=True) == "molecules"
    assert tries.category(task, 2.0, hurried=False) != "molecules"
