"""Run a program that is a manager of TaskVine or Work Queue, with workers, as a side."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pairs.campaign import start_worker, waited
from pairs.measured import Measured


def measured_with_workers(
    words: Sequence[str | Path],
    asked: Mapping[str, Any] | Sequence[Any],
    *,
    jobs: int,
    engine: str,
    port: int,
    folder: Path,
    slots: int,
    environ: Mapping[str, str],
) -> Measured:
    """Run the program `words` with `asked` as JSON on its standard input, and `slots` workers.

    The last line that it prints is JSON: the jobs per second, the makespan in seconds, its CPU time
    in seconds, and pairs of documents and values. It works in `folder`.
    """
    manager = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environ,
        cwd=folder,
    )
    workers = [
        start_worker(engine, port, folder / f"worker{number}", environ=environ)
        for number in range(slots)
    ]
    cpu_of_workers = 0.0
    try:
        said, _ = manager.communicate(json.dumps(asked))
    finally:
        manager.kill()
        for worker in workers:
            worker.kill()
            cpu_of_workers += waited(worker)
    # Work Queue prints warnings before.
    rate, makespan, cpu, values = json.loads(said.splitlines()[-1])
    return Measured(rate, 1000 * cpu / jobs, dict(values), makespan, 1000 * cpu_of_workers / jobs)
