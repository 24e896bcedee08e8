"""Workers as one HTCondor submit description, for access points where no process may keep running.

HTCondor itself keeps the number of workers, by late materialization (HTCondor manual, "Submitting
Lots of Jobs"): of the many jobs of one cluster, `max_materialize` exist at a time, of which
`max_idle` wait. When one leaves the queue, the next is made. What was seen with HTCondor 23.9:

- `condor_qedit CLUSTER JobMaterializeLimit=N` changes the number. With a constraint instead of the
  cluster's number, only the existing jobs are changed, without any effect.
- A completed job that `leave_in_queue` keeps counts as existing, so that its successor waits.
- `condor_rm -constraint` on an attribute of the jobs also ends the making of further jobs.

No I/O.
"""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.workers import CondorWorkers
from wqmaster.factory import ospool
from wqmaster.factory.batch.base import Settings
from wqmaster.factory.batch.condor import Condor, container_lines, quoted
from wqmaster.factory.batch.queue import working_seconds
from wqmaster.factory.plan import WORKER_SCRIPT, PlanRequest, Project, checks
from wqmaster.factory.sizes import worker_size

# The first line of each file, by which a file that may be replaced is recognized.
MARK = "# Workers for wqmaster, written by 'wqmaster factory --submit-file'."
PASSWORD = "password"  # noqa: S105  # the name of the file
# After this time at full use, all workers of a file have been used up.
_LIFETIME_SECONDS = 14 * 86400
# A worker that left since there was no work, or that could not start, keeps its place in the queue
# for this long before the next takes it. So neither a campaign that has ended nor a bad host uses
# up workers quickly.
_PAUSE_WITHOUT_WORK_SECONDS = 3600
_PAUSE_AFTER_FAILURE_SECONDS = 900
# How many files there are for what workers write to standard error.
_ERROR_FILES = 100
_ATTRIBUTE = "WqmasterWorkers"


@dataclass(frozen=True)
class Needs:
    """What the worker program, and the programs that it runs, need from a machine."""

    worker: Path  # the worker program to copy
    password: Path  # the file with the workers' password, to copy
    machine: str = "x86_64"  # its processor, as `uname -m` names it
    glibc: tuple[int, ...] = ()  # the newest glibc that worker or archives need
    paths: tuple[str, ...] = ()  # absolute paths of programs


@dataclass(frozen=True)
class SubmitFile:
    """A submit description, and the commands that use it."""

    file: Path
    text: str
    files: tuple[Path, ...]  # what must be next to it
    owner: str  # the value of the attribute that marks the jobs
    category: str
    most: int
    total: int
    has_project: bool
    host: str | None  # to which workers connect; None if they ask a catalog
    campaign_file: str  # quoted for a shell

    @property
    def constraint(self) -> str:
        """The ClassAd expression that selects the workers."""
        return f"{_ATTRIBUTE} == {quoted(self.owner)}"

    def commands(self, program: str) -> dict[str, list[str]]:
        """The commands, by what they are for; `program` is how wqmaster is called.

        ACCESS-POINT, CLUSTER (the number that condor_submit prints) and N are for the user to
        replace.
        """
        folder = f"wqmaster-{self.owner}"
        waiting = f"{self.constraint} && JobStatus == 1"
        paused = f"{self.constraint} && JobStatus == 4"
        copied = shlex.join(map(str, (self.file, *self.files)))
        return {
            "copy": [
                f"ssh ACCESS-POINT mkdir -m 700 -p {folder}",
                f"scp -p {copied} ACCESS-POINT:{folder}/",
            ],
            "submit": [f"condor_submit {self.file.name}"],
            "watch": ["condor_q -factory", f"condor_q -constraint {shlex.quote(self.constraint)}"],
            "grow": ["condor_qedit CLUSTER JobMaterializeLimit=N"],
            "shrink": [
                "condor_qedit CLUSTER JobMaterializeLimit=N",
                f"condor_rm -constraint {shlex.quote(waiting)}",
            ],
            "wake": [f"condor_rm -constraint {shlex.quote(paused)}"],
            "end": [f"condor_rm -constraint {shlex.quote(self.constraint)}", f"rm {PASSWORD}"],
            "afterwards": [f"{program} factory {self.campaign_file} --rotate-password"],
        }

    def lines(self, program: str) -> list[str]:
        """What to do with the file, for people."""
        what = {
            "copy": "on this computer",
            "submit": f"on the access point, in that folder: {self.most:,} workers",
            "watch": "their number and state",
            "grow": "to N workers",
            "shrink": "to N workers; those that run stay until their wall time ends",
            "wake": "workers return within an hour after a lull; to get them back at once:",
            "end": "all workers, also those that run; and the copy of the password",
            "afterwards": "on this computer: a copy that was left behind is then worthless",
        }
        found = [
            f"wrote {self.file}: up to {self.most:,} workers at a time, {self.total:,} in all, "
            f"in the category {self.category}"
        ]
        for name, commands in self.commands(program).items():
            found.append(f"{name}: {what[name]}")
            found += [f"  {command}" for command in commands]
        return found


