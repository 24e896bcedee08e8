"""Factories with real workers on this machine, worker.sh, and the files in factory/."""

import itertools
import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Campaigns, Cli, wait_until
from tests.integration.engine_harness import processes
from wqmaster import factory
from wqmaster.engines.base import Engine
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.taskvine import TaskVineEngine
from wqmaster.engines.work_queue import WorkQueueEngine
from wqmaster.errors import EngineError
from wqmaster.factory import processes as factory_processes
from wqmaster.factory.plan import CONFIGURATION_KEYS, ENGINE_PROGRAMS, WORKER_SCRIPT

TOP = Path(__file__).resolve().parents[2]
FILES = sorted((TOP / "factory").glob("*.json"))
ENGINES = {"work_queue": WorkQueueEngine, "taskvine": TaskVineEngine}


# --- worker.sh ---------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder with a worker that prints its arguments, and with workers that do not start."""
    for name, script in {
        "worker": 'echo "called: $*"; echo "in: $CCTOOLS_TEMP $TMPDIR $PWD"',
        "too-new": 'echo "libc.so.6: version GLIBC_9 not found" >&2; exit 1',
        "broken": "echo no library; exit 3",
        "well": "echo version 1",
    }.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return tmp_path


def wrapped(host: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run worker.sh as a factory does."""
    return subprocess.run(
        ["sh", str(WORKER_SCRIPT), *words],
        cwd=host,
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_suitable_host_gets_its_worker(host: Path) -> None:
    scratch = host / "scratch space"
    scratch.mkdir()
    ran = wrapped(
        host,
        *("-d", "1", "-t", str(int(time.time())), "-p", "awk", "-r", "./well", "--"),
        *("./worker", "host", "9123", "--cores=2", "a b"),
        TMPDIR=str(scratch),
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == f"called: host 9123 --cores=2 a b\nin: {scratch} {scratch} {host}\n"
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-x", "--", "./worker"], 80, ""),
        (["-d", "1", "--"], 80, "no worker program given"),
        (["-d", "99999999999", "--", "./worker"], 81, "MB free, 99999999999 needed"),
        (["-p", "no-such-program", "--", "./worker"], 82, "'no-such-program' is missing"),
        (["-r", "./broken", "--", "./worker"], 82, "does not run: exit code 3: no library"),
        (["-t", "99999999999", "--", "./worker"], 83, "before the factory started"),
        (["-t", "1000", "--", "./worker"], 83, "more than a year after"),
        (["--", "./too-new"], 84, "GLIBC_9 not found"),
        (["--", "./absent"], 84, "exit code 127"),
    ],
)
def test_an_unsuitable_host_is_refused_with_a_reason(
    host: Path, words: list[str], code: int, said: str
) -> None:
    ran = wrapped(host, *words)
    assert ran.returncode == code
    assert "called" not in ran.stdout
    assert said in ran.stderr
    if said:
        assert ran.stderr.startswith("wqmaster worker: ")


def test_a_program_that_prints_endlessly_uses_no_memory(host: Path) -> None:
    (host / "broken").write_text("#!/bin/sh\nyes | head -c 99000000; echo the end; exit 4\n")
    little = [
        "sh",
        "-c",
        'ulimit -v 60000; exec sh "$0" -r ./broken -- ./worker',
        str(WORKER_SCRIPT),
    ]
    ran = subprocess.run(little, cwd=host, capture_output=True, text=True, check=False)
    assert ran.returncode == 82
    assert "does not run: exit code 4: the end" in ran.stderr


def test_all_faults_are_reported_and_the_first_sets_the_exit_code(host: Path) -> None:
    ran = wrapped(host, "-p", "none-1", "-p", "none-2", "-t", "1000", "--", "./too-new")
    assert ran.returncode == 82
    assert len(ran.stderr.splitlines()) == 4
    assert all(line.startswith("wqmaster worker: ") for line in ran.stderr.splitlines())


def test_the_first_usable_scratch_space_is_used(host: Path) -> None:
    good = host / "good"
    good.mkdir()
    ran = wrapped(
        host, "--", "./worker", _CONDOR_SCRATCH_DIR=str(host / "absent"), OSG_WN_TMP=str(good)
    )
    assert f"in: {good} {good}" in ran.stdout


def test_the_clock_is_compared_with_the_start_of_the_job(host: Path) -> None:
    advertisement = host / ".job.ad"
    advertisement.write_text('Cmd = "x"\nJobCurrentStartDate = 1500000000\n')
    ran = wrapped(host, "--", "./worker", _CONDOR_JOB_AD=str(advertisement))
    assert ran.returncode == 83
    assert "from the start of the job" in ran.stderr


def test_workers_that_share_a_folder_get_separate_subfolders(host: Path) -> None:
    (host / "pwfile").write_text("secret")
    ran = wrapped(host, "-o", "--", "./worker", "there", SLURM_JOB_ID="77")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    own = host / "worker.77"
    assert f"called: there\nin: /tmp /tmp {own}" in (own / "out").read_text()
    assert (own / "pwfile").read_text() == "secret"
    refused = wrapped(host, "-o", "-p", "none", "--", "./worker", SLURM_JOB_ID="78")
    assert refused.returncode == 82
    assert (host / "worker.78" / "code").read_text() == "82\n"
    assert "'none' is missing" in (host / "worker.78" / "err").read_text()


def test_a_worker_named_without_its_folder_is_found(host: Path) -> None:
    """Versions of vine_factory after 7.14 name the worker in this way."""
    assert "called: there" in wrapped(host, "--", "worker", "there").stdout


# --- the files of factory/ ---------------------------------------------------------------------


def without_comments(path: Path) -> dict[str, Any]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(
        "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    )
    return found


def head_command(path: Path) -> list[str]:
    """The command line in the header comment of a file."""
    lines = [line[1:].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    first = next(place for place, line in enumerate(lines) if line.startswith("env "))
    text = ""
    for line in lines[first:]:
        text += line.removesuffix("\\")
        if not line.endswith("\\"):
            break
    return shlex.split(text)


@pytest.mark.parametrize("engine", sorted(ENGINE_PROGRAMS))
def test_the_installed_factory_knows_all_keys_of_wqmaster(engine: str) -> None:
    binary = Path(shutil.which(ENGINE_PROGRAMS[engine][0]) or "absent").read_bytes()
    for key in CONFIGURATION_KEYS:
        assert key.encode() + b"\0" in binary, key


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", sorted(ENGINE_PROGRAMS))
def test_the_real_factory_accepts_a_file_with_the_command_line_in_its_header(
    path: Path, engine: str, tmp_path: Path
) -> None:
    found = without_comments(path)
    assert set(found) <= CONFIGURATION_KEYS
    words = head_command(path)
    words = words[words.index("work_queue_factory") :]
    words[0] = ENGINE_PROGRAMS[engine][0]
    password = tmp_path / "password"
    password.write_text("x")
    words = [str(password) if word == "CAMPAIGN.run/password" else word for word in words]
    kind = words.index("--batch-type") + 1
    assert path.stem.startswith(words[kind])
    words[kind] = "dryrun"  # the factory prints its actions and does not perform them
    words[words.index("NEW-FOLDER")] = str(tmp_path / "scratch")
    # No manager listens at this address.
    words[-2:] = ["127.0.0.1", "1"]
    with (tmp_path / "said").open("w") as out:
        process = subprocess.Popen(words, cwd=TOP, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait_until(
                lambda: (
                    process.poll() is not None or "|submitted" in (tmp_path / "said").read_text()
                )
            )
        finally:
            process.kill()
            process.wait()
    text = (tmp_path / "said").read_text()
    assert "has been loaded" in text
    for key in ("max-workers", "min-workers", "workers-per-cycle", "tasks-per-worker"):
        assert f"{key}: {found[key]}\n" in text
    assert f"timeout: {found['timeout']} s\n" in text
    for key in ("worker-extra-options", "condor-requirements"):
        assert f"{key}: {found[key]}" in text if key in found else f"{key}:" not in text
    assert (tmp_path / "scratch" / "worker.sh").read_bytes() == WORKER_SCRIPT.read_bytes()


def test_each_key_is_commented() -> None:
    assert [path.stem for path in FILES] == ["condor", "local", "slurm"]
    for path in FILES:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        for before, line in itertools.pairwise(lines):
            if line.startswith('"'):
                assert before.startswith(("#", '"')), f"{path.name}: {line}"


# --- the factory of a master -------------------------------------------------------------------


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    found = ENGINES[request.param](Setting(tmp_path / "logs"))
    yield found
    found.close()
    assert not processes(str(tmp_path))


def connected(engine: Engine, count: int) -> None:
    wait_until(lambda: engine.wait(1) or engine.stats().workers == count)


def test_workers_end_when_their_supervisor_is_killed(engine: Any, tmp_path: Path) -> None:
    plan = factory.local_plan(engine.name, 2, 1, engine.port)
    made = factory.Factory(plan, tmp_path, dict(os.environ))
    try:
        connected(engine, 2)
        found = factory.status(tmp_path)
        assert found is not None
        assert (found["running"], found["running_workers"]) in ((True, 0), (True, 2))
        with pytest.raises(factory.Locked) as caught:
            factory.start(plan, tmp_path, dict(os.environ))
        # Only the master can stop it.
        assert "--stop" not in caught.value.message
        assert "--status" in caught.value.message
        os.kill(found["pid"], signal.SIGKILL)
        with pytest.raises(EngineError, match="the factory was killed"):
            wait_until(lambda: made.check())
    finally:
        made.close()
    assert not factory_processes.left(tmp_path / "factory")
    assert not processes(str(tmp_path / "factory"))


def test_the_manager_sees_at_once_that_a_worker_was_killed(engine: Any, tmp_path: Path) -> None:
    """Once, a vine_worker's transfer server held the connection until the keep-alive ended (F9)."""
    plan = factory.local_plan(engine.name, 1, 1, engine.port)
    made = factory.Factory(plan, tmp_path, dict(os.environ))
    try:
        connected(engine, 1)
        (folder,) = wait_until(lambda: list((tmp_path / "factory").glob("workers-*/worker.*/")))
        # The supervisor must have seen the worker before it can see its end.
        wait_until(lambda: (factory.status(tmp_path) or {})["running_workers"] == 1)
        os.kill(int(folder.name.partition(".")[2]), signal.SIGKILL)
        connected(engine, 0)
    finally:
        made.close()


def test_a_new_factory_ends_the_leftovers_of_a_killed_one(engine: Any, tmp_path: Path) -> None:
    plan = factory.local_plan(engine.name, 1, 1, engine.port)
    factory.start(plan, tmp_path, dict(os.environ))
    connected(engine, 1)
    found = factory.status(tmp_path)
    assert found is not None
    before = {*factory_processes.left(tmp_path / "factory")}
    assert len(before) >= 2
    os.kill(found["pid"], signal.SIGKILL)
    made = factory.Factory(plan, tmp_path, dict(os.environ))
    try:
        assert not before & {*factory_processes.left(tmp_path / "factory")}
        assert len(list((tmp_path / "factory").glob("workers-*"))) == 1
    finally:
        made.close()
    scratch = list((tmp_path / "factory").glob("workers-*/pwfile"))
    assert not scratch


def test_the_factory_ends_if_all_workers_exit_immediately(engine: Any, tmp_path: Path) -> None:
    """The worker program is sent but starts on no host, as each host's check reports."""
    broken = tmp_path / ENGINE_PROGRAMS[engine.name][1]
    broken.write_text("#!/bin/sh\necho wrong C library; exit 1\n")
    broken.chmod(0o755)
    plan = factory.local_plan(engine.name, 8, 1, engine.port, worker=broken)
    made = factory.Factory(plan, tmp_path, dict(os.environ))
    try:
        with pytest.raises(EngineError, match="the worker program does not start on its host"):
            wait_until(lambda: engine.wait(1) or made.check())
        found = factory.status(tmp_path)
        assert found is not None
        assert found["ended"] == 8
        assert "wrong C library" in found["trouble"]
        assert any("wqmaster worker: " in line for line in found["last"])
    finally:
        made.close()


def test_the_last_output_of_a_command_that_exits_immediately_is_kept(tmp_path: Path) -> None:
    script = "seq 20000; printf 'the last'; exit 3"
    words = [
        sys.executable,
        "-m",
        "wqmaster.system.supervise",
        str(tmp_path / "log"),
        "sh",
        "-c",
        script,
    ]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        assert process.wait(60) == 3
    said = [line.split(" ", 2)[-1] for line in (tmp_path / "log").read_text().splitlines()]
    assert said[-3:] == ["20000", "the last", "exited with code 3"]


# --- the command -------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_command_starts_watches_and_stops_a_factory(
    campaigns: Campaigns, cli: Cli, tmp_path: Path
) -> None:
    port = free_port()
    path = campaigns.write(
        engine={"type": "taskvine", "port": port},
        workers={"type": "local", "count": 1},
        folder="my runs; of 'today'",  # characters that a shell would interpret
    )
    run = tmp_path / "my runs; of 'today'"
    campaigns.waters(5)
    printed = json.loads(cli("factory", path, "--json"))
    assert set(printed["configuration"]) <= CONFIGURATION_KEYS
    assert json.loads(Path(printed["configuration_file"]).read_text()) == printed["configuration"]
    assert shlex.join(printed["command"][:3]) in cli("factory", path)
    assert stat.S_IMODE((run / "password").stat().st_mode) == 0o600
    assert json.loads(cli("factory", path, "--status", "--json")) == {"running": False}
    try:
        assert "process" in cli("factory", path, "--start")
        cli("factory", path, "--start", code=3)
        assert "is already running" in cli.errors
        # The factory is already running, so `run` does not ask the user to start one.
        assert "start one with" not in cli("run", path)
        assert campaigns.documents.count_documents({"xtb.gfn2.energy": {"$lt": 0}}) == 5
        found = json.loads(cli("factory", path, "--status", "--json"))
        assert found["running"]
        assert found["port"] == port
    finally:
        assert "stopped the factory" in cli("factory", path, "--stop")
    assert not processes(str(run))
    assert not factory_processes.left(run / "factory")
    assert cli("factory", path, "--stop") == "no factory is running\n"
    assert "not running" in cli("factory", path, "--status")


