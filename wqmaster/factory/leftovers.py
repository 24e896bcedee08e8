"""Leftovers of a factory that did not end properly: jobs, processes, its lock."""

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

# How long the jobs of a factory may take to leave the queue.
_REMOVAL_TIMEOUT_SECONDS = 120.0
# Time between two attempts to remove them, also after one to which the queue did not respond.
_REMOVAL_INTERVAL_SECONDS = 0.5
_BUSY_QUEUE_INTERVAL_SECONDS = 2.0


def workers_left(error: EngineError, campaign_file: str) -> Trouble:
    """The trouble that the workers of an ended factory could not be removed, with the reason."""
    return Trouble(
        TroubleKind.WORKERS_LEFT,
        f"workers may be left in the queue: {error.message}; try again with "
        f"'wqmaster factory {campaign_file} --stop'",
    )


class Locked(EngineError):
    """A factory is already running in this folder."""

    code = ErrorCode.FACTORY_RUNNING


def take_lock(folder: Path, campaign_file: str) -> IO[str]:
    """Take the lock of a factory's folder, which is held while the returned file is open.

    Raises:
        Locked: a supervisor holds it.
    """
    try:
        return locks.take(folder / locks.LOCK_FILE)
    except locks.Held as held:
        raise Locked(
            f"a factory of this campaign is already running ({held}); inspect it with "
            f"'wqmaster factory {campaign_file} --status', or stop it with "
            f"'wqmaster factory {campaign_file} --stop'"
        ) from None


def remove_left(folder: Path, system: BatchSystem[Any], factory_id: str) -> int:
    """Remove a factory's jobs, processes and scratch folders; returns the number of workers.

    Raises:
        EngineError: the batch system does not respond, or the jobs remain.
    """
    count = processes.end_left(folder) + remove_jobs(system, factory_id)
    for scratch in folder.glob("workers-*"):
        shutil.rmtree(scratch, ignore_errors=True)
    return count


def remove_jobs(system: BatchSystem[Any], factory_id: str) -> int:
    """Remove a factory's jobs from the queue, and wait until they are gone; returns their number.

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
            # It responded before: removing thousands of jobs keeps a queue busy for a while.
            if time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_QUEUE_INTERVAL_SECONDS)
    return count
