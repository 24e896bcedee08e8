"""TaskVine (ndcctools.taskvine), the successor to Work Queue; tested with 7.14.5."""

import ctypes
import functools
import os
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
from wqmaster.jobs.job import Input
from wqmaster.system.descriptors import quiet

_TASK_RESULTS = {
    "success": TaskResult.OK,
    "max retries": TaskResult.LOST,
    "cancelled": TaskResult.LOST,  # see end_restarted; codespell:ignore cancelled
    "forsaken": TaskResult.LOST,
    "max end time": TaskResult.TIME_LIMIT,
    "max wall time": TaskResult.TIME_LIMIT,
    "output missing": TaskResult.NO_OUTPUT,
    "output transfer error": TaskResult.NO_OUTPUT,
}


class TaskVineManager(Manager):
    """A TaskVine manager."""

    def __init__(self, setting: Setting, logs: Path) -> None:
        self._vine = ndcctools.bindings("taskvine")
        cvine = ndcctools.bindings("taskvine.cvine")
        (logs / "vine-logs").mkdir(exist_ok=True)
        # TaskVine records all tasks of a campaign in one graph, which would grow without bound.
        (logs / "vine-logs" / "taskgraph").symlink_to(os.devnull)
        self.debug_log = logs / "vine-logs" / "debug"
        self._manager: Any = ndcctools.started(
            "TaskVine",
            setting.port,
            lambda: self._vine.Manager(
                port=setting.port,
                name=setting.name,
                run_info_path=str(setting.logs),
                run_info_template=logs.name,
                ssl=setting.ssl_files,
            ),
        )
        with quiet():
            self._log_debug(Path(cvine._cvine.__file__), setting)
            self._configure(setting)
        found = self._manager._taskvine
        self.growing_logs = [
            GrowingLog(logs / "vine-logs" / name, functools.partial(log, found, name))
            for name, log in (
                ("performance", cvine.vine_enable_perf_log),
                ("transactions", cvine.vine_enable_transactions_log),
            )
        ]
        self.port = self._manager.port
        self.version = cvine.vine_version_string()
        self._runner = self._manager.declare_file(str(RUNNER), cache="workflow")
        # Files that tasks share, and files of a single task, which are undeclared when it returns.
        self._shared: dict[Input, Any] = {}
        self._own: dict[str, list[Any]] = {}
        self._restarts = tries.Restarts()

    def _log_debug(self, library: Path, setting: Setting) -> None:
        # The manager already logs everything, without a size limit, and the bindings have no call
        # to change that (F11). The same shared library contains the functions of dttools' debug.h.
        debug = ctypes.CDLL(str(library))
        debug.cctools_debug_flags_clear()
        for flag in setting.debug_flags("vine"):
            debug.cctools_debug_flags_set(flag.encode())
        debug.cctools_debug_config_file_size(ctypes.c_long(DEBUG_LOG_SIZE_BYTES))
        debug.cctools_debug_config_file(str(self.debug_log).encode())

    def _configure(self, setting: Setting) -> None:
        found = self._manager
        # A killed vine_worker leaves its "[transfer server]" behind, which holds the connection
        # open, so only silence shows that the worker is gone (F9).
        found.set_keepalive_interval(setting.keepalive[0])
        found.set_keepalive_timeout(setting.keepalive[1])
        # Files go only from the master to workers, since workers on OSG cannot reach each other.
        found.disable_peer_transfers()
        if setting.password is not None:
            self.set_password(setting.password)
        found.set_catalog_servers("{}:{}".format(*setting.catalog_address()))
        found.tune("option-blocklist-slow-workers-timeout", tries.SLOW_HOST_TIMEOUT_SECONDS)
        if setting.learns and not found.enable_monitoring():
            raise EngineError(ndcctools.NO_MONITOR_MESSAGE, code=ErrorCode.ENGINE_NOT_INSTALLED)

    def set_password(self, file: Path) -> None:
        """Admit only workers with the password in `file` from now on; connected ones stay."""
        self._manager.set_password_file(str(file))

    @property
    def stats(self) -> ManagerStats:
        """The manager's current counts of workers, cores and tasks."""
        return cast("ManagerStats", self._manager.stats)

    def set_schedule(self, depth: int, *, first: bool) -> None:
        """Compare at most `depth` waiting tasks with the workers before looking at what returned.

        With `first`, a task goes to the first worker that can take it, not to the one that has most
        of its files.
        """
        self._manager.tune("attempt-schedule-depth", depth)
        vine = ndcctools.bindings("taskvine.cvine")
        self._manager.set_scheduler(vine.VINE_SCHEDULE_FCFS if first else vine.VINE_SCHEDULE_FILES)

    def set_fast_abort(self, category: str, factor: float) -> None:
        """Restart tasks of `category` that take `factor` times the average time; 0: never."""
        self._manager.enable_disconnect_slow_workers_category(category, factor)

    def set_allocation(self, category: str, mode: str, guess: Mapping[str, int]) -> None:
        """Learn the resources that tasks of `category` use."""
        self._manager.set_category_mode(category, mode)
        self._manager.set_category_first_allocation_guess(category, dict(guess))

    def submit(self, order: Order) -> Any:
        """Accept a task and return its handle."""
        task, found = order.task, self._vine.Task(order.command)
        found.set_tag(task.id)
        found.set_category(order.category)
        found.set_priority(task.rank)
        found.set_cores(task.cores)
        if order.memory is not None:
            found.set_memory(order.memory)
        if order.disk is not None:
            found.set_disk(order.disk)
        found.set_retries(order.retries)
        found.set_time_max(order.running_time)
        if task.running_time_min is not None:
            # Workers of 7.14.5 ignore this, since they report the end of their wall time as 0 (F8).
            found.set_time_min(task.running_time_min)
        found.add_input(self._runner, "runner.sh")
        inputs = self._manager.declare_file(str(order.folder / "inputs.tar"))
        found.add_input(inputs, "inputs.tar")
        for shared in task.inputs:
            found.add_input(self._declared(shared), f"shared/{shared.name}")
        outputs = self._manager.declare_file(str(order.folder / "outputs.tar"))
        found.add_output(outputs, "outputs.tar")
        self._manager.submit(found)
        self._own[task.id] = [inputs, outputs]
        return found

    def _declared(self, shared: Input) -> Any:
        if shared not in self._shared:
            self._shared[shared] = self._manager.declare_file(str(shared.path), cache="workflow")
        return self._shared[shared]

    def wait(self, seconds: float) -> Report | None:
        """The next task that the manager returns, even a canceled one; None if there is none."""
        task = self._manager.wait(max(1, int(seconds)) if seconds > 0 else 0)
        if task is None:
            return None
        for file in self._own.pop(task.tag, ()):
            self._manager.undeclare_file(file)
        # The bindings do not report when a task started, so this is when its inputs were sent.
        started = task.get_metric("time_when_commit_end") / 1e6 or time.time()
        return Report(
            task_id=task.tag,
            result=_result(task),
            signaled=task.result == "signal",
            exit_code=task.exit_code,
            host=task.hostname or "",
            started=started,
            finished=started + task.get_metric("time_workers_execute_last") / 1e6,
            output=task.std_output or "",
            failure="" if task.result == "success" else task.result,
            receiving=_between(task, "time_when_retrieval", "time_when_done"),
        )

    def end_restarted(self, tasks: Iterable[Held]) -> None:
        """End the tasks that were restarted too often; they are returned as canceled."""
        for held in self._restarts.too_many(tasks):
            self._manager.cancel_by_task_id(held.handle.id)

    def is_waiting(self, handle: Any) -> bool:
        """Whether the task still waits for a worker."""
        return bool(handle.state == "READY")

    def place(self, handle: Any) -> Place | None:
        """Where the task runs; None if no worker has it."""
        if handle.state != "RUNNING":
            return None
        return Place(handle.hostname or "", handle.get_metric("time_when_commit_end") / 1e6)

    def cancel(self, handle: Any) -> None:
        """End a task, which `wait` then returns."""
        self._manager.cancel_by_task_id(handle.id)

    def block_host(self, host: str) -> None:
        """Send no more tasks to `host`."""
        self._manager.block_host(host)

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again."""
        self._manager.unblock_host(host)

    def close(self) -> None:
        """Free the port."""
        with quiet():
            self._manager._free()
        # SWIG's structs crash the interpreter if they still exist when it exits.
        self._manager._stats = self._manager._stats_hierarchy = None
        self._manager = None


def _between(task: Any, begin: str, end: str) -> float:
    """The seconds between two times of a task; 0 if one of them is unknown."""
    times = [task.get_metric(name) / 1e6 for name in (begin, end)]
    return max(0.0, times[1] - times[0]) if all(times) else 0.0


def _result(task: Any) -> TaskResult:
    if task.result == "resource exhaustion":
        return exceeded(task.limits_exceeded)
    return _TASK_RESULTS.get(task.result, TaskResult.ERROR)


class TaskVineEngine(NdcctoolsEngine):
    """The engine that uses a TaskVine manager."""

    name = "taskvine"
    worker_program = "vine_worker"
    manager_type = TaskVineManager
