"""A running master is steered from the command line, through the database alone."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.conftest import HeldXtb, processes_of
from tests.conftest import Campaigns, Cli, master_of, wait_until
from wqmaster.engines.choosing import why_not

SLOTS = 2
COUNT = 8
needs_work_queue = pytest.mark.skipif(
    why_not("work_queue") is not None, reason=str(why_not("work_queue"))
)


@pytest.fixture
def path(campaigns: Campaigns, held_xtb: HeldXtb) -> Path:
    """A campaign with eight documents, two slots, and an xtb that waits until it is let go."""
    campaigns.waters(COUNT)
    return campaigns.write(software=held_xtb.software)


def begin(cli: Cli, held_xtb: HeldXtb, *words: str | Path) -> "subprocess.Popen[str]":
    """Start `wqmaster run WORDS...` and wait until its first tasks are running."""
    process = cli.start("run", *words)
    wait_until(lambda: held_xtb.begun() == SLOTS or process.poll() is not None)
    assert process.poll() is None
    return process


def order(cli: Cli, *words: str | Path, code: int = 0) -> dict[str, Any]:
    """Give a command, and return its answer."""
    found: dict[str, Any] = json.loads(cli(*words, "--json", code=code))
    return found


def status(cli: Cli, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(cli("status", path, "--json"))
    return found


def done(campaigns: Campaigns) -> int:
    return campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}})


def ended(process: "subprocess.Popen[str]") -> tuple[str, str]:
    return process.communicate(timeout=60)


def test_a_pause_lets_running_jobs_end_and_starts_no_more_until_it_is_resumed(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    answer = order(cli, "pause", path, "--reason", "the scratch disk is full")
    assert (answer["ok"], answer["by_master"], answer["running"]) == (True, True, SLOTS)
    held_xtb.let_go()
    wait_until(lambda: done(campaigns) == SLOTS)
    found = wait_until(
        lambda: (one := status(cli, path))["master"]["hold"] and not one["master"]["sent"] and one
    )
    assert held_xtb.begun() == SLOTS
    assert found["master"]["hold"]["kind"] == "pause"
    assert found["control"]["pause"]["reason"] == "the scratch disk is full"
    assert found["control"]["pause"]["by"]["host"] == socket.gethostname()
    assert [command["verb"] for command in found["commands"]] == ["pause"]
    text = cli("status", path)
    assert "the scratch disk is full; to go on:" in text
    answer = order(cli, "resume", path)
    assert answer["ended"] == ["pause"]
    ended(process)
    assert process.returncode == 0
    assert done(campaigns) == COUNT
    assert campaigns.failures.count_documents({}) == 0
    assert campaigns.documents.count_documents({"xtb.gfn2._run.attempt": 1}) == COUNT


def test_a_pause_survives_a_kill_of_the_master(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    order(cli, "pause", path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held_xtb.let_go()
    wait_until(lambda: not processes_of(cli.folder))
    again = cli.start("run", path)
    wait_until(lambda: (status(cli, path)["master"] or {}).get("hold"))
    assert done(campaigns) == 0
    assert held_xtb.begun() == SLOTS
    order(cli, "resume", path)
    ended(again)
    assert (again.returncode, done(campaigns)) == (0, COUNT)


def test_without_a_master_a_pause_is_stored_and_what_needs_one_is_refused(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    answer = order(cli, "pause", path)
    assert (answer["ok"], answer["by_master"]) == (True, False)
    for verb in ("drain", "reload"):
        answer = order(cli, verb, path, code=3)
        assert answer["error"]["code"] == "master-not-running"
    answer = order(cli, "cancel", path, "1", "2")
    assert answer["canceled"] == 2
    found = status(cli, path)
    assert found["control"]["pause"]
    assert found["failures"] == {"canceled": 2}
    assert [one["verb"] for one in found["commands"]] == ["cancel", "reload", "drain", "pause"]
    held_xtb.let_go()
    process = cli.start("run", path)
    wait_until(lambda: (status(cli, path)["master"] or {}).get("hold"))
    order(cli, "resume", path)
    ended(process)
    assert (process.returncode, done(campaigns)) == (1, COUNT - 2)
    assert order(cli, "retry", path, "--class", "canceled")["retried"] == 2
    cli("run", path)
    assert done(campaigns) == COUNT


def test_without_a_master_answers_state_what_was_in_force_before(
    campaigns: Campaigns, cli: Cli, path: Path
) -> None:
    assert order(cli, "unblock", path, "node7")["was_blocked"] is False
    for nothing in ("0", "0s", "-5"):
        assert order(cli, "block", path, "node7", "--for", nothing, code=2)["code"] == "usage"
    order(cli, "block", path, "node7")
    order(cli, "block", path, "node8", "--for", "1h")
    listed = cli("status", path, "--hosts")
    assert "node7" in listed
    assert "node8 until" in listed
    assert "node7" not in cli("status", path, "--slow")
    assert order(cli, "unblock", path, "node7")["was_blocked"] is True
    assert order(cli, "pause", path, "--reason", "lunch")["replaced"] is None
    assert order(cli, "pause", path, "--reason", "dinner")["replaced"] == "lunch"
    order(cli, "pause", path)
    assert status(cli, path)["control"]["pause"]["reason"] == "dinner"


def test_rerun_and_retry_report_whether_a_master_is_running(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    assert order(cli, "rerun", path, "--id", "1")["master_running"] is False
    process = begin(cli, held_xtb, path)
    campaigns.documents.update_one({"_id": 1}, {"$set": {"xtb.gfn2": {"energy": -1.0}}})
    found = order(cli, "rerun", path, "--id", "1")
    assert (found["replaced"], found["master_running"]) == (1, True)
    assert order(cli, "failures", path, "--retry", "scf_not_converged")["master_running"] is True
    held_xtb.let_go()
    ended(process)


@pytest.mark.parametrize("together", [False, True])
def test_the_summary_counts_documents_that_were_queued_again_without_the_master(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path, *, together: bool
) -> None:
    """Once, it had them as done or failed, unlike `status` a moment later."""
    campaigns.documents.update_many({"_id": {"$in": [1, 2]}}, {"$set": {"multiplicity": 2}})
    campaigns.documents.update_one({"_id": 3}, {"$set": {"xtb.gfn2": {"energy": -1.0}}})
    files = [path]
    if together:
        other = path.with_name("other.yaml")
        other.write_text(path.read_text().replace("campaign: test", "campaign: other"))
        change(other, submit={"query": {"_id": "nothing"}})
        files.append(other)
    process = begin(cli, held_xtb, *files)
    wait_until(lambda: campaigns.failures.count_documents({"final": True}) == 2)
    assert order(cli, "failures", path, "--retry", "bad_document")["retried"] == 2
    assert order(cli, "rerun", path, "--id", "3")["replaced"] == 1
    order(cli, "drain", path)
    held_xtb.let_go()
    output, _ = ended(process)
    found = status(cli, path)
    assert (found["done"], found["failed"], found["pending"]) == (SLOTS, 0, COUNT - SLOTS)
    said = output.partition("\ntest: stopped\n")[2].partition("\n\n")[0]
    summary = {words[0]: words[1] for words in map(str.split, said.splitlines()) if words[1:]}
    counts = (summary["done"], summary["failed"], summary["pending"])
    assert counts == (str(SLOTS), "0", str(COUNT - SLOTS))
    assert "to see why documents failed" not in said


def test_a_drained_run_ends_when_its_jobs_have_returned(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path, "--grace", "0")
    answer = order(cli, "drain", path)
    assert answer["running"] == SLOTS
    wait_until(lambda: status(cli, path)["master"]["state"] == "stopping")
    assert process.poll() is None
    held_xtb.let_go()
    ended(process)
    assert process.returncode == 130
    assert (done(campaigns), held_xtb.begun()) == (SLOTS, SLOTS)
    assert status(cli, path)["control"]["pause"] is None
    cli("run", path)
    assert done(campaigns) == COUNT


@pytest.mark.parametrize("engine", ["local", "work_queue"])
def test_a_canceled_job_of_a_task_fails_alone(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, engine: str
) -> None:
    if why_not(engine) is not None:
        pytest.skip(str(why_not(engine)))
    campaigns.waters(COUNT)
    path = campaigns.write(software=held_xtb.software, bundle={"size": 2}, engine=engine)
    process = begin(cli, held_xtb, path)
    # Document 1 runs in a task with document 2; 8 is the second of the last task.
    answer = order(cli, "cancel", path, "1", "8")
    assert (answer["canceled"], answer["returned"], answer["left"]) == (2, 0, 0)
    held_xtb.let_go()
    ended(process)
    assert process.returncode == 1
    results = campaigns.documents.find({"xtb.gfn2.energy": {"$lt": 0}}).distinct("_id")
    assert sorted(results) == [2, 3, 4, 5, 6, 7]
    failures = list(campaigns.failures.find())
    assert {one["document"]: (one["class"], one["final"]) for one in failures} == {
        1: ("canceled", True),
        8: ("canceled", True),
    }
    # They stay canceled in the next run, until they are retried.
    cli("run", path, code=1)
    assert done(campaigns) == COUNT - 2
    assert order(cli, "retry", path, "1")["retried"] == 1
    cli("run", path, code=1)
    assert done(campaigns) == COUNT - 1


def test_a_class_of_failures_is_retried_by_a_running_master(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    campaigns.waters(4)
    broken, gate = tmp_path / "broken", tmp_path / "gate"
    broken.touch()
    program = tmp_path / "program"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ -e {broken} ] && grep -q "^[1-3]$" number; then exit 9; fi\n'
        f"while [ ! -e {gate} ]; do sleep 0.05; done\n"
        "echo 1\n"
    )
    program.chmod(0o755)
    step = {
        "name": "one",
        "command": str(program),
        "files": {"number": "{{ document._id }}"},
        "parsers": ["number"],
    }
    config = {
        "func_name": "wqmaster.tasks.command.run",
        "args": [step],
        "kwargs": {"mongo_output_key": "out"},
    }
    path = campaigns.write(campaign_config=config, submit={"query": {"out.one": None}})
    process = cli.start("run", path)
    wait_until(lambda: campaigns.failures.count_documents({"final": True}) == 3)
    broken.unlink()
    # Document 4 keeps the run from ending.
    answer = order(cli, "retry", path, "--class", "program_error")
    gate.touch()
    assert (answer["retried"], answer["by_master"]) == (3, True)
    output, _ = ended(process)
    assert process.returncode == 0, output
    assert campaigns.documents.count_documents({"out.one.number": 1}) == 4
    assert campaigns.failures.count_documents({"final": True}) == 0


def test_documents_are_chosen_by_a_query_and_wrong_choices_are_refused(
    campaigns: Campaigns, cli: Cli, path: Path
) -> None:
    answer = order(cli, "cancel", path, "--query", '{"_id": {"$gt": 5}}')
    assert answer["canceled"] == COUNT - 5
    assert order(cli, "cancel", path, "99", code=2)["code"] == "document-not-found"
    assert order(cli, "cancel", path, code=2)["code"] == "usage"
    assert order(cli, "cancel", path, "1", "--class", "killed", code=2)["code"] == "usage"
    assert order(cli, "retry", path, "--class", "kiled", code=2)["code"] == "usage"
    wrong = order(cli, "retry", path, "--query", '{"$nonsense": 1}', code=2)
    assert wrong["code"] == "query-refused"
    assert campaigns.failures.count_documents({"final": True}) == COUNT - 5


@pytest.mark.parametrize("engine", ["work_queue", "taskvine"])
def test_a_blocked_host_gets_no_tasks_until_it_is_unblocked(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, engine: str
) -> None:
    if why_not(engine) is not None:
        pytest.skip(str(why_not(engine)))
    campaigns.waters(COUNT)
    path = campaigns.write(software=held_xtb.software, engine=engine)
    process = begin(cli, held_xtb, path)
    host = socket.gethostname()
    assert order(cli, "block", path, host)["ok"]
    held_xtb.let_go()
    wait_until(lambda: done(campaigns) == SLOTS)
    found = wait_until(lambda: not (one := status(cli, path))["master"]["tasks_running"] and one)
    assert [block["host"] for block in found["control"]["blocks"]] == [host]
    assert found["master"]["tasks_waiting"] > 0
    assert held_xtb.begun() == SLOTS
    trouble = wait_until(lambda: status(cli, path)["master"]["trouble"])
    assert f"blocked hosts: 1 ({host})" in trouble
    assert trouble.endswith(f"wqmaster status {path} --hosts")
    answer = order(cli, "unblock", path, host)
    assert answer["was_blocked"]
    ended(process)
    assert (process.returncode, done(campaigns)) == (0, COUNT)


@needs_work_queue
def test_a_block_is_in_force_when_a_master_begins(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(COUNT)
    path = campaigns.write(software=held_xtb.software, engine="work_queue")
    answer = order(cli, "block", path, socket.gethostname(), "--for", "1h")
    assert not answer["by_master"]
    held_xtb.let_go()
    process = cli.start("run", path)
    found = wait_until(lambda: (live := status(cli, path)["master"]) and live["workers"] and live)
    assert (found["tasks_running"], held_xtb.begun()) == (0, 0)
    # The host is listed once, as blocked by a user, and not counted again.
    lines = [line for line in cli("status", path).splitlines() if line.startswith("blocked")]
    assert len(lines) == 1
    assert socket.gethostname() in lines[0]
    assert found["tasks_waiting"] > 0
    order(cli, "unblock", path, socket.gethostname())
    ended(process)
    assert (process.returncode, done(campaigns)) == (0, COUNT)
    assert status(cli, path)["control"]["blocks"] == []


def change(path: Path, **changes: Any) -> None:
    settings = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**settings, **changes}))


def test_a_reload_takes_changes_and_refuses_those_of_the_recipe(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    assert order(cli, "reload", path)["changed"] == []
    settings = yaml.safe_load(path.read_text())
    config = settings["campaign_config"]
    step = {"name": "gfn2", "gfn": 1, "parsers": ["energy", "gradient"]}
    change(path, campaign_config={**config, "args": [step]}, bundle={"size": 3})
    answer = order(cli, "reload", path, code=2)
    assert answer["error"]["code"] == "reload-refused"
    assert answer["refused"] == ["campaign_config.args"]
    change(path, campaign_config=config, engine="work_queue", bundle={"size": 3})
    assert order(cli, "reload", path, code=2)["refused"] == ["engine.type"]
    change(path, engine="nonsense")
    assert order(cli, "reload", path, code=2)["code"] == "campaign-invalid"
    # Documents 7 and 8 are no longer selected; a job that takes 1 s or more would fail.
    change(
        path,
        engine="local",
        campaign_config={**config, "job_timeout": 90},
        submit={"query": {"xtb.gfn2": None, "_id": {"$lt": 7}}},
        workers={"type": "local", "count": 3},
        bundle="auto",
        checks={"closest_atoms": "off", "max_force": {"refuse": 1e-9, "warn": 1e-9}},
    )
    answer = order(cli, "reload", path)
    assert answer["changed"] == [
        "campaign_config.job_timeout",
        "submit.query",
        "workers.count",
        "checks",
    ]
    wait_until(lambda: held_xtb.begun() == 3)
    held_xtb.let_go()
    ended(process)
    assert process.returncode == 1
    # The collectors apply the new check, and the feed the new query.
    failed = campaigns.failures.distinct("document", {"class": "check_max_force"})
    assert sorted(failed) == [1, 2, 3, 4, 5, 6]
    assert done(campaigns) == 0
    assert "reload: changed: " in (cli.folder / "test.run" / "logs" / "master.log").read_text()


@needs_work_queue
def test_a_reload_changes_the_number_of_workers(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb
) -> None:
    campaigns.waters(COUNT)
    path = campaigns.write(
        software=held_xtb.software, engine="work_queue", workers={"type": "local", "count": 1}
    )
    process = cli.start("run", path)
    wait_until(lambda: held_xtb.begun() == 1)
    change(path, workers={"type": "local", "count": 2})
    assert order(cli, "reload", path)["changed"] == ["workers.count"]
    # The factory looks every 30 s.
    wait_until(lambda: held_xtb.begun() == 2, 120)
    held_xtb.let_go()
    ended(process)
    assert (process.returncode, done(campaigns)) == (0, COUNT)


def test_sighup_reloads_and_sigterm_drains(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path, "--grace", "0", "--quiet")
    log = cli.folder / "test.run" / "logs" / "master.log"
    change(path, bundle={"size": 2})
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reload: changed: bundle" in log.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("draining")
    held_xtb.let_go()
    ended(process)
    assert process.returncode == 143
    assert (done(campaigns), held_xtb.begun()) == (SLOTS, SLOTS)


def test_a_command_that_no_master_takes_is_withdrawn(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    master = master_of(process)
    os.kill(master, signal.SIGSTOP)
    answer = order(cli, "pause", path, "--wait", "1", code=3)
    assert answer["code"] == "command-unanswered"
    os.kill(master, signal.SIGCONT)
    held_xtb.let_go()
    ended(process)
    assert (process.returncode, done(campaigns)) == (0, COUNT)
    assert status(cli, path)["control"]["pause"] is None


def test_another_machine_needs_only_the_database(
    campaigns: Campaigns, cli: Cli, held_xtb: HeldXtb, path: Path, tmp_path: Path
) -> None:
    process = begin(cli, held_xtb, path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = yaml.safe_load(path.read_text())
    del settings["software"]
    (elsewhere / "copy.yaml").write_text(yaml.safe_dump({**settings, "folder": "nowhere"}))
    other = Cli(elsewhere)
    assert order(other, "pause", "copy.yaml")["by_master"]
    assert order(other, "cancel", "copy.yaml", "1")["canceled"] == 1
    assert order(other, "resume", "copy.yaml")["ended"] == ["pause"]
    assert not (elsewhere / "nowhere").exists()
    held_xtb.let_go()
    ended(process)
    assert (process.returncode, done(campaigns)) == (1, COUNT - 1)
