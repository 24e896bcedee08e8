"""Plan a campaign's factory: its command line and its configuration. No I/O.

According to work_queue_factory.c and vine_factory.c in cctools 7.14.5, a factory rereads the
configuration file (`-C`) while it runs. The file holds only integers and strings, and unknown keys
are ignored silently. Batch options and the wrapper can only be set on the command line.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wqmaster.campaign.models import Campaign
from wqmaster.factory.batch.base import BatchSystem, Settings
from wqmaster.factory.batch.registry import batch_system
from wqmaster.factory.demand import Numbers
from wqmaster.factory.sizes import WorkerSize, worker_size


class EnginePrograms(NamedTuple):
    """The ndcctools programs that an engine needs."""

    factory: str
    worker: str


ENGINE_PROGRAMS = {
    "work_queue": EnginePrograms("work_queue_factory", "work_queue_worker"),
    "taskvine": EnginePrograms("vine_factory", "vine_worker"),
}
# The keys that a factory reads in its configuration file (`-C`).
CONFIGURATION_KEYS = {
    *("manager-name", "master-name", "foremen-name", "factory-name", "factory-timeout"),
    *("max-workers", "min-workers", "workers-per-cycle", "tasks-per-worker", "capacity"),
    *("cores", "memory", "disk", "gpus", "autosize", "timeout"),
    *("worker-extra-options", "condor-requirements"),
}
WORKER_SCRIPT = Path(__file__).with_name("worker.sh")
# A factory exits if no master has needed workers for this long.
FACTORY_TIMEOUT_SECONDS = 86400
# The environment variables that a factory keeps if the batch system copies them into jobs: only
# those that the submit commands need, since everyone who can see the queue can see them.
JOB_VARIABLES = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"),
    *("CONDOR_CONFIG", "_CONDOR_SCHEDD_HOST", "_CONDOR_COLLECTOR_HOST"),
    *("X509_USER_PROXY", "BEARER_TOKEN_FILE", "KRB5CCNAME", "XDG_RUNTIME_DIR"),
    *("SLURM_CONF", "SLURM_CLUSTERS"),
    *("MODULEPATH", "MODULESHOME", "LMOD_CMD", "LMOD_DIR", "LMOD_PKG", "LMOD_ROOT"),
}


@dataclass(frozen=True)
class Address:
    """The address on which a master listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Project:
    """The name under which a catalog lists a master."""

    name: str

    def __str__(self) -> str:
        return f"the master '{self.name}'"


@dataclass(frozen=True)
class PlanRequest:
    """Everything that determines a factory besides the campaign file."""

    engine: str  # work_queue or taskvine
    manager: Address | Project
    factory_id: str  # identifies the factory's jobs in the batch system
    catalog: str  # HOST or HOST:PORT
    password: str | None = None  # the password file for workers, relative to the factory's folder
    worker: Path | None = None  # the worker program to send; None: this machine's own
    local_count: int = 1  # the number of workers if they run on this machine
    # When the factory starts, in seconds since 1970. Workers compare their clocks, unless it is 0.
    began: int = 0
    programs_needed: tuple[str, ...] = ()  # programs that must exist on each host
    programs_tried: tuple[str, ...] = ()  # needed programs that are safe to run with --version
    campaign_file: str = "CAMPAIGN"  # the campaign file's path, quoted for a shell


