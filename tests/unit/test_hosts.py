"""Hosts that keep failing jobs are blocked, unless no other host works."""

import pytest

from wqmaster.jobs.failures import FailureClass
from wqmaster.run.host_blocklist import MAX_FAILURES_IN_A_ROW, Hosts


def heard(hosts: Hosts, host: str, *verdicts: str | None) -> list[bool]:
    return [hosts.heard(host, verdict) for verdict in verdicts]


def test_a_host_that_keeps_failing_jobs_is_blocked_once() -> None:
    hosts = Hosts()
    hosts.heard("good", None)
    found = heard(hosts, "bad", *["disk_full"] * (MAX_FAILURES_IN_A_ROW + 1))
    assert found == [False] * (MAX_FAILURES_IN_A_ROW - 1) + [True, False]


def test_the_only_host_is_never_blocked() -> None:
    hosts = Hosts()
    assert not any(heard(hosts, "only", None, *["library_missing"] * 10))


def test_a_success_resets_the_count() -> None:
    hosts = Hosts()
    hosts.heard("good", None)
    assert not any(heard(hosts, "bad", "killed", "killed", None, "killed", "killed"))


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
def test_failures_caused_by_the_molecule_do_not_count_against_the_host(kind: FailureClass) -> None:
    hosts = Hosts()
    hosts.heard("good", None)
    assert not any(heard(hosts, "host", *[kind.label] * 10))


def test_a_task_without_a_host_counts_against_none() -> None:
    hosts = Hosts()
    hosts.heard("good", None)
    assert not any(heard(hosts, "", *["transfer"] * 10))
