"""The size of a worker, and how many tasks it runs at a time. No I/O."""

from dataclasses import dataclass

from wqmaster.campaign.models import Campaign
from wqmaster.campaign.task_sizes import MEMORY_PER_CORE_MB
from wqmaster.campaign.workers import BatchWorkers

# The default disk for a whole worker.
DISK_MB = 4000
# How much free disk a worker needs to start, by default.
LEAST_DISK_MB = 100


@dataclass(frozen=True)
class WorkerSize:
    """The size of one worker."""

    cores: int
    slots: int  # how many tasks the worker runs at a time
    memory: int  # MB
    disk: int  # MB
    least_disk: int  # MB that must be free on the host when the worker starts


def worker_size(campaign: Campaign) -> WorkerSize:
    """The size of the workers for `campaign`: what it states, or what its jobs need."""
    workers, job = campaign.workers, campaign.resources
    cores, memory, disk = job.cores, None, None
    if isinstance(workers, BatchWorkers):
        cores, memory, disk = workers.cores or job.cores, workers.memory, workers.disk
    room = [cores // job.cores]
    if memory and job.fixed_memory:
        room.append(memory // job.fixed_memory)
    if disk and job.disk:
        room.append(disk // job.disk)
    slots = max(1, min(room))
    known_disk = disk or (job.disk or 0) * slots
    return WorkerSize(
        cores=cores,
        slots=slots,
        memory=memory or (job.fixed_memory or 0) * slots or MEMORY_PER_CORE_MB * cores,
        disk=known_disk or DISK_MB,
        least_disk=known_disk or LEAST_DISK_MB,
    )
