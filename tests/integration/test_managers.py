"""The settings of the Work Queue and TaskVine managers, with real workers."""

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import Harness, shell_job
from wqmaster.engines import manager_counts, manager_logs, ndcctools, task_sizes, tries
from wqmaster.engines.base import Engine, TaskResult
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.taskvine import TaskVineEngine
from wqmaster.engines.work_queue import WorkQueueEngine
from wqmaster.errors import EngineError
from wqmaster.system import credentials

KINDS = {"work_queue": WorkQueueEngine, "taskvine": TaskVineEngine}
# The first line that a worker with a very old protocol sends (work_queue.c, vine_manager.c).
HELLO = {
    "work_queue": b"workqueue 3 old-host Linux x86_64 4.0.0\n",
    "taskvine": b"taskvine 3 old-host Linux x86_64 4.0.0\n",
}


class Managers:
    """Starts managers and workers, and ends them."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.name = engine
        self.folder = folder
        self._engines: list[Engine] = []
        self._workers: list[subprocess.Popen[bytes]] = []

    def start(self, **setting: object) -> Harness:
        """Start a manager with these settings and without workers."""
        engine = KINDS[self.name](Setting(self.folder / "logs", **setting))  # type: ignore[arg-type]
        self._engines.append(engine)
        tasks = self.folder / "tasks"
        tasks.mkdir()
        return Harness(engine, tasks, lambda: [worker.pid for worker in self._workers])

    def worker(self, harness: Harness, *options: str, wrapper: tuple[str, ...] = ()) -> None:
        """Start a worker with the command line that is printed for users."""
        printed = harness.engine.how_to_connect()
        assert printed is not None
        program, *words = shlex.split(printed)
        command = [*wrapper, program, "--cores", "1", *options, *words]
        self.run(command)

    def run(self, command: Sequence[str]) -> None:
        """Start a worker with this command line."""
        # TaskVine workers that search upward from the same port at the same time can find the same
        # free port; one of them then dies.
        first = str(10_000 + secrets.randbelow(20_000))
        self._workers.append(
            subprocess.Popen(
                command,
                cwd=self.folder,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "TCP_LOW_PORT": first},
            )
        )

    def connected(self, harness: Harness, count: int) -> None:
        """Wait until `count` workers are connected."""
        wait_until(lambda: harness.engine.wait(1) or harness.engine.stats().workers == count)

    def end(self) -> None:
        """End all managers and workers."""
        for engine in self._engines:
            engine.close()
        for worker in self._workers:
            worker.terminate()
        for worker in self._workers:
            # A worker that is about to connect misses SIGTERM; a TaskVine worker has two processes.
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(2)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@pytest.fixture(params=list(KINDS))
def managers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Managers]:
    """Managers of each engine in turn."""
    found = Managers(request.param, tmp_path)
    yield found
    found.end()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[str]:
    """The address, HOST:PORT, of a real catalog server on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["catalog_server", "-I", "127.0.0.1", "-p", str(port), "-u", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "-n", "localhost", "-l", "60", "-H", str(tmp_path / "history")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers)
    yield f"127.0.0.1:{port}"
    server.terminate()
    server.wait()


def test_a_project_name_is_listed_and_workers_find_it(managers: Managers, catalog: str) -> None:
    harness = managers.start(name="wqmaster-test", catalog=catalog)
    program = {"work_queue": "work_queue_status", "taskvine": "vine_status"}[managers.name]

    def listed() -> str:
        harness.engine.wait(1)
        said = subprocess.run(
            [program, "-C", catalog], capture_output=True, text=True, check=False, timeout=30
        ).stdout
        return said if "wqmaster-test" in said else ""

    assert str(harness.port) in wait_until(listed)
    managers.worker(harness)
    managers.connected(harness, 1)
    harness.submit("t", shell_job("echo found"))
    harness.wait_for(1)
    assert harness.outcome("t").steps[0].files["stdout"] == b"found\n"


