"""Factories: plans, events, what is wrong with workers, demand. No process is started here."""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from wqmaster.campaign import Campaign
from wqmaster.factory import condor, demand, local, logs, slurm
from wqmaster.factory.plan import ALLOWED, KEYS, Address, Asked, Plan, Project, plan
from wqmaster.factory.report import Report
from wqmaster.factory.supervisor import Order
from wqmaster.factory.workers import EXIT_CODES, Census, Worker, trouble

WORKER_SH = Path(condor.__file__).with_name("worker.sh")


def campaign(**settings: Any) -> Campaign:
    """A campaign with `settings` of its own."""
    return Campaign.model_validate(
        {
            "campaign": "test",
            "campaign_config": {"func_name": "f", "args": [{"name": "a"}]},
            **settings,
        }
    )


def planned(workers: dict[str, Any], asked: dict[str, Any] | None = None, **settings: Any) -> Plan:
    """The plan for a campaign with these workers."""
    manager = Address("master.org", 9123)
    question = {
        "engine": "work_queue",
        "manager": manager,
        "factory": "test-1a",
        "catalog": "127.0.0.1",
    }
    return plan(campaign(workers=workers, **settings), Asked(**{**question, **(asked or {})}))


def value(words: tuple[str, ...], option: str) -> str:
    return words[words.index(option) + 1]


# --- plans -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["condor", "slurm", "local"])
@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_each_key_of_the_configuration_is_known_and_of_a_type_that_is_read(
    kind: str, engine: str
) -> None:
    extra = {} if kind == "local" else {"walltime": 3600, "memory": 900, "disk": 800}
    made = planned({"type": kind, **extra}, {"engine": engine})
    assert set(made.configuration) <= KEYS
    for name, found in made.configuration.items():
        assert type(found) in (int, str), name
    assert made.configuration["tasks-per-worker"] == 1
    assert json.loads(json.dumps(made.configuration)) == made.configuration


def test_a_worker_of_many_cores_is_asked_for_as_many_tasks_as_it_runs() -> None:
    made = planned({"type": "condor", "cores": 8}, resources={"cores": 3, "memory": 1500})
    assert made.configuration["cores"] == 8
    assert made.configuration["tasks-per-worker"] == 2
    assert made.configuration["memory"] == 3000
    assert planned({"type": "condor"}, resources={"cores": 4}).configuration["cores"] == 4


def test_bounds_and_pace_are_those_of_the_campaign() -> None:
    found = planned({"type": "slurm", "min": 2, "max": 30, "per_cycle": 5, "timeout": 77})
    for name, number in (("min", 2), ("max", 30)):
        assert found.configuration[f"{name}-workers"] == number
    assert found.configuration["workers-per-cycle"] == 5
    assert found.configuration["timeout"] == 77


def test_the_lines_for_condor_meet_its_traps() -> None:
    workers = {
        "type": "condor",
        "project": "Some.Project",
        "image": "osdf:///ospool/image.sif",
        "requirements": 'Machine != "bad"',
        "options": ['+Wanted = "a b"', "concurrency_limits = me"],
    }
    made = planned(workers)
    lines = value(made.words, "--batch-options").split("\\n")
    assert lines[0] == "periodic_remove = (JobStatus == 5)"
    assert {"output = worker.$(Cluster).out", "error = worker.$(Cluster).err"} <= set(lines)
    assert '+WqmasterFactory = "test-1a"' in lines
    assert '+ProjectName = "Some.Project"' in lines
    assert '+SingularityImage = "osdf:///ospool/image.sif"' in lines
    assert lines[-2:] == ['+Wanted = "a b"', "concurrency_limits = me"]
    assert made.configuration["condor-requirements"] == 'Machine != "bad"'
    assert value(made.words, "--wrapper").startswith("exec sh ./worker.sh ")


def test_words_for_sbatch_are_one_shell_word_each() -> None:
    workers = {
        "type": "slurm",
        "project": "acc",
        "partition": "a,b",
        "walltime": 5400,
        "options": ["--qos=low --exclusive", "--constraint='x&y;z'"],
    }
    words = shlex.split(value(planned(workers).words, "--batch-options"))
    assert words[:1] == ["--job-name=wqmaster-test-1a"]
    assert {"--account=acc", "--partition=a,b", "--time=90", "--qos=low", "--exclusive"} <= set(
        words
    )
    assert words[-1] == "--constraint=x&y;z"
    # The script around it notes how the worker ended.
    assert value(planned(workers).words, "--wrapper").startswith("sh ./worker.sh -o ")


def test_a_worker_leaves_before_its_job_is_ended() -> None:
    found = planned({"type": "slurm", "walltime": 7200}).configuration["worker-extra-options"]
    assert "--wall-time=7080" in str(found).split()
    short = planned({"type": "condor", "walltime": 100}).configuration["worker-extra-options"]
    assert "--wall-time=90" in str(short).split()


