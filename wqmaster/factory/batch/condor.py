"""Workers as HTCondor jobs: the lines of their submit files, and the removal of jobs.

Tested with HTCondor 23.9 and cctools 7.14.5, which writes the submit file (batch_queue_condor.c).
"""

import re
from pathlib import Path

from wqmaster.campaign.workers import CondorWorkers
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.batch.condor_log import CondorEvents
from wqmaster.factory.batch.queue import QueueSystem
from wqmaster.factory.commands import answer
from wqmaster.factory.ospool import category
from wqmaster.factory.sizes import WorkerSize

_FACTORY_ATTRIBUTE = "WqmasterFactory"
# In a job's arguments, HTCondor interprets ' and expands $(X), $$(X), $$[X] and $FUNCTION(X).
_NOT_IN_ARGUMENTS = re.compile(r"['\n]|\$\$?\w*\(|\$\$\[")


class Condor(QueueSystem):
    """HTCondor, whose jobs get the factory's environment (`getenv = true` in each submit file)."""

    name = "condor"
    commands = ("condor_submit", "condor_q", "condor_rm")
    how_to_get_commands = "install HTCondor's submit tools, or run on an access point"
    # `exec` is needed, since an eviction signals only the process that HTCondor has started.
    wrapper = ("exec", "sh", "./worker.sh")
    events_report_waiting_jobs = True
    why_jobs_wait = "'condor_q -better-analyze' shows whether any machine can run them"

    def refusal(self, program: str) -> str | None:
        """Why a job's arguments cannot contain the name `program`; None if they can."""
        if _NOT_IN_ARGUMENTS.search(program) is None:
            return None
        return (
            f"a job of HTCondor cannot name the program {program!r}: HTCondor interprets single "
            "quotes, line breaks and $(...); use another path"
        )

    def settings(self, workers: CondorWorkers, size: WorkerSize, local_count: int) -> Settings:
        """The settings common to all queues, and the requirements on machines."""
        found = self._settings(workers, size)
        if workers.requirements:
            found["condor-requirements"] = workers.requirements
        return found

    def batch_options(self, workers: CondorWorkers, factory_id: str, campaign: str) -> str:
        r"""The lines that the factory writes before `queue`; it expands `\n` and `\\`."""
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
            f"+{_FACTORY_ATTRIBUTE} = {quoted(factory_id)}",
            f"batch_name = {campaign}",
            *([f"+ProjectName = {quoted(workers.project)}"] if workers.project else []),
            *container_lines(workers.image),
            *_duration_category(workers.walltime),
            *workers.options,
        ]

    def events(self, scratch: Path) -> CondorEvents:
        """The watcher of the jobs that a factory with this scratch folder has submitted."""
        return CondorEvents(scratch)

    def jobs(self, factory_id: str) -> list[str]:
        """The ids of a factory's jobs that are in the queue or on a machine.

        Raises:
            EngineError: the queue does not respond.
        """
        # In status 3 a job is removed, but its machine does not respond, so waiting for it is
        # useless.
        condition = f"{_of_factory(factory_id)} && JobStatus != 3"
        return answer("condor_q", "-constraint", condition, "-af", "ClusterId").split()

    def remove_jobs(self, factory_id: str) -> None:
        """Remove all of a factory's jobs from the queue; HTCondor tells their workers to exit.

        Raises:
            EngineError: the queue does not respond.
        """
        answer("condor_rm", "-constraint", _of_factory(factory_id))


def container_lines(image: str | None) -> list[str]:
    """The submit file's lines that run a worker in the container `image`; none without an image.

    An unpacked image (a folder, such as those on CVMFS) goes into an attribute of the OSPool. Any
    other image is a `container_image` for HTCondor's container universe ("Container Universe Jobs"
    in the HTCondor manual). This universe replaces the one that the factory states earlier in the
    submit file.
    """
    if image is None:
        return []
    if image.startswith("/") and not image.endswith(".sif"):
        return [f"+SingularityImage = {quoted(image)}"]
    return ["universe = container", f"container_image = {image}"]


def _duration_category(walltime: int | None) -> list[str]:
    """The submit file's line with the OSPool's duration category, which other pools ignore.

    Without a wall time, or above the longest category, there is no such line.
    """
    found = category(walltime)
    return [f"+JobDurationCategory = {quoted(found)}"] if found else []


def quoted(text: str) -> str:
    """`text` as a string literal in HTCondor's ClassAd language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _of_factory(factory_id: str) -> str:
    return f"{_FACTORY_ATTRIBUTE} == {quoted(factory_id)}"
