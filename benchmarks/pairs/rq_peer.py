"""RQ as a side of a comparison, from wqmaster's environment."""

import json
import subprocess
import sys
from pathlib import Path

import psutil

from pairs.measured import Measured
from pairs.servers import free_port, mongod, server
from pairs.workloads import Workload

PEERS = Path(__file__).parents[2] / ".environment" / "peers"
_SIDE = Path(__file__).with_name("rq_side.py")


def require_peers() -> None:
    """End the program with the command that installs the peers, unless they are installed."""
    if not (PEERS / ".made").exists():
        sys.exit(
            f"the peers are not installed; install them: ./shell bash benchmarks/peers.sh {PEERS}"
        )


def peer_jobs(workload: Workload, folder: Path) -> list[dict[str, object]]:
    """The jobs as rq_job.run takes them; makes `folder`, which they run in."""
    (folder / "shared").mkdir(parents=True)
    for name, content in workload.shared.items():
        (folder / "shared" / name).write_text(content)
    return [
        {
            "_id": document["_id"],
            "folder": str(folder),
            "argv": workload.argv,
            "file": workload.file,
            "content": workload.content(document),
            "pattern": workload.pattern,
            "reads": workload.reads,
        }
        for document in workload.documents
    ]


class Rq:
    """Measures RQ with workers that fork for each job ("forking") or do not ("simple")."""

    def __init__(self, workload: Workload, folder: Path, slots: int = 2) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._runs = 0

    def measure(self, worker: str) -> Measured:
        """Run all jobs. The CPU time is that of submitting, collecting and the Redis server."""
        self._runs += 1
        folder = self._folder / f"rq{self._runs}"
        folder.mkdir()
        jobs = peer_jobs(self._workload, folder / "work")
        port = free_port()
        redis = [PEERS / "bin" / "redis-server", "--port", str(port), "--bind", "127.0.0.1"]
        redis += ["--save", "", "--dir", folder]
        lines = "\n".join(map(json.dumps, jobs))
        with mongod(folder / "mongod") as uri, server(redis, port) as pid:
            words = [PEERS / "bin" / "python", _SIDE, str(port), uri, worker, str(self._slots)]
            said = subprocess.run(words, input=lines, stdout=subprocess.PIPE, text=True, check=True)
            times = psutil.Process(pid).cpu_times()
        rate, cpu, values = json.loads(said.stdout)
        cpu += times.user + times.system
        return Measured(rate, 1000 * cpu / len(self._workload.documents), dict(values))