def test_the_wrapper_has_what_is_to_be_checked() -> None:
    asked = {"here": ("awk", "my prog", "xtb"), "run": ("xtb",), "began": 1234}
    words = shlex.split(value(planned({"type": "condor", "disk": 700}, asked).words, "--wrapper"))
    assert words == [
        *("exec", "sh", "./worker.sh", "-d", "700", "-t", "1234"),
        *("-p", "awk", "-p", "my prog", "-r", "xtb", "--"),
    ]


def test_where_the_master_is_comes_last() -> None:
    made = planned({"type": "condor"})
    command = made.command("c", "s")
    assert command[0] == "work_queue_factory"
    assert command[-2:] == ["master.org", "9123"]
    assert value(tuple(command), "--config-file") == "c"
    assert "--ssl" not in command
    named = planned(
        {"type": "condor"},
        {"manager": Project("mine"), "engine": "taskvine", "catalog": "cat.org:9097"},
        engine={"name": "mine", "ssl": True},
    )
    assert named.words[0] == "vine_factory"
    assert named.target == ("--manager-name", "mine")
    assert named.configuration["manager-name"] == "mine"
    assert value(named.words, "--catalog") == "cat.org:9097"
    assert "--ssl" in named.words
    assert named.port is None


@pytest.mark.parametrize("kind", ["condor", "slurm"])
def test_jobs_see_no_variable_that_is_not_on_the_list(kind: str) -> None:
    environ = {"PATH": "/bin", "MONGO_URI": "mongodb://u:p@h", "AWS_SECRET": "s", "HOME": "/h"}
    found = planned({"type": kind}).environment(environ)
    assert found == {"PATH": "/bin", "HOME": "/h", "CATALOG_HOST": "127.0.0.1"}
    assert not any("SECRET" in name or "PASS" in name or name == "TOKEN" for name in ALLOWED)


def test_workers_of_this_machine_have_its_environment() -> None:
    environ = {"XTBPATH": "/x", "CATALOG_HOST": "public.org"}
    found = planned({"type": "local"}).environment(environ)
    assert found == {"XTBPATH": "/x", "CATALOG_HOST": "127.0.0.1"}


def test_an_order_comes_through_a_pipe_as_it_was() -> None:
    order = Order("/some/where", planned({"type": "slurm"}), {"PATH": "/bin"}, managed=True)
    assert Order.read(order.line()) == order
    assert order.line().count("\n") == 1


# --- HTCondor's log of events ----------------------------------------------------------------


def event(kind: int, job: int, time: str, *body: str) -> str:
    """An event as HTCondor writes it."""
    head = f"{kind:03d} ({job:03d}.000.000) 2026-01-02 {time} Something was done."
    return "\n".join([head, *(f"\t{line}" for line in body), "...", ""])


@pytest.fixture
def events(tmp_path: Path) -> condor.Events:
    return condor.Events(tmp_path)


def test_the_life_of_a_job(events: condor.Events, tmp_path: Path) -> None:
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
        "wqmaster worker: the program 'xtb' is not here (on node)\n"
    )
    log.write_text(begun + event(5, 7, "10:00:09", "(1) Normal termination (return value 82)"))
    (worker,) = events.news()
    assert (worker.state, worker.code, worker.host) == ("ended", 82, "node.org")
    assert worker.started is not None
    assert worker.ended == worker.started + 4
    assert "the program 'xtb' is not here" in worker.words()
    assert EXIT_CODES[82] in worker.words()


def test_an_event_that_is_half_written_waits_for_the_rest(events: condor.Events) -> None:
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
    ],
)
def test_other_ends_of_a_job(events: condor.Events, kind: int, body: list[str], state: str) -> None:
    events.feed(event(0, 3, "10:00:00") + event(1, 3, "10:00:01"))
    (worker,) = events.feed(event(kind, 3, "10:00:02", *body))
    assert worker.state == state
    if state == "held":
        assert "Transfer input files failure" in worker.words()


def test_what_is_no_event_is_passed_over(events: condor.Events) -> None:
    assert events.feed("rubbish\n...\n040 (x\n...\n\n...\n") == []
    assert events.feed(event(6, 1, "10:00:00", "Image size")) == []


def test_a_signal_that_ended_a_job(events: condor.Events) -> None:
    events.feed(event(1, 3, "10:00:01"))
    (worker,) = events.feed(event(5, 3, "10:00:02", "(0) Abnormal termination (signal 9)"))
    assert (worker.code, worker.signal) == (None, 9)
    assert "signal 9" in worker.words()