@dataclass(frozen=True)
class Plan:
    """Everything that is needed to start a factory."""

    engine: str
    type: str  # the type of the workers, which names their batch system
    factory_id: str
    manager: str  # the master's address or project, for messages
    master: str  # the manager, worded to follow "the factory cannot find"
    port: int | None  # the master's port; None if workers find it in the catalog
    words: tuple[str, ...]  # the command line, up to the options with folders
    target: tuple[str, ...]  # the end of the command line, which locates the master
    configuration: Mapping[str, int | str]
    catalog: str
    sends_program: bool  # whether the worker program differs from this machine's own
    max_workers: int
    min_workers: int
    campaign_file: str  # the campaign file's path, quoted for a shell, for messages

    @property
    def has_password(self) -> bool:
        """Whether workers need a password."""
        return "--password" in self.words

    @property
    def batch_system(self) -> BatchSystem[Any]:
        """The batch system that runs the workers."""
        return batch_system(self.type)

    def command(self, configuration: str, scratch: str) -> list[str]:
        """The whole command line, to be run in the factory's folder.

        `configuration` and `scratch` are relative to that folder. The factory copies the password
        with an unquoted shell command (F14), so the command must not contain a path that the user
        has chosen.
        """
        return [
            *self.words,
            *("--config-file", configuration),
            *("--scratch-dir", scratch),
            *self.target,
        ]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The part of `environ` that the factory receives."""
        if self.batch_system.copies_environment:
            environ = {name: value for name, value in environ.items() if name in JOB_VARIABLES}
        return {**environ, "CATALOG_HOST": self.catalog}


def configuration(
    campaign: Campaign, system: BatchSystem[Any], size: WorkerSize, local_count: int
) -> Settings:
    """The content of the configuration file (`-C`)."""
    return {
        **system.settings(campaign.workers, size, local_count),
        "cores": size.cores,
        # Without this key, the factory requests one worker for each one-core task.
        "tasks-per-worker": size.slots,
        "factory-timeout": FACTORY_TIMEOUT_SECONDS,
    }


def numbers(campaign: Campaign, local_count: int) -> Numbers:
    """How many workers the factory of `campaign` may have."""
    system = batch_system(campaign.workers.type)
    settings = system.settings(campaign.workers, worker_size(campaign), local_count)
    least, most, cycle = (
        int(settings[name]) for name in ("min-workers", "max-workers", "workers-per-cycle")
    )
    return Numbers(least, most, cycle)


def wrapper(request: PlanRequest, system: BatchSystem[Any], size: WorkerSize) -> list[str]:
    """The command before the worker's own command line: worker.sh with its options."""
    return [*system.wrapper, *checks(request, size), "--"]


def checks(request: PlanRequest, size: WorkerSize) -> list[str]:
    """The options of worker.sh: what it checks before the worker starts."""
    needed, tried = request.programs_needed, request.programs_tried
    return [
        *("-d", str(size.least_disk)),
        *(("-t", str(request.began)) if request.began else ()),
        *(word for name in needed if name not in tried for word in ("-p", name)),
        *(word for name in tried for word in ("-r", name)),
    ]


def plan(campaign: Campaign, request: PlanRequest) -> Plan:
    """The plan of the factory for `campaign`, whose type of workers must have a factory."""
    system, size = batch_system(campaign.workers.type), worker_size(campaign)
    settings = configuration(campaign, system, size, request.local_count)
    options = system.batch_options(campaign.workers, request.factory_id, campaign.campaign)
    manager = request.manager
    target: tuple[str, ...]
    if isinstance(manager, Project):
        settings["manager-name"] = manager.name
        target = ("--manager-name", manager.name)
    else:
        target = (manager.host, str(manager.port))
    words = (
        ENGINE_PROGRAMS[request.engine].factory,
        *("--batch-type", system.name),
        *(("--batch-options", options) if options else ()),
        *("--wrapper", shlex.join(wrapper(request, system, size))),
        *("--wrapper-input", str(WORKER_SCRIPT)),
        *(("--worker-binary", str(request.worker)) if request.worker else ()),
        *(("--password", request.password) if request.password else ()),
        *(("--ssl",) if campaign.engine.ssl else ()),
        *("--catalog", request.catalog),
    )
    return Plan(
        engine=request.engine,
        type=system.name,
        factory_id=request.factory_id,
        manager=str(manager),
        master=f"a master at {manager}" if isinstance(manager, Address) else str(manager),
        port=manager.port if isinstance(manager, Address) else None,
        words=words,
        target=target,
        configuration=settings,
        catalog=request.catalog,
        sends_program=request.worker is not None,
        max_workers=int(settings["max-workers"]),
        min_workers=int(settings["min-workers"]),
        campaign_file=request.campaign_file,
    )