def test_a_worker_with_a_wrong_password_is_reported(managers: Managers, tmp_path: Path) -> None:
    harness = managers.start(password=credentials.password(tmp_path))
    assert harness.engine.trouble() is None
    other = tmp_path / "other"
    other.write_text("guess")
    managers.worker(harness)
    managers.connected(harness, 1)
    program = "work_queue_worker" if managers.name == "work_queue" else "vine_worker"
    command = [program, "--single-shot", "--password", str(other), "127.0.0.1", str(harness.port)]
    managers.run(command)
    wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "with a wrong password" in (harness.engine.trouble() or "")
    assert harness.engine.stats().workers == 1


def test_a_worker_of_another_version_is_reported(
    managers: Managers, caplog: pytest.LogCaptureFixture
) -> None:
    harness = managers.start()
    address = ("127.0.0.1", harness.port)
    with socket.create_connection(address) as stranger:
        stranger.sendall(HELLO[managers.name])
        wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "with another version of ndcctools" in (harness.engine.trouble() or "")
    said = [record.getMessage() for record in caplog.records]
    refused = [line for line in said if line.startswith("worker refused (version): 127.0.0.1: ")]
    assert any("protocol 3" in line for line in refused)
    managers.worker(harness)
    managers.connected(harness, 1)  # a worker of the right version on the same host is accepted


def test_connections_can_be_encrypted(managers: Managers, tmp_path: Path) -> None:
    keys = credentials.certificate(tmp_path)
    assert [path.stat().st_mode & 0o777 for path in keys] == [0o600, 0o600]
    harness = managers.start(ssl=keys, password=credentials.password(tmp_path))
    managers.worker(harness)
    managers.connected(harness, 1)
    harness.submit("t", shell_job("echo secret"))
    harness.wait_for(1)
    assert harness.outcome("t").steps[0].files["stdout"] == b"secret\n"
    address = ("127.0.0.1", harness.port)
    with socket.create_connection(address) as plain:
        plain.sendall(HELLO[managers.name])
        wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "without encryption" in (harness.engine.trouble() or "")


@pytest.mark.parametrize("deferred", [True, False])  # the kernel holds back silent peers, or not
def test_a_silent_peer_does_not_block_an_encrypted_port(
    managers: Managers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, deferred: bool
) -> None:
    if not deferred:
        monkeypatch.setattr(ndcctools, "_DEFERRED_ACCEPT_SECONDS", 0)
        monkeypatch.setattr(ndcctools, "_SILENT_PEER_TIMEOUT_SECONDS", 1)
    keys = credentials.certificate(tmp_path)
    harness = managers.start(ssl=keys, password=credentials.password(tmp_path))
    with socket.create_connection(("127.0.0.1", harness.port)):
        managers.worker(harness)
        managers.connected(harness, 1)


def test_a_very_long_time_limit_is_accepted(managers: Managers) -> None:
    harness = managers.start()
    managers.worker(harness)
    harness.submit("t", shell_job("echo done"), limit=10**9)
    harness.wait_for(1)
    assert harness.returned["t"].result == "ok"


# Debian's package of ndcctools lacks resource_monitor.
MONITOR = shutil.which("resource_monitor") or os.environ.get("CCTOOLS_RESOURCE_MONITOR")


def test_resources_are_measured_or_the_missing_monitor_is_reported(managers: Managers) -> None:
    if MONITOR is None:
        with pytest.raises(EngineError, match="resource_monitor of ndcctools, which is not inst"):
            managers.start(allocation="max_throughput")
        return
    harness = managers.start(allocation="max_throughput")
    managers.worker(harness, "--memory", "200", "--disk", "2000")
    for number in range(3):
        harness.submit(f"t{number}", shell_job("echo quick"))
    harness.wait_for(3)
    assert {found.result for found in harness.returned.values()} == {"ok"}
    log = next(managers.folder.glob("logs/2*/**/transactions")).read_text()
    done = [line for line in log.splitlines() if " RETRIEVED SUCCESS" in line and line[0] != "#"]
    assert len(done) == 3
    assert all('"memory"' in line for line in done)  # the measured memory; none was requested
    assert "FIRST MAX_THROUGHPUT" in log
    # A task that needs more than any worker has waits for a larger worker, which is reported.
    harness.submit("large", shell_job("head -c 400000000 /dev/zero | tail -c 400000000 | sleep 20"))
    wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "waiting tasks: 1, idle workers: 1" in (harness.engine.trouble() or "")