def test_a_log_without_years_is_read(events: condor.Events) -> None:
    (worker,) = events.feed(
        "001 (312.000.000) 03/28 23:01:02 Job executing on host: <1.2.3.4:5>\n...\n"
    )
    assert (worker.id, worker.state, worker.host) == ("312", "running", "1.2.3.4")


def test_files_of_old_workers_are_removed(tmp_path: Path) -> None:
    events = condor.Events(tmp_path)
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


def test_a_job_of_slurm(tmp_path: Path) -> None:
    events = slurm.Events(tmp_path)
    folder(tmp_path, "55", "123 1000 node7\n")
    status = tmp_path / "slurm.status.55"
    status.write_text("start 999\nalive 1030\n")
    assert [(w.state, w.host, w.started) for w in events.news()] == [("running", "node7", 1000.0)]
    assert events.news() == []
    status.write_text("start 999\nalive 1030\nstop 82 1031\n")
    (worker,) = events.news()
    assert (worker.state, worker.code) == ("ended", 82)
    assert events.news() == []


def test_a_job_of_slurm_whose_end_the_factory_has_seen_first(tmp_path: Path) -> None:
    events = slurm.Events(tmp_path)
    made = folder(tmp_path, "55", "123 1000 node7\n")
    (made / "err").write_text("wqmaster worker: the clock is wrong (on node7)\n")
    assert [worker.state for worker in events.news()] == ["running", "ended"]


def test_a_process_that_is_gone_has_ended(tmp_path: Path) -> None:
    events = local.Events(tmp_path)
    folder(tmp_path, str(os.getpid()), f"{os.getpid()} 1000 here\n")
    assert [worker.state for worker in events.news()] == ["running"]
    refused = folder(tmp_path, "99999999", "99999999 1000 here\n")
    (refused / "code").write_text("84\n")
    assert [(w.state, w.code) for w in events.news()] == [("running", None), ("ended", 84)]
    assert events.news() == []


def test_a_folder_that_is_being_made_waits(tmp_path: Path) -> None:
    (tmp_path / "worker.5").mkdir()
    folder(tmp_path, "6", "nonsense")
    assert local.Events(tmp_path).news() == []


def test_what_a_worker_says_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "err"
    path.write_bytes(b"a\n\x1b[31mred\x00\xff\n" + b"x" * 100_000 + b"\n")
    text = logs.said(path)
    assert text.isprintable()
    assert len(text) <= 400
    assert logs.said(tmp_path / "none") == ""


# --- what is wrong ---------------------------------------------------------------------------


def died(number: int, host: str = "n1", code: int | None = 82, lived: float = 2.0) -> Worker:
    return Worker(str(number), "ended", 100.0, 100.0 + lived, code=code, host=host, why="no xtb")


def test_a_crash_loop_is_slowed_then_stopped() -> None:
    census = Census()
    census.see(died(n) for n in range(4))
    assert not census.slow()
    assert "4 workers ended as soon as they began" in (trouble(census, 0, 200, "h:1") or "")
    census.see([died(5)])
    assert census.slow()
    assert not census.hopeless(0)
    census.see(died(n) for n in range(6, 9))
    assert census.hopeless(0)
    assert not census.hopeless(1)
    words = trouble(census, 0, 200, "h:1") or ""
    assert "no more are sent" in words
    assert EXIT_CODES[82] in words
    assert "no xtb" in words


def test_one_bad_host_is_not_all_hosts() -> None:
    census = Census()
    census.see([Worker("0", "idle"), *(died(n) for n in range(1, 12))])
    assert census.slow()
    assert not census.hopeless(0)
    census.see([died(12, host="n2")])
    assert census.hopeless(0)


@pytest.mark.parametrize("good", [died(99, code=0), died(99, lived=600)])
def test_a_worker_that_came_to_work_ends_the_loop(good: Worker) -> None:
    census = Census()
    census.see(died(n) for n in range(7))
    census.see([good])
    assert not census.slow()
    assert census.quick == 0


def test_a_worker_that_runs_for_a_while_ends_the_loop_once() -> None:
    census = Census()
    census.see([Worker("1", "running", 100.0), *(died(n) for n in range(2, 8))])
    census.settle(130.0)
    assert census.slow()
    census.settle(161.0)
    assert not census.slow()
    census.see(died(n) for n in range(10, 16))
    census.settle(200.0)
    assert census.slow()


def test_removed_workers_are_not_held_against_the_hosts() -> None:
    census = Census()
    census.see(Worker(str(n), "removed", 1.0, 2.0) for n in range(20))
    assert not census.slow()
    assert (census.ended, trouble(census, 0, 50, "h:1")) == (20, None)


