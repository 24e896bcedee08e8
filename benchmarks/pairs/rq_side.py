"""RQ's side of a comparison; runs in the environment that peers.sh makes.

    python rq_side.py REDIS_PORT MONGO_URI WORKER SLOTS < jobs

The workers run the jobs and read their values, as RQ's users do. The jobs are submitted in bulk,
and one collector fetches results in bulk and writes them to the database in bulk. Prints as JSON:
the rate from the first stored results to the last, this process's CPU time, and the values.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import batched
from pathlib import Path
from typing import Any

import pymongo
import redis
import rq
from rq.registry import FinishedJobRegistry
from rq.results import Result
from rq.serializers import DefaultSerializer
from rq_job import run

_BATCH_JOBS = 500
_POLL_SECONDS = 0.05
_WORKER_CLASSES = {"forking": "rq.Worker", "simple": "rq.SimpleWorker"}


def submit(queue: rq.Queue, jobs: Sequence[dict[str, Any]]) -> None:
    """Put all jobs into the queue."""
    for some in batched(jobs, _BATCH_JOBS):
        queue.enqueue_many(
            [rq.Queue.prepare_data(run, (one,), job_id=str(one["_id"])) for one in some]
        )


def collect(queue: rq.Queue, collection: Any, jobs: int) -> tuple[float, int, float]:
    """Store all results: when the first were stored, how many these were, when the last were."""
    registry = FinishedJobRegistry(queue=queue)
    connection = queue.connection
    begun: tuple[float, int] | None = None
    stored = 0
    while stored < jobs:
        names = registry.get_job_ids(0, _BATCH_JOBS - 1, cleanup=False)
        if not names:
            time.sleep(_POLL_SECONDS)
            continue
        pipe = connection.pipeline(transaction=False)
        for name in names:
            pipe.xrevrange(Result.get_key(name), "+", "-", count=1)
        changes = []
        for name, [(number, payload)] in zip(names, pipe.execute(), strict=True):
            found = Result.restore(
                name, number.decode(), payload, connection, DefaultSerializer
            ).return_value
            change = {"$set": {"bench.one": found}}
            changes.append(pymongo.UpdateOne({"_id": int(name)}, change))
        collection.bulk_write(changes, ordered=False)
        pipe = connection.pipeline(transaction=False)
        pipe.zrem(registry.key, *names)
        pipe.delete(*(f"rq:job:{name}" for name in names), *map(Result.get_key, names))
        pipe.execute()
        stored += len(names)
        begun = begun or (time.monotonic(), stored)
    assert begun is not None  # noqa: S101  # there were jobs
    return *begun, time.monotonic()


def main() -> None:
    """Run what the command line says."""
    port, uri, kind, slots = sys.argv[1:]
    jobs = [json.loads(line) for line in sys.stdin]
    for job in jobs:
        job["pattern"] = job["pattern"].encode()
    queue = rq.Queue(connection=redis.Redis(port=int(port)))
    collection: Any = pymongo.MongoClient(uri)["wqmaster"]["molecules"]
    collection.insert_many([{"_id": one["_id"]} for one in jobs])
    here = str(Path(__file__).parent)
    words = [sys.executable, "-m", "rq.cli", "worker", "--url", f"redis://127.0.0.1:{port}"]
    words += ["--worker-class", _WORKER_CLASSES[kind], "--logging_level", "ERROR"]
    workers = [
        subprocess.Popen(
            words,
            cwd=here,
            env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
        )
        for _ in range(int(slots))
    ]
    try:
        while len(rq.Worker.all(queue=queue)) < int(slots):
            time.sleep(0.1)
        cpu = time.process_time()
        submit(queue, jobs)
        begun, first, ended = collect(queue, collection, len(jobs))
        cpu = time.process_time() - cpu
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    values = {one["_id"]: one["bench"]["one"]["value"] for one in collection.find()}
    print(json.dumps([(len(jobs) - first) / (ended - begun), cpu, list(values.items())]))


if __name__ == "__main__":
    main()
