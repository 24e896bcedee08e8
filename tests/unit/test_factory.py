"""The plans of factories, their reports, and demand. No process is started here."""

import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wqmaster.campaign.models import Campaign
from wqmaster.factory import demand
from wqmaster.factory.batch.registry import batch_system, find_batch_system
from wqmaster.factory.campaigns import identity
from wqmaster.factory.plan import (
    CONFIGURATION_KEYS,
    JOB_VARIABLES,
    WORKER_SCRIPT,
    Address,
    Plan,
    PlanRequest,
    Project,
    plan,
)
from wqmaster.factory.report import Report
from wqmaster.factory.supervisor import Order
from wqmaster.factory.trouble import Trouble, TroubleKind, trouble_in
from wqmaster.factory.workers import EXIT_CODES


def campaign(**settings: Any) -> Campaign:
    """A small campaign with these settings."""
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
        "factory_id": "test-1a",
        "catalog": "127.0.0.1",
    }
    return plan(campaign(workers=workers, **settings), PlanRequest(**{**question, **(asked or {})}))


def value(words: tuple[str, ...], option: str) -> str:
    return words[words.index(option) + 1]


# --- plans -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["condor", "slurm", "local"])
@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_each_key_of_the_configuration_is_known_and_has_a_readable_type(
    kind: str, engine: str
) -> None:
    extra = {} if kind == "local" else {"walltime": 3600, "memory": 900, "disk": 800}
    made = planned({"type": kind, **extra}, {"engine": engine})
    assert set(made.configuration) <= CONFIGURATION_KEYS
    for name, found in made.configuration.items():
        assert type(found) in (int, str), name
    assert made.configuration["tasks-per-worker"] == 1
    assert json.loads(json.dumps(made.configuration)) == made.configuration


def test_a_worker_with_many_cores_is_requested_for_as_many_tasks_as_it_runs() -> None:
    made = planned({"type": "condor", "cores": 8}, resources={"cores": 3, "memory": 1500})
    assert made.configuration["cores"] == 8
    assert made.configuration["tasks-per-worker"] == 2
    assert made.configuration["memory"] == 3000
    assert planned({"type": "condor"}, resources={"cores": 4}).configuration["cores"] == 4


def test_a_worker_runs_no_more_tasks_than_fit_in_its_memory_and_disk() -> None:
    workers = {"type": "condor", "cores": 8, "memory": 8000, "disk": 9000}
    for resources, expected in (
        ({"cores": 2}, 4),
        ({"cores": 1, "memory": 3000}, 2),
        ({"cores": 1, "memory": 100, "disk": 3000}, 3),
        ({"cores": 1, "memory": 9000}, 1),
    ):
        made = planned(workers, resources=resources)
        assert made.configuration["tasks-per-worker"] == expected


def test_a_copy_of_a_folder_has_its_own_workers(tmp_path: Path) -> None:
    mine = identity(tmp_path / "a" / "factory", "test")
    assert identity(tmp_path / "a" / "factory", "test") == mine
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").rename(tmp_path / "c")
    assert identity(tmp_path / "c" / "factory", "test") == mine
    assert identity(tmp_path / "b" / "factory", "test") != mine


def test_limits_and_pace_are_those_of_the_campaign() -> None:
    found = planned({"type": "slurm", "min": 2, "max": 30, "per_cycle": 5, "timeout": 77})
    for name, number in (("min", 2), ("max", 30)):
        assert found.configuration[f"{name}-workers"] == number
    assert found.configuration["workers-per-cycle"] == 5
    assert found.configuration["timeout"] == 77


def test_the_lines_for_condor_avoid_its_pitfalls() -> None:
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
    assert lines[lines.index("universe = container") + 1] == (
        "container_image = osdf:///ospool/image.sif"
    )
    assert lines[-2:] == ['+Wanted = "a b"', "concurrency_limits = me"]
    assert made.configuration["condor-requirements"] == 'Machine != "bad"'
    assert value(made.words, "--wrapper").startswith("exec sh ./worker.sh ")


def test_each_argument_of_sbatch_is_one_shell_word() -> None:
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
    # The wrapper script records the worker's exit code.
    assert value(planned(workers).words, "--wrapper").startswith("sh ./worker.sh -o ")


