"""What a campaign's factory is to be: its command line and configuration. Pure.

By work_queue_factory.c and vine_factory.c of cctools 7.14.5: what `-C` names can be changed while
the factory runs, and only integers and strings are taken there; any key that it does not know is
passed over in silence. Batch options and wrapper are of the command line alone.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from wqmaster.campaign.models import Campaign, Workers
from wqmaster.factory.batch import condor, local, slurm

# Engine -> its factory, its worker.
PROGRAMS = {
    "work_queue": ("work_queue_factory", "work_queue_worker"),
    "taskvine": ("vine_factory", "vine_worker"),
}
# What is known of each type of workers.
TYPES: Mapping[str, ModuleType] = {"condor": condor, "slurm": slurm, "local": local}
# The keys that the factory reads in the file of `-C`.
KEYS = {
    *("manager-name", "master-name", "foremen-name", "factory-name", "factory-timeout"),
    *("max-workers", "min-workers", "workers-per-cycle", "tasks-per-worker", "capacity"),
    *("cores", "memory", "disk", "gpus", "autosize", "timeout"),
    *("worker-extra-options", "condor-requirements"),
}
WRAPPER = Path(__file__).with_name("worker.sh")
# Seconds after which a worker of this machine without work ends.
IDLE = 3600
# Seconds after which a factory that no master asks for workers ends by itself.
FORGOTTEN = 86400
# MB of a worker, for each of its cores, and on the disk, where the campaign does not say.
MEMORY = 2000
DISK = 4000
# MB without which there is no beginning.
LITTLE = 100
# Variables that go to jobs, where a batch system copies the factory's environment: what the
# submitting commands need, and nothing else, since it is for all to see who can see the queue.
ALLOWED = {
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
class Asked:
    """What a factory is asked for, beside what the campaign says."""

    engine: str  # work_queue or taskvine
    manager: Address | Project
    factory: str  # by which its jobs are known
    catalog: str  # HOST or HOST:PORT
    password: str | None = None  # the file that workers must have, from the factory's folder
    worker: Path | None = None  # the program to send, if it is not the one of this machine
    count: int = 1  # of local workers
    began: int = 0  # seconds since 1970
    here: tuple[str, ...] = ()  # programs that must be on each host
    run: tuple[str, ...] = ()  # those of them that can be run with --version


@dataclass(frozen=True)
class Plan:
    """A factory that can be started."""

    engine: str
    type: str  # of its workers
    factory: str
    manager: str  # in words
    master: str  # the same after "does not find"
    port: int | None  # of the master; None where the catalog knows it
    words: tuple[str, ...]  # the command line, without its folders
    target: tuple[str, ...]  # the last words of it: where the master is
    configuration: Mapping[str, int | str]
    catalog: str
    workers: int  # the most of them
    least: int

    def command(self, configuration: str, scratch: str) -> list[str]:
        """The whole command line, to be run in the factory's folder, where these two are.

        The factory copies the password by a shell command without quotes: a path that a user has
        chosen must not be part of it.
        """
        return [
            *self.words,
            *("--config-file", configuration),
            *("--scratch-dir", scratch),
            *self.target,
        ]

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """What of `environ` the factory gets."""
        if TYPES[self.type].COPIES_ENVIRONMENT:
            environ = {name: value for name, value in environ.items() if name in ALLOWED}
        return {**environ, "CATALOG_HOST": self.catalog}


def cores_of(campaign: Campaign) -> int:
    """The cores of one worker."""
    return campaign.workers.cores or campaign.resources.cores


def slots(campaign: Campaign) -> int:
    """The tasks that a worker runs at a time."""
    workers, resources = campaign.workers, campaign.resources
    room = [cores_of(campaign) // resources.cores]
    if workers.memory and resources.memory:
        room.append(workers.memory // resources.memory)
    if workers.disk and resources.disk:
        room.append(workers.disk // resources.disk)
    return max(1, min(room))


def configuration(campaign: Campaign, count: int) -> dict[str, int | str]:
    """The content of the file for `-C`. `count` is that of local workers."""
    workers, resources = campaign.workers, campaign.resources
    found: dict[str, int | str] = {
        "max-workers": workers.max,
        "min-workers": workers.min,
        # 0 would mean no limit.
        "workers-per-cycle": workers.per_cycle,
        "timeout": workers.timeout,
        "cores": cores_of(campaign),
        # Where it is left out, one-core tasks are asked a worker each.
        "tasks-per-worker": slots(campaign),
        "factory-timeout": FORGOTTEN,
    }
    if workers.type == "local":
        return {
            **found,
            "max-workers": count,
            "min-workers": count,
            "workers-per-cycle": count,
            "timeout": IDLE,
        }
    options = ["--debug-rotate-max=1MB"]
    if workers.walltime:
        # A little before the job itself is ended, so that it can say good-bye.
        seconds = workers.walltime - min(120, workers.walltime // 10)
        options.append(f"--wall-time={seconds}")
    return {
        **found,
        "memory": workers.memory
        or _of_jobs(resources.memory, campaign)
        or MEMORY * cores_of(campaign),
        "disk": workers.disk or _of_jobs(resources.disk, campaign) or DISK,
        "worker-extra-options": " ".join(options),
        **TYPES[workers.type].configuration(workers),
    }


def _of_jobs(each: int | None, campaign: Campaign) -> int:
    return (each or 0) * slots(campaign)


def wrapper(asked: Asked, workers: Workers, disk: int) -> list[str]:
    """The words before the worker's own: worker.sh, with what it has to check."""
    return [
        *TYPES[workers.type].WRAPPER,
        *("-d", str(disk)),
        *(("-t", str(asked.began)) if asked.began else ()),
        *(word for name in asked.here if name not in asked.run for word in ("-p", name)),
        *(word for name in asked.run for word in ("-r", name)),
        "--",
    ]


def plan(campaign: Campaign, asked: Asked) -> Plan:
    """The factory for `campaign`."""
    workers = campaign.workers
    settings = configuration(campaign, asked.count)
    kind = TYPES[workers.type]
    options = kind.batch_options(workers, asked.factory, campaign.campaign)
    disk = workers.disk or _of_jobs(campaign.resources.disk, campaign) or LITTLE
    prefix = wrapper(asked, workers, disk)
    manager = asked.manager
    target: tuple[str, ...]
    if isinstance(manager, Project):
        settings["manager-name"] = manager.name
        target = ("--manager-name", manager.name)
    else:
        target = (manager.host, str(manager.port))
    words = (
        PROGRAMS[asked.engine][0],
        *("--batch-type", workers.type),
        *(("--batch-options", options) if options else ()),
        *("--wrapper", shlex.join(prefix)),
        *("--wrapper-input", str(WRAPPER)),
        *(("--worker-binary", str(asked.worker)) if asked.worker else ()),
        *(("--password", asked.password) if asked.password else ()),
        *(("--ssl",) if campaign.engine.ssl else ()),
        *("--catalog", asked.catalog),
    )
    return Plan(
        engine=asked.engine,
        type=workers.type,
        factory=asked.factory,
        manager=str(manager),
        master=f"a master at {manager}" if isinstance(manager, Address) else str(manager),
        port=manager.port if isinstance(manager, Address) else None,
        words=words,
        target=target,
        configuration=settings,
        catalog=asked.catalog,
        workers=int(settings["max-workers"]),
        least=int(settings["min-workers"]),
    )
