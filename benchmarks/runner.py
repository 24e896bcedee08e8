"""Measure the processor time that the runner takes for each job, without a worker or a manager.

    ./shell python benchmarks/runner.py [--jobs 1,50] [--bytes 0,200000] [--rounds N] [--folder F]

A job prints a line, or a line and BYTES of text, with `cat`. A loop of the shell that only runs the
same programs is measured in turn. F is the folder in which both work: the file system counts, since
each job makes and removes files (default: the temporary folder; /dev/shm is a tmpfs).
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pairs.measured import spread

from wqmaster.engines.base import RUNNER
from wqmaster.jobs import wire
from wqmaster.jobs.job import Execution, Job

_TIME_LIMIT_SECONDS = "60"
_LOOP = (
    'job=0; while [ "$job" -lt "$1" ]; do'
    ' (cd -P "$job.one" && exec cat value.txt ../shared/text.txt) > "$job:out" 2> "$job:err";'
    " job=$((job + 1)); done"
)


def _cpu_ms(words: Sequence[str], folder: Path) -> float:
    """The processor time of a command and of all that it starts, in ms."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A group of processes, as a worker makes one for each task.
    subprocess.run(words, cwd=folder, check=True, start_new_session=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return 1000 * spent


def _one_round(jobs: int, size: int, place: Path) -> tuple[float, float]:
    """The times of the runner and of the loop, in ms per job."""
    job = Job(
        (Execution("one", ("cat", "value.txt", "../shared/text.txt")),), {"value.txt": b"1\n"}
    )
    with tempfile.TemporaryDirectory(prefix="wqmaster-bench-", dir=place) as made:
        folder = Path(made)
        (folder / "shared").mkdir()
        (folder / "shared" / "text.txt").write_bytes(b"x" * size)
        (folder / "inputs.tar").write_bytes(wire.pack([job] * jobs))
        shutil.copyfile(RUNNER, folder / "runner.sh")
        runner = _cpu_ms(["sh", "runner.sh", "none", _TIME_LIMIT_SECONDS], folder)
        with wire.Archive(folder / "outputs.tar") as archive:
            for number in range(jobs):
                (step,) = archive.outcome(number).steps
                if step.exit_code or len(step.files["stdout"]) != size + 2:
                    raise RuntimeError(f"job {number} has failed: {step}")
        for number in range(jobs):
            (folder / f"{number}.one").mkdir(exist_ok=True)
            (folder / f"{number}.one" / "value.txt").write_bytes(b"1\n")
        loop = _cpu_ms(["sh", "-c", _LOOP, "sh", str(jobs)], folder)
    return runner / jobs, loop / jobs


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--jobs", default="1,50", help="jobs per task; default: %(default)s")
    parser.add_argument("--bytes", default="0,200000", help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    asked = parser.parse_args()
    print("| jobs per task | bytes | runner, ms per job | loop, ms per job | difference |")
    print("| --- | --- | --- | --- | --- |")
    for jobs in map(int, asked.jobs.split(",")):
        for size in map(int, asked.bytes.split(",")):
            found = [_one_round(jobs, size, asked.folder) for _ in range(asked.rounds)]
            runner, loop = zip(*found, strict=True)
            own = statistics.median(one - other for one, other in found)
            print(
                f"| {jobs} | {size} | {spread(runner)} | {spread(loop)} | {own:.2f} |", flush=True
            )


if __name__ == "__main__":
    main()