def test_a_worker_leaves_before_its_job_is_ended() -> None:
    found = planned({"type": "slurm", "walltime": 7200}).configuration["worker-extra-options"]
    assert "--wall-time=7080" in str(found).split()
    short = planned({"type": "condor", "walltime": 100}).configuration["worker-extra-options"]
    assert "--wall-time=90" in str(short).split()


def test_the_wrapper_receives_what_it_must_check() -> None:
    asked = {
        "programs_needed": ("awk", "my prog", "xtb"),
        "programs_tried": ("xtb",),
        "began": 1234,
    }
    words = shlex.split(value(planned({"type": "condor", "disk": 700}, asked).words, "--wrapper"))
    assert words == [
        *("exec", "sh", "./worker.sh", "-d", "700", "-t", "1234"),
        *("-p", "awk", "-p", "my prog", "-r", "xtb", "--"),
    ]


def test_the_masters_address_comes_last() -> None:
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
def test_jobs_see_only_the_listed_variables(kind: str) -> None:
    environ = {"PATH": "/bin", "MONGO_URI": "mongodb://u:p@h", "AWS_SECRET": "s", "HOME": "/h"}
    found = planned({"type": kind}).environment(environ)
    assert found == {"PATH": "/bin", "HOME": "/h", "CATALOG_HOST": "127.0.0.1"}
    assert not any("SECRET" in name or "PASS" in name or name == "TOKEN" for name in JOB_VARIABLES)


def test_local_workers_have_the_environment_of_this_machine() -> None:
    environ = {"XTBPATH": "/x", "CATALOG_HOST": "public.org"}
    found = planned({"type": "local"}).environment(environ)
    assert found == {"XTBPATH": "/x", "CATALOG_HOST": "127.0.0.1"}


def test_an_order_passes_through_a_pipe_unchanged() -> None:
    order = Order("/some/where", planned({"type": "slurm"}), {"PATH": "/bin"}, managed=True)
    assert Order.read(order.line()) == order
    assert order.line().count("\n") == 1


# --- the factory's messages ------------------------------------------------------------------


def cycle(report: Report, submitted: int, requested: int, master: str | None) -> None:
    report.hear(
        f"2026/11/23 03:23:05: |submitted: {submitted} |needed: 3 |waiting connection: 0 "
        f"|requested: {requested} "
    )
    report.hear("PROJECT            HOST                   PORT WAITING RUNNING COMPLETE WORKERS ")
    if master:
        report.hear(master)


MASTER = "127.0.0.1          127.0.0.1              1024      10       0        0       2 "


def test_the_factorys_counts_are_read() -> None:
    report = Report()
    cycle(report, 4, 1, MASTER)
    assert (report.submitted, report.requested, report.connected) == (4, 1, 2)
    assert report.tasks == 10
    assert report.trouble("a master at h:1") is None


def test_failed_submissions_are_reported() -> None:
    report = Report()
    for _ in range(2):
        cycle(report, 0, 3, MASTER)
        report.hear("ERROR: getenv = true is not allowed here")
        assert report.trouble("a master at h:1") is None
    cycle(report, 0, 3, MASTER)
    assert "getenv = true is not allowed here" in str(report.trouble("a master at h:1") or "")
    cycle(report, 3, 0, MASTER)
    assert report.trouble("a master at h:1") is None


def test_a_master_that_is_not_found_is_reported() -> None:
    report = Report()
    for _ in range(3):
        cycle(report, 0, 0, None)
        report.hear("couldn't connect to h port 1: Connection refused")
    assert "cannot find a master at h:1: couldn't" in str(report.trouble("a master at h:1") or "")
    assert "cannot find the master 'm'" in str(report.trouble("the master 'm'") or "")
    cycle(report, 0, 0, MASTER)
    assert report.trouble("a master at h:1") is None


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
def test_the_number_of_workers_follows_the_remaining_jobs(
    jobs: int | None, bundle: int, slots: int, bounds: tuple[int, int], expected: int
) -> None:
    wanted = demand.Demand(jobs, 0).workers(bundle, slots)
    assert demand.least(wanted, *bounds) == expected


def test_if_the_master_cannot_count_jobs_workers_double_while_tasks_wait() -> None:
    assert demand.guess(0, 10, 4) == 3
    assert demand.guess(100, 10, 4) == 203
    assert demand.guess(100, 0, 4) is None


