"""Measure one master with up to 10,000 simulated workers that return 100 results per second.

    ./shell python benchmarks/scale_workers.py [--workers 100,1000,10000] [--rate 100]
        [--seconds 300] [--bytes 20000]

The workers are simulated by one process (pairs/simulated_workers.py), which speaks Work Queue's
protocol on one connection for each worker, and answers each task after a while with an archive as
runner.sh makes it. Master, collectors and database are real. Tasks have one job, whose document has
a number that nothing else has; the job returns it with 20 KB of text.

The tasks begin when all workers are connected, or after two minutes. CPU times are those of SECONDS
from then on. Latencies count from the moment at which a worker announces its result, and from that
at which it has written the archive to its socket, until the result is seen in the database, which
is asked every 50 ms. At the end, every document must have its own number. The limit of open files
(`ulimit -Hn`) must exceed WORKERS.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pymongo
from pairs.campaign import listens, waited, write_campaign
from pairs.processes import master_of, peak_mb
from pairs.servers import free_port, mongod
from pairs.workloads import nothing

_SIMULATOR = Path(__file__).parent / "pairs" / "simulated_workers.py"
_POLL_SECONDS = 0.05
_START_TIMEOUT_SECONDS = 120.0
# How long to wait for workers that connect, and for results after the measured time.
_CONNECT_TIMEOUT_SECONDS = 120.0
_REST_TIMEOUT_SECONDS = 600.0


@dataclass
class Heard:
    """What the simulated workers report; a thread adds to it."""

    connected: int = 0
    refused: int = 0
    left: int = 0
    # Document -> when its result was announced, and when its archive was sent.
    returned: dict[int, tuple[float, float]] = field(default_factory=dict)
    repeated: int = 0

    def listen(self, lines: Any) -> None:
        """Take note of all lines until the process ends."""
        for line in lines:
            word, *rest = line.split()
            if word == "connected":
                self.connected = int(rest[0])
            elif word == "returned":
                key = int(float(rest[0]))
                self.repeated += key in self.returned
                self.returned[key] = float(rest[1]), float(rest[2])
            elif word == "left":
                self.left += 1
            else:
                self.refused += 1


@dataclass(frozen=True)
class Result:
    """What was measured with one number of workers."""

    connected: int  # workers, when the measured time began
    connecting: float  # seconds that they took
    rate: float  # results per second, in the measured time
    master: float  # cores, in the measured time
    collectors: float  # cores, in the measured time
    peak_mb: float  # of the master
    announced: Sequence[float]  # latencies in seconds
    sent: Sequence[float]
    problems: Sequence[str]


def quantile(values: Sequence[float], percent: int) -> float:
    """The percentile of `values`, which need not be sorted."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _processes(command: int) -> tuple[psutil.Process, list[psutil.Process]]:
    """The master, which the command forks, and its collectors."""
    master = psutil.Process(master_of(command))
    alive = [one for one in master.children() if one.status() != psutil.STATUS_ZOMBIE]
    return master, [one for one in alive if "collector" in " ".join(one.cmdline())]


def _spent(processes: Sequence[psutil.Process]) -> float:
    """The CPU time of processes, in seconds."""
    times = [one.cpu_times() for one in processes]
    return sum(one.user + one.system for one in times)


class Watch:
    """Notes when results are seen in the database."""

    def __init__(self, collection: Any, heard: Heard) -> None:
        self._collection = collection
        self._heard = heard
        self.committed: dict[int, float] = {}

    def look(self) -> None:
        """Ask for the results that have returned and were not seen yet."""
        waiting = [key for key in list(self._heard.returned) if key not in self.committed]
        query = {"_id": {"$in": waiting}, "bench.one": {"$ne": None}}
        found = [one["_id"] for one in self._collection.find(query, {"_id": 1})]
        self.committed |= dict.fromkeys(found, time.time())


