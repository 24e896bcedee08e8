"""Which campaign sends the next task, on simulated workers."""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import pytest

from wqmaster.run.service.shares import LEAST_SHARE, Shares


class Cluster:
    """Workers with `slots` slots and an engine in which `reserve` tasks wait.

    A campaign's tasks have as many jobs, in turn, as `jobs` says, and its jobs take `lengths`. The
    engine sends waiting tasks in the order of their priorities. Core-seconds are counted when a
    task ends.
    """

    def __init__(self, shares: Shares, slots: int = 4, reserve: int = 10) -> None:
        self.shares, self.slots, self.reserve = shares, slots, reserve
        self.now = 0.0
        self.lengths: dict[str, Iterator[float]] = {}
        self.jobs: dict[str, Iterator[int]] = {}
        self.left: dict[str, int] = {}
        self.used: Counter[str] = Counter()
        self.order: list[str] = []
        self.next_jobs: dict[str, int] = {}
        self._waiting: list[tuple[int, int, str, int]] = []
        self._running: list[tuple[float, float, int, str]] = []
        self._count = 0

    def add(
        self,
        name: str,
        tasks: int,
        *lengths: float,
        jobs: Iterable[int] = (1,),
        priority: int = 0,
        weight: float = 1,
    ) -> None:
        self.shares.set(name, priority, weight)
        self.lengths[name] = itertools.cycle(lengths)
        self.jobs[name] = itertools.cycle(jobs)
        self.next_jobs[name] = next(self.jobs[name])
        self.left[name] = tasks

    def run(self, until: float) -> None:
        """Run until a time, or until nothing is left."""
        while self.now < until:
            self._fill()
            if not self._running:
                return
            self.now, length, number, name = heapq.heappop(self._running)
            self.shares.ended(name, str(number), length)
            self.used[name] += length

    def _fill(self) -> None:
        while True:
            while self._waiting and len(self._running) < self.slots:
                _, number, name, jobs = heapq.heappop(self._waiting)
                took = sum(itertools.islice(self.lengths[name], jobs))
                heapq.heappush(self._running, (self.now + took, took, number, name))
                self.order.append(name)
            pick = self.shares.pick(
                {name: self.next_jobs[name] for name, left in self.left.items() if left}
            )
            if pick is None:
                return
            ahead = sum(-priority >= pick.priority for priority, *_ in self._waiting)
            if ahead >= self.reserve and len(self._running) >= self.slots:
                return
            self._count += 1
            self.left[pick.name] -= 1
            jobs, self.next_jobs[pick.name] = self.next_jobs[pick.name], next(self.jobs[pick.name])
            self.shares.started(pick, str(self._count), jobs)
            heapq.heappush(self._waiting, (-pick.priority, self._count, pick.name, jobs))

    def share(self, name: str) -> float:
        return self.used[name] / sum(self.used.values())


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(Shares())


@pytest.mark.parametrize(
    ("three", "one"), [((1.0,), (1.0,)), ((1.0,), (20.0,)), ((30.0,), (2.0,)), ((1, 9), (4, 0.5))]
)
def test_weights_of_3_and_1_divide_the_core_seconds(
    cluster: Cluster, three: tuple[float, ...], one: tuple[float, ...]
) -> None:
    cluster.add("three", 10**6, *three, weight=3)
    cluster.add("one", 10**6, *one, weight=1)
    cluster.run(5000)
    assert cluster.share("three") == pytest.approx(0.75, rel=0.1)
    assert cluster.share("one") == pytest.approx(0.25, rel=0.1)


def test_weights_count_from_the_start_when_tasks_grow() -> None:
    """Once, a task counted as much as the average of earlier ones, however many jobs it had."""
    cluster = Cluster(Shares(), slots=2)
    jobs = [1] * 20 + [25] * 10_000
    cluster.add("three", 10**6, 0.2, jobs=jobs, weight=3)
    cluster.add("one", 10**6, 0.2, jobs=jobs, weight=1)
    cluster.run(60)
    assert cluster.share("three") == pytest.approx(0.75, rel=0.1)


def test_a_higher_priority_goes_first(cluster: Cluster) -> None:
    cluster.add("many", 2000, 1.0)
    cluster.run(50)
    begun = len(cluster.order)
    cluster.add("urgent", 20, 1.0, priority=10)
    cluster.run(60)
    later = cluster.order[begun:]
    # All of them start within the next free slots, although ten tasks of `many` already waited.
    assert later[:21].count("urgent") >= 19
    assert cluster.left["urgent"] == 0


