"""Software that is sent with a job: real archives, URLs and modules, under real shells.

As with TaskVine, each task runs in a folder task.NUMBER of its worker (Work Queue: t.NUMBER).
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from wqmaster.engines.base import RUNNER
from wqmaster.jobs.failures import Failure, FailureClass
from wqmaster.jobs.job import SOFTWARE, SOFTWARE_SCRIPT, Execution, Job, StepOutcome, Supply
from wqmaster.jobs.wire import Archive, pack
from wqmaster.recipe.judgement import _by_exit_code
from wqmaster.tasks.base import SCRIPT

PROGRAM = """#!/bin/sh
# Print the environment.
echo "called $0 with $*"
sibling
echo "libraries $LD_LIBRARY_PATH"
echo "variable ${SOME_DATA-none}"
"""


def make_archive(path: Path, mode: str = "w:gz", program: str = PROGRAM) -> Path:
    """An archive with bin/program, bin/sibling, bin/alias (a link), lib/ and data."""
    tree = path.parent / f"{path.name}.tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    (tree / "lib" / "libsome.so").write_bytes(b"\x7fELF")
    (tree / "bin" / "program").write_text(program)
    (tree / "bin" / "sibling").write_text("#!/bin/sh\necho a sibling\n")
    for name in ("program", "sibling"):
        (tree / "bin" / name).chmod(0o755)
    (tree / "bin" / "alias").symlink_to("../bin/program")
    (tree / "wqmaster.paths").write_text("SOME_DATA=data\nno name=x\n")
    (tree / "data").write_bytes(os.urandom(300_000))
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        tar.add(tree, arcname=".")
    shutil.rmtree(tree)
    return path


def sum_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Worker:
    """A folder with tasks in it, each run by the runner."""

    def __init__(self, folder: Path, shell: tuple[str, ...] = ("sh",)) -> None:
        self.folder = folder
        self.shell = shell
        self.environ = {"PATH": os.environ["PATH"]}
        self._running: list[subprocess.Popen[bytes]] = []
        self._count = 0
        folder.mkdir()

    @property
    def unpacked(self) -> Path:
        return self.folder / "software"

    def start(self, *jobs: Job, archive: Path | None = None, limit: int = 30) -> Path:
        """Start a task of `jobs` and return its sandbox."""
        self._count += 1
        sandbox = self.folder / f"task.{self._count}"
        (sandbox / "shared").mkdir(parents=True)
        shutil.copyfile(RUNNER, sandbox / "runner.sh")
        shutil.copyfile(SCRIPT, sandbox / "shared" / SOFTWARE_SCRIPT)
        (sandbox / "inputs.tar").write_bytes(pack(jobs))
        if archive is not None:
            for supply in jobs[0].supplies:
                (sandbox / "shared" / supply.key).symlink_to(archive)
        self._running.append(
            subprocess.Popen(
                [*self.shell, "runner.sh", "none", str(limit)],
                cwd=sandbox,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        )
        return sandbox

    def end(self, sandbox: Path, job: int = 0) -> StepOutcome:
        """Wait for all tasks and return the last step of one job."""
        for process in self._running:
            assert process.wait(timeout=60) in (0, -signal.SIGKILL)
        with Archive(sandbox / "outputs.tar") as archive:
            return archive.outcome(job).steps[-1]

    def run(self, *jobs: Job, archive: Path | None = None) -> StepOutcome:
        """Run a task of `jobs` and return the last step of the last job."""
        return self.end(self.start(*jobs, archive=archive), len(jobs) - 1)

    def kill(self) -> None:
        """Kill all processes at once, as when a worker gets SIGKILL."""
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running.clear()


# Each of these programs is `sh` on some machines.
SHELLS = (("dash",), ("bash", "--posix"), ("busybox", "sh"))


@pytest.fixture(params=[shell for shell in SHELLS if shutil.which(shell[0])], ids=lambda s: s[0])
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Worker]:
    """A worker whose tasks run under each shell in turn."""
    found = Worker(tmp_path / "worker", request.param)
    yield found
    found.kill()


def test_the_software_of_a_local_engine_is_removed_even_after_a_kill(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, tempfile\n"
        "from wqmaster.engines.local import LocalEngine\n"
        "tempfile.tempdir = sys.argv[1]\n"
        "alive, dead = LocalEngine(1, {}), LocalEngine(1, {})\n"
        "assert len(os.listdir(sys.argv[1])) == 2\n"
        "if sys.argv[2] == 'kill':\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "alive.close()\n"
        "assert len(os.listdir(sys.argv[1])) == 1\n"
        "dead.close()\n"
        "print(os.listdir(sys.argv[1]))\n"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run([*words, "kill"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    done = subprocess.run([*words, "close"], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def job_of(supply: Supply, command: str = "bin/program", *arguments: str) -> Job:
    step = Execution("a", (f"{SOFTWARE}{supply.key}/{command}", *arguments))
    return Job((step,), {}, supplies=(supply,))


def archived(path: Path) -> Supply:
    content = sum_of(path)
    return Supply(f"{content[:16]}-{path.name}", "archive", str(path), content)


def judged(step: StepOutcome) -> Failure:
    failure = _by_exit_code(step)
    assert failure is not None
    return failure


# Compression (a mode of tarfile) -> the program that a worker needs to unpack such an archive.
UNPACKERS = {"w:": "tar", "w:gz": "gzip", "w:bz2": "bzip2", "w:xz": "xz"}


@pytest.mark.parametrize("mode", [mode for mode, tool in UNPACKERS.items() if shutil.which(tool)])
def test_an_archive_is_unpacked_once_and_its_program_finds_its_other_files(
    mode: str, worker: Worker, tmp_path: Path
) -> None:
    path = make_archive(tmp_path / "some.tar", mode)
    supply = archived(path)
    where = worker.unpacked / supply.key
    seen = []
    for command in ("bin/program", "bin/alias"):
        job = job_of(supply, command, "two words", "$HOME")
        step = worker.run(job, job, archive=path)
        assert step.exit_code == 0, step
        assert step.files["stdout"].decode().splitlines() == [
            f"called {where}/{command} with two words $HOME",
            "a sibling",
            f"libraries {where}/lib",
            f"variable {where}/data",
        ]
        seen.append((where / "data").stat().st_ino)
    assert seen[0] == seen[1]
    assert [entry.name for entry in worker.unpacked.iterdir() if entry.is_dir()] == [supply.key]


def test_steps_without_software_are_not_affected_by_it(worker: Worker, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    supply = archived(path)
    shown = Execution("b", ("sh", "-c", 'echo "$PATH|${LD_LIBRARY_PATH-none}"'))
    first = Execution("a", (f"{SOFTWARE}{supply.key}/bin/program",))
    step = worker.run(Job((first, shown), {}, supplies=(supply,)), archive=path)
    assert step.files["stdout"].decode().strip() == f"{os.environ['PATH']}|none"


def test_tasks_that_start_together_unpack_once(worker: Worker, tmp_path: Path) -> None:
    """The archive is a pipe, which the task that holds the lock reads while the others wait."""
    path = make_archive(tmp_path / "some.tar.gz")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    supply = Supply("0123456789abcdef-some", "url", f"file://{pipe}", sum_of(path))
    sandboxes = [worker.start(job_of(supply)) for _ in range(3)]
    wait_until(lambda: list(worker.unpacked.glob(".part.*/unpacked")))
    assert len(list(worker.unpacked.glob(".part.*"))) == 1
    with pipe.open("wb") as file:
        file.write(path.read_bytes())
    for sandbox in sandboxes:
        assert worker.end(sandbox).exit_code == 0
    assert not list(worker.unpacked.glob(".part.*"))
    assert not list(worker.unpacked.glob(".alone.*"))


def test_without_a_lock_each_task_unpacks_and_one_copy_is_kept(
    worker: Worker, tmp_path: Path
) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in reversed(os.environ["PATH"].split(":")):
        if Path(folder).is_dir():
            for entry in Path(folder).iterdir():
                if entry.name != "flock":
                    (tools / entry.name).unlink(missing_ok=True)
                    (tools / entry.name).symlink_to(entry)
    worker.environ["PATH"] = str(tools)
    supply = archived(path)
    sandboxes = [worker.start(job_of(supply), archive=path) for _ in range(3)]
    for sandbox in sandboxes:
        assert worker.end(sandbox).exit_code == 0
    assert [entry.name for entry in worker.unpacked.iterdir() if entry.is_dir()] == [supply.key]


def test_a_partly_unpacked_archive_is_never_used(worker: Worker, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "some.tar", "w:")
    supply = archived(path)
    whole = path.read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # There is no checksum, because checking it would read the whole archive first.
    slow = Supply(supply.key, "archive", str(path), "")
    worker.start(job_of(slow), archive=pipe)
    with pipe.open("wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        wait_until(lambda: list(worker.unpacked.glob(".part.*/unpacked/bin/program")))
        worker.kill()
    assert list(worker.unpacked.glob(".part.*/unpacked/bin/program"))
    assert not (worker.unpacked / supply.key).exists()
    step = worker.run(job_of(supply), archive=path)
    assert step.exit_code == 0
    assert (worker.unpacked / supply.key / "data").stat().st_size == 300_000
    assert not list(worker.unpacked.glob(".part.*"))


def test_an_archive_that_was_altered_in_transit_is_refused(worker: Worker, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    supply = archived(path)
    altered = make_archive(tmp_path / "altered.tar.gz", program="#!/bin/sh\necho other\n")
    failure = judged(worker.run(job_of(supply), archive=altered))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert "differs from the campaign's" in failure.message
    assert not (worker.unpacked / supply.key).exists()


def test_a_truncated_archive_is_refused_and_requested_once_per_task(
    worker: Worker, tmp_path: Path
) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    path.write_bytes(path.read_bytes()[:-5000])
    job = job_of(archived(path))
    sandbox = worker.start(job, job, archive=path)
    for number in range(2):
        failure = judged(worker.end(sandbox, number))
        assert failure.kind is FailureClass.PROGRAM_MISSING
        assert "cannot unpack" in failure.message
    assert not [entry for entry in worker.unpacked.iterdir() if entry.is_dir()]


def test_a_program_that_is_not_in_the_archive_fails_with_a_message(
    worker: Worker, tmp_path: Path
) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    failure = judged(worker.run(job_of(archived(path), "bin/absent"), archive=path))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert "there is no program 'bin/absent'" in failure.message


def test_a_url_is_fetched_once_and_its_checksum_is_verified(worker: Worker, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    good = Supply("good-some.tar.gz", "url", f"file://{path}", sum_of(path))
    bad = Supply("bad-some.tar.gz", "url", f"file://{path}", "0" * 64)
    absent = Supply("absent-some.tar.gz", "url", f"file://{tmp_path}/absent", "")
    assert worker.run(job_of(good)).exit_code == 0
    failure = judged(worker.run(job_of(bad)))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert "differs from the campaign's" in failure.message
    failure = judged(worker.run(job_of(absent)))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert f"cannot fetch file://{tmp_path}/absent" in failure.message
    path.unlink()
    assert worker.run(job_of(good)).exit_code == 0


@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("curl", "wget", "python3")),
    reason="needs curl, wget or python3",
)
def test_a_url_of_a_web_server(worker: Worker, tmp_path: Path) -> None:
    web = tmp_path / "web"
    web.mkdir()
    path = make_archive(web / "some.tar.gz")
    script = (
        "import http.server, socketserver, sys, os\n"
        "os.chdir(sys.argv[1])\n"
        "server = socketserver.TCPServer(('127.0.0.1', 0), http.server.SimpleHTTPRequestHandler)\n"
        "print(server.server_address[1], flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(web)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            url = f"http://127.0.0.1:{port}/some.tar.gz"
            supply = Supply("some-some.tar.gz", "url", url, sum_of(path))
            assert worker.run(job_of(supply)).exit_code == 0
            absent = Supply("absent-some.tar.gz", "url", f"{url}.absent", "")
            failure = judged(worker.run(job_of(absent)))
            assert failure.kind is FailureClass.PROGRAM_MISSING
            assert "cannot fetch" in failure.message
        finally:
            server.kill()


def test_a_pelican_url_needs_its_client(worker: Worker) -> None:
    tools = [shutil.which(name) for name in ("pelican", "osdf", "stashcp")]
    if any(tools):
        worker.environ["PATH"] = "/usr/bin:/bin"
    supply = Supply("some-some.tar.gz", "url", "osdf:///ospool/some.tar.gz", "")
    failure = judged(worker.run(job_of(supply)))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert "cannot fetch osdf:///ospool/some.tar.gz: there is no pelican" in failure.message


def test_preparing_software_does_not_count_as_job_time(worker: Worker, tmp_path: Path) -> None:
    path = make_archive(tmp_path / "some.tar.gz")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    supply = Supply("0123456789abcdef-some", "url", f"file://{pipe}", sum_of(path))
    sandbox = worker.start(job_of(supply), limit=1)
    wait_until(lambda: list(worker.unpacked.glob(".part.*/unpacked")))
    begun = float(Path("/proc/uptime").read_text().split()[0])
    wait_until(lambda: float(Path("/proc/uptime").read_text().split()[0]) > begun + 1.3)
    with pipe.open("wb") as file:
        file.write(path.read_bytes())
    step = worker.end(sandbox)
    assert (step.exit_code, step.timed_out) == (0, False)


# A stand-in for `module load` of Environment Modules, with the same effect and messages.
INIT = """module() {
    case $2 in
        some/1.0)
            PATH=$MODULES_HERE/bin:$PATH
            SOME_DATA="it's $MODULES_HERE/data
