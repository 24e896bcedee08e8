"""What a campaign's factory is to be: its command line and configuration. Pure.

By work_queue_factory.c and vine_factory.c of cctools 7.14.5: what `-C` names can be changed while
the factory runs, and only integers and strings are taken there; any key that it does not know is
passed over in silence. Batch options and wrapper are of the command line alone.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from wqmaster.campaign.models import Campaign
from wqmaster.factory.batch.base import BatchSystem, Settings
from wqmaster.factory.batch.registry import batch_system
from wqmaster.factory.sizes import WorkerSize, worker_size


class EnginePrograms(NamedTuple):
    """The programs of ndcctools that an engine of it needs."""

    factory: str
    worker: str


ENGINE_PROGRAMS = {
    "work_queue": EnginePrograms("work_queue_factory", "work_queue_worker"),
    "taskvine": EnginePrograms("vine_factory", "vine_worker"),
}
# The keys that the factory reads in the file of `-C`.
CONFIGURATION_KEYS = {
    *("manager-name", "master-name", "foremen-name", "factory-name", "factory-timeout"),
    *("max-workers", "min-workers", "workers-per-cycle", "tasks-per-worker", "capacity"),
    *("cores", "memory", "disk", "gpus", "autosize", "timeout"),
    *("worker-extra-options", "condor-requirements"),
}
WORKER_SCRIPT = Path(__file__).with_name("worker.sh")
# After which a factory that no master asks for workers ends by itself.
FACTORY_TIMEOUT_SECONDS = 86400
# Variables that go to jobs, where a batch system copies the factory's environment: what the
# submitting commands need, and nothing else, since it is for all to see who can see the queue.
JOB_VARIABLES = {
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"),
    *("CONDOR_CONFIG", "_CONDOR_SCHEDD_HOST", "_CONDOR_COLLECTOR_HOST"),
    *("X509_USER_PROXY", "BEARER_TOKEN_FILE", "KRB5CCNAME", "XDG_RUNTIME_DIR"),
    *("SLURM_CONF", "SLURM_CLUSTERS"),
    *("MODULEPATH", "MODULESHOME", "LMOD_CMD", "LMOD_DIR", "LMOD_PKG", "LMOD_ROOT"),
}


@dataclass(frozen=True)
class Address:
    """Where a master listens."""

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
    """What a factory is to be, beside what the campaign says."""

    engine: str  # work_queue or taskvine
    manager: Address | Project
    factory_id: str  # by which its jobs are known
    catalog: str  # HOST or HOST:PORT
    password: str | None = None  # the file that workers must have, from the factory's folder
    worker: Path | None = None  # the program to send, if it is not the one of this machine
    local_count: int = 1  # workers, if they are of this machine
    began: int = 0  # seconds since 1970
    programs_needed: tuple[str, ...] = ()  # that must be on each host
    programs_tried: tuple[str, ...] = ()  # those of them that can be run with --version


@dataclass(frozen=True)
class Plan:
    """A factory that can be started."""

    engine: str
    type: str  # of its workers: the name of their batch system
    factory_id: str
    manager: str  # in words
    master: str  # the same after "does not find"
    port: int | None  # of the master; None where the catalog knows it
    words: tuple[str, ...]  # the command line, without its folders
    target: tuple[str, ...]  # the last words of it: where the master is
    configuration: Mapping[str, int | str]
    catalog: str
    sends_program: bool  # a worker that is not the one of this machine
    max_workers: int
    min_workers: int

    @property
    def batch_system(self) -> BatchSystem[Any]:
        """Where its workers run."""
        return batch_system(self.type)

    def command(self, configuration: str, scratch: str) -> list[str]:
        """The whole command line, to be run in the factory's folder, where these two are.

        The factory copies the password by a shell command without quotes (F14): a path that a user
        has chosen must not be part of it.
        """
        return [
            *self.words,
            *("--config-file", configuration),
            *("--scratch-dir", scratch),
            *self.target,
        ]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What of `environ` the factory gets."""
        if self.batch_system.copies_environment:
            environ = {name: value for name, value in environ.items() if name in JOB_VARIABLES}
        return {**environ, "CATALOG_HOST": self.catalog}


def configuration(
    campaign: Campaign, system: BatchSystem[Any], size: WorkerSize, local_count: int
) -> Settings:
    """The content of the file for `-C`."""
    return {
        **system.settings(campaign.workers, size, local_count),
        "cores": size.cores,
        # Where it is left out, one-core tasks are asked a worker each.
        "tasks-per-worker": size.slots,
        "factory-timeout": FACTORY_TIMEOUT_SECONDS,
    }


def wrapper(request: PlanRequest, system: BatchSystem[Any], size: WorkerSize) -> list[str]:
    """The words before the worker's own: worker.sh, with what it has to check."""
    needed, tried = request.programs_needed, request.programs_tried
    return [
        *system.wrapper,
        *("-d", str(size.least_disk)),
        *(("-t", str(request.began)) if request.began else ()),
        *(word for name in needed if name not in tried for word in ("-p", name)),
        *(word for name in tried for word in ("-r", name)),
        "--",
    ]


def plan(campaign: Campaign, request: PlanRequest) -> Plan:
    """The factory for `campaign`, whose workers a factory sends out."""
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
    )