def test_one_action_of_the_command_is_asked_for_by_an_option(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write()
    cli("factory", path, "--start", "--stop", code=2)
    assert (
        "use only one of --start, --stop, --status, --submit-file and --rotate-password"
        in cli.errors
    )
    cli("factory", "stop", code=2)
    assert "there is no campaign file 'stop'; did you mean '--stop'?" in cli.errors


def test_a_campaign_without_a_factory_is_refused_with_a_reason(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(engine="work_queue", workers="none")
    cli("factory", path, code=2)
    assert "you start its workers yourself" in cli.errors
    path = campaigns.write(engine="local", workers="local")
    cli("factory", path, code=2)
    assert "the engine 'local' runs jobs on this machine without workers" in cli.errors
    path = campaigns.write(engine="work_queue", workers={"type": "condor"})
    cli("factory", path, code=2)
    assert "engine: {port: N}" in cli.errors
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123}, workers={"type": "slurm", "worker": "absent"}
    )
    cli("factory", path, code=2)
    assert "there is no worker program" in cli.errors
    (path.parent / "my worker").touch()
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123},
        workers={"type": "slurm", "worker": "my worker"},
    )
    cli("factory", path, code=2)
    assert "a worker cannot be sent from" in cli.errors
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123},
        workers={"type": "condor"},
        software={"xtb": '"/opt/xtb\'s/xtb"'},
    )
    cli("factory", path, code=2)
    assert "cannot name the program" in cli.errors
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123},
        workers={"type": "condor", "memory": 1000},
        resources={"memory": 2000},
    )
    cli("factory", path, code=2)
    assert "can never run a job that asks for 2000" in cli.errors


def test_a_batch_system_that_does_not_answer_is_reported_at_the_end(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123}, workers={"type": "condor", "host": "a.org"}
    )
    nowhere = {"CONDOR_CONFIG": "/nowhere"}
    cli("factory", path, "--start", code=3, env=nowhere)
    assert cli.errors.endswith(f"; see 'wqmaster doctor {path}'\n")
    cli("factory", path, "--stop", code=3, env=nowhere)
    assert "may be left in the queue: 'condor_q' " in cli.errors
    assert f"try again with 'wqmaster factory {path} --stop'" in cli.errors


def test_a_printed_command_contains_no_value_of_the_environment(
    campaigns: Campaigns, cli: Cli
) -> None:
    path = campaigns.write(
        engine={"type": "work_queue", "port": 9123}, workers={"type": "condor", "host": "a.org"}
    )
    secret = {"SECRET_TOKEN": "hidden-1", "HOME": "/home/hidden-2"}
    text = cli("factory", path, env=secret)
    assert "hidden" not in text
    assert "SECRET_TOKEN" not in text
    line = text.splitlines()[-1]
    assert line.startswith("env -i HOME=")
    assert line.endswith(" a.org 9123")
