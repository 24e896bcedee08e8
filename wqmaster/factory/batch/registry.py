"""The batch systems, by the type of workers in a campaign file."""

from typing import Any

from wqmaster.factory.batch.base import BatchSystem
from wqmaster.factory.batch.condor import Condor
from wqmaster.factory.batch.local import Local
from wqmaster.factory.batch.slurm import Slurm

_SYSTEMS: dict[str, BatchSystem[Any]] = {
    system.name: system for system in (Condor(), Slurm(), Local())
}


def batch_system(name: str) -> BatchSystem[Any]:
    """The batch system called `name`."""
    return _SYSTEMS[name]


def find_batch_system(name: object) -> BatchSystem[Any] | None:
    """The same for a name that may be unknown, from a file that another version has written."""
    return _SYSTEMS.get(name) if isinstance(name, str) else None
