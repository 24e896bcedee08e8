"""All batch systems, by the type of workers that a campaign file states."""

from typing import Any

from wqmaster.factory.batch.base import BatchSystem
from wqmaster.factory.batch.condor import Condor
from wqmaster.factory.batch.local import Local
from wqmaster.factory.batch.slurm import Slurm

_SYSTEMS: dict[str, BatchSystem[Any]] = {
    system.name: system for system in (Condor(), Slurm(), Local())
}


def batch_system(name: str) -> BatchSystem[Any]:
    """The batch system for workers of type `name`.

    Raises:
        KeyError: there is no such type.
    """
    return _SYSTEMS[name]


def find_batch_system(name: object) -> BatchSystem[Any] | None:
    """The batch system called `name`, which another version wrote; None if it is unknown."""
    return _SYSTEMS.get(name) if isinstance(name, str) else None
