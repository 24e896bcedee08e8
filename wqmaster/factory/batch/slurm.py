"""Workers as jobs of SLURM: words of sbatch, the files of each worker, jobs that are left.

By cctools 7.14.5 (batch_queue_cluster.c): jobs run in the factory's scratch folder, which all nodes
must see, by a script that notes in slurm.status.JOB when it began and how it ended.
"""

import getpass
import shlex
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import Workers
from wqmaster.factory.commands import answer
from wqmaster.factory.folders import Folders

PROGRAMS = ("sbatch", "squeue", "scancel")
# No `exec`: the script around it is to note how the worker ended. SLURM tells all processes of a
# job when it is to end.
WRAPPER = ("sh", "./worker.sh", "-o")
# sbatch --export=ALL, and the command itself travels in the environment.
COPIES_ENVIRONMENT = True
# Nothing tells of jobs that wait: the factory's own count is to be asked.
TELLS_IDLE = False
ASK = (
    "'squeue --me --start' tells when they will begin; if they run, their nodes do not see the "
    "campaign's folder"
)


def _name(factory: str) -> str:
    return f"wqmaster-{factory}"


def batch_options(workers: Workers, factory: str, campaign: str) -> str:
    """The words for `-B`, after those of the factory: of two alike, sbatch takes the last."""
    words = [
        f"--job-name={_name(factory)}",
        f"--comment={campaign}",
        *([f"--account={workers.project}"] if workers.project else []),
        *([f"--partition={workers.partition}"] if workers.partition else []),
        *([f"--time={-(-workers.walltime // 60)}"] if workers.walltime else []),
    ]
    for option in workers.options:
        words += shlex.split(option)
    return shlex.join(words)  # the factory calls sbatch through a shell


def configuration(workers: Workers) -> dict[str, Any]:
    """What only SLURM has, for `-C`: nothing."""
    return {}


class Events(Folders):
    """Reads what the jobs leave in the scratch folder."""

    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended, and its exit code where it is known."""
        try:
            text = (self.scratch / f"slurm.status.{worker}").read_text()
        except OSError:
            return True, None  # the factory has seen its end, and removed the file
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "stop" and words[1].isdigit():
                return True, int(words[1])
        return False, None


def jobs(factory: str) -> list[str]:
    """The jobs of a factory that wait or run.

    Raises:
        EngineError: SLURM does not answer.
    """
    user = getpass.getuser()
    return answer("squeue", "-h", f"--user={user}", f"--name={_name(factory)}", "-o", "%A").split()


def remove(factory: str) -> None:
    """End all jobs of a factory.

    Raises:
        EngineError: SLURM does not answer.
    """
    answer("scancel", f"--user={getpass.getuser()}", f"--name={_name(factory)}")
