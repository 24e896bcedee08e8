"""Work Queue (ndcctools.work_queue), seen with 7.14.5."""

import ctypes
import functools
import os
import time
import warnings
from pathlib import Path
from typing import Any

from wqmaster.engines import ndcctools, tries
from wqmaster.engines.base import RUNNER, EngineStats, Returned, TaskResult
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.refusals import Refusals
from wqmaster.engines.tries import Held
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.jobs.job import Task


class WorkQueueEngine:
    """A Work Queue manager.

    Raises:
        EngineError: the port is in use, or the manager cannot be started.
    """

    name = "work_queue"

    def __init__(self, setting: Setting) -> None:
        # Without this, manager and workers talk to a public catalog.
        os.environ.setdefault("CATALOG_HOST", "127.0.0.1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SWIG, under Python 3.12 and later
            from ndcctools import cwork_queue, work_queue

        self._wq: Any = work_queue
        library = ctypes.CDLL(cwork_queue._cwork_queue.__file__)
        slow_host = ctypes.c_double.in_dll(library, "wq_option_blocklist_slow_workers_timeout")
        slow_host.value = tries.SLOW_HOST  # the bindings have no word for it
        self._setting = setting
        logs = ndcctools.log_folder(setting)
        self._log_debug(logs / "debug")
        ssl = tuple(str(path) for path in setting.ssl) if setting.ssl else None
        self._queue: Any = ndcctools.started(
            "Work Queue", setting.port, lambda: work_queue.WorkQueue(port=setting.port, ssl=ssl)
        )
        with ndcctools.quiet():
            self._configure(logs)
            self._queue.wait(0)  # says that it speaks in plain text, as it will once
        self.port: int = self._queue.port
        self._refusals = Refusals(
            logs / "debug", work_queue.cctools_version_string(), setting.password
        )
        ndcctools.bound_silence(self.port)
        self._sizes = ndcctools.Sizes(self._setting)
        self._blocked = ndcctools.Blocked(self._queue)
        # By its id, a task of ours.
        self._tasks: dict[str, Held] = {}
        # Cancelled tasks must live as long as the queue, which may still read them.
        self._cancelled: list[Any] = []
        self._categories: set[str] = set()

    def _log_debug(self, path: Path) -> None:
        self._wq.cctools_debug_flags_set("clear")
        for flag in self._setting.debug_flags("wq"):
            self._wq.cctools_debug_flags_set(flag)
        self._wq.cctools_debug_config_file_size(ndcctools.DEBUG_SIZE)
        self._wq.cctools_debug_config_file(str(path))

    def _configure(self, logs: Path) -> None:
        setting, queue = self._setting, self._queue
        queue.specify_keepalive_interval(setting.keepalive[0])
        queue.specify_keepalive_timeout(setting.keepalive[1])
        self._growing = [
            ndcctools.Growing(path, functools.partial(log, str(path)))
            for path, log in (
                (logs / "performance", queue.specify_log),
                (logs / "transactions", queue.specify_transactions_log),
            )
        ]
        queue.specify_log(str(logs / "performance"))
        queue.specify_transactions_log(str(logs / "transactions"))
        if setting.password is not None:
            queue.specify_password_file(str(setting.password))
        queue.specify_catalog_server(*setting.catalog_address())
        if setting.name is not None:
            queue.specify_name(setting.name)
        if setting.learns and not queue.enable_monitoring():
            raise EngineError(ndcctools.NO_MONITOR, code=ErrorCode.ENGINE_NOT_INSTALLED)

    def submit(self, task: Task, folder: Path) -> None:
        """Take `task`."""
        # One with a remedy may take longer than the others.
        self._submit(task, folder, hurried=self._setting.fast_abort is not None and task.plain)

    def _submit(self, task: Task, folder: Path, *, hurried: bool, evictions: int = 0) -> None:
        wanted: Any = self._wq.Task(
            f"exec sh runner.sh {task.compression} {task.time_limit_per_job}"
        )
        wanted.specify_tag(task.id)
        held = Held(task, folder, wanted, hurried, evictions)
        category = tries.category(task, self._setting.fast_abort, hurried=hurried)
        wanted.specify_category(category)
        self._say(category, task, hurried=hurried)
        wanted.specify_cores(task.cores)
        if task.memory is not None and not (self._setting.learns and task.plain):
            wanted.specify_memory(task.memory)
        if task.disk is not None and not (self._setting.learns and task.plain):
            wanted.specify_disk(task.disk)
        if self._setting.learns:
            wanted.specify_monitor_output(str(folder))  # which goes with the task; else it is left
        wanted.specify_max_retries(held.retries)
        wanted.specify_running_time_max(self._setting.running_time(task))
        if task.running_time_min is not None:
            wanted.specify_running_time_min(task.running_time_min)
        wanted.specify_input_file(str(RUNNER), "runner.sh", cache=True)
        wanted.specify_input_file(str(folder / "inputs.tar"), "inputs.tar", cache=False)
        for shared in task.inputs:
            wanted.specify_input_file(str(shared.path), f"shared/{shared.name}", cache=True)
        wanted.specify_output_file(str(folder / "outputs.tar"), "outputs.tar", cache=False)
        self._queue.submit(wanted)
        self._tasks[task.id] = held
        self._sizes.add(task)

    def _say(self, category: str, task: Task, *, hurried: bool) -> None:
        """Say once how times and resources of a category are dealt with."""
        if category in self._categories:
            return
        self._categories.add(category)
        if self._setting.fast_abort is not None:
            # For each by its own name: what the library is told for all of them holds for none,
            # unless ten tasks of a category called "default" are done (abort_slow_workers).
            factor = self._setting.fast_abort if hurried else 0
            self._queue.activate_fast_abort_category(category, factor)
        if self._setting.learns:
            modes = {
                "max": self._wq.WORK_QUEUE_ALLOCATION_MODE_MAX,
                "min_waste": self._wq.WORK_QUEUE_ALLOCATION_MODE_MIN_WASTE,
                "max_throughput": self._wq.WORK_QUEUE_ALLOCATION_MODE_MAX_THROUGHPUT,
            }
            self._queue.specify_category_mode(category, modes[self._setting.allocation])
            asked = {"cores": task.cores, "memory": task.memory, "disk": task.disk}
            guess = {name: value for name, value in asked.items() if value is not None}
            self._queue.specify_category_first_allocation_guess(category, guess)

    def wait(self, seconds: float) -> Returned | None:
        """A task that came back.

        The library counts in whole seconds, does nothing at all for 0, and keeps Python's lock.
        """
        for log in self._growing:
            log.bound()
        self._blocked.release()
        task = self._queue.wait(max(1, int(seconds))) if seconds > 0 else None
        if task is None:
            return None
        held = self._forget(task.tag)
        if held is None:
            return None  # it was cancelled while it waited
        succeeded = task.result == self._wq.WORK_QUEUE_RESULT_SUCCESS
        result = TaskResult.OK if succeeded else self._why(task)
        signalled = task.result == self._wq.WORK_QUEUE_RESULT_SIGNAL
        if tries.was_evicted(result, task.return_status, signalled=signalled):
            if held.evictions < tries.MAX_RETRIES:
                evictions = held.evictions + 1
                self._submit(held.task, held.folder, hurried=held.hurried, evictions=evictions)
                return None
            result = TaskResult.LOST
        if result is TaskResult.LOST and held.hurried:
            self._submit(held.task, held.folder, hurried=False)
            return None
        said = (task.std_output or "")[-ndcctools.MESSAGE :]
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

    def _why(self, task: Any) -> TaskResult:
        wq = self._wq
        if task.result == wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION:
            return ndcctools.exceeded(task.limits_exceeded)
        names = {
            wq.WORK_QUEUE_RESULT_MAX_RETRIES: TaskResult.LOST,
            wq.WORK_QUEUE_RESULT_FORSAKEN: TaskResult.LOST,
            wq.WORK_QUEUE_RESULT_TASK_TIMEOUT: TaskResult.TIME_LIMIT,
            wq.WORK_QUEUE_RESULT_TASK_MAX_RUN_TIME: TaskResult.TIME_LIMIT,
            wq.WORK_QUEUE_RESULT_OUTPUT_MISSING: TaskResult.NO_OUTPUT,
            wq.WORK_QUEUE_RESULT_OUTPUT_TRANSFER_ERROR: TaskResult.NO_OUTPUT,
        }
        return names.get(task.result, TaskResult.ERROR)

    def _forget(self, task_id: str) -> Held | None:
        held = self._tasks.pop(task_id, None)
        if held is not None:
            self._sizes.remove(held.task)
        return held

    def hungry(self) -> int:
        """What idle cores could take, and some more to wait."""
        return ndcctools.hungry(self._queue.stats, self._sizes)

    def cancel(self, task_id: str) -> None:
        """End the task; it is never returned."""
        held = self._forget(task_id)
        if held is None:
            return
        task = held.found
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
        waiting = [name for name, held in self._tasks.items() if self._waits(held.found)]
        for name in waiting:
            self.cancel(name)
        return waiting

    def block_host(self, host: str, seconds: float) -> None:
        """Send no task to `host` for `seconds`."""
        self._blocked.add(host, seconds)

    def stats(self) -> EngineStats:
        """Counts, as the manager has them."""
        return ndcctools.counts(self._queue.stats)

    def trouble(self) -> str | None:
        """Workers that were refused, and tasks that no worker takes."""
        return ndcctools.all_of(self._refusals.trouble(), self._sizes.too_large(self._queue.stats))

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker."""
        return ndcctools.how_to_connect("work_queue_worker", self._setting, self.port)

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
