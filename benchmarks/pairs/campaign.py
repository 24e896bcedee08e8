"""wqmaster's side of a comparison: a campaign with workers that the benchmark starts."""

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import yaml

from pairs.measured import Measured
from pairs.relay import Relay
from pairs.servers import free_port, mongod
from pairs.workloads import Workload

WORKERS = {"taskvine": "vine_worker", "work_queue": "work_queue_worker"}
# How often the database is asked how many jobs are done.
_POLL_SECONDS = 0.1
# The state of a listening socket in /proc/net/tcp (proc(5), net/tcp_states.h of Linux).
_LISTENS = "0A"
# How many jobs a campaign has that measures the set-up.
_FEW_JOBS = 2
_PARSERS = '''
from wqmaster import reads

@reads("stdout")
def value(output):
    """The number behind the word value."""
    for line in output.text.splitlines():
        if line.startswith("value "):
            return float(line.split()[1])
    raise output.missing("of the value")
'''


def write_campaign(workload: Workload, folder: Path, uri: str, settings: dict[str, Any]) -> Path:
    """Write the campaign file of a workload, and what it names; return its path."""
    for name, content in workload.shared.items():
        (folder / name).write_text(content)
    (folder / "bench_parsers.py").write_text(_PARSERS)
    step = {"func_name": "wqmaster.tasks.command.run", **workload.step}
    campaign = {
        "campaign": "bench",
        "campaign_config": {
            "func_name": step.pop("func_name"),
            "job_timeout": 600,
            "args": [step],
            "kwargs": {"mongo_output_key": "bench"},
        },
        "submit": {"query": {"bench.one": None}},
        "database": {"uri": uri},
        "resources": {"cores": 1, "memory": 100, "disk": 100},
        **settings,
    }
    if "atomic_numbers" not in workload.documents[0]:
        campaign["molecule"] = {"required": False}
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


@dataclass(frozen=True)
class _Run:
    """What one run of a campaign took."""

    rate: float  # jobs per second, from the first stored result to the last
    makespan: float  # seconds from the start of the workers to the last stored result
    cpu: float  # seconds of CPU time of the command: master and collectors
    cpu_of_workers: float  # seconds, with the programs that they started
    values: dict[int, float]
    to_manager: int = 0  # bytes from the workers, if they connect through a relay
    from_manager: int = 0


def listens(port: int) -> bool:
    """Whether a process listens on `port`; connecting would count as a worker's try."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENS and words[1].endswith(f":{port:04X}"):
                return True
    return False


def waited(process: "subprocess.Popen[bytes]") -> float:
    """Wait for a process; the CPU time of it and of those that it waited for, in seconds."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _once(
    workload: Workload,
    folder: Path,
    engine: str,
    slots: int,
    more: dict[str, Any],
    megabits: float | None,
) -> _Run:
    """Run a campaign with its own database and workers.

    `more` are further settings of the campaign file. With `megabits`, workers connect through a
    relay of that speed.

    Raises:
        RuntimeError: the command ended before all jobs were done.
    """
    folder.mkdir()
    port = free_port()
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(mongod(folder / "mongod"))
        client = stack.enter_context(pymongo.MongoClient[dict[str, Any]](uri))
        relay = None if megabits is None else stack.enter_context(Relay(port, megabits))
        documents = client["wqmaster"]["molecules"]
        documents.insert_many([dict(document) for document in workload.documents])
        settings = {
            "engine": {"type": engine, "port": port},
            "workers": {"type": "none"},
            **more,
        }
        path = write_campaign(workload, folder, uri, settings)
        words = [sys.executable, "-m", "wqmaster", "run", path, "--quiet"]
        quiet = subprocess.DEVNULL
        command = subprocess.Popen(words, stdin=quiet, stdout=quiet)
        workers: list[subprocess.Popen[bytes]] = []
        password = folder / "bench.run" / "password"
        begun: tuple[float, int] | None = None
        launched = ended = cpu_of_workers = 0.0
        count = 0
        try:
            while count < len(workload.documents):
                time.sleep(_POLL_SECONDS)
                if not workers and listens(port):
                    launched = time.monotonic()
                    workers = [
                        start_worker(
                            engine,
                            relay.port if relay else port,
                            folder / f"worker{number}",
                            password,
                        )
                        for number in range(slots)
                    ]
                count = documents.count_documents({"bench.one": {"$ne": None}})
                ended = time.monotonic()
                if count and begun is None:
                    begun = ended, count
                if command.poll() is not None and count < len(workload.documents):
                    raise RuntimeError(f"wqmaster ended with {command.returncode} at {count} jobs")
            cpu = waited(command)
        finally:
            for worker in workers:
                worker.kill()
                cpu_of_workers += waited(worker)
            if command.returncode is None:
                command.kill()
                command.wait()
        assert begun is not None  # noqa: S101  # all jobs are done
        key = "energy" if "gfn" in workload.step else "value"
        values = {one["_id"]: one["bench"]["one"][key] for one in documents.find()}
    rate = (count - begun[1]) / max(ended - begun[0], _POLL_SECONDS)
    passed = (relay.to_manager, relay.from_manager) if relay else (0, 0)
    return _Run(rate, ended - launched, cpu, cpu_of_workers, values, *passed)


def start_worker(
    engine: str,
    port: int,
    folder: Path,
    password: Path | None = None,
    environ: dict[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a worker with one core, which works in `folder`."""
    folder.mkdir()  # the worker empties it
    words = [WORKERS[engine], "--cores", "1", "--memory", "2000", "--disk", "2000"]
    words += ["--password", str(password)] if password is not None else []
    words += ["--workdir", str(folder), "127.0.0.1", str(port)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, env=environ)


class Campaign:
    """Measures campaigns of one workload.

    `settings` are further settings of the campaign file. With `megabits`, workers connect through
    a relay, which passes so many per second toward the manager.
    """

    def __init__(
        self,
        workload: Workload,
        folder: Path,
        slots: int = 2,
        settings: dict[str, Any] | None = None,
        megabits: float | None = None,
    ) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._settings = settings or {}
        self._megabits = megabits
        self._runs = 0
        # What a campaign of two jobs takes, by engine and bundle.
        self._set_up: dict[tuple[str, int | str], _Run] = {}

    def measure(self, engine: str, bundle: int | str) -> Measured:
        """Run all jobs; CPU time and bytes that are spent without jobs (set-up) do not count."""
        jobs = len(self._workload.documents)
        if (engine, bundle) not in self._set_up:
            few = self._workload.first(_FEW_JOBS)
            self._set_up[engine, bundle] = self._run(few, engine, bundle)
        before = self._set_up[engine, bundle]
        ran = self._run(self._workload, engine, bundle)
        more = jobs - _FEW_JOBS
        return Measured(
            rate=ran.rate,
            cpu=1000 * (ran.cpu - before.cpu) / more,
            values=ran.values,
            makespan=ran.makespan,
            cpu_of_workers=1000 * ran.cpu_of_workers / jobs,
            bytes_to_manager=(ran.to_manager - before.to_manager) / more,
            bytes_from_manager=(ran.from_manager - before.from_manager) / more,
        )

    def _run(self, workload: Workload, engine: str, bundle: int | str) -> _Run:
        self._runs += 1
        more = {"bundle": bundle, **self._settings}
        folder = self._folder / str(self._runs)
        return _once(workload, folder, engine, self._slots, more, self._megabits)
