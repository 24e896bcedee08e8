"""Workers as SLURM jobs: the options for sbatch, each worker's files, and the removal of jobs.

In cctools 7.14.5 (batch_queue_cluster.c), a job runs in the factory's scratch folder, which all
nodes must see. The job's script records its start and its exit code in slurm.status.JOB.
"""

import getpass
import shlex
from pathlib import Path

from wqmaster.campaign.workers import SlurmWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.batch.queue import QueueSystem
from wqmaster.factory.commands import answer
from wqmaster.factory.folders import WorkerFolders
from wqmaster.factory.sizes import WorkerSize


class SlurmEvents(WorkerFolders):
    """Watches the jobs through their files in the scratch folder."""

    def end(self, worker: str, folder: Path) -> tuple[bool, int | None]:
        """Whether a worker has ended, and its exit code (None if unknown)."""
        try:
            text = (self.scratch / f"slurm.status.{worker}").read_text()
        except OSError:
            return True, None  # the factory noticed the end and removed the file
        for line in text.splitlines():
            words = line.split()
            if len(words) == 3 and words[0] == "stop" and words[1].isdigit():
                return True, int(words[1])
        return False, None


class Slurm(QueueSystem):
    """SLURM, whose jobs get the factory's environment (`--export=ALL`), including their command."""

    name = "slurm"
    commands = ("sbatch", "squeue", "scancel")
    how_to_get_commands = "install SLURM's client tools, or run on a login node"
    # No `exec`, because the script around worker.sh must record how the worker ended. SLURM signals
    # all processes of a job that must end, so the worker receives the signal anyway.
    wrapper = ("sh", "./worker.sh", "-o")
    events_report_waiting_jobs = False
    why_jobs_wait = (
        "'squeue --me --start' shows when they will start; if they are running, their nodes do not "
        "see the campaign's folder"
    )

    def settings(self, workers: SlurmWorkers, size: WorkerSize, local_count: int) -> Settings:
        """The settings common to all queues."""
        return self._settings(workers, size)

    def batch_options(self, workers: SlurmWorkers, factory_id: str, campaign: str) -> str:
        """The options that follow the factory's own; if one is repeated, sbatch takes the last."""
        words = [
            f"--job-name={_job_name(factory_id)}",
            f"--comment={campaign}",
            *([f"--account={workers.project}"] if workers.project else []),
            *([f"--partition={workers.partition}"] if workers.partition else []),
            *([f"--time={-(-workers.walltime // 60)}"] if workers.walltime else []),
        ]
        for option in workers.options:
            words += shlex.split(option)
        return shlex.join(words)  # the factory calls sbatch through a shell

    def events(self, scratch: Path) -> SlurmEvents:
        """The watcher of the jobs that a factory with this scratch folder has submitted."""
        return SlurmEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """The ids of a factory's jobs that wait or run.

        Raises:
            EngineError: SLURM does not respond.
        """
        name = f"--name={_job_name(factory_id)}"
        return answer("squeue", "-h", f"--user={getpass.getuser()}", name, "-o", "%A").split()

    def remove_jobs(self, factory_id: str) -> None:
        """End all of a factory's jobs.

        Raises:
            EngineError: SLURM does not respond.
        """
        answer("scancel", f"--user={getpass.getuser()}", f"--name={_job_name(factory_id)}")


def _job_name(factory_id: str) -> str:
    return f"wqmaster-{factory_id}"
