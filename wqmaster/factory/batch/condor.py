"""Workers as jobs of HTCondor: lines of the submit file, jobs that are left.

Seen with HTCondor 23.9 and cctools 7.14.5 (batch_queue_condor.c), which writes the submit file.
"""

import re
from pathlib import Path

from wqmaster.campaign.workers import CondorWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.batch.condor_log import CondorEvents
from wqmaster.factory.batch.queue import QueueSystem
from wqmaster.factory.commands import answer
from wqmaster.factory.sizes import WorkerSize

_FACTORY_ATTRIBUTE = "WqmasterFactory"
# In the arguments of a job HTCondor takes ' for its own, and expands $(X), $$(X), $FUNCTION(X).
_NOT_IN_ARGUMENTS = re.compile(r"['\n]|\$\$?\w*\(|\$\$\[")


class Condor(QueueSystem):
    """HTCondor. `getenv = true` in each submit file gives jobs the factory's environment."""

    name = "condor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    how_to_get_commands = "install HTCondor's submitting tools, or run on an access point"
    # `exec`, because a worker that is evicted is told only through the shell that HTCondor started.
    wrapper = ("exec", "sh", "./worker.sh")
    events_report_waiting_jobs = True
    why_jobs_wait = "'condor_q -better-analyze' reports whether any machine can take them"

    def refusal(self, program: str) -> str | None:
        """Why a job's arguments cannot have the name of a program; None if they can."""
        if _NOT_IN_ARGUMENTS.search(program) is None:
            return None
        return (
            f"a job of HTCondor cannot name the program {program!r}: quotes, line ends and $(...) "
            "are its own; name it by another path"
        )

    def settings(self, workers: CondorWorkers, size: WorkerSize, local_count: int) -> Settings:
        """Those that all queues have, and what a machine must have."""
        found = self._settings(workers, size)
        if workers.requirements:
            found["condor-requirements"] = workers.requirements
        return found

    def batch_options(self, workers: CondorWorkers, factory_id: str, campaign: str) -> str:
        r"""The lines that the factory puts before `queue`; it expands `\n` and `\\`."""
        lines = self.submit_lines(workers, factory_id, campaign)
        return "\\n".join(line.replace("\\", "\\\\") for line in lines)

    def submit_lines(self, workers: CondorWorkers, factory_id: str, campaign: str) -> list[str]:
        """The lines of a worker's submit file that wqmaster adds."""
        return [
            # A job on hold would count as a worker that comes, for ever.
            "periodic_remove = (JobStatus == 5)",
            # Else nobody hears what a worker says that fails.
            "output = worker.$(Cluster).out",
            "error = worker.$(Cluster).err",
            f"+{_FACTORY_ATTRIBUTE} = {_quoted(factory_id)}",
            f"batch_name = {campaign}",
            *([f"+ProjectName = {_quoted(workers.project)}"] if workers.project else []),
            *([f"+SingularityImage = {_quoted(workers.image)}"] if workers.image else []),
            *workers.options,
        ]

    def events(self, scratch: Path) -> CondorEvents:
        """What watches the jobs."""
        return CondorEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """The jobs of a factory that are in the queue, or on a machine.

        Raises:
            EngineError: the queue does not answer.
        """
        # 3: removed, and the machine does not answer.
        condition = f"{_of_factory(factory_id)} && JobStatus != 3"
        return answer("condor_q", "-constraint", condition, "-af", "ClusterId").split()

    def remove_jobs(self, factory_id: str) -> None:
        """Take all jobs of a factory from the queue. Their workers are told to end.

        Raises:
            EngineError: the queue does not answer.
        """
        answer("condor_rm", "-constraint", _of_factory(factory_id))


def _quoted(text: str) -> str:
    """A string of HTCondor's language for attributes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _of_factory(factory_id: str) -> str:
    return f"{_FACTORY_ATTRIBUTE} == {_quoted(factory_id)}"
