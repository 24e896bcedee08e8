"""The contract for engines: the same tests for each engine, with real workers."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import MARK, Harness, processes, shell_job
from wqmaster.engines.base import RUNNER, Engine
from wqmaster.engines.local import LocalEngine
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.taskvine import TaskVineEngine
from wqmaster.engines.work_queue import WorkQueueEngine
from wqmaster.factory import ENGINE_PROGRAMS, Factory, local_plan
from wqmaster.jobs import wire
from wqmaster.jobs.job import Execution, Input, Job, Task


@pytest.fixture(params=["local", "work_queue", "taskvine"])
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Harness]:
    """Each engine in turn, with two slots for tasks."""
    (tmp_path / "logs").mkdir()
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    # Programs in bin are used instead of the system's.
    (tmp_path / "bin").mkdir()
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    environ = {**os.environ, MARK: str(tmp_path), "PATH": path}
    if request.param == "local":
        engine: Engine = LocalEngine(2, environ)
        factory = None
        found = Harness(engine, tasks, lambda: processes("sh runner.sh", tmp_path))
    else:
        kind = {"work_queue": WorkQueueEngine, "taskvine": TaskVineEngine}[request.param]
        engine = kind(Setting(tmp_path / "logs", keepalive=(2, 2)))
        factory = Factory(local_plan(request.param, 2, 1, engine.port), tmp_path, environ)
        worker = ENGINE_PROGRAMS[request.param][1]
        found = Harness(engine, tasks, lambda: processes(f"{worker} ", tmp_path))
        wait_until(lambda: engine.wait(1) or engine.stats().workers == 2)
    yield found
    engine.close()
    if factory is not None:
        factory.close()
    assert not processes(str(tmp_path)), "processes were left behind"
    assert not processes("", tmp_path), "workers were left behind"


def test_a_task_succeeds(harness: Harness) -> None:
    harness.submit("t", shell_job("echo said; echo bad >&2; echo made > file", outputs=("file",)))
    harness.wait_for(1)
    result = harness.returned["t"]
    assert (result.result, result.exit_code) == ("ok", 0)
    assert 0 < result.started <= result.finished
    assert (result.receiving > 0) == (harness.engine.port is not None)
    step = harness.outcome("t").steps[0]
    assert (step.exit_code, step.timed_out) == (0, False)
    assert step.files == {"stdout": b"said\n", "stderr": b"bad\n", "file": b"made\n"}
    assert harness.outcome("t").host == result.host == os.uname().nodename


def test_a_compressed_archive_comes_back(harness: Harness) -> None:
    harness.submit("t", shell_job("seq 10000"), compression="gzip")
    harness.wait_for(1)
    packed = (harness.folder / "t" / "outputs.tar").read_bytes()
    assert packed[:2] == b"\x1f\x8b"
    content = harness.outcome("t").steps[0].files["stdout"]
    assert content.endswith(b"\n10000\n")
    assert len(packed) < len(content)


def test_a_program_that_fails_returns_its_output_and_ends_only_its_job(
    harness: Harness,
) -> None:
    failing = Execution("first", ("sh", "-c", "echo some; exit 3"))
    never = Execution("second", ("sh", "-c", "echo never"))
    good = shell_job("echo good")
    harness.submit("t", Job((failing, never), {}), good)
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"
    steps = harness.outcome("t", 0).steps
    assert [(step.name, step.exit_code) for step in steps] == [("first", 3)]
    assert steps[0].files["stdout"] == b"some\n"
    assert harness.outcome("t", 1).steps[0].files["stdout"] == b"good\n"


def test_a_job_past_its_time_limit_returns_its_output(harness: Harness, tmp_path: Path) -> None:
    slow = shell_job("echo part; echo made > file; sleep 600 & sleep 601", outputs=("file",))
    harness.submit("t", slow, shell_job("echo next"), limit=1)
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"
    step = harness.outcome("t", 0).steps[0]
    assert step.timed_out
    assert 0.9 < step.wall_time < 10
    assert step.files == {"stdout": b"part\n", "stderr": b"", "file": b"made\n"}
    assert harness.outcome("t", 1).steps[0].files["stdout"] == b"next\n"
    wait_until(lambda: not processes("sleep 60", tmp_path))


def test_a_task_whose_runner_is_ended_while_it_writes_its_archive_runs_again(
    harness: Harness, tmp_path: Path
) -> None:
    """Once, the half-written archive of a worker that was told to exit counted as the result."""
    tar = tmp_path / "bin" / "tar"
    tar.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = -cf ] && mkdir "{tmp_path}/ended" 2> /dev/null; then\n'
        "    printf half\n    kill -TERM $PPID $$\n"
        "fi\n"
        f'exec {shutil.which("tar")} "$@"\n'
    )
    tar.chmod(0o755)
    harness.submit("t", shell_job("echo whole"))
    harness.wait_for(1)
    assert (tmp_path / "ended").exists()
    assert (harness.returned["t"].result, harness.returned["t"].exit_code) == ("ok", 0)
    assert harness.outcome("t").steps[0].files["stdout"] == b"whole\n"


def test_a_runner_that_is_not_made_a_group_leader_ends_its_processes(tmp_path: Path) -> None:
    """Workers call setpgid after fork, which has no effect if the runner has already started."""
    slow = shell_job("sleep 600 & sleep 601")
    (tmp_path / "inputs.tar").write_bytes(wire.pack([slow]))
    shutil.copyfile(RUNNER, tmp_path / "runner.sh")
    environ = {**os.environ, MARK: str(tmp_path)}
    with subprocess.Popen(["sh", "runner.sh", "none", "1"], cwd=tmp_path, env=environ) as runner:
        wait_until(lambda: runner.poll() is not None or os.getpgid(runner.pid) == runner.pid)
        assert runner.wait(30) == 0
    wait_until(lambda: not processes("sleep 60", tmp_path))
    with wire.Archive(tmp_path / "outputs.tar") as archive:
        assert archive.outcome(0).steps[0].timed_out


def test_a_runner_whose_folder_is_moved_goes_on_there(tmp_path: Path) -> None:
    """Once, it made the former folder again, so that the run's own could not be put back."""
    before, after = tmp_path / "before", tmp_path / "after"
    (before / "sandbox").mkdir(parents=True)
    begun, go = tmp_path / "begun", tmp_path / "go"
    script = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo one"
    steps = (Execution("first", ("sh", "-c", script)), Execution("second", ("echo", "two")))
    (before / "sandbox" / "inputs.tar").write_bytes(wire.pack([Job(steps, {})] * 2))
    shutil.copyfile(RUNNER, before / "sandbox" / "runner.sh")
    command = ["sh", "runner.sh", "none", "60"]
    with subprocess.Popen(command, cwd=before / "sandbox") as runner:
        wait_until(begun.exists)
        before.rename(after)
        go.touch()
        assert runner.wait(60) == 0
    assert not before.exists()
    with wire.Archive(after / "sandbox" / "outputs.tar") as archive:
        for number in range(2):
            found = archive.outcome(number)
            assert [step.files["stdout"] for step in found.steps] == [b"one\n", b"two\n"]


