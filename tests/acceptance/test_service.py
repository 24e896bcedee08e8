"""Several campaigns on one workforce: `run` with several files, and `serve`."""

import configparser
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.conftest import processes_of
from tests.conftest import WATER, Campaigns, Cli, wait_until

ENGINES = ["local", "taskvine", "work_queue"]
PROCESS = "wqmaster.run.service.campaign_process"


class Group:
    """Campaigns of commands in a folder `group`, whose documents are in one collection.

    Each job writes the campaign's name and the document's number to the file `ran`.
    """

    def __init__(self, campaigns: Campaigns, cli: Cli) -> None:
        self.campaigns, self.cli = campaigns, cli
        self.folder = campaigns.folder / "group"
        self.folder.mkdir()
        self.ran = campaigns.folder / "ran"
        self.ran.touch()

    def service(self, engine: str, **more: Any) -> None:
        """Make the folder a service."""
        database = {"uri": self.campaigns.uri, "name": self.campaigns.database}
        workers = {"type": "local", "count": 2}
        found = {"service": "group", "engine": engine, "workers": workers, "database": database}
        (self.folder / "service.yaml").write_text(yaml.safe_dump({**found, **more}))

    def fill(self, name: str, count: int, first: int = 0) -> None:
        """Insert documents of a campaign."""
        numbers = range(first, first + count)
        self.campaigns.insert(
            *({"_id": f"{name}-{n}", "n": n, "set": name, **WATER} for n in numbers)
        )

    def write(
        self, name: str, *, seconds: float | str = 0, gate: Path | None = None, **changes: Any
    ) -> Path:
        """Write a campaign, whose jobs last some seconds, or until the file `gate` exists."""
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; " if gate else ""
        script = f"{wait}sleep {seconds}; echo {name} $(cat number) >> {self.ran}; cat number"
        step = {
            "name": "one",
            "command": ["sh", "-c", script],
            "files": {"number": "{{ document.n }}"},
            "parsers": ["number"],
        }
        submit = {"query": {f"{name}.one": None, "set": name}, **changes.pop("submit", {})}
        settings = {
            "campaign": name,
            "campaign_config": {"func_name": "wqmaster.tasks.command.run", "args": [step]},
            "submit": submit,
            **changes,
        }
        part = self.folder / f".{name}.part"
        part.write_text(yaml.safe_dump({k: v for k, v in settings.items() if v is not None}))
        path = self.folder / f"{name}.yaml"
        part.rename(path)
        return path

    def alone(self, name: str, engine: str, **changes: Any) -> Path:
        """Write a campaign that names engine, workers and database itself."""
        database = {"uri": self.campaigns.uri, "name": self.campaigns.database}
        workers = {"type": "local", "count": 2}
        return self.write(
            name, **{"engine": engine, "workers": workers, "database": database, **changes}
        )

    def done(self, name: str) -> dict[str, float]:
        found = self.campaigns.documents.find({f"{name}.one": {"$ne": None}})
        return {one["_id"]: one[name]["one"]["number"] for one in found}

    def runs(self) -> Counter[str]:
        """How many times each job ran."""
        return Counter(self.ran.read_text().splitlines())

    def logs(self) -> list[str]:
        """What the database and the logs of all processes hold about failed attempts."""
        logs = sorted(self.folder.glob("**/logs/*.log"))
        attempts = [str(one) for one in self.campaigns.failures.find()]
        return [*attempts, *(f"{one}:\n{one.read_text()}" for one in logs)]

    def status(self) -> dict[str, Any]:
        """What the service publishes; {} before it does."""
        try:
            found: dict[str, Any] = json.loads(
                (self.folder / "service.run" / "status.json").read_text()
            )
        except OSError:
            return {}
        return found

    def row(self, name: str) -> dict[str, Any]:
        """The campaign `name` in the status; {} if it is not there."""
        rows = self.status().get("campaigns", [])
        return next((one for one in rows if one["campaign"] == name), {})

    def serve(self, *options: str) -> "subprocess.Popen[str]":
        return self.cli.start("serve", self.folder, *options)

    def processes(self) -> list[int]:
        """The campaigns' processes."""
        found = processes_of(self.campaigns.folder)
        return [pid for pid, line in found.items() if PROCESS in line]

    def nothing_left(self) -> bool:
        return not processes_of(self.folder)


