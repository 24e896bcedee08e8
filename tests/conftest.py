"""Fixtures for all tests: a real mongod, campaign files, the command line as a process."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from pymongo import MongoClient
from xdist.scheduler import LoadScopeScheduling

from tests.warm import WarmCommands
from wqmaster.database.private_server import Mongod

# No test contacts a public catalog.
os.environ["CATALOG_HOST"] = "127.0.0.1"
# Messages are the same inside ./shell and outside.
os.environ.pop("WQMASTER_CALLED_BY", None)

# Tests spend a third of their time waiting for programs, so one more process than cores runs.
_MORE_PROCESSES = 1


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """The number of processes that `-n auto` starts."""
    return len(os.sched_getaffinity(0)) + _MORE_PROCESSES


class _ByFile(LoadScopeScheduling):
    """Runs each file's tests in one process, and all HTCondor tests, which share a pool, in one.

    With pytest 9.2, the groups of pytest-xdist 3.8 have no effect (`--dist loadgroup`).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder, _, _ = file.rpartition("/")
        return folder if folder.endswith("/condor") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Share the files out among the processes, unless something else was asked for."""
    return _ByFile(config, log) if config.getoption("dist") == "loadfile" else None


# With WQMASTER_NO_SKIPS, as in CI, a skipped test counts as a failure, unless it needs something
# that no setup can provide: the real outputs in ../shared, or an old Python.
_ALLOWED = ("shared", "Python")
_refused: list[str] = []
_exit_code = 0


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Remember the tests that were skipped but must not be."""
    if report.skipped and "WQMASTER_NO_SKIPS" in os.environ:
        reason = str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(word in reason for word in _ALLOWED):
            _refused.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember the exit status; let the session fail if a test was skipped that must not be."""
    global _exit_code
    if _refused and not exitstatus:
        session.exitstatus = exitstatus = pytest.ExitCode.TESTS_FAILED
    _exit_code = int(exitstatus)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that were skipped but must not be."""
    for line in _refused:
        terminalreporter.write_line(f"must not be skipped here: {line}", red=True)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After all reports, exit without Python's own cleanup.

    The SWIG module of ndcctools 7.14.5 crashed during that cleanup (in SwigPyObject's destructor,
    after its types were gone) in a process that had used several managers and then SciPy. No run
    of the command line has ever been seen to crash.
    """
    if "ndcctools" in sys.modules and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_code)


WATER = {
    "atomic_numbers": [8, 1, 1],
    "coordinates": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.96], [0.93, 0.0, -0.24]],
}


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true value of `condition()`; raise AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{condition} was not true within {seconds} s"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def mongod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mongod]:
    """A real MongoDB server for the whole session."""
    server = Mongod(tmp_path_factory.mktemp("mongod"))
    server.start()
    yield server
    server.stop()


class Campaigns:
    """Writes campaign files for a test's own database, and fills this database."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.folder = folder
        self.uri = uri
        self.database = f"test_{secrets.token_hex(6)}"
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri, tz_aware=True)
        self.documents = self._client[self.database]["molecules"]
        self.failures = self._client[self.database]["wqmaster.failures"]
        self.history = self._client[self.database]["wqmaster.history"]

    def settings(self, **changes: Any) -> dict[str, Any]:
        """The keys of a campaign `test` of xtb single points, with `changes` at the top level."""
        return {
            "campaign": "test",
            "campaign_config": {
                "func_name": "wqmaster.tasks.xtb.singlepoint",
                "job_timeout": 60,
                "args": [{"name": "gfn2", "parsers": ["energy", "gradient"]}],
                "kwargs": {"mongo_output_key": "xtb"},
            },
            "submit": {"query": {"xtb.gfn2": None}},
            "database": {"uri": self.uri, "name": self.database},
            "engine": "local",
            "workers": {"type": "local", "count": 2},
            # Tests let xtb fail on atoms that are too close.
            "checks": {"closest_atoms": "off"},
            **changes,
        }

    def write(self, text: str | None = None, **changes: Any) -> Path:
        """Write a campaign file, with `text` or the settings with `changes`; return its path."""
        path = self.folder / "campaign.yaml"
        path.write_text(text if text is not None else yaml.safe_dump(self.settings(**changes)))
        return path

    def insert(self, *documents: Mapping[str, Any]) -> None:
        """Insert `documents` into the collection of molecules."""
        self.documents.insert_many([dict(document) for document in documents])

    def waters(self, count: int) -> None:
        """Insert `count` water molecules with ids 1, 2, ..., each slightly different."""
        self.insert(
            *(
                {
                    "_id": number,
                    "atomic_numbers": [8, 1, 1],
                    "coordinates": [
                        [0.0, 0.0, 0.0],
                        [0.01, 0.02, 0.96 + 1e-5 * number],
                        [0.93, 0.003, -0.24],
                    ],
                }
                for number in range(1, count + 1)
            )
        )

    def close(self) -> None:
        """Drop the database."""
        self._client.drop_database(self.database)
        self._client.close()


