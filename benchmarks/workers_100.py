"""A hundred real workers at one master: they connect, are seen from everywhere, and leave.

    ./shell python benchmarks/workers_100.py [--engine work_queue|taskvine] [--workers N]

Each worker has one core and a task that waits for a file. While all wait, the master is asked
(`wqmaster status`), a catalog on loopback, and the engine's own status program, which asks that
catalog. Then the file is made, all jobs end, and no worker and no process of them may be left. Ends
with exit code 1 and says what was missing if one of them does not see all the workers. The manager
tells the catalog once a minute, so that this takes as long.
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

PROJECT = "workers-100"
PROGRAMS = {
    "work_queue": ("work_queue_worker", "work_queue_status"),
    "taskvine": ("vine_worker", "vine_status"),
}


def until(what: str, condition: Callable[[], Any], seconds: float = 150.0) -> Any:
    """What `condition` returns, as soon as that is true; prints how long that took."""
    start = time.monotonic()
    while not (found := condition()):
        if time.monotonic() - start > seconds:
            sys.exit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)
    print(f"{time.monotonic() - start:6.1f} s  {what}", flush=True)
    return found


@contextlib.contextmanager
def catalog(folder: Path) -> Iterator[str]:
    """A catalog server on loopback; HOST:PORT."""
    words = ["catalog_server", "--interface", "127.0.0.1", "--name", "localhost"]
    words += ["--update-host", "127.0.0.1", "--history", str(folder), "--lifetime", "180"]
    server: subprocess.Popen[bytes] | None = None
    port = 0

    def listens() -> bool:
        # It takes the next port as well, and ends if one of them is in use.
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
    """A campaign of as many jobs as workers, which wait until the file `go` is there."""
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
    """What the catalog knows of this project."""
    with urllib.request.urlopen(f"http://{address}/query.json", timeout=10) as answer:
        return [entry for entry in json.load(answer) if entry.get("project") == PROJECT]


def below(pid: int) -> dict[int, str]:
    """The descendants of a process: pid -> name of the program."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            name, _, rest = (entry / "stat").read_text().partition(" (")[2].rpartition(") ")
            parents[int(entry.name)], names[int(entry.name)] = int(rest.split()[1]), name
    found: dict[int, str] = {}
    layer = {pid}
    while layer:
        layer = {child for child, parent in parents.items() if parent in layer}
        found |= {child: names[child] for child in layer}
    return found


def run(folder: Path, engine: str, workers: int) -> None:
    """All of it."""
    worker, status = PROGRAMS[engine]
    wqmaster = [sys.executable, "-m", "wqmaster"]
    os.environ["CATALOG_HOST"] = "127.0.0.1"
    with catalog(folder) as address:
        path = write_campaign(folder, engine, workers, address)
        subprocess.run([*wqmaster, "import", path, folder / "documents.jsonl"], check=True)
        master = subprocess.Popen([*wqmaster, "run", path], stdin=subprocess.DEVNULL)

        def asked() -> bool:
            if master.poll() is not None:
                sys.exit(f"the master has ended with exit code {master.returncode}")
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
            family = below(master.pid)
            # The kernel cuts names at 15 characters; a vine_worker has a helper of its name.
            count = sum(name == worker[:15] for name in family.values())
            if count < workers:
                sys.exit(f"only {count} processes are called {worker}")
            until(
                f"catalog: {workers} workers",
                lambda: [entry for entry in listed(address) if entry["workers"] == workers],
            )
            print(f"          {status}: {until(f'{status}: {workers} workers', summarized)}")
            (folder / "go").touch()
            code = until("the master ends", lambda: (master.poll() is not None) and [master.poll()])
            if code != [0]:
                sys.exit(f"the master ended with exit code {code[0]}")
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
            sys.exit("that is not all")


def main() -> None:
    """With what the command line says."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--engine", choices=PROGRAMS, default="work_queue")
    options.add_argument("--workers", type=int, default=100)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        run(Path(folder), asked.engine, asked.workers)


if __name__ == "__main__":
    main()
