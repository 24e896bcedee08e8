"""A shell loop as a side of a comparison: `xargs -P` over folders that exist before it starts."""

import os
import re
import resource
import subprocess
import time
from pathlib import Path

from pairs.measured import Measured
from pairs.workloads import Workload

# Runs one job: its folder, then the program with its arguments.
_SCRIPT = 'cd "$1" && shift && exec "$@" > stdout 2> stderr'


def make_folders(workload: Workload, folder: Path) -> list[Path]:
    """Write the files of all jobs; return a folder for each job, in the order of the documents."""
    (folder / "shared").mkdir(parents=True)
    for name, content in workload.shared.items():
        (folder / "shared" / name).write_text(content)
    made = []
    for document in workload.documents:
        place = folder / str(document["_id"])
        place.mkdir()
        (place / workload.file).write_text(workload.content(document))
        made.append(place)
    return made


def read_values(workload: Workload, outputs: list[Path]) -> dict[int, float]:
    """The values in the standard outputs of all jobs, in the order of the documents."""
    pattern = re.compile(workload.pattern)
    pairs = zip(workload.documents, outputs, strict=True)
    return {one["_id"]: float(pattern.findall(path.read_text())[-1]) for one, path in pairs}


class Loop:
    """Measures `xargs -P SLOTS`, which runs the jobs and does nothing else."""

    def __init__(self, workload: Workload, folder: Path, slots: int = 2) -> None:
        self._workload = workload
        self._folder = folder
        self._slots = slots
        self._runs = 0

    def measure(self) -> Measured:
        """Run all jobs. Neither the folders' making nor the values' reading is timed."""
        self._runs += 1
        places = make_folders(self._workload, self._folder / f"loop{self._runs}")
        words = ["xargs", "-P", str(self._slots), "-I{}", "sh", "-c", _SCRIPT, "sh", "{}"]
        words += self._workload.argv
        spent, begun = _cpu_of_children(), time.monotonic()
        subprocess.run(
            words,
            input="".join(f"{place}\n" for place in places),
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        makespan = time.monotonic() - begun
        jobs = len(places)
        return Measured(
            rate=jobs / makespan,
            values=read_values(self._workload, [place / "stdout" for place in places]),
            makespan=makespan,
            cpu_of_workers=1000 * (_cpu_of_children() - spent) / jobs,
        )


def _cpu_of_children() -> float:
    """The CPU time of all children that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
