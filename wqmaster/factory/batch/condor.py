"""Workers as jobs of HTCondor: lines of the submit file, and leftover jobs.

Tested with HTCondor 23.9 and cctools 7.14.5, which writes the submit file (batch_queue_condor.c).
"""

import re
from pathlib import Path

from wqmaster.campaign.workers import CondorWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.batch.condor_log import CondorEvents
from wqmaster.factory.batch.queue import QueueSystem
from wqmaster.factory.commands import answer
from wqmaster.factory.sizes import WorkerSize

_CATEGORY_HOURS = {"Medium": 10, "Long": 20}
_FACTORY_ATTRIBUTE = "WqmasterFactory"
# In the arguments of a job HTCondor interprets ' and expands $(X), $$(X), $FUNCTION(X).
_NOT_IN_ARGUMENTS = re.compile(r"['\n]|\$\$?\w*\(|\$\$\[")


class Condor(QueueSystem):
    """HTCondor. `getenv = true` in each submit file gives jobs the factory's environment."""

    name = "condor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    how_to_get_commands = "install HTCondor's submit tools, or run on an access point"
    # `exec`, because an eviction signals only the shell that HTCondor started.
    wrapper = ("exec", "sh", "./worker.sh")
    events_report_waiting_jobs = True
    why_jobs_wait = "'condor_q -better-analyze' shows whether any machine can run them"

    def refusal(self, program: str) -> str | None:
        """Why a job's arguments cannot contain the name of a program; None if they can."""
        if _NOT_IN_ARGUMENTS.search(program) is None:
            return None
        return (
            f"a job of HTCondor cannot name the program {program!r}: HTCondor interprets single "
            "quotes, line breaks and $(...); use another path"
        )

    def settings(self, workers: CondorWorkers, size: WorkerSize, local_count: int) -> Settings:
        """The settings that all queues have, and the requirements on machines."""
        found = self._settings(workers, size)
        if workers.requirements:
            found["condor-requirements"] = workers.requirements
        return found

    def batch_options(self, workers: CondorWorkers, factory_id: str, campaign: str) -> str:
        r"""The lines that the factory puts before `queue`; it expands `\n` and `\\`."""
        lines = self.submit_lines(workers, factory_id, campaign)
        return "\\n".join(line.replace("\\", "\\\\") for line in lines)

    def submit_lines(self, workers: CondorWorkers, factory_id: str, campaign: str) -> list[str]:
        """The lines that wqmaster adds to a worker's submit file."""
        return [
            # A held job would forever count as a worker that is about to start.
            "periodic_remove = (JobStatus == 5)",
            # Without these, the output of a failing worker is lost.
            "output = worker.$(Cluster).out",
            "error = worker.$(Cluster).err",
            f"+{_FACTORY_ATTRIBUTE} = {_quoted(factory_id)}",
            f"batch_name = {campaign}",
            *([f"+ProjectName = {_quoted(workers.project)}"] if workers.project else []),
            *_container(workers.image),
            *_duration_category(workers.walltime),
            *workers.options,
        ]

    def events(self, scratch: Path) -> CondorEvents:
        """The watcher of the jobs."""
        return CondorEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """The jobs of a factory that are in the queue or on a machine.

        Raises:
            EngineError: the queue does not respond.
        """
        # 3: removed, but the machine does not respond.
        condition = f"{_of_factory(factory_id)} && JobStatus != 3"
        return answer("condor_q", "-constraint", condition, "-af", "ClusterId").split()

    def remove_jobs(self, factory_id: str) -> None:
        """Remove all jobs of a factory from the queue. Their workers are told to exit.

        Raises:
            EngineError: the queue does not respond.
        """
        answer("condor_rm", "-constraint", _of_factory(factory_id))


def _container(image: str | None) -> list[str]:
    """The lines that run a worker in a container.

    An unpacked image, a folder such as those on CVMFS, is named in the OSPool's own attribute. Any
    other image is a `container_image` of HTCondor's container universe ("Container Universe Jobs"
    in its manual). The factory states another universe earlier; the later statement counts.
    """
    if image is None:
        return []
    if image.startswith("/") and not image.endswith(".sif"):
        return [f"+SingularityImage = {_quoted(image)}"]
    return ["universe = container", f"container_image = {image}"]


def _duration_category(walltime: int | None) -> list[str]:
    """The line that states the OSPool's duration category; other pools ignore it.

    A job of a category is expected to end within the hours stated here, and held after twice as
    many (OSG's user documentation, "Job Duration Categories").
    """
    for category, hours in _CATEGORY_HOURS.items():
        if walltime is not None and walltime <= hours * 3600:
            return [f"+JobDurationCategory = {_quoted(category)}"]
    return []


def _quoted(text: str) -> str:
    """A string literal of HTCondor's ClassAd language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _of_factory(factory_id: str) -> str:
    return f"{_FACTORY_ATTRIBUTE} == {_quoted(factory_id)}"