def test_a_lower_priority_keeps_its_least_share(cluster: Cluster) -> None:
    cluster.add("low", 10**6, 3.0, priority=-10)
    cluster.add("high", 10**6, 1.0, priority=10)
    cluster.run(10_000)
    assert cluster.share("low") == pytest.approx(LEAST_SHARE, rel=0.2)


def test_each_of_two_lower_levels_keeps_its_least_share(cluster: Cluster) -> None:
    for name, priority in (("low", -10), ("normal", 0), ("high", 10)):
        cluster.add(name, 10**6, 1.0, priority=priority)
    cluster.run(10_000)
    assert cluster.share("low") == pytest.approx(LEAST_SHARE, rel=0.2)
    assert cluster.share("normal") == pytest.approx(LEAST_SHARE, rel=0.2)


def test_a_lower_priority_gets_what_the_higher_leaves(cluster: Cluster) -> None:
    cluster.add("low", 400, 1.0, priority=-10)
    cluster.add("high", 40, 1.0, priority=10)
    cluster.run(1000)
    assert cluster.now == pytest.approx(440 / cluster.slots, abs=2)


def test_an_idle_campaign_earns_nothing(cluster: Cluster) -> None:
    cluster.add("busy", 10**6, 1.0)
    cluster.add("idle", 0, 1.0)
    cluster.run(1000)
    before = cluster.used.copy()
    cluster.left["idle"] = 10**6
    cluster.run(1100)
    recent = {name: cluster.used[name] - before[name] for name in ("busy", "idle")}
    assert recent["idle"] == pytest.approx(recent["busy"], rel=0.1)


def test_a_campaign_that_was_alone_is_not_punished_afterwards(cluster: Cluster) -> None:
    cluster.add("first", 4000, 1.0)
    cluster.run(10_000)
    cluster.add("second", 10**6, 1.0)
    cluster.left["first"] = 10**6
    before = cluster.used.copy()
    cluster.run(cluster.now + 100)
    recent = {name: cluster.used[name] - before[name] for name in ("first", "second")}
    assert recent["first"] == pytest.approx(recent["second"], rel=0.1)


def test_a_late_campaign_gets_its_share_from_then_on(cluster: Cluster) -> None:
    cluster.add("early", 10**6, 1.0)
    cluster.run(1000)
    before = cluster.used.copy()
    cluster.add("late", 10**6, 1.0, weight=3)
    cluster.run(1400)
    recent = {name: cluster.used[name] - before[name] for name in ("early", "late")}
    assert recent["late"] / sum(recent.values()) == pytest.approx(0.75, rel=0.1)


def changed_weight(shares: Shares) -> None:
    shares.set("a", 0, 4.0)


def changed_priority(shares: Shares) -> None:
    for name, weight in (("a", 4.0), ("b", 1.0)):
        shares.set(name, 5, weight)


@pytest.mark.parametrize("change", [changed_weight, changed_priority])
def test_a_change_applies_from_then_on(cluster: Cluster, change: Callable[[Shares], None]) -> None:
    cluster.add("a", 10**6, 1.0)
    cluster.add("b", 10**6, 1.0)
    cluster.run(500)
    before = cluster.used.copy()
    change(cluster.shares)
    cluster.run(1500)
    recent = {name: cluster.used[name] - before[name] for name in ("a", "b")}
    assert recent["a"] / sum(recent.values()) == pytest.approx(0.8, rel=0.1)


def test_tasks_that_were_canceled_cost_nothing() -> None:
    shares = Shares()
    for name in ("a", "b"):
        shares.set(name, 0, 1.0)
    for number in range(10):
        pick = shares.pick({"a": 1})
        assert pick is not None
        shares.started(pick, str(number), 1)
    for number in range(10):
        shares.ended("a", str(number), None)
    assert [pick and pick.name for pick in (shares.pick({"a": 1, "b": 1}), shares.pick({}))] == [
        "a",
        None,
    ]


def test_a_campaign_that_was_removed_is_forgotten() -> None:
    shares = Shares()
    shares.set("a", 0, 1.0)
    pick = shares.pick({"a": 1})
    assert pick is not None
    shares.started(pick, "1", 1)
    shares.remove("a")
    shares.ended("a", "1", 5.0)
    assert shares.pick({}) is None
