"""Reports from batch systems about workers, and workers' problems. No worker is started."""

import os
from pathlib import Path

import pytest

from wqmaster.factory import logs
from wqmaster.factory.batch.condor_log import CondorEvents
from wqmaster.factory.batch.local import LocalEvents
from wqmaster.factory.batch.slurm import SlurmEvents
from wqmaster.factory.folders import remove_scratch
from wqmaster.factory.workers import EXIT_CODES, QUEUE_TIMEOUT_SECONDS, Census, Worker, trouble

# --- HTCondor's event log --------------------------------------------------------------------


def event(kind: int, job: int, time: str, *body: str) -> str:
    """An event as HTCondor writes it."""
    head = f"{kind:03d} ({job:03d}.000.000) 2026-01-02 {time} Something was done."
    return "\n".join([head, *(f"\t{line}" for line in body), "...", ""])


@pytest.fixture
def events(tmp_path: Path) -> CondorEvents:
    return CondorEvents(tmp_path)


def test_the_life_of_a_job_is_followed(events: CondorEvents, tmp_path: Path) -> None:
    log = tmp_path / "condor.logfile"
    assert list(events.news()) == []
    begun = event(0, 7, "10:00:00") + event(1, 7, "10:00:05", "SlotName: slot1_2@node.org")
    log.write_text(begun)
    assert [(w.id, w.state, w.host) for w in events.news()] == [
        ("7", "idle", ""),
        ("7", "running", "node.org"),
    ]
    assert list(events.news()) == []
    (tmp_path / "worker.7.err").write_text(
        "wqmaster worker: the program 'xtb' is missing (on node)\n"
    )
    log.write_text(begun + event(5, 7, "10:00:09", "(1) Normal termination (return value 82)"))
    (worker,) = events.news()
    assert (worker.state, worker.code, worker.host) == ("ended", 82, "node.org")
    assert worker.started is not None
    assert worker.ended == worker.started + 4
    assert "the program 'xtb' is missing" in worker.words()
    assert EXIT_CODES[82] in worker.words()


def test_a_half_written_event_waits_for_the_rest(events: CondorEvents) -> None:
    text = event(0, 1, "10:00:00") + event(1, 1, "10:00:01", "SlotName: a@b")
    found = []
    for character in text:
        found += events.feed(character)
    assert [worker.state for worker in found] == ["idle", "running"]


@pytest.mark.parametrize(
    ("kind", "body", "state"),
    [
        (4, ["(0) CPU times"], "idle"),
        (7, ["Shadow exception!"], "idle"),
        (9, ["via condor_rm (by user me)"], "removed"),
        (12, ["Transfer input files failure"], "held"),
        (13, ["via condor_release"], "idle"),
        (24, ["Job reconnection failed"], "idle"),
    ],
)
def test_other_ends_of_a_job_are_read(
    events: CondorEvents, kind: int, body: list[str], state: str
) -> None:
    events.feed(event(0, 3, "10:00:00") + event(1, 3, "10:00:01"))
    (worker,) = events.feed(event(kind, 3, "10:00:02", *body))
    assert worker.state == state
    if state == "held":
        assert "Transfer input files failure" in worker.words()


def test_lines_that_are_not_events_are_skipped(events: CondorEvents) -> None:
    assert events.feed("rubbish\n...\n040 (x\n...\n\n...\n") == []
    assert events.feed(event(6, 1, "10:00:00", "Image size")) == []


def test_a_signal_that_ended_a_job_is_read(events: CondorEvents) -> None:
    events.feed(event(1, 3, "10:00:01"))
    (worker,) = events.feed(event(5, 3, "10:00:02", "(0) Abnormal termination (signal 9)"))
    assert (worker.code, worker.signal) == (None, 9)
    assert "signal 9" in worker.words()


def test_a_log_without_years_is_read(events: CondorEvents) -> None:
    (worker,) = events.feed(
        "001 (312.000.000) 03/28 23:01:02 Job executing on host: <1.2.3.4:5>\n...\n"
    )
    assert (worker.id, worker.state, worker.host) == ("312", "running", "1.2.3.4")


def test_files_of_old_workers_are_removed(tmp_path: Path) -> None:
    events = CondorEvents(tmp_path)
    for job in range(1, 251):
        (tmp_path / f"worker.{job}.err").write_text("x")
        events.feed(event(1, job, "10:00:00") + event(5, job, "10:00:01", "(1) return value 0"))
    assert not (tmp_path / "worker.1.err").exists()
    assert (tmp_path / "worker.250.err").exists()
    assert len(list(tmp_path.iterdir())) == 200


# --- folders of workers ----------------------------------------------------------------------


