"""What a factory has left when it ended otherwise than it should: jobs, processes, its lock."""

import shutil
import time
from pathlib import Path
from typing import IO, Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.factory import processes
from wqmaster.factory.batch.base import BatchSystem
from wqmaster.factory.trouble import Trouble, TroubleKind
from wqmaster.system import locks

# For the jobs of a factory to leave the queue.
_REMOVAL_TIMEOUT_SECONDS = 120.0
# Between two attempts to remove them, and where the queue did not answer the last one.
_REMOVAL_INTERVAL_SECONDS = 0.5
_BUSY_QUEUE_INTERVAL_SECONDS = 2.0


def workers_left(error: EngineError) -> Trouble:
    """That the workers of a factory that has ended could not be removed, and why."""
    return Trouble(
        TroubleKind.WORKERS_LEFT,
        f"workers may be left in the queue: {error.message}; 'wqmaster factory --stop' tries again",
    )


class Locked(EngineError):
    """A factory runs in this folder already."""

    code = ErrorCode.FACTORY_RUNNING


def take_lock(folder: Path) -> IO[str]:
    """The lock of a factory's folder, held while the file is open.

    Raises:
        Locked: a supervisor has it.
    """
    try:
        return locks.take(folder / locks.LOCK_FILE)
    except locks.Held as held:
        raise Locked(
            f"a factory of this campaign is running already ({held}); see "
            "'wqmaster factory --status', end it with 'wqmaster factory --stop'"
        ) from None


def remove_left(folder: Path, system: BatchSystem[Any], factory_id: str) -> int:
    """Remove what a factory has left: jobs, processes, scratch folders. How many workers that were.

    Raises:
        EngineError: the batch system does not answer, or the jobs do not go.
    """
    count = processes.end_left(folder) + remove_jobs(system, factory_id)
    for scratch in folder.glob("workers-*"):
        shutil.rmtree(scratch, ignore_errors=True)
    return count


def remove_jobs(system: BatchSystem[Any], factory_id: str) -> int:
    """Take the jobs of a factory from the queue, and wait until they are gone. How many there were.

    Raises:
        EngineError: the batch system does not answer, or the jobs do not go.
    """
    jobs = system.jobs(factory_id)
    count = len(jobs)
    deadline = time.monotonic() + _REMOVAL_TIMEOUT_SECONDS
    while jobs:
        if time.monotonic() > deadline:
            raise EngineError(
                f"{len(jobs)} jobs of the factory do not leave the queue ({', '.join(jobs[:5])})",
                code=ErrorCode.WORKERS_LEFT,
            )
        try:
            system.remove_jobs(factory_id)
            time.sleep(_REMOVAL_INTERVAL_SECONDS)
            jobs = system.jobs(factory_id)
        except EngineError:
            # It did answer: one that has thousands of jobs to remove is busy for a while.
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_QUEUE_INTERVAL_SECONDS)
    return count
