"""Hosts that keep failing tasks are blocked, unless no other host does well."""

import math

import pytest

from wqmaster.jobs.failures import FailureClass
from wqmaster.run.collector.messages import Ended, EndedJob, JobFailure
from wqmaster.run.hosts import (
    FIRST_BLOCK_SECONDS,
    FOREVER_SECONDS,
    MAX_BLOCK_SECONDS,
    MAX_KNOWN_HOSTS,
    MAX_STRIKES_IN_A_ROW,
    Hosts,
)

ENOUGH = int(MAX_STRIKES_IN_A_ROW)


class World:
    """Hosts, with a clock and an engine that records what it is told."""

    def __init__(self) -> None:
        self.now = 0.0
        self.blocked: list[tuple[str, float]] = []
        self.unblocked: list[str] = []
        self.hosts = Hosts(
            lambda host, seconds: self.blocked.append((host, seconds)),
            self.unblocked.append,
            lambda: self.now,
        )

    def hear(self, host: str, *kinds: str | None) -> None:
        """Let tasks with one job each end."""
        for kind in kinds:
            self.task(host, kind)

    def task(self, host: str, *kinds: str | None) -> None:
        """Let a task end whose jobs have these failures."""
        jobs = [
            EndedJob(
                key=str(number),
                host=host,
                failure=JobFailure(failure_class=kind, message="why", final=False)
                if kind
                else None,
            )
            for number, kind in enumerate(kinds)
        ]
        self.hosts.ended(Ended(task="t", jobs=tuple(jobs)))


@pytest.fixture
def world() -> World:
    """A world with a host that does well."""
    found = World()
    found.hear("good", *[None] * 5)
    return found


def test_a_host_that_keeps_failing_tasks_is_blocked_once(world: World) -> None:
    world.hear("bad", *["disk_full"] * (ENOUGH - 1))
    assert world.blocked == []
    world.hear("bad", *["disk_full"] * 5)
    assert world.blocked == [("bad", FIRST_BLOCK_SECONDS)]


def test_the_only_host_is_never_blocked() -> None:
    world = World()
    world.hear("only", None, *["library_missing"] * 10)
    assert world.blocked == []


def test_no_host_is_blocked_if_the_others_fail_as_well(world: World) -> None:
    for _ in range(10):
        for host in ("a", "b", "c", "good"):
            world.hear(host, "program_missing")
    assert world.blocked == []


def test_three_failures_among_a_thousand_successes_are_forgiven(world: World) -> None:
    world.hear("host", *[None] * 1000, *["program_missing"] * ENOUGH)
    assert world.blocked == []
    world.hear("host", *["program_missing"] * 30)
    assert [host for host, _ in world.blocked] == ["host"]


def test_a_class_that_hosts_cause_less_often_counts_half(world: World) -> None:
    world.hear("host", *["killed"] * (2 * ENOUGH - 1))
    assert world.blocked == []
    world.hear("host", "killed")
    assert len(world.blocked) == 1


def test_a_success_resets_the_count(world: World) -> None:
    world.hear("bad", "disk_full", "disk_full", None, "disk_full", "disk_full")
    assert world.blocked == []


def test_a_bundle_that_fails_is_one_strike(world: World) -> None:
    world.task("bad", *["transfer"] * 100)
    world.task("bad", None, None, None, "transfer")
    assert world.blocked == []


@pytest.mark.parametrize(
    "kind",
    [
        FailureClass.SCF_NOT_CONVERGED,
        FailureClass.INPUT_KEYWORD,
        FailureClass.DOCUMENT_CHANGED,
        FailureClass.WORKER_LOST,
        FailureClass.TIME_LIMIT,
    ],
    ids=lambda kind: kind.label,
)
def test_failures_caused_by_the_molecule_do_not_count_against_the_host(
    kind: FailureClass, world: World
) -> None:
    world.hear("host", *[kind.label] * 50)
    assert world.blocked == []


def test_a_task_without_a_host_counts_against_none(world: World) -> None:
    world.hear("", *["transfer"] * 10)
    assert world.blocked == []


def test_blocks_double_while_the_trials_fail(world: World) -> None:
    world.hear("bad", *["disk_full"] * ENOUGH)
    for _ in range(9):
        world.now += world.blocked[-1][1]
        world.hear("bad", "disk_full")
    seconds = [one for _, one in world.blocked]
    assert seconds[:4] == [FIRST_BLOCK_SECONDS * 2**number for number in range(4)]
    assert seconds[-1] == MAX_BLOCK_SECONDS


def test_a_task_from_before_the_block_decides_no_trial(world: World) -> None:
    world.hear("bad", *["disk_full"] * ENOUGH, "disk_full", None)
    assert (len(world.blocked), world.unblocked) == (1, [])


@pytest.mark.parametrize("kind", [None, "scf_not_converged"])
def test_a_trial_that_succeeds_unblocks_the_host(kind: str | None, world: World) -> None:
    world.hear("bad", *["disk_full"] * ENOUGH)
    world.now = FIRST_BLOCK_SECONDS
    assert world.hosts.published()["listed"][0]["state"] == "tried"
    world.hear("bad", kind)
    assert world.unblocked == ["bad"]
    assert world.hosts.published()["blocked"] == 0
    # The next block is longer, unless the host has done well for a while.
    world.hear("bad", *["disk_full"] * ENOUGH)
    assert world.blocked[-1][1] == 2 * FIRST_BLOCK_SECONDS


def test_a_host_that_does_well_again_is_forgiven(world: World) -> None:
    world.hear("bad", *["disk_full"] * ENOUGH)
    world.now = FIRST_BLOCK_SECONDS
    world.hear("bad", *[None] * 20, *["disk_full"] * 30)
    assert [one for _, one in world.blocked] == [FIRST_BLOCK_SECONDS] * 2


def test_a_user_can_block_and_unblock_a_host(world: World) -> None:
    world.hosts.block("good", math.inf, "reserved")
    assert world.blocked == [("good", FOREVER_SECONDS)]
    world.now = 1e9
    world.hear("good", None)
    assert world.unblocked == []
    (found,) = world.hosts.published()["listed"]
    assert (found["state"], found["blocked_for"]) == ("blocked", None)
    assert world.hosts.unblock("good")
    assert world.unblocked == ["good"]
    assert not world.hosts.unblock("good")
    assert not world.hosts.unblock("unknown")


def test_the_list_is_short_and_its_names_are_harmless(world: World) -> None:
    for number in range(200):
        world.hear(f"n{number}", None)
    world.hear("bad\x1b[2J\n" + "x" * 5000, *["program_missing"] * ENOUGH)
    found = world.hosts.published()
    assert (found["known"], found["blocked"], len(found["listed"])) == (202, 1, 50)
    first = found["listed"][0]
    assert first["host"].isprintable()
    assert len(first["host"]) < 200
    assert first["state"] == "blocked"
    assert first["blocked_for"] == FIRST_BLOCK_SECONDS
    assert first["failures"] == {"program_missing": ENOUGH}
    assert "program_missing" in first["reason"]


def test_hosts_that_come_and_go_are_forgotten(world: World) -> None:
    world.hear("bad", *["disk_full"] * ENOUGH)
    for number in range(MAX_KNOWN_HOSTS + 100):
        world.hear(f"n{number}", None)
    found = world.hosts.published()
    assert found["known"] == MAX_KNOWN_HOSTS
    assert found["listed"][0]["host"] == "bad"