def folder(scratch: Path, name: str, about: str) -> Path:
    found = scratch / f"worker.{name}"
    found.mkdir()
    (found / "about").write_text(about)
    return found


def test_a_slurm_job_is_followed(tmp_path: Path) -> None:
    events = SlurmEvents(tmp_path)
    folder(tmp_path, "55", "123 1000 node7\n")
    status = tmp_path / "slurm.status.55"
    status.write_text("start 999\nalive 1030\n")
    assert [(w.state, w.host, w.started) for w in events.news()] == [("running", "node7", 1000.0)]
    assert events.news() == []
    status.write_text("start 999\nalive 1030\nstop 82 1031\n")
    (worker,) = events.news()
    assert (worker.state, worker.code) == ("ended", 82)
    assert events.news() == []


def test_a_slurm_job_whose_end_the_factory_saw_first_has_ended(tmp_path: Path) -> None:
    events = SlurmEvents(tmp_path)
    made = folder(tmp_path, "55", "123 1000 node7\n")
    (made / "err").write_text("wqmaster worker: the clock is wrong (on node7)\n")
    assert [worker.state for worker in events.news()] == ["running", "ended"]


def test_a_process_that_is_gone_has_ended(tmp_path: Path) -> None:
    events = LocalEvents(tmp_path)
    folder(tmp_path, str(os.getpid()), f"{os.getpid()} 1000 here\n")
    assert [worker.state for worker in events.news()] == ["running"]
    refused = folder(tmp_path, "99999999", "99999999 1000 here\n")
    (refused / "code").write_text("84\n")
    assert [(w.state, w.code) for w in events.news()] == [("running", None), ("ended", 84)]
    assert events.news() == []


def test_a_folder_that_is_still_being_made_is_not_counted_yet(tmp_path: Path) -> None:
    (tmp_path / "worker.5").mkdir()
    folder(tmp_path, "6", "nonsense")
    assert LocalEvents(tmp_path).news() == []


def test_a_folder_made_by_a_job_is_not_a_worker(tmp_path: Path) -> None:
    events = LocalEvents(tmp_path)
    folder(tmp_path, "mine", "1 1000 here\n")
    assert [worker.state for worker in events.news()] == ["running", "ended"]


def test_the_last_messages_are_found_despite_dangling_links(tmp_path: Path) -> None:
    (tmp_path / "worker.1.err").symlink_to(tmp_path / "gone")
    (tmp_path / "worker.2.err").write_text("no xtb here\n")
    assert logs.last(tmp_path) == ["no xtb here"]


def test_the_messages_of_a_worker_are_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "err"
    path.write_bytes(b"a\n\x1b[31mred\x00\xff\n" + b"x" * 100_000 + b"\n")
    text = logs.said(path)
    assert text.isprintable()
    assert len(text) <= 400
    assert logs.said(tmp_path / "none") == ""


# --- problems ---------------------------------------------------------------------------------


def died(number: int, host: str = "n1", code: int | None = 82, lived: float = 2.0) -> Worker:
    return Worker(str(number), "ended", 100.0, 100.0 + lived, code=code, host=host, why="no xtb")


def test_a_crash_loop_is_slowed_and_then_stopped() -> None:
    census = Census()
    census.see(died(n) for n in range(4))
    assert not census.slow(0)
    assert "workers that exited immediately: 4" in str(trouble(census, 0, 200, "h:1") or "")
    census.see([died(5)])
    assert census.slow(0)
    assert not census.hopeless(0)
    census.see(died(n) for n in range(6, 9))
    assert census.hopeless(0)
    assert not census.hopeless(1)
    words = str(trouble(census, 0, 200, "h:1") or "")
    assert "no more will be submitted" in words
    assert EXIT_CODES[82] in words
    assert "no xtb" in words


def test_one_bad_host_does_not_stop_all() -> None:
    census = Census()
    census.see([Worker("0", "idle"), *(died(n) for n in range(1, 12))])
    assert census.slow(0)
    assert not census.hopeless(0)
    census.see([died(12, host="n2")])
    assert census.hopeless(0)


def test_two_bad_hosts_do_not_stop_all() -> None:
    census = Census()
    census.see(Worker(str(n), "running", 100.0, host=f"good{n}") for n in range(100, 140))
    census.see(died(n, host=f"n{n % 2}") for n in range(12))
    assert not census.hopeless(0)
    census.see(died(n, host=f"good{n}") for n in range(100, 140))
    assert census.hopeless(0)


def test_one_bad_host_does_not_slow_thousands_of_workers() -> None:
    census = Census()
    census.see(died(n) for n in range(20))
    assert census.slow(100)
    assert not census.slow(5000)
    assert trouble(census, 5000, 200, "h:1") is None