of two lines"
            LOADEDMODULES=${LOADEDMODULES:+$LOADEDMODULES:}$2
            export PATH SOME_DATA LOADEDMODULES
            ;;
        silent/*) ;;
        *)
            echo "ERROR: Unable to locate a modulefile for '$2'" >&2
            return 1
            ;;
    esac
}
"""


@pytest.fixture
def modules(worker: Worker, tmp_path: Path) -> Path:
    """A machine whose module some/1.0 provides bin/program."""
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "sh").write_text(INIT)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "program").write_text(
        '#!/bin/sh\necho "$0|$SOME_DATA|$*|$HOME|$PWD|$GIVEN"\n'
    )
    (tmp_path / "bin" / "program").chmod(0o755)
    worker.environ |= {"MODULESHOME": str(tmp_path), "MODULES_HERE": str(tmp_path)}
    return tmp_path


def test_a_module_is_loaded_for_its_step_alone(worker: Worker, modules: Path) -> None:
    supply = Supply("some-module", "module", "some/1.0")
    called = Execution("a", (f"{SOFTWARE}{supply.key}/program", "x"), environment={"GIVEN": "1"})
    after = Execution("b", ("sh", "-c", 'echo "${SOME_DATA-none}"'))
    sandbox = worker.start(*[Job((called, after), {}, supplies=(supply,))] * 2)
    worker.end(sandbox)
    with Archive(sandbox / "outputs.tar") as archive:
        for number in range(2):
            first, second = archive.outcome(number).steps
            assert first.files["stdout"].decode() == (
                f"{modules}/bin/program|it's {modules}/data\nof two lines|x|{sandbox}|"
                f"{sandbox}/{number}.b|1\n"
            )
            assert second.files["stdout"] == b"none\n"


@pytest.mark.parametrize(
    ("module", "command", "why"),
    [
        ("absent/2.0", "program", "Unable to locate a modulefile for 'absent/2.0'"),
        ("some/1.0", "nothing", "the module has no program 'nothing'"),
        ("silent/1", "program", "failed without a message"),
    ],
)
def test_a_missing_module_fails_with_a_message(
    module: str, command: str, why: str, worker: Worker, modules: Path
) -> None:
    failure = judged(worker.run(job_of(Supply("key", "module", module), command)))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert why in failure.message


def test_a_worker_without_modules_lacks_the_program(worker: Worker) -> None:
    failure = judged(worker.run(job_of(Supply("key", "module", "xtb/6.7.1"), "absent")))
    assert failure.kind is FailureClass.PROGRAM_MISSING


def test_a_file_that_cannot_be_written_completely_is_a_failure(
    worker: Worker, tmp_path: Path
) -> None:
    """A limit on file sizes makes tar fail in the middle of a file, as a full disk does."""
    path = make_archive(tmp_path / "some.tar.gz")
    script = tmp_path / "limited"
    script.write_text('#!/bin/sh\nulimit -f 100\nexec "$@"\n')
    script.chmod(0o755)
    worker.shell = (str(script), *worker.shell)
    failure = judged(worker.run(job_of(archived(path)), archive=path))
    assert failure.kind is FailureClass.PROGRAM_MISSING
    assert not [entry for entry in worker.unpacked.iterdir() if entry.is_dir()]
