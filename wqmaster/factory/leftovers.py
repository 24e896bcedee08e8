"""The jobs, processes and lock that remain of a factory that did not end properly."""

import time
from pathlib import Path
from typing import IO, Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.factory import processes
from wqmaster.factory.batch.base import BatchSystem
from wqmaster.factory.folders import remove_scratch
from wqmaster.factory.trouble import Trouble, TroubleKind
from wqmaster.system import locks
from wqmaster.system.this_command import this_command

# How long a factory's jobs can take to leave the queue.
_REMOVAL_TIMEOUT_SECONDS = 120.0
# Time between two attempts to remove the jobs, and after an attempt to which the queue did not
# respond.
_REMOVAL_INTERVAL_SECONDS = 0.5
_BUSY_QUEUE_INTERVAL_SECONDS = 2.0


def workers_left(error: EngineError, campaign_file: str) -> Trouble:
    """The trouble of an ended factory whose workers could not be removed, with the reason."""
    return Trouble(
        TroubleKind.WORKERS_LEFT,
        f"workers may be left in the queue: {error.message}; try again with "
        f"'{this_command()} factory {campaign_file} --stop'",
    )


class Locked(EngineError):
    """A factory is already running in this folder."""

    code = ErrorCode.FACTORY_RUNNING


def take_lock(folder: Path, campaign_file: str) -> IO[str]:
    """Lock a factory's folder for as long as the returned file is open.

    Raises:
        Locked: a supervisor holds the lock.
    """
    try:
        return locks.take(folder / locks.LOCK_FILE)
    except locks.Held as held:
        raise Locked(
            f"a factory of this campaign is already running ({held}); inspect it with "
            f"'{this_command()} factory {campaign_file} --status', or stop it with "
            f"'{this_command()} factory {campaign_file} --stop'"
        ) from None


def remove_left(folder: Path, system: BatchSystem[Any], factory_id: str) -> int:
    """Remove a factory's jobs, processes and scratch folders; return how many workers it had.

    Raises:
        EngineError: the batch system does not respond, or the jobs remain.
    """
    count = processes.end_left(folder) + remove_jobs(system, factory_id)
    for scratch in folder.glob("workers-*"):
        remove_scratch(scratch)
    return count


def remove_jobs(system: BatchSystem[Any], factory_id: str) -> int:
    """Remove a factory's jobs from the queue, and wait until they are gone; return their number.

    Raises:
        EngineError: the batch system does not respond, or the jobs remain.
    """
    jobs = system.jobs(factory_id)
    count = len(jobs)
    deadline = time.monotonic() + _REMOVAL_TIMEOUT_SECONDS
    while jobs:
        if time.monotonic() > deadline:
            raise EngineError(
                f"jobs of the factory that stay in the queue: {len(jobs)} ({', '.join(jobs[:5])})",
                code=ErrorCode.WORKERS_LEFT,
            )
        try:
            system.remove_jobs(factory_id)
            time.sleep(_REMOVAL_INTERVAL_SECONDS)
            jobs = system.jobs(factory_id)
        except EngineError:
            # The queue responded before. Removing thousands of jobs keeps it busy for a while.
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_QUEUE_INTERVAL_SECONDS)
    return count