@pytest.mark.parametrize("good", [died(99, code=0), died(99, lived=600)])
def test_a_worker_that_ran_tasks_ends_the_loop(good: Worker) -> None:
    census = Census()
    census.see(died(n) for n in range(7))
    census.see([good])
    assert not census.slow(0)
    assert census.quick == 0


def test_a_worker_that_runs_for_a_while_ends_the_loop_once() -> None:
    census = Census()
    census.see([Worker("1", "running", 100.0), *(died(n) for n in range(2, 8))])
    census.settle(130.0)
    assert census.slow(0)
    census.settle(161.0)
    assert not census.slow(0)
    census.see(died(n) for n in range(10, 16))
    census.settle(200.0)
    assert census.slow(0)


def test_removed_workers_do_not_count_against_their_hosts() -> None:
    census = Census()
    census.see(Worker(str(n), "removed", 1.0, 2.0) for n in range(20))
    assert not census.slow(0)
    assert (census.ended, trouble(census, 0, 50, "h:1")) == (20, None)


def test_running_workers_that_do_not_connect_are_reported() -> None:
    census = Census(connection_timeout_seconds=90)
    census.see([Worker("1", "idle")])
    assert trouble(census, 0, 1e9, "h:1") is None
    census.see([Worker("1", "running", 100.0)])
    assert trouble(census, 0, 150.0, "h:1") is None
    assert "their hosts can reach h:1" in str(trouble(census, 0, 200.0, "h:1") or "")
    assert trouble(census, 1, 200.0, "h:1") is None


def test_a_fraction_of_workers_that_does_not_connect_is_reported() -> None:
    census = Census(connection_timeout_seconds=90)
    census.see(Worker(str(n), "running", 100.0) for n in range(20))
    census.see(Worker(str(n), "running", 290.0) for n in range(20, 30))
    assert trouble(census, 14, 300.0, "h:1") is None
    words = str(trouble(census, 10, 300.0, "h:1") or "")
    assert "10 of 30 running workers have not connected" in words
    assert "reach h:1" in words


def test_a_queue_in_which_no_worker_starts_is_reported() -> None:
    census = Census()
    census.see([Worker("1", "idle"), Worker("2", "idle")])
    census.settle(1000.0)
    assert trouble(census, 0, 1000.0 + QUEUE_TIMEOUT_SECONDS, "h:1", "ask it") is None
    census.settle(1000.0 + QUEUE_TIMEOUT_SECONDS)
    words = str(trouble(census, 0, 1060.0 + QUEUE_TIMEOUT_SECONDS, "h:1", "ask it") or "")
    assert words == "all workers (2) have been in the queue for 16 min; ask it"
    census.see([Worker("1", "running", 1060.0 + QUEUE_TIMEOUT_SECONDS)])
    census.settle(1060.0 + QUEUE_TIMEOUT_SECONDS)
    assert trouble(census, 0, 1061.0 + QUEUE_TIMEOUT_SECONDS, "h:1", "ask it") is None


def test_workers_that_ended_without_connecting_are_reported() -> None:
    census = Census()
    census.see([died(1, code=1, lived=900)])
    assert "without connecting to h:1" in str(trouble(census, 0, 2000, "h:1") or "")
    census.met = True
    assert trouble(census, 0, 2000, "h:1") is None


def test_a_job_on_hold_is_reported_with_its_reason() -> None:
    census = Census()
    census.see([Worker("1", "held", why="disk quota")])
    assert "disk quota" in str(trouble(census, 0, 10, "h:1") or "")
    census.see([Worker("1", "removed"), Worker("2", "running", 1.0)])
    assert trouble(census, 1, 10, "h:1") is None


def test_what_a_killed_worker_left_in_the_temporary_folder_is_removed(tmp_path: Path) -> None:
    dead, me = 2**22, os.getpid()
    here = os.uname().nodename
    for name, pid, host, leaves in (
        ("dead", dead, here, f"worker-{os.getuid()}-{dead}"),
        ("alive", me, here, f"worker-{os.getuid()}-{me}"),
        ("elsewhere", dead + 1, "another.machine", f"worker-{os.getuid()}-{dead + 1}"),
        ("replaced", dead + 2, here, "home"),  # a job can replace the link
    ):
        folder, left = tmp_path / "workers-x" / f"worker.{name}", tmp_path / leaves
        folder.mkdir(parents=True)
        left.mkdir()
        (folder / "about").write_text(f"{pid} 1234 {host}\n")
        (folder / "workspace").symlink_to(left)
    remove_scratch(tmp_path / "workers-x")
    assert {path.name for path in tmp_path.iterdir()} == {
        "home",
        f"worker-{os.getuid()}-{me}",
        f"worker-{os.getuid()}-{dead + 1}",
    }
