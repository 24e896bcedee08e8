"""A manager's counts are used again for a while, since counting 10,000 workers takes long."""

import time
from typing import cast

import pytest

from wqmaster.engines.manager import Manager
from wqmaster.engines.manager_counts import Counts, ManagerCounts, schedule_depth


class Counting:
    """Counts as slowly as a manager with many workers, and notes how it is set."""

    def __init__(self, seconds: float, workers: int = 10) -> None:
        self.seconds = seconds
        self.workers = workers
        self.counted = 0
        self.schedules: list[tuple[int, bool]] = []

    @property
    def stats(self) -> Counts:
        time.sleep(self.seconds)
        self.counted += 1
        return Counts(
            workers_connected=self.workers,
            workers_lost=0,
            total_cores=self.workers,
            total_memory=0,
            total_disk=0,
            max_cores=1,
            max_memory=0,
            max_disk=0,
            tasks_waiting=5,
            tasks_on_workers=self.workers,
            bytes_sent=0,
        )

    def set_schedule(self, depth: int, *, first: bool) -> None:
        self.schedules.append((depth, first))


def counts(manager: Counting, tasks: list[str]) -> ManagerCounts:
    return ManagerCounts(cast("Manager", manager), lambda: len(tasks))


def test_slow_counts_are_used_again_and_changes_since_then_are_added() -> None:
    manager, tasks = Counting(0.5), ["a", "b"]
    found = counts(manager, tasks)
    assert found.now().tasks_waiting == 5
    tasks += ["c", "d", "e"]
    assert found.now().tasks_waiting == 8
    tasks.clear()
    assert found.now().tasks_waiting == 3
    assert manager.counted == 1


def counted_again(manager: Counting, found: ManagerCounts) -> None:
    """Ask for counts until they are taken once more."""
    before, deadline = manager.counted, time.monotonic() + 10.0
    while manager.counted == before and time.monotonic() < deadline:
        found.now()
    assert manager.counted == before + 1


def test_quick_counts_are_taken_again() -> None:
    manager = Counting(0.0)
    found = counts(manager, [])
    counted_again(manager, found)
    counted_again(manager, found)


@pytest.mark.parametrize(
    ("workers", "depth"), [(0, 100), (1, 100), (200, 100), (1000, 20), (10_000, 2), (10**6, 2)]
)
def test_the_more_workers_the_fewer_tasks_are_compared_with_them(workers: int, depth: int) -> None:
    assert schedule_depth(workers) == depth


def test_the_schedule_is_set_only_when_it_changes() -> None:
    manager = Counting(0.0, workers=100)
    found = counts(manager, [])
    counted_again(manager, found)
    assert manager.schedules == []
    for workers in (1000, 1000, 10_000, 100):
        manager.workers = workers
        counted_again(manager, found)
    assert manager.schedules == [(20, True), (2, True), (100, False)]
