"""Work Queue (ndcctools.work_queue), seen with 7.14.5."""

import contextlib
import errno
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wqmaster.engines import RUNNER, EngineStats, Returned
from wqmaster.errors import EngineError
from wqmaster.job import Task

# Work Queue itself runs a task again whose worker went away, this many times.
MAX_RETRIES = 10
_MESSAGE = 2000
# Up to 7.14 the limit of a running time is taken for microseconds twice, by manager and by worker
# (work_queue_task_specify_running_time; read in both), so that 420 ends a task after a second.
_RUNNING_TIME_UNIT = 10**12


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The C library prints to descriptors 1 and 2; what it has to say, an error says in words."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (1, 2):
            os.dup2(nowhere, number)
        yield
    finally:
        for number, other in zip((1, 2), kept, strict=True):
            os.dup2(other, number)
            os.close(other)
        os.close(nowhere)


class WorkQueueEngine:
    """A Work Queue manager. `port` 0 takes any free one; workers must have the file `password`.

    Raises:
        EngineError: the port is in use, or the manager cannot be started.
    """

    name = "work_queue"

    def __init__(self, port: int = 0, password: Path | None = None) -> None:
        # Without this, manager and workers talk to a public catalog.
        os.environ.setdefault("CATALOG_HOST", "127.0.0.1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SWIG, under Python 3.12 and later
            from ndcctools import work_queue

        self._wq: Any = work_queue
        try:
            with _quiet():
                self._queue: Any = work_queue.WorkQueue(port=port)
                self._queue.wait(0)  # says that it speaks in plain text, as it will once
        except Exception as error:
            raise EngineError(_why_no_queue(port, error)) from error
        self._password = password
        if password is not None:
            self._queue.specify_password_file(str(password))
        self.port: int = self._queue.port
        self._tasks: dict[str, Any] = {}
        # Cancelled tasks must live as long as the queue, which may still read them.
        self._cancelled: list[Any] = []

    def submit(self, task: Task, folder: Path) -> None:
        """Take `task`."""
        wanted: Any = self._wq.Task(
            f"exec sh runner.sh {task.compression} {task.time_limit_per_job}"
        )
        wanted.specify_tag(task.id)
        wanted.specify_category(task.category)
        wanted.specify_cores(task.cores)
        if task.memory is not None:
            wanted.specify_memory(task.memory)
        if task.disk is not None:
            wanted.specify_disk(task.disk)
        wanted.specify_max_retries(MAX_RETRIES)
        wanted.specify_running_time_max(task.time_limit * _RUNNING_TIME_UNIT)
        wanted.specify_input_file(str(RUNNER), "runner.sh", cache=True)
        wanted.specify_input_file(str(folder / "inputs.tar"), "inputs.tar", cache=False)
        for shared in task.inputs:
            wanted.specify_input_file(str(shared.path), f"shared/{shared.name}", cache=True)
        wanted.specify_output_file(str(folder / "outputs.tar"), "outputs.tar", cache=False)
        self._queue.submit(wanted)
        self._tasks[task.id] = wanted

    def wait(self, seconds: float) -> Returned | None:
        """A task that came back.

        The library counts in whole seconds, does nothing at all for 0, and keeps Python's lock.
        """
        task = self._queue.wait(max(1, int(seconds))) if seconds > 0 else None
        if task is None or self._tasks.pop(task.tag, None) is None:
            return None  # none, or one that was cancelled while it waited
        wq = self._wq
        names = {
            wq.WORK_QUEUE_RESULT_MAX_RETRIES: "lost",
            wq.WORK_QUEUE_RESULT_FORSAKEN: "lost",
            wq.WORK_QUEUE_RESULT_TASK_TIMEOUT: "time_limit",
            wq.WORK_QUEUE_RESULT_TASK_MAX_RUN_TIME: "time_limit",
            # Without a resource monitor, disk is all that a worker watches.
            wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION: "disk_limit",
            wq.WORK_QUEUE_RESULT_OUTPUT_MISSING: "no_output",
            wq.WORK_QUEUE_RESULT_OUTPUT_TRANSFER_ERROR: "no_output",
        }
        succeeded = task.result == wq.WORK_QUEUE_RESULT_SUCCESS
        result = "ok" if succeeded else names.get(task.result, "error")
        said = (task.std_output or "")[-_MESSAGE:]
        if not succeeded:
            said = f"{task.result_str}: {said}".rstrip(": \n")
        return Returned(
            task_id=task.tag,
            result=result,
            exit_code=task.return_status,
            host=task.hostname or "",
            started=task.execute_cmd_start / 1e6 or time.time(),  # 0 if it never ran
            finished=task.execute_cmd_finish / 1e6 or time.time(),
            message=said,
        )

    def hungry(self) -> int:
        """What idle cores could take, and a tenth of all cores to wait.

        A long queue is dear: the manager scans all of it for each task that it places (0.4 ms a
        task with 4 waiting, 6.8 with 1,000).
        """
        stats = self._queue.stats
        reserve = min(100, max(10, stats.total_cores // 10))
        idle = max(0, stats.total_cores - stats.tasks_on_workers)
        return int(max(0, reserve + idle - stats.tasks_waiting))

    def cancel(self, task_id: str) -> None:
        """End the task; it is never returned."""
        task = self._tasks.pop(task_id, None)
        if task is None:
            return
        if self._waits(task):
            # 7.14.5 leaves a waiting task that is cancelled in its queue, and still sends it to a
            # worker, or crashes. One whose time is over it takes out, and returns: see wait().
            task.specify_end_time(1)
        else:
            self._cancelled.append(self._queue.cancel_by_taskid(task.id))

    def _waits(self, task: Any) -> bool:
        return bool(self._queue.task_state(task.id) == self._wq.WORK_QUEUE_TASK_READY)

    def cancel_waiting(self) -> list[str]:
        """End the tasks that no worker has yet; which those were."""
        waiting = [name for name, task in self._tasks.items() if self._waits(task)]
        for name in waiting:
            self.cancel(name)
        return waiting

    def block_host(self, host: str, seconds: float) -> None:
        """Send no task to `host` for `seconds`."""
        self._queue.block_host_with_timeout(host, int(seconds))

    def stats(self) -> EngineStats:
        """Counts, as the manager has them."""
        stats = self._queue.stats
        return EngineStats(
            workers=stats.workers_connected,
            cores=stats.total_cores,
            waiting=stats.tasks_waiting,
            running=stats.tasks_on_workers,
            bytes_sent=stats.bytes_sent,
            workers_lost=stats.workers_lost,
        )

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker."""
        host = socket.getfqdn()
        if host.startswith("localhost"):
            host = socket.gethostname()
        password = f"--password {self._password} " if self._password else ""
        return f"work_queue_worker {password}{host} {self.port}"

    def close(self) -> None:
        """Cancel what is left and free the port. Workers are not told: newer versions crash."""
        for task_id in list(self._tasks):
            self.cancel(task_id)
        queue, self._queue = self._queue, None
        left = [*self._cancelled, *queue._task_table.values()]
        queue._free()
        for task in left:
            task._task = None  # what it pointed to is gone with the queue
        # SWIG's structs crash the interpreter if they are still there when it ends.
        queue._stats = queue._stats_hierarchy = None


def _why_no_queue(port: int, error: Exception) -> str:
    if port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as reason:
                why = reason.strerror
                if reason.errno == errno.EADDRINUSE:
                    why = "another program listens there already"
                return (
                    f"Work Queue cannot listen on port {port}: {why}; name another one with "
                    "--port, or 0 for any that is free"
                )
    return f"Work Queue cannot be started: {error}"