def submit_file(
    campaign: Campaign, workers: CondorWorkers, request: PlanRequest, needs: Needs, file: Path
) -> SubmitFile:
    """The submit description `file` for the workers of `campaign`.

    Raises:
        ValueError: the OSPool's rules, or its machines, do not admit such workers.
    """
    category = ospool.category(workers.walltime)
    if category is None or workers.walltime is None:
        raise ValueError(ospool.why_no_category(workers.walltime))
    if workers.max > ospool.MAX_QUEUED_JOBS:
        raise ValueError(
            f"'max: {workers.max}' is above {ospool.MAX_QUEUED_JOBS:,}, the number of jobs that a "
            "user of the OSPool may have without asking"
        )
    if needs.worker.name in (WORKER_SCRIPT.name, PASSWORD, file.name):
        raise ValueError(f"the worker program cannot be named '{needs.worker.name}'; copy it")
    total = workers.max * -(-_LIFETIME_SECONDS // workers.walltime)
    size = worker_size(campaign)
    settings = Condor().settings(workers, size, 1)
    stays = working_seconds(workers.walltime)
    conditions = ospool.requirements(
        workers.requirements,
        image=workers.image,
        glibc=needs.glibc,
        machine=needs.machine,
        paths=needs.paths,
    )
    arguments = [*checks(request, size), "--", *_worker_words(campaign, request, needs, settings)]
    lines = [
        MARK,
        f"# Next to it must be: {WORKER_SCRIPT.name}, {needs.worker.name}, {PASSWORD}.",
        f"executable = {WORKER_SCRIPT.name}",
        f"arguments = {_arguments(arguments)}",
        f"transfer_input_files = {needs.worker.name}, {PASSWORD}",
        "should_transfer_files = YES",
        "when_to_transfer_output = ON_EXIT",
        "# Nothing returns but what a worker says about a problem.",
        'transfer_output_files = ""',
        f"place = $(Process) % {_ERROR_FILES}",
        "error = worker.$(Cluster).$INT(place).err",
        "log = workers.log",
        "",
        f"request_cpus = {size.cores}",
        f"request_memory = {size.memory}MB",
        f"request_disk = {size.disk}MB",
        f"requirements = {' && '.join(conditions)}",
        *container_lines(workers.image),
        *([f"+ProjectName = {quoted(workers.project)}"] if workers.project else []),
        f"# A worker leaves after {stays} s.",
        f"+JobDurationCategory = {quoted(category)}",
        f"+{_ATTRIBUTE} = {quoted(request.factory_id)}",
        f"batch_name = {campaign.campaign}",
        *workers.options,
        "",
        "# A worker whose time is over makes room for the next at once. One that had no work, or",
        "# could not start, keeps its place for a while.",
        f"leave_in_queue = {_pause(stays)}",
        "# A held worker does not recover; one that was interrupted too often would be held.",
        f"periodic_remove = {_useless()}",
        "",
        "# HTCondor itself maintains this number of workers; at most this many wait.",
        f"max_materialize = {workers.max}",
        f"max_idle = {min(workers.max, workers.per_cycle)}",
        f"queue {total}",
    ]
    return SubmitFile(
        file=file,
        text="\n".join(lines) + "\n",
        files=(WORKER_SCRIPT, needs.worker, needs.password),
        owner=request.factory_id,
        category=category,
        most=workers.max,
        total=total,
        has_project=workers.project is not None,
        host=None if isinstance(request.manager, Project) else request.manager.host,
        campaign_file=request.campaign_file,
    )


def _worker_words(
    campaign: Campaign, request: PlanRequest, needs: Needs, settings: Settings
) -> Iterable[str]:
    """The worker's own command line."""
    yield f"./{needs.worker.name}"
    if campaign.engine.ssl:
        yield "--ssl"
    yield from ("--password", PASSWORD)
    # A static worker without /sys would find a single core.
    size = worker_size(campaign)
    yield from ("--cores", str(size.cores), "--memory", str(size.memory), "--disk", str(size.disk))
    yield from ("--timeout", str(settings["timeout"]))
    yield from str(settings["worker-extra-options"]).split()
    if isinstance(request.manager, Project):
        yield from ("-M", request.manager.name, "-C", request.catalog)
    else:
        yield from (request.manager.host, str(request.manager.port))


def _arguments(words: Sequence[str]) -> str:
    """`words` in the new syntax of arguments (condor_submit(1), `arguments`)."""
    shown = []
    for word in words:
        plain = word.replace('"', '""')
        if re.search(r"[\s']", word) or not word:
            plain = "'" + plain.replace("'", "''") + "'"
        shown.append(plain)
    return f'"{" ".join(shown)}"'


def _pause(stays: int) -> str:
    """Whether a completed worker keeps its place: it left early, and not long ago."""
    pause = (
        f"ifThenElse(ExitCode =?= 0, {_PAUSE_WITHOUT_WORK_SECONDS}, {_PAUSE_AFTER_FAILURE_SECONDS})"
    )
    early = f"(CompletionDate - JobCurrentStartDate) < {stays}"
    return f"JobStatus == 4 && {early} && (time() - CompletionDate) < {pause}"


def _useless() -> str:
    held = f"(JobStatus == 5 && (time() - EnteredCurrentStatus) > {_PAUSE_AFTER_FAILURE_SECONDS})"
    return f"{held} || (JobStatus == 1 && NumJobStarts >= {ospool.MAX_STARTS - 1})"