@pytest.fixture
def group(campaigns: Campaigns, cli: Cli) -> Iterator[Group]:
    found = Group(campaigns, cli)
    yield found
    cli.close()
    wait_until(found.nothing_left)


def is_available(engine: str) -> bool:
    program = {"taskvine": "vine_worker", "work_queue": "work_queue_worker"}.get(engine)
    return program is None or shutil.which(program) is not None


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not is_available(name):
        pytest.skip(f"{name} is not installed")
    return name


def ended(process: "subprocess.Popen[str]", code: int = 0) -> str:
    """The output of a command that must end with this exit code."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, (process.returncode, output, errors)
    assert "Traceback" not in errors
    return output


# --- run with several files ----------------------------------------------------------------------


def test_two_campaigns_share_the_workers(group: Group, engine: str) -> None:
    for name in ("a", "b"):
        group.fill(name, 30)
    paths = [group.alone(name, engine) for name in ("a", "b")]
    run = group.cli.start("run", *paths)
    most = 0
    while run.poll() is None:
        lines = processes_of(group.folder).values()
        most = max(most, sum(line.startswith(("vine_worker", "work_queue_w")) for line in lines))
    output = ended(run)
    assert most <= 2
    for name in ("a", "b"):
        assert group.done(name) == {f"{name}-{n}": n for n in range(30)}
        assert f"\n{name}: finished\n" in output
    assert set(group.runs().values()) == {1}


def test_campaigns_that_ask_for_different_workers_do_not_start(group: Group) -> None:
    for name in ("a", "b"):
        group.fill(name, 1)
    first = group.alone("a", "local")
    second = group.alone("b", "local", workers={"type": "local", "count": 1})
    line = second.read_text().split("\n").index("workers:") + 1
    group.cli("run", first, second, code=2)
    assert f"{second}:{line}: 'workers' differs from that of {first}" in group.cli.errors
    assert not group.runs()


def test_a_campaign_that_cannot_begin_does_not_stop_the_others(group: Group) -> None:
    group.fill("a", 5)
    paths = [group.alone(name, "local") for name in ("a", "b")]
    group.cli("run", *paths, code=2)
    assert "b: the query" in group.cli.errors
    assert len(group.done("a")) == 5


def test_a_limit_applies_to_each_campaign(group: Group) -> None:
    for name in ("a", "b"):
        group.fill(name, 9)
    group.cli("run", *(group.alone(name, "local") for name in ("a", "b")), "--limit", "4")
    assert [len(group.done(name)) for name in ("a", "b")] == [4, 4]


def test_ctrl_c_stops_all_campaigns_and_stores_what_runs(group: Group, engine: str) -> None:
    gate = group.campaigns.folder / "gate"
    for name in ("a", "b"):
        group.fill(name, 20)
    run = group.cli.start("run", *(group.alone(name, engine, gate=gate) for name in ("a", "b")))
    started = group.folder / "a.run" / "service" / "logs"
    wait_until(lambda: started.exists() and "sleep 0.05" in str(processes_of(group.folder)))
    run.send_signal(signal.SIGINT)
    gate.touch()
    output = ended(run, 130)
    done = len(group.done("a")) + len(group.done("b"))
    assert 1 <= done < 40, output
    assert sum(group.runs().values()) == done


def test_sigterm_lets_the_tasks_of_all_campaigns_finish(group: Group) -> None:
    """Once, the grace period of Ctrl-C applied, which `run` with one file does not observe."""
    gate = group.campaigns.folder / "gate"
    for name in ("a", "b"):
        group.fill(name, 20)
    paths = [group.alone(name, "local", gate=gate) for name in ("a", "b")]
    run = group.cli.start("run", *paths, "--grace", "0")
    wait_until(lambda: "sleep 0.05" in str(processes_of(group.folder)))
    run.send_signal(signal.SIGTERM)
    assert run.stdout is not None
    while not (line := run.stdout.readline()).startswith("draining"):
        assert line
    gate.touch()
    ended(run, 143)
    done = len(group.done("a")) + len(group.done("b"))
    assert 1 <= done < 40
    assert sum(group.runs().values()) == done


@pytest.mark.parametrize("engine", ["taskvine", "local"])
def test_a_killed_process_of_a_campaign_loses_and_repeats_nothing(
    group: Group, engine: str
) -> None:
    """Its running tasks are adopted: no job runs twice."""
    if not is_available(engine):
        pytest.skip(f"{engine} is not installed")
    chance = random.Random(seed := random.SystemRandom().randrange(10**6))  # noqa: S311
    print(f"seed {seed}")
    for name in ("a", "b"):
        group.fill(name, 60)
    paths = [group.alone(name, engine, seconds=0.1) for name in ("a", "b")]
    run = group.cli.start("run", *paths)
    for moment in (5, 30, 60):
        wait_until(lambda moment=moment: sum(group.runs().values()) >= moment)
        wait_until(lambda: len(group.processes()) == 2)
        os.kill(chance.choice(group.processes()), signal.SIGKILL)
    ended(run)
    for name in ("a", "b"):
        assert len(group.done(name)) == 60
    again = [job for job, runs in group.runs().items() if runs > 1]
    assert not again, "\n".join([*again, *group.logs()])
    log = (group.folder / "a.run" / "service" / "logs" / "master.log").read_text()
    assert log.count("was killed by signal 9") == 3


@pytest.mark.parametrize("engine", ["taskvine", "local"])
def test_a_killed_broker_is_succeeded_by_the_same_command(group: Group, engine: str) -> None:
    if not is_available(engine):
        pytest.skip(f"{engine} is not installed")
    for name in ("a", "b"):
        group.fill(name, 60)
    paths = [group.alone(name, engine, seconds=0.1) for name in ("a", "b")]
    committed: list[tuple[set[str], Counter[str]]] = []
    for moment in (10, 60):
        run = group.cli.start("run", *paths)
        wait_until(lambda moment=moment: len(group.done("a")) + len(group.done("b")) >= moment)
        run.send_signal(signal.SIGKILL)
        run.wait()
        wait_until(lambda: not group.processes())
        committed.append(({*group.done("a"), *group.done("b")}, group.runs()))
    ended(group.cli.start("run", *paths))
    for name in ("a", "b"):
        assert len(group.done(name)) == 60
    for done, ran in committed:
        for key in done:
            job = key.replace("-", " ")
            assert group.runs()[job] == ran[job], "a committed job ran again"


def test_a_campaign_that_reads_nothing_is_started_again(group: Group) -> None:
    for name in ("a", "b"):
        group.fill(name, 40)
    paths = [group.alone(name, "local", seconds=0.2) for name in ("a", "b")]
    run = group.cli.start("run", *paths, env={"WQMASTER_CAMPAIGN_HANG_TIME": "4"})
    wait_until(lambda: len(group.processes()) == 2 and sum(group.runs().values()) >= 5)
    hung = group.processes()[0]
    os.kill(hung, signal.SIGSTOP)
    wait_until(lambda: hung not in group.processes())
    output = ended(run)
    assert [len(group.done(name)) for name in ("a", "b")] == [40, 40], output
    assert set(group.runs().values()) == {1}


# --- serve ---------------------------------------------------------------------------------------


def test_jobs_of_a_high_priority_go_next(group: Group, engine: str) -> None:
    group.service(engine)
    group.fill("many", 400)
    group.fill("urgent", 10)
    gate = group.campaigns.folder / "gate"
    group.write("many", gate=gate)
    serving = group.serve()
    # Two jobs run, and more wait in the engine, when the urgent ones arrive.
    wait_until(lambda: group.row("many").get("running") == 2)
    group.write("urgent", submit={"queue": "any:high"})
    wait_until(lambda: group.row("urgent").get("sent") == 10)
    gate.touch()
    wait_until(lambda: len(group.done("urgent")) == 10)
    order = [line.split()[0] for line in group.ran.read_text().splitlines()]
    last = len(order) - order[::-1].index("urgent")
    # The two that ran already, and the least share: one job of twenty.
    assert order[:last].count("many") <= 3
    serving.send_signal(signal.SIGTERM)
    ended(serving)
    done = len(group.done("many"))
    assert 2 <= done <= 400
    assert sum(group.runs().values()) == done + 10


def test_files_are_taken_up_changed_and_taken_out(group: Group) -> None:
    group.service("local")
    gate = group.campaigns.folder / "gate"
    for name in ("a", "b"):
        group.fill(name, 40)
    serving = group.serve()
    group.write("a", gate=gate)
    wait_until(lambda: group.row("a").get("running") == 2)
    # An invalid file changes nothing.
    bad = group.folder / "b.yaml"
    bad.write_text("campaign: b\nnonsense: 1\n")
    wait_until(lambda: group.status()["refused"])
    assert f"{bad}:2: unknown key 'nonsense'" in group.status()["refused"][0]["reason"]
    group.write("b", seconds=0.1)
    wait_until(lambda: group.row("b") and not group.status()["refused"])
    # What may change while the campaign runs is taken up, and its running tasks stay.
    group.write("a", gate=gate, submit={"weight": 5.0, "priority": 3})
    wait_until(lambda: group.row("a").get("weight") == 5)
    wait_until(lambda: group.row("a")["state"] == "running" and group.row("a")["running"] == 2)
    assert group.row("a")["priority"] == 3
    # Another recipe is refused while tasks run.
    group.write("a", seconds=7)
    wait_until(lambda: group.status()["refused"])
    assert "its recipe has changed" in group.status()["refused"][0]["reason"]
    assert group.row("a")["state"] == "running"
    # Running tasks of a file that is taken out finish.
    (group.folder / "a.yaml").unlink()
    wait_until(lambda: group.row("a")["state"] == "stopping")
    gate.touch()
    wait_until(lambda: not group.row("a"))
    assert len(group.done("a")) == 2, group.logs()
    wait_until(lambda: len(group.done("b")) == 40)
    assert set(group.runs().values()) == {1}
    serving.send_signal(signal.SIGTERM)
    output = ended(serving)
    for text in (
        "a: started from",
        "a: continues with the changed file",
        "was removed",
        "refused: ",
    ):
        assert text in output
    assert group.status()["state"] == "ended"


def test_what_a_service_cannot_use_is_reported(group: Group, tmp_path: Path) -> None:
    group.service("local")
    (group.folder / "b.yaml").symlink_to(tmp_path / "nowhere")
    group.fill("a", 1)
    path = group.write("a")
    group.cli("pause", path)
    serving = group.cli.start("serve", "group")
    wait_until(lambda: group.row("a").get("hold") and group.status()["refused"])
    [refused] = group.status()["refused"]
    assert refused["file"] == str(group.folder / "b.yaml")
    # The service was started in another folder than the one in which its status is read.
    assert f"resume {path}" in group.row("a")["hold"]
    assert group.row("a")["file"] == str(path)
    assert group.status()["service_file"] is None
    group.service("local", limits={"collectors": 1})
    wait_until(lambda: group.status()["service_file"])
    assert group.status()["service_file"] in group.cli("status", group.folder)
    group.service("local")
    wait_until(lambda: group.status()["service_file"] is None)
    serving.send_signal(signal.SIGTERM)
    ended(serving)


def test_the_workers_of_another_campaign_are_left_to_its_file(group: Group) -> None:
    gate = group.campaigns.folder / "gate"
    first, second = (group.alone(name, "local", gate=gate) for name in ("a", "b"))
    for name in ("a", "b"):
        group.fill(name, 1)
    running = group.cli.start("run", first, second)
    wait_until(
        lambda: (
            json.loads(group.cli("status", second, "--json"))["master"]
            and json.loads(group.cli("status", first, "--json"))["running"]
        )
    )
    # Without an option, it prints a command with the password of the other's manager.
    for options in (["--rotate-password"], ["--start"], []):
        said = json.loads(group.cli("factory", second, *options, "--json", code=2))
        assert said["code"] == "workers-shared"
        assert said["message"].endswith(" ".join(["factory", str(first), *options]))
    assert not (group.folder / "b.run" / "password").exists()
    group.cli("factory", first, "--rotate-password")
    gate.touch()
    ended(running)
    group.cli("factory", second, "--rotate-password")


def test_a_finished_campaign_takes_up_new_documents(group: Group) -> None:
    group.service("local")
    group.fill("a", 3)
    group.write("a")
    serving = group.serve()
    wait_until(lambda: group.row("a").get("state") == "finished")
    wait_until(lambda: not group.processes())
    group.fill("a", 3, first=3)
    serving.send_signal(signal.SIGHUP)  # looks at once instead of within a minute
    wait_until(lambda: len(group.done("a")) == 6)
    serving.send_signal(signal.SIGTERM)
    ended(serving)


def test_a_killed_service_starts_again(group: Group, engine: str) -> None:
    group.service(engine)
    for name in ("a", "b"):
        group.fill(name, 40)
        group.write(name, seconds=0.1)
    serving = group.serve()
    wait_until(lambda: group.done("a") and group.done("b"))
    serving.send_signal(signal.SIGKILL)
    serving.wait()
    serving = group.serve()
    wait_until(lambda: len(group.done("a")) == len(group.done("b")) == 40)
    serving.send_signal(signal.SIGTERM)
    ended(serving)
    spool = group.folder / "a.run" / "spool"
    assert [*(spool / "running").iterdir(), *(spool / "returned").iterdir()] == []


def test_campaigns_of_a_service_share_its_private_database(group: Group) -> None:
    group.service("local", database={"name": "ours"})
    for name in ("a", "b"):
        path = group.write(name)
        documents = group.folder / f"{name}.jsonl"
        documents.write_text(
            "".join(
                json.dumps({"_id": f"{name}-{n}", "n": n, "set": name, **WATER}) + "\n"
                for n in range(3)
            )
        )
        group.cli("import", path, documents)
    serving = group.serve()
    wait_until(lambda: group.row("b").get("state") == "finished" == group.row("a").get("state"))
    found = json.loads(group.cli("status", group.folder / "a.yaml", "--json"))
    assert found["done"] == 3
    rows = json.loads(group.cli("status", group.folder, "--json"))["campaigns"]
    assert {one["campaign"]: one["done"] for one in rows} == {"a": 3, "b": 3}
    assert " finished " in group.cli("status", group.folder)
    serving.send_signal(signal.SIGTERM)
    ended(serving)
    assert not (group.folder / "a.run" / "mongod").exists()
    assert (group.folder / "service.run" / "mongod" / "data").exists()
    assert not json.loads(group.cli("status", group.folder, "--json"))["running"]


def test_a_second_service_in_a_folder_is_refused(group: Group) -> None:
    group.service("local")
    serving = group.serve()
    wait_until(group.status)
    group.fill("a", 1)
    for words in (("serve", group.folder), ("run", group.write("a"), group.write("b"))):
        group.cli(*words, code=3)
        assert f"the service (process {group.status()['pid']}) is already running" in (
            said := group.cli.errors
        )
        assert said.endswith(f"wqmaster status {group.folder}\n")
        assert "kill" not in said
    serving.send_signal(signal.SIGTERM)
    ended(serving)


def test_a_folder_to_which_everybody_can_write_is_reported(group: Group) -> None:
    group.service("local")
    group.folder.chmod(0o777)
    serving = group.serve()
    wait_until(group.status)
    serving.send_signal(signal.SIGTERM)
    output, errors = serving.communicate(timeout=120)
    assert "there is no campaign file yet" in output
    assert f"chmod o-w {group.folder}" in errors
    # The command works in any folder, wherever the service was started.
    serving = group.cli.start("serve", os.path.relpath(group.folder, group.cli.folder))
    wait_until(lambda: group.status().get("state") not in (None, "ended"))
    serving.send_signal(signal.SIGTERM)
    _, errors = serving.communicate(timeout=120)
    assert f"chmod o-w {group.folder}" in errors


def test_a_folder_without_service_yaml_is_not_served(group: Group) -> None:
    group.cli("serve", group.folder, code=2)
    assert "service.yaml: there is no such file" in group.cli.errors


def test_a_campaign_that_could_not_begin_has_failed(group: Group) -> None:
    group.fill("a", 1)
    first = group.alone("a", "local")
    second = group.alone("b", "local", database={"uri": "mongodb://127.0.0.1:1/"})
    output = group.cli("run", first, second, code=3)
    assert "\na: finished\n" in output
    assert "\nb: failed\n" in output


def test_an_invalid_file_of_a_campaign_that_has_ended_does_not_let_it_go_on(group: Group) -> None:
    group.service("local")
    group.fill("a", 1)
    path = group.write("a")
    serving = group.serve()
    wait_until(lambda: group.row("a").get("state") == "finished")
    path.write_text("campaign: a\nnonsense: 1\n")
    wait_until(lambda: group.status()["refused"])
    serving.send_signal(signal.SIGTERM)
    refusal = next(line for line in ended(serving).splitlines() if " refused: " in line)
    assert "'a' had already finished" in refusal


def test_the_factory_of_a_service_is_started_by_the_service(group: Group) -> None:
    group.service("work_queue")
    group.fill("a", 1)
    path = group.write("a")
    group.cli("factory", path, code=2)
    assert f"serve {group.folder}" in group.cli.errors


def test_a_file_is_not_served_twice_whatever_its_path(group: Group) -> None:
    first = group.alone("a", "local")
    link = group.folder.parent / "link"
    link.symlink_to(group.folder)
    for second in (first, group.folder / ".." / "group" / first.name, link / first.name):
        group.cli("serve", first, second, code=2)
        assert f"{first} and {second} are the same file" in group.cli.errors


def test_a_drained_campaign_of_a_service_stays_away_until_it_is_resumed(group: Group) -> None:
    group.service("local")
    for name in ("a", "b"):
        group.fill(name, 30)
        group.write(name, seconds=0.2)
    serving = group.serve()
    wait_until(lambda: group.done("a") and group.done("b"))
    assert "takes up a changed campaign file" in group.cli("reload", group.folder / "a.yaml")
    answer = group.cli("drain", group.folder / "b.yaml")
    assert "stays paused until: wqmaster resume" in answer
    wait_until(lambda: group.row("b").get("state") == "stopped")
    left = len(group.done("b"))
    assert left < 30
    # The same word, and the way to go on, everywhere.
    row = group.row("b")
    assert row["hold_kind"] == "pause"
    table = group.cli("status", group.folder)
    assert " paused " in table
    assert f"to go on: wqmaster resume {group.folder}/b.yaml" in table
    # The service is running, so it is not the command to start it that helps.
    refused = json.loads(group.cli("reload", group.folder / "b.yaml", "--json", code=3))
    assert refused["error"]["code"] == "master-not-running"
    assert refused["message"].endswith(f"wqmaster resume {group.folder}/b.yaml")
    # A run of its own would wait for the workers of the service, and keep the campaign's lock.
    group.cli("run", group.folder / "b.yaml", code=3)
    assert f"resume {group.folder}/b.yaml" in group.cli.errors
    serving.send_signal(signal.SIGHUP)  # look now at the campaigns that have ended
    wait_until(lambda: len(group.done("a")) == 30)
    assert len(group.done("b")) == left
    said = group.cli("resume", group.folder / "b.yaml")
    assert said == "the service continues the campaign within a minute\n"
    serving.send_signal(signal.SIGHUP)
    wait_until(lambda: len(group.done("b")) == 30)
    serving.send_signal(signal.SIGTERM)
    assert "b: paused by " in ended(serving)
    said = group.cli("resume", group.folder / "b.yaml")
    assert said.endswith(f"wqmaster serve {group.folder}\n")
    assert set(group.runs().values()) == {1}


def test_the_factory_of_a_drained_campaign_is_had_by_resuming_it(group: Group) -> None:
    """Once, the suggested command started the service again, which failed."""
    if not is_available("taskvine"):
        pytest.skip("TaskVine is not installed")
    group.service("taskvine")
    group.fill("a", 1)
    path = group.write("a")
    serving = group.serve()
    wait_until(lambda: group.row("a").get("state") == "finished")
    refused = json.loads(group.cli("factory", path, "--json", code=2))
    assert refused["code"] == "master-not-running"
    assert f"resume {path}" in refused["message"]
    serving.send_signal(signal.SIGTERM)
    assert "a second signal stops immediately" in (said := ended(serving))
    assert "Ctrl-C" not in said


def test_a_pause_in_a_service_loses_no_waiting_task(group: Group) -> None:
    group.service("local")
    group.fill("a", 40)
    group.write("a", seconds=0.3)
    serving = group.serve()
    wait_until(lambda: group.row("a").get("sent", 0) > 10)
    found = json.loads(group.cli("pause", group.folder / "a.yaml", "--json"))
    assert found["running"] <= 3  # two workers, and perhaps a task that has just returned
    wait_until(lambda: group.row("a").get("sent") == 0)
    wait_until(lambda: group.row("a").get("hold_kind") == "pause")
    table = group.cli("status", group.folder)
    assert " paused " in table
    assert " held " not in table
    group.cli("resume", group.folder / "a.yaml")
    wait_until(lambda: group.row("a").get("state") == "finished")
    assert len(group.done("a")) == 40
    assert set(group.runs().values()) == {1}
    serving.send_signal(signal.SIGTERM)
    ended(serving)


def test_a_service_reports_a_held_campaign_once(group: Group) -> None:
    group.service("local")
    group.fill("a", 4)
    gate = group.folder / "gate"
    path = group.write("a", gate=gate)
    group.cli("pause", path, "--reason", "maintenance")
    serving = group.serve()
    wait_until(lambda: group.row("a").get("hold"))
    said = group.cli("status", group.folder)
    assert " paused " in said
    assert said.count("maintenance") == 1
    group.cli("status", group.folder, "--slow", code=2)
    gate.touch()
    group.cli("resume", path)
    wait_until(lambda: group.row("a").get("state") == "finished")
    serving.send_signal(signal.SIGTERM)
    output = ended(serving)
    assert output.count("a: paused by ") == output.count("a: goes on") == 1


def test_a_hangup_does_not_end_a_run_of_several_campaigns(group: Group) -> None:
    gate = group.folder / "gate"
    files = [group.alone(name, "local", gate=gate) for name in ("a", "b")]
    for name in ("a", "b"):
        group.fill(name, 3)
    process = group.cli.start("run", *files)
    wait_until(lambda: len(group.processes()) == 2)
    process.send_signal(signal.SIGHUP)
    gate.touch()
    assert f"serve {files[0]} {files[1]}" in ended(process)
    assert len(group.done("a")) == len(group.done("b")) == 3


# --- under a service manager ---------------------------------------------------------------------


class Manager:
    """Does with a unit what systemd does: starts its command, hears from it, starts it again."""

    def __init__(self, unit: str, heard: socket.socket) -> None:
        settings = configparser.RawConfigParser(strict=False)
        settings.optionxform = str  # type: ignore[assignment,method-assign]
        settings.read_string(unit)
        self.unit = settings["Service"]
        self._socket = heard
        self.process = self.start()

    def start(self) -> "subprocess.Popen[str]":
        """Start the unit's command, as the main process of the service."""
        environ = {"NOTIFY_SOCKET": self._socket.getsockname(), "WATCHDOG_USEC": "2000000"}
        return subprocess.Popen(
            shlex.split(self.unit["ExecStart"]),
            cwd=self.unit["WorkingDirectory"],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hears(self, wanted: str) -> str:
        """Wait for a message that begins like this."""
        while True:
            text = self._socket.recv(4096).decode()
            if text.startswith(wanted):
                return text


def test_a_unit_starts_reloads_drains_and_starts_again(group: Group, tmp_path: Path) -> None:
    group.service("local")
    group.fill("a", 30)
    group.write("a", seconds=0.1)
    unit = group.cli("serve", group.folder, "--print-unit", "--grace", "30s")
    assert "with --user after systemctl, if it runs for one user" in unit
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(60)
        manager = Manager(unit, heard)
        try:
            assert (manager.unit["Type"], manager.unit["Restart"]) == ("notify", "always")
            manager.hears("READY=1")
            manager.hears("WATCHDOG=1")
            assert "campaigns: 1" in manager.hears("STATUS=campaigns: 1")
            # `systemctl reload`
            assert manager.unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
            manager.process.send_signal(signal.SIGHUP)
            manager.hears("RELOADING=1\nMONOTONIC_USEC=")
            manager.hears("READY=1")
            wait_until(lambda: group.done("a"))
            manager.process.kill()
            manager.process.communicate()
            manager.process = manager.start()
            manager.hears("READY=1")
            wait_until(lambda: len(group.done("a")) == 30)
            # `systemctl stop`
            manager.process.send_signal(signal.SIGTERM)
            manager.hears("STOPPING=1")
            ended(manager.process)
        finally:
            manager.process.kill()
            manager.process.communicate()


def test_a_unit_holds_no_secret(group: Group) -> None:
    group.service("local", database={"uri": "${SECRET_URI}", "name": "chem"})
    secret = "mongodb://user:hidden@localhost"
    unit = group.cli("serve", group.folder, "--print-unit", env={"SECRET_URI": secret})
    assert "hidden" not in unit
    assert f"EnvironmentFile={group.folder / 'group.env'}" in unit
    assert "Write SECRET_URI" in unit


def test_failures_name_the_command_that_starts_a_service_unless_it_runs(group: Group) -> None:
    group.service("local")
    group.fill("a", 1)
    path = group.write("a", seconds="0; exit 3")
    serving = group.serve()
    wait_until(lambda: group.row("a").get("failed") == 1)
    assert "serve" not in group.cli("failures", path)
    serving.send_signal(signal.SIGTERM)
    ended(serving)
    assert f"serve {group.folder}" in group.cli("failures", path)