def test_workers_that_run_and_do_not_connect() -> None:
    census = Census(patience=90)
    census.see([Worker("1", "idle")])
    assert trouble(census, 0, 1e9, "h:1") is None
    census.see([Worker("1", "running", 100.0)])
    assert trouble(census, 0, 150.0, "h:1") is None
    assert "can their hosts reach h:1" in (trouble(census, 0, 200.0, "h:1") or "")
    assert trouble(census, 1, 200.0, "h:1") is None


def test_workers_that_gave_up() -> None:
    census = Census()
    census.see([died(1, code=1, lived=900)])
    assert "none has connected to h:1" in (trouble(census, 0, 2000, "h:1") or "")
    census.met = True
    assert trouble(census, 0, 2000, "h:1") is None


def test_a_job_on_hold_is_told_with_its_reason() -> None:
    census = Census()
    census.see([Worker("1", "held", why="disk quota")])
    assert "disk quota" in (trouble(census, 0, 10, "h:1") or "")
    census.see([Worker("1", "removed"), Worker("2", "running", 1.0)])
    assert trouble(census, 1, 10, "h:1") is None


# --- what the factory says -------------------------------------------------------------------


def cycle(report: Report, submitted: int, requested: int, master: str | None) -> None:
    report.hear(
        f"2026/11/23 03:23:05: |submitted: {submitted} |needed: 3 |waiting connection: 0 "
        f"|requested: {requested} "
    )
    report.hear("PROJECT            HOST                   PORT WAITING RUNNING COMPLETE WORKERS ")
    if master:
        report.hear(master)


MASTER = "127.0.0.1          127.0.0.1              1024      10       0        0       2 "


def test_counts_are_read() -> None:
    report = Report()
    cycle(report, 4, 1, MASTER)
    assert (report.submitted, report.needed, report.requested, report.connected) == (4, 3, 1, 2)
    assert report.trouble("h:1") is None


def test_submissions_that_fail_are_told() -> None:
    report = Report()
    for _ in range(2):
        cycle(report, 0, 3, MASTER)
        report.hear("ERROR: getenv = true is not allowed here")
        assert report.trouble("h:1") is None
    cycle(report, 0, 3, MASTER)
    assert "getenv = true is not allowed here" in (report.trouble("h:1") or "")
    cycle(report, 3, 0, MASTER)
    assert report.trouble("h:1") is None


def test_a_master_that_is_not_found_is_told() -> None:
    report = Report()
    for _ in range(3):
        cycle(report, 0, 0, None)
        report.hear("couldn't connect to h port 1: Connection refused")
    assert "no master at h:1" in (report.trouble("h:1") or "")
    cycle(report, 0, 0, MASTER)
    assert report.trouble("h:1") is None


# --- demand ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jobs", "bundle", "slots", "bounds", "expected"),
    [
        (1000, 1, 1, (0, 50), 50),
        (1000, 50, 4, (0, 50), 5),
        (3, 1, 1, (0, 50), 3),
        (1, 50, 4, (0, 50), 1),
        (0, 1, 1, (2, 50), 2),
        (None, 1, 1, (4, 50), 4),
    ],
)
def test_workers_follow_what_is_left(
    jobs: int | None, bundle: int, slots: int, bounds: tuple[int, int], expected: int
) -> None:
    wanted = demand.Demand(jobs, 0).workers(bundle, slots)
    assert demand.least(wanted, *bounds) == expected


def test_demand_is_heard_while_it_is_young(tmp_path: Path) -> None:
    assert demand.heard(tmp_path) == (None, None)
    demand.tell(tmp_path, demand.Demand(10, 3), 5)
    assert demand.heard(tmp_path) == (5, 3)
    said = json.loads((tmp_path / demand.FILE).read_text())
    demand.write(tmp_path / demand.FILE, {**said, "time": said["time"] - demand.OLD - 1})
    assert demand.heard(tmp_path) == (None, None)
    for rubbish in ("", "[]", '{"time": "x"}', '{"time": 1e400, "workers": {}}'):
        (tmp_path / demand.FILE).write_text(rubbish)
        assert demand.heard(tmp_path) == (None, None)


def test_two_changes_within_a_second_have_different_times(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    seconds = []
    for number in range(4):
        demand.write(path, {"max-workers": number}, newer=True)
        seconds.append(int(path.stat().st_mtime))
    assert sorted(set(seconds)) == seconds


# --- worker.sh and its words ------------------------------------------------------------------


def test_each_exit_code_of_the_wrapper_has_its_meaning() -> None:
    text = WORKER_SH.read_text()
    codes = {int(line.split()[1]) for line in text.splitlines() if line.startswith("#   8")}
    assert codes == {code for code in EXIT_CODES if code < 100}
    assert text.rstrip().endswith('exec "$program" "$@"')
