"""HyperQueue's side of a comparison; runs in the environment that peers.sh makes.

    python hyperqueue_side.py FOLDER SLOTS < jobs

`jobs` is a JSON object with `argv` and `folders`. All tasks are submitted as one job of a
LocalCluster, whose server and workers live in this process; each task runs in its folder and writes
its standard output there. Prints as JSON: the seconds from the submission to the end of the job,
this process's CPU time, and that of the tasks.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig


def main() -> None:
    """Run what the command line says."""
    server, slots = Path(sys.argv[1]), int(sys.argv[2])
    asked = json.load(sys.stdin)
    with LocalCluster(server_dir=str(server)) as cluster:
        for _ in range(slots):
            cluster.start_worker(WorkerConfig(cores=1))
        client = cluster.client()
        cpu, begun = time.process_time(), time.monotonic()
        job = Job(max_fails=0, default_env={"OMP_NUM_THREADS": "1"})
        for folder in asked["folders"]:
            job.program(
                asked["argv"], cwd=folder, stdout=f"{folder}/stdout", stderr=f"{folder}/stderr"
            )
        client.wait_for_jobs([client.submit(job)])
        makespan = time.monotonic() - begun
        cpu = time.process_time() - cpu
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps([makespan, cpu, used.ru_utime + used.ru_stime]))
    sys.stdout.flush()
    os._exit(0)  # the cluster's threads can outlive it


if __name__ == "__main__":
    main()