def test_demand_is_read_while_it_is_recent(tmp_path: Path) -> None:
    assert demand.heard(tmp_path) == (None, None)
    demand.tell(tmp_path, demand.Demand(10, 3), 5)
    assert demand.heard(tmp_path) == (5, 3)
    said = json.loads((tmp_path / demand.DEMAND_FILE).read_text())
    demand.write(
        tmp_path / demand.DEMAND_FILE,
        {**said, "time": said["time"] - demand.DEMAND_LIFETIME_SECONDS - 1},
    )
    assert demand.heard(tmp_path) == (None, None)
    for rubbish in ("", "[]", '{"time": "x"}', '{"time": 1e400, "workers": {}}'):
        (tmp_path / demand.DEMAND_FILE).write_text(rubbish)
        assert demand.heard(tmp_path) == (None, None)
        assert demand.numbers(tmp_path) is None


def test_numbers_of_workers_are_reported_only_once_they_changed(tmp_path: Path) -> None:
    assert demand.numbers(tmp_path) is None
    demand.tell(tmp_path, demand.Demand(10, 3), 5)
    assert demand.numbers(tmp_path) is None
    changed = demand.Numbers(1, 20, 4)
    demand.tell(tmp_path, demand.Demand(10, 3), 5, changed)
    assert demand.numbers(tmp_path) == changed
    assert demand.heard(tmp_path) == (5, 3)
    # A report of an earlier version has no numbers.
    said = json.loads((tmp_path / demand.DEMAND_FILE).read_text())
    del said["numbers"]
    demand.write(tmp_path / demand.DEMAND_FILE, said)
    assert demand.numbers(tmp_path) is None


def test_two_changes_within_a_second_have_different_times(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    seconds = []
    for number in range(4):
        demand.write(path, {"max-workers": number}, newer=True)
        seconds.append(int(path.stat().st_mtime))
    assert sorted(set(seconds)) == seconds


# --- worker.sh and its codes ------------------------------------------------------------------


def test_each_exit_code_of_the_wrapper_has_its_meaning() -> None:
    text = WORKER_SCRIPT.read_text()
    codes = {int(line.split()[1]) for line in text.splitlines() if line.startswith("#   8")}
    assert codes == {code for code in EXIT_CODES if code < 100}
    assert text.rstrip().endswith('exec "$program" "$@"')


# --- trouble ----------------------------------------------------------------------------------


def test_a_trouble_persists_while_its_wording_changes() -> None:
    first = Trouble(TroubleKind.QUEUED, "all 4 workers wait in the queue, since 5 min: ask it")
    assert first.is_new(None)
    assert not replace(first, text="all 3 workers wait, since 6 min: ask it").is_new(first)
    assert replace(first, kind=TroubleKind.HELD).is_new(first)
    ended = Trouble(TroubleKind.END_AT_ONCE, "8 workers ended", "1")
    assert replace(ended, about="127").is_new(ended)


def test_a_trouble_is_read_from_a_status_of_any_version() -> None:
    trouble = Trouble(TroubleKind.WORKERS_LEFT, "workers may be left", "")
    assert trouble_in({"trouble": str(trouble), "trouble_detail": trouble.as_json()}) == trouble
    assert trouble_in({"trouble": "of 0.1"}) == Trouble(TroubleKind.UNKNOWN, "of 0.1")
    later = {"trouble": "words", "trouble_detail": {"kind": "new", "text": "x", "about": ""}}
    assert trouble_in(later) == Trouble(TroubleKind.UNKNOWN, "words")
    assert trouble_in({"trouble": None}) is None


# --- batch systems ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["condor", "slurm", "local"])
def test_a_batch_system_is_found_by_the_type_of_workers(name: str) -> None:
    assert batch_system(name).name == name
    assert find_batch_system(name) is batch_system(name)


@pytest.mark.parametrize("name", ["none", "pbs", None, ["condor"]])
def test_an_unknown_name_is_not_a_batch_system(name: object) -> None:
    assert find_batch_system(name) is None


def test_only_htcondor_refuses_some_program_names() -> None:
    for program in ("it's", "a\nb", "$(HOME)", "$$([x])"):
        assert "cannot name the program" in (batch_system("condor").refusal(program) or "")
        assert batch_system("slurm").refusal(program) is None
        assert batch_system("local").refusal(program) is None
    assert batch_system("condor").refusal("/opt/x$y/xtb") is None