def test_a_program_that_removes_its_folder_fails_no_other_job(tmp_path: Path) -> None:
    """Once, a runner with relative paths could not go on from there."""
    remove = Execution("first", ("sh", "-c", 'rm -rf "$PWD"; echo removed'))
    jobs = [Job((remove, Execution("second", ("pwd",))), {}), Job((remove,), {})]
    (tmp_path / "inputs.tar").write_bytes(wire.pack(jobs))
    shutil.copyfile(RUNNER, tmp_path / "runner.sh")
    subprocess.run(["sh", "runner.sh", "none", "60"], cwd=tmp_path, check=True)
    with wire.Archive(tmp_path / "outputs.tar") as archive:
        streams = [
            [step.files["stdout"] for step in archive.outcome(number).steps] for number in range(2)
        ]
    assert streams == [[b"removed\n", f"{tmp_path}/0.second\n".encode()], [b"removed\n"]]


@pytest.mark.parametrize("name", ["shared", "jobs.sh", "manifest", "watched"])
def test_a_step_and_a_file_can_have_the_name_of_something_that_the_runner_needs(
    tmp_path: Path, name: str
) -> None:
    """Once, a step named `shared` was in the way of the shared inputs."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "input").write_text("shared input\n")
    steps = (
        Execution("first", ("cat", name), outputs=(name,), continues=(name,)),
        Execution(name, ("cat", "../shared/input"), outputs=(name,), continues=(name,)),
    )
    job = Job(steps, {name: b"own\n"}, (Input(tmp_path / "shared" / "input", "input"),))
    (tmp_path / "inputs.tar").write_bytes(wire.pack([job, job]))
    shutil.copyfile(RUNNER, tmp_path / "runner.sh")
    subprocess.run(["sh", "runner.sh", "none", "60"], cwd=tmp_path, check=True)
    with wire.Archive(tmp_path / "outputs.tar") as archive:
        for number in range(2):
            first, second = archive.outcome(number).steps
            assert (first.files["stdout"], first.files[name]) == (b"own\n", b"own\n")
            assert (second.files["stdout"], second.files[name]) == (b"shared input\n", b"own\n")


def test_a_task_within_its_time_limit_is_not_ended(harness: Harness) -> None:
    """Once, Work Queue took a limit of minutes for one second; it checks every few seconds."""
    harness.submit("t", shell_job("sleep 12; echo done"), limit=60)
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"
    assert harness.outcome("t").steps[0].files["stdout"] == b"done\n"


@pytest.mark.parametrize("first", ["sleep 601.5", "sh runner.sh"])
def test_a_task_whose_runner_is_ended_from_outside_runs_again(
    harness: Harness, tmp_path: Path, first: str
) -> None:
    """`scancel` signals all processes of a worker, which can report its task before it ends."""
    begun = tmp_path / "begun"
    harness.submit(
        # A shell that outlived its sleep would end well.
        "t",
        shell_job(f"[ -e {begun} ] || {{ touch {begun}; exec sleep 601.5; }}; echo well"),
    )

    def running() -> list[int]:
        harness.engine.wait(1)
        return processes("sleep 601.5", tmp_path)

    wait_until(running)
    program, runner = running(), processes("sh runner.sh", tmp_path)
    ordered = (program, runner) if first == "sleep 601.5" else (runner, program)
    for pids in ordered:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
    harness.wait_for(1)
    assert (harness.returned["t"].result, harness.returned["t"].exit_code) == ("ok", 0)
    step = harness.outcome("t").steps[0]
    assert (step.exit_code, step.files["stdout"]) == (0, b"well\n")


def test_a_program_that_kills_itself_has_failed(harness: Harness) -> None:
    harness.submit("t", shell_job("echo some; kill -TERM $$"), shell_job("echo next"))
    harness.wait_for(1)
    step = harness.outcome("t", 0).steps[0]
    assert (step.exit_code, step.timed_out, step.files["stdout"]) == (143, False, b"some\n")
    assert harness.outcome("t", 1).steps[0].files["stdout"] == b"next\n"


class HungTask(Task):
    """A task whose runner the engine ends after two seconds."""

    @property
    def time_limit(self) -> int:
        return 2


def test_a_runner_that_hangs_is_ended(harness: Harness, tmp_path: Path) -> None:
    folder = harness.folder / "t"
    folder.mkdir()
    (folder / "inputs.tar").write_bytes(wire.pack([shell_job("sleep 20.31415")]))
    harness.engine.submit(HungTask("t", 1, 300), folder)
    harness.wait_for(1)
    assert harness.returned["t"].result == "time_limit"
    # Work Queue ends only the runner, so the program runs until its own end.
    wait_until(lambda: not processes("sleep 20.31415", tmp_path))


def test_exit_code_124_within_the_time_limit_is_not_a_time_limit(harness: Harness) -> None:
    harness.submit("t", shell_job("exit 124"))
    harness.wait_for(1)
    step = harness.outcome("t").steps[0]
    assert (step.exit_code, step.timed_out) == (124, False)


def test_a_missing_output_is_missing_from_the_outcome(harness: Harness) -> None:
    harness.submit("t", shell_job("ln -s /etc/passwd linked", outputs=("absent", "linked")))
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"
    assert set(harness.outcome("t").steps[0].files) == {"stdout", "stderr"}


def test_a_file_of_one_step_is_not_an_output_of_the_next(harness: Harness) -> None:
    steps = (
        Execution("first", ("sh", "-c", "echo 1 > energy; echo 1 > restart"), ("energy",)),
        Execution("second", ("sh", "-c", "echo 2 >> restart"), ("energy", "restart"), ("restart",)),
    )
    harness.submit("t", Job(steps, {}))
    harness.wait_for(1)
    first, second = harness.outcome("t").steps
    assert first.files["energy"] == b"1\n"
    assert "energy" not in second.files
    assert second.files["restart"] == b"1\n2\n"


def test_a_shared_input_is_used_twice_and_sent_once_per_worker(harness: Harness) -> None:
    shared = harness.folder.parent / "receptor"
    shared.write_bytes(b"x" * 3_000_000)
    before = harness.engine.stats().bytes_sent
    for number in range(6):
        harness.submit(
            f"t{number}", shell_job("wc -c < ../shared/grid", inputs=(Input(shared, "grid"),))
        )
    harness.wait_for(6)
    for number in range(6):
        assert harness.outcome(f"t{number}").steps[0].files["stdout"].strip() == b"3000000"
    # The shared file was sent once to each of the two workers.
    assert harness.engine.stats().bytes_sent - before < 2.5 * 3_000_000


def test_a_canceled_task_ends_and_never_comes_back(harness: Harness, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    harness.submit("running", shell_job(f"touch {begun}; exec sleep 700"))
    wait_until(lambda: harness.engine.wait(1) or begun.exists())
    for number in range(4):
        harness.submit(f"waiting{number}", shell_job("exec sleep 700"))
    for name in ("running", "waiting0", "waiting1", "waiting2", "waiting3", "unknown"):
        harness.engine.cancel(name)
    harness.submit("last", shell_job("echo last"))
    harness.wait_for(1)
    assert list(harness.returned) == ["last"]
    wait_until(lambda: harness.engine.wait(1) or not processes("sleep 700", tmp_path))
    stats = harness.engine.stats()
    assert (stats.waiting, stats.running) == (0, 0)


def test_the_engine_names_the_host_of_a_running_task(harness: Harness, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    before = time.time()
    for number in range(3):
        harness.submit(
            f"t{number}",
            shell_job(f"echo >> {begun}; while [ ! -e {go} ]; do sleep 0.1; done"),
        )
    wait_until(lambda: harness.engine.wait(1) or (begun.exists() and len(begun.read_text()) == 2))
    running = harness.engine.running()
    assert {one.host for one in running} == {os.uname().nodename}
    # The third task waits, since there are two slots.
    assert len({one.task_id for one in running}) == len(running) == 2
    assert all(before - 1 < one.started < time.time() + 1 for one in running)
    go.touch()
    harness.wait_for(3)
    assert harness.engine.running() == []


def test_many_tasks_come_back_once_each(harness: Harness) -> None:
    for number in range(100):
        harness.submit(f"t{number}", shell_job(f"echo {number}"))
    assert harness.engine.hungry() == 0
    harness.wait_for(100)
    for number in range(100):
        assert harness.outcome(f"t{number}").steps[0].files["stdout"] == b"%d\n" % number
    assert harness.engine.wait(0) is None
    assert harness.engine.hungry() > 0


def test_a_task_whose_worker_is_killed_runs_again(harness: Harness, tmp_path: Path) -> None:
    """The worker that runs the task is killed with SIGKILL; the other one finishes the task."""
    runs = tmp_path / "runs"
    go = tmp_path / "go"
    harness.submit(
        "t", shell_job(f"echo $$ >> {runs}; while [ ! -e {go} ]; do sleep 0.1; done; echo done")
    )
    wait_until(lambda: harness.engine.wait(1) or runs.exists())
    pid = int(runs.read_text())
    workers = harness.worker()
    while pid not in workers:  # go up from the program to its worker
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: harness.engine.wait(1) or len(runs.read_text().split()) == 2)
    go.touch()
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"
    assert harness.outcome("t").steps[0].files["stdout"] == b"done\n"
    assert harness.engine.wait(1) is None


def test_the_next_task_sees_nothing_of_the_sandbox(harness: Harness) -> None:
    harness.submit("a", shell_job("echo secret > left; echo secret > ../left; echo $HOME"))
    harness.wait_for(1)
    harness.submit("b", shell_job("ls . .. $HOME $TMPDIR; cat left ../left"))
    harness.wait_for(2)
    assert b"secret" not in harness.outcome("b").steps[0].files["stdout"]
    assert harness.outcome("a").steps[0].files["stdout"].strip() not in (b"", b"/root")


@pytest.mark.parametrize(
    ("engine", "kind"), [("work_queue", "WorkQueueEngine"), ("taskvine", "TaskVineEngine")]
)
def test_a_killed_master_leaves_no_process(tmp_path: Path, engine: str, kind: str) -> None:
    """When its pipe closes, as after kill -9, the supervisor ends factory, workers and tasks."""
    (tmp_path / "logs").mkdir()
    script = (
        "import os, sys, pathlib\n"
        f"from wqmaster.engines.{engine} import {kind}\n"
        "from wqmaster.factory import Factory, local_plan\n"
        "from wqmaster.engines.ndcctools import Setting\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        f"engine = {kind}(Setting(folder / 'logs'))\n"
        f"plan = local_plan({engine!r}, 2, 1, engine.port)\n"
        "factory = Factory(plan, folder, dict(os.environ))\n"
        "while engine.stats().workers < 2: engine.wait(1)\n"
        "print('up', flush=True)\n"
        "while True: engine.wait(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, MARK: str(tmp_path)},
    ) as master:
        try:
            assert master.stdout is not None
            assert master.stdout.readline() == "up\n"
            assert len(processes(f"{ENGINE_PROGRAMS[engine][1]} ", tmp_path)) >= 2
        finally:
            master.kill()
    wait_until(lambda: not processes("", tmp_path))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalEngine]:
    """The local engine with one slot."""
    found = LocalEngine(1, {**os.environ, MARK: str(tmp_path)})
    yield found
    found.close()
    assert not processes("", tmp_path), "processes were left behind"


def kill_runner(engine: LocalEngine, task: str) -> None:
    """Kill the runner of a running task, and wait for its end."""
    process = engine._running[task].process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


def test_a_task_has_the_end_time_of_its_runner(local: LocalEngine, tmp_path: Path) -> None:
    harness = Harness(local, tmp_path, list)
    harness.submit("t", shell_job("true"))
    wait_until(lambda: local._listen(1) or local._ended)
    later = time.time()
    harness.wait_for(1)
    assert harness.returned["t"].finished <= later


def test_a_runner_that_is_killed_from_outside_is_lost_even_if_that_is_noticed_late(
    local: LocalEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wqmaster.engines.local._MAX_LOSSES_PER_TASK", 1)
    harness = Harness(local, tmp_path, list)
    task = harness.submit("t", shell_job("sleep 601.5"))
    kill_runner(local, "t")
    late = time.time() + task.time_limit + 1
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: late)
        harness.wait_for(1)
    assert harness.returned["t"].result == "lost"


def test_a_lost_task_that_is_canceled_while_it_waits_leaves_no_sandbox(
    local: LocalEngine, tmp_path: Path
) -> None:
    harness = Harness(local, tmp_path, list)
    harness.submit("lost", shell_job("sleep 601.5"))
    harness.submit("next", shell_job("true"))
    kill_runner(local, "lost")
    wait_until(lambda: local._listen(1) or "lost" not in local._running)
    assert local.cancel_waiting() == ["lost"]
    assert not (tmp_path / "lost" / "sandbox").exists()


def test_waiting_tasks_can_be_canceled_alone(harness: Harness, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    go = tmp_path / "go"
    for number in range(6):
        harness.submit(
            f"t{number}",
            shell_job(f"touch {begun}/{number}; while [ ! -e {go} ]; do sleep 0.1; done"),
        )
    wait_until(lambda: harness.engine.wait(1) or len(list(begun.iterdir())) == 2)
    canceled = harness.engine.cancel_waiting()
    assert len(canceled) == 4
    go.touch()
    harness.wait_for(2)
    assert sorted([*canceled, *harness.returned]) == [f"t{number}" for number in range(6)]
    assert harness.engine.wait(1) is None
    assert len(list(begun.iterdir())) == 2


def test_tasks_of_a_higher_priority_overtake_those_that_wait(
    harness: Harness, tmp_path: Path
) -> None:
    """The managers do not keep the order (F32), so the service takes waiting tasks back."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    begun.mkdir()
    for name in ("first", "second"):
        script = f"touch {begun}/{name}; while [ ! -e {go} ]; do sleep 0.1; done"
        harness.submit(name, shell_job(script))
    wait_until(lambda: harness.engine.wait(1) or len(list(begun.iterdir())) == 2)
    order = tmp_path / "order"
    for number in range(2):
        harness.submit(f"low{number}", shell_job(f"echo low >> {order}"), priority=-10)
    room = harness.engine.hungry(10)
    assert room == harness.engine.hungry() + 2
    for number in range(2):
        harness.submit(f"high{number}", shell_job(f"echo high >> {order}"), priority=10)
    assert harness.engine.hungry(10) == room - 2
    assert sorted(harness.engine.waiting()) == ["high0", "high1", "low0", "low1"]
    go.touch()
    harness.wait_for(6)
    if harness.engine.name == "local":
        # Two run at a time, and either can be the first to write.
        first, *_, last = order.read_text().split()
        assert (first, last) == ("high", "low")


