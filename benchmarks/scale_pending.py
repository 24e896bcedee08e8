"""Measure how a run begins, and how much memory its master takes, with many documents.

    ./shell python benchmarks/scale_pending.py [--documents 10000,100000,1000000] [--jobs 400]

For each number, a database gets as many documents of one small molecule, of which the first 90 %
have results, so that a run has to pass all of them. 10,000,000 documents need 10 GB of disk and
about 20 minutes to be inserted. `wqmaster status` is timed while no master runs. Then a run with
two workers computes the first of the remaining documents with xtb, and is stopped.

Times count from the start of the command: until its manager listens, until the first task is in the
engine, and until its result is in the database. The memory is the peak of the master's own process
(VmHWM), without its collectors and the database.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from typing import Any

import pymongo
import yaml
from pairs.campaign import listens, start_worker, waited
from pairs.measured import spread
from pairs.processes import master_of, peak_mb
from pairs.servers import free_port, mongod
from pairs.workloads import xtb

from wqmaster.campaign.loading import load
from wqmaster.jobs.molecule import from_document
from wqmaster.recipe.resolving import resolve

SHARE_DONE = 0.9
_WQMASTER = [sys.executable, "-m", "wqmaster"]
_INSERTED_AT_ONCE = 5000
_POLL_SECONDS = 0.02
_STATUS_RUNS = 3
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Began:
    """How a run began; times in seconds from the start of the command."""

    listens: float
    first_task: float
    first_result: float
    peak_mb: float
    cpu: float  # seconds of CPU time of the master and its collectors
    wrong: int  # results that differ from those of the other documents with the same molecule


def write_campaign(folder: Path, uri: str, engine: str, port: int) -> Path:
    """Write the campaign file; return its path."""
    campaign = {
        "campaign": "bench",
        "campaign_config": {
            "func_name": "wqmaster.tasks.xtb.singlepoint",
            "args": [{"name": "gfn2", "parsers": ["energy"]}],
            "kwargs": {"mongo_output_key": "xtb"},
        },
        "submit": {"query": {"xtb.gfn2": None}},
        "database": {"uri": uri},
        "engine": {"type": engine, "port": port},
        "workers": {"type": "none"},
        "resources": {"cores": 1, "memory": 100, "disk": 100},
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def documents(count: int, campaign: Path) -> Iterator[dict[str, Any]]:
    """Yield documents; the first 90 % have results that fit the campaign and the molecule."""
    recipe = resolve(load(campaign), runs=False)
    molecule = dict(min(xtb(100).documents, key=lambda one: len(one["atomic_numbers"])))
    found = from_document({"_id": 0, **molecule}, recipe.loaded.campaign.molecule)
    run = {
        "recipe": recipe.steps[0].hash,
        "molecule": found.fingerprint,
        "computed": found.parts(recipe.fields),
        "campaign": "bench",
        "program": "xtb",
        "program_version": "6.7.1",
        "attempt": 1,
        "finished": datetime.now(UTC),
    }
    result = {"xtb": {"gfn2": {"energy": -1.0, "_run": run}}}
    done = round(count * SHARE_DONE)
    for number in range(count):
        yield {**molecule, "_id": number, **(result if number < done else {})}


def time_status(campaign: Path) -> tuple[list[float], list[float]]:
    """How many seconds `wqmaster status` takes each time, and of which CPU time.

    Raises:
        RuntimeError: it fails.
    """
    taken, cpu = [], []
    for _ in range(_STATUS_RUNS):
        begun = time.monotonic()
        words = [*_WQMASTER, "status", campaign, "--json"]
        command = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        cpu.append(waited(command))
        taken.append(time.monotonic() - begun)
        if command.returncode != 0:
            raise RuntimeError(f"status ended with {command.returncode}")
    return taken, cpu


def begin(campaign: Path, collection: Any, engine: str, port: int, jobs: int, done: int) -> Began:
    """Run the campaign until `jobs` of the documents from number `done` on have results.

    Raises:
        RuntimeError: the run ended, or took too long.
    """
    folder = campaign.parent
    running = folder / "bench.run" / "spool" / "running"
    begun = time.monotonic()
    command = subprocess.Popen(
        [*_WQMASTER, "run", campaign, "--quiet"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    listening = first_task = first_result = peak = 0.0
    workers: list[subprocess.Popen[bytes]] = []
    query = {"_id": {"$gte": done}, "xtb.gfn2": {"$ne": None}}
    found = 0
    try:
        while found < jobs:
            time.sleep(_POLL_SECONDS)
            now = time.monotonic() - begun
            if command.poll() is not None or now > _TIMEOUT_SECONDS:
                raise RuntimeError(f"only {found} jobs after {now:.0f} s")
            if not workers and listens(port):
                listening = now
                password = folder / "bench.run" / "password"
                workers = [
                    start_worker(engine, port, folder / f"worker{number}", password)
                    for number in range(2)
                ]
            if not first_task and running.is_dir() and any(running.iterdir()):
                first_task = now
            if first_task:
                found = collection.count_documents(query, limit=jobs)
            if found and not first_result:
                first_result = now
            peak = max(peak, peak_mb(master_of(command.pid)))
        command.send_signal(signal.SIGTERM)
        cpu = waited(command)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        if command.returncode is None:
            command.kill()
            command.wait()
    energies = [one["xtb"]["gfn2"]["energy"] for one in collection.find(query)]
    wrong = sum(abs(energy - energies[0]) > 1e-8 for energy in energies)
    return Began(listening, first_task, first_result, peak, cpu, wrong)


def measure(
    count: int, folder: Path, engine: str, jobs: int
) -> tuple[tuple[list[float], list[float]], Began]:
    """The times of `status`, and how a run began, with `count` documents."""
    folder.mkdir()
    port = free_port()
    with mongod(folder / "mongod") as uri, pymongo.MongoClient[dict[str, Any]](uri) as client:
        collection = client["wqmaster"]["molecules"]
        campaign = write_campaign(folder, uri, engine, port)
        for some in batched(documents(count, campaign), _INSERTED_AT_ONCE):
            collection.insert_many(some, ordered=False)
        taken = time_status(campaign)
        done = round(count * SHARE_DONE)
        return taken, begin(campaign, collection, engine, port, min(jobs, count - done), done)


def main() -> None:
    """Run what the command line says."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--documents", default="10000,100000,1000000")
    options.add_argument("--jobs", type=int, default=400, help="how many to compute; default: 400")
    options.add_argument("--engine", choices=("taskvine", "work_queue"), default="taskvine")
    options.add_argument("--folder", type=Path, help="where the database is; default: /tmp")
    asked = options.parse_args()
    print(
        "| documents | `status`, s | its CPU, s | manager listens, s | first task, s | "
        "first result, s | master's peak, MB | CPU of master and collectors, s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        flush=True,
    )
    for count in map(int, asked.documents.split(",")):
        with tempfile.TemporaryDirectory(prefix="wqmaster-bench-", dir=asked.folder) as made:
            taken, began = measure(count, Path(made) / "run", asked.engine, asked.jobs)
        if began.wrong:
            sys.exit(f"{began.wrong} results are wrong")
        cells = [
            f"{count:,}",
            *map(spread, taken),
            *(f"{value:.2f}" for value in (began.listens, began.first_task, began.first_result)),
        ]
        cells += [f"{began.peak_mb:.1f}", f"{began.cpu:.1f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
