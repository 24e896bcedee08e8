"""A static worker runs tasks in a root that holds nothing but busybox and the worker.

Neither wqmaster nor Debian ships such a worker. WQMASTER_STATIC_WORKERS names a folder with static
builds of work_queue_worker and vine_worker (docs/workers.md has the recipe).
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.integration.engine_harness import Harness, shell_job
from wqmaster.doctor.ndcctools import protocol, speaks_tls, version
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.taskvine import TaskVineEngine
from wqmaster.engines.work_queue import WorkQueueEngine
from wqmaster.factory.plan import ENGINE_PROGRAMS, WORKER_SCRIPT
from wqmaster.system import credentials, elf

_ENGINES = {"work_queue": WorkQueueEngine, "taskvine": TaskVineEngine}


@pytest.fixture(params=_ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def worker(engine: str) -> Path:
    found = Path(os.environ["WQMASTER_STATIC_WORKERS"]) / ENGINE_PROGRAMS[engine].worker
    if not found.is_file():
        pytest.skip(f"there is no {found}")
    return found


@pytest.fixture
def root(tmp_path: Path, worker: Path) -> Path:
    """A root with busybox, the worker, two devices, and neither /proc, /sys, /etc nor libraries."""
    busybox = shutil.which("busybox")
    if busybox is None or os.geteuid() != 0:
        pytest.skip("busybox is not installed, or this is not root, which chroot(2) needs")
    needs = elf.needs(Path(busybox).resolve())
    if needs is None or not needs.static:
        pytest.skip(f"{busybox} is not static")
    made = tmp_path / "root"
    for name in ("bin", "dev", "tmp", "work"):
        (made / name).mkdir(parents=True)
    shutil.copy(busybox, made / "bin" / "busybox")
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        if name != "busybox":
            (made / "bin" / name).symlink_to("busybox")
    for name, minor in (("null", 3), ("urandom", 9)):  # mem(4), random(4)
        try:
            os.mknod(made / "dev" / name, 0o020666, os.makedev(1, minor))
            (made / "dev" / name).read_bytes() if name == "null" else None
        except PermissionError:
            pytest.skip("device files cannot be made or used here")
    shutil.copy(worker, made / "work")
    shutil.copy(WORKER_SCRIPT, made / "work")
    return made


@contextlib.contextmanager
def working(root: Path, worker: str, *words: str) -> Iterator[None]:
    """A worker in `root`, started as a job of HTCondor starts it, with two cores."""
    command = ["sh", "worker.sh", "-d", "1", "--", f"./{worker}", *words]
    inside = "cd /work && exec " + " ".join(command)
    process = subprocess.Popen(
        ["chroot", str(root), "/bin/sh", "-c", inside],
        env={"PATH": os.environ["PATH"] + ":/bin", "TMPDIR": "/tmp"},  # noqa: S108
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def test_a_static_worker_runs_tasks_with_nothing_but_busybox(
    engine: str, worker: Path, root: Path, tmp_path: Path
) -> None:
    tls = speaks_tls(str(worker), os.environ)
    password = credentials.password(tmp_path)
    shutil.copy(password, root / "work")
    (tmp_path / "logs").mkdir()
    (tmp_path / "tasks").mkdir()
    certificate = credentials.certificate(tmp_path) if tls else None
    manager = _ENGINES[engine](Setting(tmp_path / "logs", password=password, ssl=certificate))
    harness = Harness(manager, tmp_path / "tasks", lambda: 0)
    words = ("--password", "password", *(("--ssl",) if tls else ()))
    size = ("--cores", "2", "--memory", "500", "--disk", "200", "--timeout", "60")
    try:
        with working(root, worker.name, *words, *size, "127.0.0.1", str(manager.port)):
            wait_until(lambda: manager.wait(1) or manager.stats().workers == 1, 30)
            # Without /sys, only --cores tells the worker that two tasks can run at a time.
            waits = "touch /work/$0; until [ -e /work/$1 ]; do sleep 0.1; done; ls / > file"
            for mine, other in (("a", "b"), ("b", "a")):
                script = waits.replace("$0", mine).replace("$1", other)
                harness.submit(mine, shell_job(script, outputs=("file",)))
            harness.wait_for(2)
    finally:
        manager.close()
    for name in ("a", "b"):
        assert harness.returned[name].result == "ok"
        assert harness.outcome(name).steps[0].files["file"].split() == [
            b"bin",
            b"dev",
            b"tmp",
            b"work",
        ]


def test_what_a_static_worker_needs_and_speaks_is_known(worker: Path) -> None:
    needs = elf.needs(worker)
    assert needs is not None
    assert (needs.static, needs.glibc, needs.libraries) == (True, (), ())
    assert version(str(worker), os.environ) is not None
    assert protocol(str(worker), os.environ) is not None