@pytest.fixture
def campaigns(tmp_path: Path, mongod: Mongod) -> Iterator[Campaigns]:
    """Campaign files in tmp_path, with a new database on the real server."""
    found = Campaigns(tmp_path, mongod.uri)
    yield found
    found.close()


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmCommands]:
    """A process that has imported the command line."""
    found = WarmCommands()
    yield found
    found.close()


def master_of(process: "subprocess.Popen[str]") -> int:
    """The process id of the master: a child of the command `run`, with the same words."""
    command = psutil.Process(process.pid)
    words = command.cmdline()
    found: int = wait_until(
        lambda: next((one.pid for one in command.children() if one.cmdline() == words), None)
    )
    return found


class Cli:
    """Runs the command line as a process; processes that outlive a test are killed."""

    def __init__(self, folder: Path, warm: WarmCommands | None = None) -> None:
        self.folder = folder
        self._warm = warm
        self._processes: list[subprocess.Popen[str]] = []

    def start(
        self, *words: str | Path, env: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[str]":
        """Start `wqmaster WORDS...` in the background."""
        process = subprocess.Popen(
            [sys.executable, "-m", "wqmaster", *map(str, words)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        self._processes.append(process)
        return process

    def run(
        self,
        *words: str | Path,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> tuple[int, str, str]:
        """Run `wqmaster WORDS...`; return its exit code, standard output and standard error.

        Without `env`, the warm process forks, if there is one: some modules, and Python itself,
        read variables when they start. A copy of wqmaster in the folder needs a new process, too.
        """
        if self._warm is not None and env is None and not (self.folder / "wqmaster").exists():
            return self._warm.run(list(map(str, words)), self.folder, os.environ, timeout)
        process = self.start(*words, env=env)
        output, errors = process.communicate(timeout=timeout)
        return process.returncode, output, errors

    def __call__(
        self,
        *words: str | Path,
        code: int | Sequence[int] = 0,
        env: Mapping[str, str] | None = None,
        timeout: float = 120.0,
    ) -> str:
        """Run `wqmaster WORDS...`, which must exit with `code`; return its standard output.

        Standard error is in `self.errors`; it must not contain a traceback.
        """
        found, output, self.errors = self.run(*words, env=env, timeout=timeout)
        allowed = [code] if isinstance(code, int) else code
        assert found in allowed, (found, output, self.errors)
        assert "Traceback" not in self.errors
        return output

    def close(self) -> None:
        """Kill the processes that are still running."""
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()


@pytest.fixture
def cli(tmp_path: Path, warm: WarmCommands) -> Iterator[Cli]:
    """The command line, run in tmp_path."""
    found = Cli(tmp_path, warm)
    yield found
    found.close()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A mounted tmpfs of 64 MB that can be remounted; skips the test if the user may not mount."""
    place = tmp_path / "tmpfs"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64m", "wqmaster-test", str(place)]
    try:
        mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("mount(8) is not installed")
    if mounted.returncode:
        pytest.skip(f"this user may not mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)