def measure(folder: Path, workers: int, rate: float, seconds: float, size: int) -> Result:
    """Run a campaign with this number of workers.

    Raises:
        RuntimeError: the command ended early.
    """
    jobs = round(rate * seconds) + workers
    documents = tuple({"_id": number, "x": number + 0.5} for number in range(jobs))
    workload = replace(nothing(1), documents=documents)
    folder.mkdir()
    port = free_port()
    with mongod(folder / "mongod") as uri, pymongo.MongoClient[dict[str, Any]](uri) as client:
        collection = client["wqmaster"]["molecules"]
        collection.insert_many([dict(one) for one in documents])
        settings = {
            "engine": {"type": "work_queue", "port": port},
            "workers": {"type": "none"},
            "bundle": 1,
            "resources": {"cores": 1, "memory": 10, "disk": 10},
        }
        path = write_campaign(workload, folder, uri, settings)
        command = subprocess.Popen(
            [sys.executable, "-m", "wqmaster", "run", path, "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        simulator: subprocess.Popen[str] | None = None
        try:
            _until(lambda: listens(port), command, _START_TIMEOUT_SECONDS)
            words = [sys.executable, _SIMULATOR, str(port), folder / "bench.run" / "password"]
            words += [str(workers), str(workers / rate), str(size)]
            simulator = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            heard = Heard()
            threading.Thread(target=heard.listen, args=(simulator.stdout,), daemon=True).start()
            return _observe(command, simulator, heard, collection, workers, seconds, jobs)
        finally:
            for process in (simulator, command):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()


def _observe(
    command: "subprocess.Popen[bytes]",
    simulator: "subprocess.Popen[str]",
    heard: Heard,
    collection: Any,
    workers: int,
    seconds: float,
    jobs: int,
) -> Result:
    watch = Watch(collection, heard)
    begun = time.monotonic()
    _until(lambda: heard.connected >= workers, command, _CONNECT_TIMEOUT_SECONDS, watch)
    connected, connecting = heard.connected, time.monotonic() - begun
    assert simulator.stdin is not None  # noqa: S101  # a pipe
    simulator.stdin.write("go\n")
    simulator.stdin.flush()
    master, collectors = _processes(command.pid)
    cpu, cpu_of_collectors = _spent([master]), _spent(collectors)
    before, start, started = len(watch.committed), time.monotonic(), time.time()
    _until(lambda: time.monotonic() - start > seconds, command, seconds + 60, watch)
    took = time.monotonic() - start
    cpu = _spent([master]) - cpu
    cpu_of_collectors = _spent(collectors) - cpu_of_collectors
    peak = peak_mb(master.pid)
    rate = (len(watch.committed) - before) / took
    ended = time.time()
    _until(lambda: len(watch.committed) >= jobs, command, seconds + _REST_TIMEOUT_SECONDS, watch)
    if len(watch.committed) == jobs:
        waited(command)
    measured = [
        (watch.committed[key], *times)
        for key, times in heard.returned.items()
        if started <= times[0] < ended and key in watch.committed
    ]
    return Result(
        connected,
        connecting,
        rate,
        cpu / took,
        cpu_of_collectors / took,
        peak,
        [seen - announced for seen, announced, _ in measured],
        [seen - sent for seen, _, sent in measured],
        _problems(collection, heard, jobs),
    )


def _problems(collection: Any, heard: Heard, jobs: int) -> list[str]:
    """What is lost or wrong, as sentences."""
    found = []
    documents = list(collection.find({"bench.one": {"$ne": None}}))
    right = sum(
        one["bench"]["one"]["value"] == one["x"] and one["bench"]["one"]["_run"]["attempt"] == 1
        for one in documents
    )
    if right != len(documents):
        found.append(f"{len(documents) - right:,} documents have another value than their own")
    lost = len(heard.returned.keys() - {one["_id"] for one in documents})
    if lost:
        found.append(f"{lost:,} results that returned are not stored")
    late = jobs - len(heard.returned)
    if late:
        found.append(f"{late:,} of {jobs:,} results did not return in time")
    failed = collection.database["wqmaster.failures"].count_documents({})
    for count, what in (
        (failed, "failed attempts"),
        (heard.repeated, "results that returned again"),
        (heard.refused, "refused connections"),
    ):
        if count:
            found.append(f"{count:,} {what}")
    return found


def _until(
    condition: Callable[[], bool],
    command: "subprocess.Popen[bytes]",
    most: float,
    watch: Watch | None = None,
) -> None:
    """Wait until `condition` is true, for `most` seconds, and watch the results meanwhile.

    Raises:
        RuntimeError: the command ended before.
    """
    until = time.monotonic() + most
    while not condition() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        if watch is not None:
            watch.look()
        if command.poll() is not None and not condition():
            raise RuntimeError(f"wqmaster ended with {command.returncode}")


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--workers", default="100,1000,10000")
    options.add_argument("--rate", type=float, default=100.0, help="results per second")
    options.add_argument("--seconds", type=float, default=300.0, help="measured time")
    options.add_argument("--bytes", type=int, default=20_000, help="text in each output")
    asked = options.parse_args()
    print(
        "| workers | connected | after, s | results/s | master, cores | collectors, cores | "
        "master's peak, MB | announced to stored, s: 50 %, 99 % | sent to stored, s: 50 %, 99 % | "
        "load |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    bad = False
    for workers in map(int, asked.workers.split(",")):
        with tempfile.TemporaryDirectory(prefix="wqmaster-bench-") as made:
            found = measure(Path(made) / "run", workers, asked.rate, asked.seconds, asked.bytes)
        cells = [f"{workers:,}", f"{found.connected:,}", f"{found.connecting:.1f}"]
        cells.append(f"{found.rate:.1f}")
        cells += [f"{found.master:.3f}", f"{found.collectors:.3f}", f"{found.peak_mb:.0f}"]
        for latencies in (found.announced, found.sent):
            cells.append(f"{quantile(latencies, 50):.2f}, {quantile(latencies, 99):.2f}")
        cells.append(f"{os.getloadavg()[0]:.1f}")
        print("| " + " | ".join(cells) + " |", flush=True)
        for problem in found.problems:
            bad = True
            print(f"{workers:,} workers: {problem}", flush=True)
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
