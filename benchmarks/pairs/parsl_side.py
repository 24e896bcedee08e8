"""Parsl's side of a comparison; runs in the environment that peers.sh makes.

    python parsl_side.py taskvine|work_queue PORT FOLDER < jobs

`jobs` is a list of jobs in JSON, as of rq_job.run. Workers connect to PORT. As Parsl's users do, a
function runs the job on the worker and reads its values there; only these return. The first jobs
run twice, first untimed, so that the workers' start does not count. Prints as JSON: the jobs' rate
from the first result to the last, the seconds from the first submission to the last result, this
process's CPU time (with the process that submits, which Parsl starts), and the values.
"""

import json
import os
import resource
import sys
import time
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

import parsl
from parsl.config import Config
from parsl.executors.taskvine import TaskVineExecutor, TaskVineManagerConfig
from parsl.executors.workqueue.executor import WorkQueueExecutor
from rq_job import run


def executor(kind: str, port: int) -> Any:
    """Parsl's executor of this kind, without workers."""
    if kind == "taskvine":
        return TaskVineExecutor(
            worker_launch_method="manual",
            manager_config=TaskVineManagerConfig(port=port, address="127.0.0.1", shared_fs=True),
        )
    return WorkQueueExecutor(port=port, address="127.0.0.1", provider=None, shared_fs=True)


def cpu_time() -> float:
    """The CPU time of this process and of its children that live or have ended, in seconds."""
    import psutil

    own = psutil.Process()
    times = [one.cpu_times() for one in (own, *own.children(recursive=True))]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(one.user + one.system for one in times) + used.ru_utime + used.ru_stime


def main() -> None:
    """Run what the command line says."""
    kind, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    jobs = json.load(sys.stdin)
    for job in jobs:
        job["pattern"] = job["pattern"].encode()
    config = Config(executors=[executor(kind, port)], run_dir=str(folder), usage_tracking=0)
    with parsl.load(config):
        app = parsl.python_app(run)
        for future in [app(job) for job in jobs[:2]]:
            future.result()
        cpu, begun = cpu_time(), time.monotonic()
        futures = {app(job): job["_id"] for job in jobs}
        values = []
        first = 0.0
        for future in as_completed(futures):
            values.append((futures[future], future.result()["value"]))
            first = first or time.monotonic()
        ended = time.monotonic()
        cpu = cpu_time() - cpu
        rate = (len(jobs) - 1) / (ended - first)
        print(json.dumps([rate, ended - begun, cpu, values]), flush=True)
    os._exit(0)  # Work Queue can end the interpreter at its exit


if __name__ == "__main__":
    main()
