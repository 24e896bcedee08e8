"""Test one master with a hundred real workers: whether they connect, are visible, and leave.

    ./shell python benchmarks/workers_100.py [--engine work_queue|taskvine] [--workers N]

Each worker has one core and a task that waits for a file. While all tasks wait, three sources must
report all workers: the master (`wqmaster status`), a catalog on loopback, and the engine's status
program, which queries that catalog. Then the benchmark creates the file, all jobs end, and no
process may be left. If anything is missing, the exit code is 1, and the message names it. The run
takes about a minute, because the manager updates the catalog once a minute.
"""

import argparse
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from wqmaster.system.processes import descendants, program_name

PROJECT = "workers-100"
PROGRAMS = {
    "work_queue": ("work_queue_worker", "work_queue_status"),
    "taskvine": ("vine_worker", "vine_status"),
}


def until(what: str, condition: Callable[[], Any], seconds: float = 150.0) -> Any:
    """Wait until `condition` returns a true value, print how long that took, and return it."""
    start = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - start > seconds:
            sys.exit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)
    return found


@contextlib.contextmanager
def catalog(folder: Path) -> Iterator[str]:
    """Run a catalog server on loopback within a `with` block; yields HOST:PORT."""
    words = ["catalog_server", "--interface", "127.0.0.1", "--name", "localhost"]
    words += ["--update-host", "127.0.0.1", "--history", str(folder), "--lifetime", "180"]
    server: subprocess.Popen[bytes] | None = None
    port = 0

    def listens() -> bool:
        # The server also uses the port after this one, and exits if either is in use.
        nonlocal server, port
        if server is None or server.poll() is not None:
            port = 20000 + secrets.randbelow(10000)
            server = subprocess.Popen([*words, "--port", str(port)], stdin=subprocess.DEVNULL)
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return server.poll() is None
        return False

    try:
        until("the catalog listens", listens)
        yield f"127.0.0.1:{port}"
    finally:
        if server is not None:
            server.kill()
            server.wait()


def write_campaign(folder: Path, engine: str, workers: int, address: str) -> Path:
    """Write a campaign with one job per worker, each waiting for the file `go`."""
    waits = f"until [ -e {folder}/go ]; do sleep 1; done; echo 4"
    campaign = {
        "campaign": PROJECT,
        "campaign_config": {
            "func_name": "wqmaster.tasks.command.run",
            "job_timeout": 600,
            "args": [
                {
                    "name": "sleep",
                    "command": ["sh", "-c", waits],
                    "parsers": {"stdout": ["number"]},
                }
            ],
            "kwargs": {"mongo_output_key": "waited"},
        },
        "submit": {"query": {"waited.sleep": None}},
        "molecule": {"required": False},
        "engine": {"type": engine, "name": PROJECT, "catalog": address},
        "workers": {"type": "local", "count": workers},
        "resources": {"cores": 1, "memory": 10, "disk": 10},
    }
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(campaign))
    lines = [json.dumps({"_id": number}) for number in range(workers)]
    (folder / "documents.jsonl").write_text("\n".join(lines) + "\n")
    return path


def listed(address: str) -> list[dict[str, Any]]:
    """The catalog's entries for this project."""
    with urllib.request.urlopen(f"http://{address}/query.json", timeout=10) as answer:
        return [entry for entry in json.load(answer) if entry.get("project") == PROJECT]


def run(folder: Path, engine: str, workers: int) -> None:
    """Run the benchmark in `folder`; exits with a message if anything is missing."""
    worker, status = PROGRAMS[engine]
    wqmaster = [sys.executable, "-m", "wqmaster"]
    os.environ["CATALOG_HOST"] = "127.0.0.1"
    with catalog(folder) as address:
        path = write_campaign(folder, engine, workers, address)
        subprocess.run([*wqmaster, "import", path, folder / "documents.jsonl"], check=True)
        master = subprocess.Popen([*wqmaster, "run", path], stdin=subprocess.DEVNULL)

        def asked() -> bool:
            if master.poll() is not None:
                sys.exit(f"the master exited with code {master.returncode}")
            said = subprocess.check_output([*wqmaster, "status", path, "--json"])
            live = json.loads(said)["master"] or {}
            return live.get("workers") == workers and live.get("tasks_running") == workers

        def summarized() -> str:
            said = subprocess.check_output([status, "-C", address], text=True)
            rows = [line.split() for line in said.splitlines()]
            found = [row for row in rows if row and row[0] == PROJECT]
            return " ".join(found[0]) if found and found[0][-1] == str(workers) else ""

        try:
            until(f"wqmaster status: {workers} workers, {workers} running", asked)
            family = descendants(master.pid)
            # A vine_worker's helper has the same name.
            count = sum(program_name(pid) == worker for pid in family)
            if count < workers:
                sys.exit(f"only {count} processes are named {worker}")
            until(
                f"catalog: {workers} workers",
                lambda: [entry for entry in listed(address) if entry["workers"] == workers],
            )
            print(f"          {status}: {until(f'{status}: {workers} workers', summarized)}")
            (folder / "go").touch()
            code = until("the master ends", lambda: (master.poll() is not None) and [master.poll()])
            if code != [0]:
                sys.exit(f"the master exited with code {code[0]}")
        finally:
            if master.poll() is None:
                master.kill()
                master.wait()
        until(
            f"none of {len(family)} processes is left",
            lambda: not any(Path(f"/proc/{pid}").exists() for pid in family),
        )
        said = json.loads(subprocess.check_output([*wqmaster, "status", path, "--json"]))
        print(f"          done {said['done']}, failed {said['failed']}")
        if (said["done"], said["failed"]) != (workers, 0):
            sys.exit(f"not all {workers} jobs are done")


def main() -> None:
    """Run the benchmark with the options from the command line."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--engine", choices=PROGRAMS, default="work_queue")
    options.add_argument("--workers", type=int, default=100)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        run(Path(folder), asked.engine, asked.workers)


if __name__ == "__main__":
    main()
