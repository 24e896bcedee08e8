"""TaskVine (ndcctools.taskvine), the successor of Work Queue; seen with 7.14.5."""

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
from wqmaster.jobs.job import Input, Task

_RESULTS = {
    "success": TaskResult.OK,
    "max retries": TaskResult.LOST,
    "cancelled": TaskResult.LOST,  # begun too often: see Restarts
    "forsaken": TaskResult.LOST,
    "max end time": TaskResult.TIME_LIMIT,
    "max wall time": TaskResult.TIME_LIMIT,
    "output missing": TaskResult.NO_OUTPUT,
    "output transfer error": TaskResult.NO_OUTPUT,
}


class TaskVineEngine:
    """A TaskVine manager.

    Raises:
        EngineError: the port is in use, or the manager cannot be started.
    """

    name = "taskvine"

    def __init__(self, setting: Setting) -> None:
        # Without this, manager and workers talk to a public catalog.
        os.environ.setdefault("CATALOG_HOST", "127.0.0.1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SWIG, under Python 3.12 and later
            from ndcctools import taskvine
            from ndcctools.taskvine import cvine

        self._vine: Any = taskvine
        self._setting = setting
        logs = ndcctools.log_folder(setting)
        (logs / "vine-logs").mkdir(exist_ok=True)
        # It draws all tasks of a campaign as one graph, which would grow for ever.
        (logs / "vine-logs" / "taskgraph").symlink_to(os.devnull)
        debug = logs / "vine-logs" / "debug"
        ssl = tuple(str(path) for path in setting.ssl) if setting.ssl else None
        self._manager: Any = ndcctools.started(
            "TaskVine",
            setting.port,
            lambda: taskvine.Manager(
                port=setting.port,
                name=setting.name,
                run_info_path=str(setting.logs),
                run_info_template=logs.name,
                ssl=ssl,
            ),
        )
        with ndcctools.quiet():
            self._log_debug(Path(cvine._cvine.__file__), debug)
            self._configure()
        found = self._manager._taskvine
        self._growing = [
            ndcctools.Growing(logs / "vine-logs" / name, functools.partial(log, found, name))
            for name, log in (
                ("performance", cvine.vine_enable_perf_log),
                ("transactions", cvine.vine_enable_transactions_log),
            )
        ]
        self.port: int = self._manager.port
        self._refusals = Refusals(debug, cvine.vine_version_string(), setting.password)
        ndcctools.bound_silence(self.port)
        self._sizes = ndcctools.Sizes(self._setting)
        self._blocked = ndcctools.Blocked(self._manager)
        # By its id, a task of ours.
        self._tasks: dict[str, Held] = {}
        self._runner = self._manager.declare_file(str(RUNNER), cache="workflow")
        # Files that tasks share, and those of one task alone, which are forgotten with it.
        self._shared: dict[Input, Any] = {}
        self._own: dict[str, list[Any]] = {}
        self._categories: set[str] = set()
        self._restarts = tries.Restarts()

    def _log_debug(self, library: Path, path: Path) -> None:
        # The manager has begun to log all that it does without end, and the bindings have no word
        # to stop it. debug.h of dttools has: they are in the same library.
        debug = ctypes.CDLL(str(library))
        debug.cctools_debug_flags_clear()
        for flag in self._setting.debug_flags("vine"):
            debug.cctools_debug_flags_set(flag.encode())
        debug.cctools_debug_config_file_size(ctypes.c_long(ndcctools.DEBUG_SIZE))
        debug.cctools_debug_config_file(str(path).encode())

    def _configure(self) -> None:
        setting, found = self._setting, self._manager
        # A vine_worker that was killed leaves its "[transfer server]", which holds the connection
        # open: its silence alone tells.
        found.set_keepalive_interval(setting.keepalive[0])
        found.set_keepalive_timeout(setting.keepalive[1])
        # Files go from the master to workers alone: those of OSG cannot reach each other.
        found.disable_peer_transfers()
        if setting.password is not None:
            found.set_password_file(str(setting.password))
        found.set_catalog_servers("{}:{}".format(*setting.catalog_address()))
        found.tune("option-blocklist-slow-workers-timeout", tries.SLOW_HOST)
        if setting.learns and not found.enable_monitoring():
            raise EngineError(ndcctools.NO_MONITOR, code=ErrorCode.ENGINE_NOT_INSTALLED)

    def submit(self, task: Task, folder: Path) -> None:
        """Take `task`."""
        # One with a remedy may take longer than the others.
        self._submit(task, folder, hurried=self._setting.fast_abort is not None and task.plain)

    def _submit(self, task: Task, folder: Path, *, hurried: bool, evictions: int = 0) -> None:
        wanted: Any = self._vine.Task(
            f"exec sh runner.sh {task.compression} {task.time_limit_per_job}"
        )
        wanted.set_tag(task.id)
        held = Held(task, folder, wanted, hurried, evictions)
        category = tries.category(task, self._setting.fast_abort, hurried=hurried)
        wanted.set_category(category)
        self._say(category, task, hurried=hurried)
        wanted.set_cores(task.cores)
        if task.memory is not None and not (self._setting.learns and task.plain):
            wanted.set_memory(task.memory)
        if task.disk is not None and not (self._setting.learns and task.plain):
            wanted.set_disk(task.disk)
        wanted.set_retries(held.retries)
        wanted.set_time_max(self._setting.running_time(task))
        if task.running_time_min is not None:
            # Of no use with the workers of 7.14.5, which tell their end as 0: see engines.choose.
            wanted.set_time_min(task.running_time_min)
        wanted.add_input(self._runner, "runner.sh")
        inputs = self._manager.declare_file(str(folder / "inputs.tar"))
        wanted.add_input(inputs, "inputs.tar")
        for shared in task.inputs:
            wanted.add_input(self._declared(shared), f"shared/{shared.name}")
        outputs = self._manager.declare_file(str(folder / "outputs.tar"))
        wanted.add_output(outputs, "outputs.tar")
        self._manager.submit(wanted)
        self._own[task.id] = [inputs, outputs]
        self._tasks[task.id] = held
        self._sizes.add(task)

    def _declared(self, shared: Input) -> Any:
        if shared not in self._shared:
            self._shared[shared] = self._manager.declare_file(str(shared.path), cache="workflow")
        return self._shared[shared]

    def _say(self, category: str, task: Task, *, hurried: bool) -> None:
        """Say once how times and resources of a category are dealt with."""
        if category in self._categories:
            return
        self._categories.add(category)
        if self._setting.fast_abort is not None:
            # For each by its own name: what the library is told for all of them holds for none,
            # unless ten tasks of a category called "default" are done (disconnect_slow_workers).
            factor = self._setting.fast_abort if hurried else 0
            self._manager.enable_disconnect_slow_workers_category(category, factor)
        if self._setting.learns:
            self._manager.set_category_mode(category, self._setting.allocation)
            asked = {"cores": task.cores, "memory": task.memory, "disk": task.disk}
            guess = {name: value for name, value in asked.items() if value is not None}
            self._manager.set_category_first_allocation_guess(category, guess)

    def wait(self, seconds: float) -> Returned | None:
        """A task that came back. The library counts in whole seconds and keeps Python's lock."""
        for log in self._growing:
            log.bound()
        self._blocked.release()
        for often in self._restarts.too_many(self._tasks.values()):
            self._manager.cancel_by_task_id(often.found.id)  # which returns it as "cancelled"
        task = self._manager.wait(max(1, int(seconds)) if seconds > 0 else 0)
        if task is None:
            return None
        for file in self._own.pop(task.tag, ()):
            self._manager.undeclare_file(file)
        held = self._forget(task.tag)
        if held is None:
            return None  # it was cancelled
        result = self._result(task)
        if tries.was_evicted(result, task.exit_code, signalled=task.result == "signal"):
            if held.evictions < tries.MAX_RETRIES:
                evictions = held.evictions + 1
                self._submit(held.task, held.folder, hurried=held.hurried, evictions=evictions)
                return None
            result = TaskResult.LOST
        if result is TaskResult.LOST and held.hurried:
            self._submit(held.task, held.folder, hurried=False)
            return None
        said = (task.std_output or "")[-ndcctools.MESSAGE :]
        if task.result != "success":
            said = f"{task.result}: {said}".rstrip(": \n")
        # When its inputs were sent: the bindings do not tell when it began.
        started = task.get_metric("time_when_commit_end") / 1e6 or time.time()
        return Returned(
            task_id=task.tag,
            result=result,
            exit_code=task.exit_code,
            host=task.hostname or "",
            started=started,
            finished=started + task.get_metric("time_workers_execute_last") / 1e6,
            message=said,
        )

    def _result(self, task: Any) -> TaskResult:
        if task.result == "resource exhaustion":
            return ndcctools.exceeded(task.limits_exceeded)
        return _RESULTS.get(task.result, TaskResult.ERROR)

    def _forget(self, task_id: str) -> Held | None:
        held = self._tasks.pop(task_id, None)
        if held is not None:
            self._sizes.remove(held.task)
        return held

    def hungry(self) -> int:
        """What idle cores could take, and some more to wait."""
        return ndcctools.hungry(self._manager.stats, self._sizes)

    def cancel(self, task_id: str) -> None:
        """End the task; it is never returned."""
        held = self._forget(task_id)
        if held is not None:
            # wait() has it come back, and passes it over.
            self._manager.cancel_by_task_id(held.found.id)

    def cancel_waiting(self) -> list[str]:
        """End the tasks that no worker has yet; which those were."""
        waiting = [name for name, held in self._tasks.items() if held.found.state == "READY"]
        for name in waiting:
            self.cancel(name)
        return waiting

    def block_host(self, host: str, seconds: float) -> None:
        """Send no task to `host` for `seconds`."""
        self._blocked.add(host, seconds)

    def stats(self) -> EngineStats:
        """Counts, as the manager has them."""
        return ndcctools.counts(self._manager.stats)

    def trouble(self) -> str | None:
        """Workers that were refused, and tasks that no worker takes."""
        return ndcctools.all_of(
            self._refusals.trouble(), self._sizes.too_large(self._manager.stats)
        )

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker."""
        return ndcctools.how_to_connect("vine_worker", self._setting, self.port)

    def close(self) -> None:
        """Cancel what is left and free the port."""
        for task_id in list(self._tasks):
            self.cancel(task_id)
        found, self._manager = self._manager, None
        with ndcctools.quiet():
            found._free()
        # SWIG's structs crash the interpreter if they are still there when it ends.
        found._stats = found._stats_hierarchy = None
