"""Work Queue (ndcctools.work_queue); tested with 7.14.5."""

import contextlib
import ctypes
import functools
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from wqmaster.engines import ndcctools, tries
from wqmaster.engines.base import RUNNER, TaskResult
from wqmaster.engines.manager import Manager, ManagerStats, Order, Place, Report, exceeded
from wqmaster.engines.manager_logs import DEBUG_LOG_SIZE_BYTES, GrowingLog
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.ndcctools_engine import NdcctoolsEngine
from wqmaster.engines.tries import Held
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.system.descriptors import quiet


class WorkQueueManager(Manager):
    """A Work Queue manager, which the library calls a queue."""

    def __init__(self, setting: Setting, logs: Path) -> None:
        self._wq = ndcctools.bindings("work_queue")
        # For functions of Python as tasks; a master that is killed would leave it behind.
        with contextlib.suppress(OSError):
            Path(self._wq.staging_directory).rmdir()
        library = ctypes.CDLL(ndcctools.bindings("cwork_queue")._cwork_queue.__file__)
        slow_host = ctypes.c_double.in_dll(library, "wq_option_blocklist_slow_workers_timeout")
        # The bindings have no call for this setting.
        slow_host.value = tries.SLOW_HOST_TIMEOUT_SECONDS
        self._setting = setting
        self.debug_log = logs / "debug"
        self._log_debug()
        self._queue: Any = ndcctools.started(
            "Work Queue",
            setting.port,
            lambda: self._wq.WorkQueue(port=setting.port, ssl=setting.ssl_files),
        )
        self.growing_logs = [
            GrowingLog(path, functools.partial(log, str(path)))
            for path, log in (
                (logs / "performance", self._queue.specify_log),
                (logs / "transactions", self._queue.specify_transactions_log),
            )
        ]
        with quiet():
            self._queue.specify_log(str(logs / "performance"))
            self._queue.specify_transactions_log(str(logs / "transactions"))
            self._configure()
            self._queue.wait(0)  # the first call prints a warning that traffic is not encrypted
        self.port = self._queue.port
        self.version = self._wq.cctools_version_string()
        # Canceled tasks must live as long as the queue, which can still read them.
        self._cancelled: list[Any] = []
        self._task_results = {
            self._wq.WORK_QUEUE_RESULT_SUCCESS: TaskResult.OK,
            self._wq.WORK_QUEUE_RESULT_MAX_RETRIES: TaskResult.LOST,
            self._wq.WORK_QUEUE_RESULT_FORSAKEN: TaskResult.LOST,
            self._wq.WORK_QUEUE_RESULT_TASK_TIMEOUT: TaskResult.TIME_LIMIT,
            self._wq.WORK_QUEUE_RESULT_TASK_MAX_RUN_TIME: TaskResult.TIME_LIMIT,
            self._wq.WORK_QUEUE_RESULT_OUTPUT_MISSING: TaskResult.NO_OUTPUT,
            self._wq.WORK_QUEUE_RESULT_OUTPUT_TRANSFER_ERROR: TaskResult.NO_OUTPUT,
        }
        self._allocation_modes = {
            "max": self._wq.WORK_QUEUE_ALLOCATION_MODE_MAX,
            "min_waste": self._wq.WORK_QUEUE_ALLOCATION_MODE_MIN_WASTE,
            "max_throughput": self._wq.WORK_QUEUE_ALLOCATION_MODE_MAX_THROUGHPUT,
        }

    def _log_debug(self) -> None:
        self._wq.cctools_debug_flags_set("clear")
        for flag in self._setting.debug_flags("wq"):
            self._wq.cctools_debug_flags_set(flag)
        self._wq.cctools_debug_config_file_size(DEBUG_LOG_SIZE_BYTES)
        self._wq.cctools_debug_config_file(str(self.debug_log))

    def _configure(self) -> None:
        setting, queue = self._setting, self._queue
        queue.specify_keepalive_interval(setting.keepalive[0])
        queue.specify_keepalive_timeout(setting.keepalive[1])
        if setting.password is not None:
            self.set_password(setting.password)
        queue.specify_catalog_server(*setting.catalog_address())
        if setting.name is not None:
            queue.specify_name(setting.name)
        if setting.learns and not queue.enable_monitoring():
            raise EngineError(ndcctools.NO_MONITOR_MESSAGE, code=ErrorCode.ENGINE_NOT_INSTALLED)

    def set_password(self, file: Path) -> None:
        """Admit only workers with the password in `file` from now on; connected ones stay."""
        self._queue.specify_password_file(str(file))

    @property
    def stats(self) -> ManagerStats:
        """The manager's current counts of workers, cores and tasks."""
        return cast("ManagerStats", self._queue.stats)

    def set_schedule(self, depth: int, *, first: bool) -> None:
        """Compare at most `depth` waiting tasks with the workers before looking at what returned.

        With `first`, a task goes to the first worker that can take it, not to the fastest one.
        """
        wq = self._wq
        self._queue.tune("attempt-schedule-depth", depth)
        self._queue.specify_algorithm(
            wq.WORK_QUEUE_SCHEDULE_FCFS if first else wq.WORK_QUEUE_SCHEDULE_TIME
        )

    def set_fast_abort(self, category: str, factor: float) -> None:
        """Restart tasks of `category` that take `factor` times the average time; 0: never."""
        self._queue.activate_fast_abort_category(category, factor)

    def set_allocation(self, category: str, mode: str, guess: Mapping[str, int]) -> None:
        """Learn the resources that tasks of `category` use."""
        self._queue.specify_category_mode(category, self._allocation_modes[mode])
        self._queue.specify_category_first_allocation_guess(category, dict(guess))

    def submit(self, order: Order) -> Any:
        """Accept a task and return its handle."""
        task, folder, found = order.task, order.folder, self._wq.Task(order.command)
        found.specify_tag(task.id)
        found.specify_category(order.category)
        found.specify_priority(task.rank)
        found.specify_cores(task.cores)
        if order.memory is not None:
            found.specify_memory(order.memory)
        if order.disk is not None:
            found.specify_disk(order.disk)
        if self._setting.learns:
            # The monitor writes to the task's folder, so that its files are removed with it.
            found.specify_monitor_output(str(folder))
        found.specify_max_retries(order.retries)
        found.specify_running_time_max(order.running_time)
        if task.running_time_min is not None:
            found.specify_running_time_min(task.running_time_min)
        found.specify_input_file(str(RUNNER), "runner.sh", cache=True)
        found.specify_input_file(str(folder / "inputs.tar"), "inputs.tar", cache=False)
        for shared in task.inputs:
            found.specify_input_file(str(shared.path), f"shared/{shared.name}", cache=True)
        found.specify_output_file(str(folder / "outputs.tar"), "outputs.tar", cache=False)
        self._queue.submit(found)
        return found

    def wait(self, seconds: float) -> Report | None:
        """The next task that the manager returns; None if there is none.

        It also returns tasks that were canceled while they waited. The library is not called with
        0 seconds, because it would do nothing then (F6).
        """
        task = self._queue.wait(max(1, int(seconds))) if seconds > 0 else None
        if task is None:
            return None
        result = self._result(task)
        return Report(
            task_id=task.tag,
            result=result,
            signaled=task.result == self._wq.WORK_QUEUE_RESULT_SIGNAL,
            exit_code=task.return_status,
            host=task.hostname or "",
            started=task.execute_cmd_start / 1e6 or time.time(),  # 0 if the task never ran
            finished=task.execute_cmd_finish / 1e6 or time.time(),
            output=task.std_output or "",
            failure="" if result is TaskResult.OK else task.result_str,
            receiving=_receiving(task),
        )

    def _result(self, task: Any) -> TaskResult:
        if task.result == self._wq.WORK_QUEUE_RESULT_RESOURCE_EXHAUSTION:
            return exceeded(task.limits_exceeded)
        return self._task_results.get(task.result, TaskResult.ERROR)

    def end_restarted(self, tasks: Iterable[Held]) -> None:
        """Do nothing, since Work Queue itself limits how often a task restarts."""

    def is_waiting(self, handle: Any) -> bool:
        """Whether the task still waits for a worker."""
        return bool(self._queue.task_state(handle.id) == self._wq.WORK_QUEUE_TASK_READY)

    def place(self, handle: Any) -> Place | None:
        """Where the task runs; None if no worker has it."""
        if self._queue.task_state(handle.id) != self._wq.WORK_QUEUE_TASK_RUNNING:
            return None
        return Place(handle.hostname or "", handle._task.time_when_commit_end / 1e6)

    def cancel(self, handle: Any) -> None:
        """End a task; `wait` returns it if it was still waiting."""
        if self.is_waiting(handle):
            # Version 7.14.5 keeps a canceled task in its list of waiting tasks, and later sends it
            # to a worker or crashes (F1). But it removes and returns a task whose end time has
            # passed.
            handle.specify_end_time(1)
        else:
            self._cancelled.append(self._queue.cancel_by_taskid(handle.id))

    def block_host(self, host: str) -> None:
        """Send no more tasks to `host`."""
        self._queue.block_host(host)

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again."""
        self._queue.unblock_host(host)

    def close(self) -> None:
        """Free the port.

        Workers are not told to exit, because newer versions of the library crash when they do so.
        """
        left = [*self._cancelled, *self._queue._task_table.values()]
        self._queue._free()
        for task in left:
            task._task = None  # the C task behind it was freed with the queue
        # SWIG's structs crash the interpreter if they still exist when it exits.
        self._queue._stats = self._queue._stats_hierarchy = None
        self._queue = None


def _receiving(task: Any) -> float:
    """The seconds in which the outputs of a task were received; 0 if that is unknown."""
    begin, end = task._task.time_when_retrieval / 1e6, task._task.time_when_done / 1e6
    return max(0.0, end - begin) if begin and end else 0.0


class WorkQueueEngine(NdcctoolsEngine):
    """The engine that uses a Work Queue manager."""

    name = "work_queue"
    worker_program = "work_queue_worker"
    manager_type = WorkQueueManager