def test_a_waiting_task_can_be_canceled_and_submitted_again(
    harness: Harness, tmp_path: Path
) -> None:
    """The service takes back waiting tasks for others, and sends them later under another id."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    begun.mkdir()
    for name in ("first", "second"):
        script = f"touch {begun}/{name}; while [ ! -e {go} ]; do sleep 0.1; done"
        harness.submit(name, shell_job(script))
    wait_until(lambda: harness.engine.wait(1) or len(list(begun.iterdir())) == 2)
    tasks = [harness.submit(f"t{number}", shell_job(f"echo {number}")) for number in range(4)]
    for task in tasks:
        harness.engine.cancel(task.id)
        harness.engine.submit(replace(task, id=f"{task.id}+1"), harness.folder / task.id)
    go.touch()
    harness.wait_for(6)
    again = {f"t{number}+1" for number in range(4)}
    assert set(harness.returned) == {"first", "second", *again}
    for number in range(4):
        assert harness.outcome(f"t{number}").steps[0].files["stdout"] == b"%d\n" % number


def test_the_local_pool_counts_cores(tmp_path: Path) -> None:
    """Two slots of two cores run four jobs of one core, or one of three next to one of one."""
    engine = LocalEngine(2, {**os.environ, MARK: str(tmp_path)}, 2)
    harness = Harness(engine, tmp_path, list)
    try:
        harness.submit("large", shell_job("exec sleep 600"), cores=3)
        harness.submit("small", shell_job("exec sleep 600"))
        harness.submit("next", shell_job("exec sleep 600"))
        assert (engine.stats().running, engine.waiting()) == (2, ["next"])
        engine.cancel("large")
        harness.submit("huge", shell_job("exec sleep 600"), cores=9)
        assert (engine.stats().running, engine.waiting()) == (2, ["huge"])
    finally:
        engine.close()