def test_a_straggler_restarts_elsewhere_and_a_large_molecule_gets_its_time(
    managers: Managers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "RESTART_CHECK_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(tries, "SLOW_HOST_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(tries, "MAX_FAST_ABORTS", 1)
    harness = managers.start(fast_abort=2)
    for _ in range(2):
        managers.worker(harness)
    managers.connected(harness, 2)
    for number in range(12):  # the managers average at least 10 (work_queue.c, vine_manager.c)
        harness.submit(f"t{number}", shell_job("sleep 0.1"), category="molecules")
    harness.wait_for(12)
    seen = tmp_path / "seen"
    straggler = f"[ -e {seen} ] || {{ touch {seen}; sleep 600; }}; echo done"
    harness.submit("slow", shell_job(straggler), category="molecules")
    harness.wait_for(13)
    assert harness.outcome("slow").steps[0].files["stdout"] == b"done\n"
    runs = tmp_path / "runs"
    large = f"echo run >> {runs}; sleep 6; echo done"  # 20 times the average, on any host
    harness.submit("large", shell_job(large), category="molecules")
    harness.wait_for(14)
    assert harness.outcome("large").steps[0].files["stdout"] == b"done\n"
    assert 2 <= len(runs.read_text().split()) <= 12  # restarted, but not forever


def test_a_task_that_kills_its_workers_counts_as_lost(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "RESTART_CHECK_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(tries, "MAX_RETRIES", 1)
    harness = managers.start(keepalive=(2, 2))
    fatal = (
        "p=$$; while :; do case $(cat /proc/$p/comm) in vine_worker | work_queue_work*) break ;; "
        "esac; p=$(sed 's/.*) //' /proc/$p/stat | cut -d ' ' -f 2); done; kill -9 $p; sleep 60"
    )
    harness.submit("fatal", shell_job(fatal))
    for _ in range(2):
        managers.worker(harness)
    harness.wait_for(1)
    assert harness.returned["fatal"].result == "lost"
    managers.worker(harness)
    harness.submit("good", shell_job("echo good"))
    harness.wait_for(2)
    assert harness.outcome("good").steps[0].files["stdout"] == b"good\n"


@pytest.mark.parametrize(
    "managers", ["work_queue"], indirect=True
)  # TaskVine's workers announce no wall time; see choose()
def test_a_worker_with_little_time_left_gets_no_long_task(managers: Managers) -> None:
    harness = managers.start()
    managers.worker(harness, "--wall-time", "40")
    managers.connected(harness, 1)
    harness.submit("long", shell_job("echo long"), running_time_min=100)
    harness.submit("short", shell_job("echo short"))
    harness.wait_for(1)
    assert list(harness.returned) == ["short"]
    assert harness.engine.stats().waiting == 1
    managers.worker(harness, "--wall-time", "1000")
    harness.wait_for(2)
    assert harness.outcome("long").steps[0].files["stdout"] == b"long\n"


def test_tasks_that_wait_despite_idle_workers_are_reported(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_sizes, "IDLE_WORKERS_TIMEOUT_SECONDS", 2.0)
    harness = managers.start()
    managers.worker(harness)
    managers.connected(harness, 1)
    harness.engine.block_host(os.uname().nodename, 600)
    harness.submit("t", shell_job("true"))
    wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble())
    assert "waiting tasks: 1, idle workers: 1" in (harness.engine.trouble() or "")


def test_a_task_that_no_worker_can_run_is_reported(managers: Managers) -> None:
    harness = managers.start()
    managers.worker(harness)
    managers.connected(harness, 1)
    harness.submit("large", shell_job("true"), cores=64)
    harness.engine.wait(1)
    said = harness.engine.trouble() or ""
    assert "no worker is large enough for 1 of the waiting tasks" in said
    assert "64 cores (the largest worker has 1)" in said
    harness.engine.cancel("large")
    wait_until(lambda: harness.engine.wait(1) or harness.engine.trouble() is None)


def test_with_many_workers_large_tasks_that_wait_do_not_keep_small_ones_waiting(
    managers: Managers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only two waiting tasks are compared with the workers at a time, but not always the same."""
    monkeypatch.setattr(manager_counts, "_MAX_COMPARISONS", 0)
    monkeypatch.setattr(manager_counts, "_MAX_CHOICE_WORKERS", 0)
    harness = managers.start()
    for number in range(10):
        harness.submit(f"large{number}", shell_job("true"), cores=64)
    harness.submit("small", shell_job("true"))
    managers.worker(harness)
    returned = wait_until(lambda: harness.engine.wait(1))
    assert (returned.task_id, returned.result) == ("small", TaskResult.OK)
    assert len(harness.engine.waiting()) == 10
    for task in harness.engine.waiting():
        harness.engine.cancel(task)
    wait_until(lambda: harness.engine.wait(1) is None and harness.engine.stats().waiting == 0)


def test_logs_do_not_grow_forever(managers: Managers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager_logs.GrowingLog.__init__, "__defaults__", (5000,))
    harness = managers.start()
    managers.worker(harness)
    for number in range(30):
        harness.submit(f"t{number}", shell_job("true"))
    harness.wait_for(30)
    log = next(managers.folder.glob("logs/2*/**/transactions"))
    old = log.with_name("transactions.old")
    assert old.stat().st_size > 5000
    assert b"SUCCESS" in old.read_bytes() + log.read_bytes()
    held = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own descriptor is gone
            held.append(str(descriptor.readlink()))
    assert [path for path in held if path.startswith(str(log))] == [str(log)]


def in_another_host(name: str) -> tuple[str, ...]:
    """The words that, put before a command, run it under the hostname `name`."""
    user = () if os.getuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *user, "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh")


can_rename: Callable[[], bool] = lambda: (  # noqa: E731
    shutil.which("unshare") is not None
    and subprocess.run([*in_another_host("x"), "true"], capture_output=True, check=False).returncode
    == 0
)


@pytest.mark.skipif(not can_rename(), reason="UTS namespaces are not available")
def test_a_blocked_host_gets_no_task_for_a_while(managers: Managers) -> None:
    harness = managers.start()
    for name in ("good-host", "bad-host"):
        managers.worker(harness, wrapper=in_another_host(name))
    managers.connected(harness, 2)
    harness.engine.block_host("bad-host", 8)
    for number in range(8):
        harness.submit(f"t{number}", shell_job("sleep 0.2"))
    harness.wait_for(8)
    assert {found.host for found in harness.returned.values()} == {"good-host"}
    managers.worker(harness, wrapper=in_another_host("bad-host"))

    def is_back() -> bool:
        number = len(harness.returned)
        for more in (number, number + 1):
            harness.submit(f"t{more}", shell_job("sleep 0.5"))
        harness.wait_for(number + 2)
        return any(found.host == "bad-host" for found in harness.returned.values())

    wait_until(is_back)


@pytest.mark.skipif(not can_rename(), reason="UTS namespaces are not available")
def test_a_host_that_was_blocked_gets_one_task_until_it_is_unblocked(managers: Managers) -> None:
    harness = managers.start()
    for name in ("good-host", "bad-host"):
        managers.worker(harness, wrapper=in_another_host(name))
    managers.connected(harness, 2)
    harness.engine.block_host("bad-host", 2)

    def bad() -> int:
        return sum(found.host == "bad-host" for found in harness.returned.values())

    def batch(count: int) -> None:
        before = len(harness.returned)
        for number in range(before, before + count):
            harness.submit(f"t{number}", shell_job("sleep 0.3"))
        harness.wait_for(before + count)

    wait_until(lambda: batch(4) or bad())
    batch(20)
    assert bad() == 1
    harness.engine.unblock_host("bad-host")
    batch(20)
    assert bad() > 1


def test_runs_started_in_the_same_second_have_separate_logs(tmp_path: Path) -> None:
    for name in ("vine-cache", *(f"2020-01-0{day}T000000" for day in range(1, 8))):
        (tmp_path / name).mkdir()
    made = [manager_logs.log_folder(tmp_path) for _ in range(3)]
    assert len(set(made)) == 3
    assert all(path.is_dir() and len(path.name) <= 19 for path in made)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left[-1] == "vine-cache"  # TaskVine's cache is not the log of a run, so it stays
    assert left[:2] == ["2020-01-06T000000", "2020-01-07T000000"]  # the oldest were removed
    assert len(left) == manager_logs.KEPT_LOG_FOLDERS + 1
