"""The ndcctools engine, with a manager for Work Queue or TaskVine."""

import logging
import os
from pathlib import Path

from wqmaster.engines import ndcctools, tries
from wqmaster.engines.base import EngineStats, Returned, RunningTask, TaskResult
from wqmaster.engines.blocked_hosts import BlockedHosts
from wqmaster.engines.manager import Manager, Order, Report
from wqmaster.engines.manager_counts import ManagerCounts
from wqmaster.engines.manager_logs import log_folder
from wqmaster.engines.ndcctools import Setting
from wqmaster.engines.refusals import Refusals
from wqmaster.engines.task_sizes import TaskSizes
from wqmaster.engines.tries import Held
from wqmaster.jobs.job import Task
from wqmaster.system.files import changed

log = logging.getLogger("wqmaster.engines")

# How many characters at the end of a runner's output are kept.
MESSAGE_TAIL_CHARACTERS = 2000


class NdcctoolsEngine:
    """An engine that passes its tasks to a manager; the subclass names the type of manager.

    Raises:
        EngineError: the port is in use, or the manager cannot be started.
    """

    name: str
    worker_program: str
    manager_type: type[Manager]

    def __init__(self, setting: Setting) -> None:
        # Without this variable, manager and workers would contact a public catalog.
        os.environ.setdefault("CATALOG_HOST", "127.0.0.1")
        self._setting = setting
        self._manager = self.manager_type(setting, log_folder(setting.logs))
        self.port: int = self._manager.port
        ndcctools.bound_silence(self.port)
        self._refusals = Refusals(
            self._manager.debug_log,
            self._manager.version,
            setting.password,
            setting.campaign_file,
        )
        self._sizes = TaskSizes(setting)
        self._blocked = BlockedHosts(self._manager)
        self._password = _PasswordFile(setting.password, self._manager)
        self._tasks: dict[str, Held] = {}  # the tasks in the manager, by id
        self._categories: set[str] = set()
        self._counts = ManagerCounts(self._manager, lambda: len(self._tasks))

    def submit(self, task: Task, folder: Path) -> None:
        """Pass `task` to the manager."""
        # A task with a remedy can take longer than the others, so it is never hurried.
        self._submit(task, folder, hurried=self._setting.fast_abort is not None and task.plain)

    def _submit(self, task: Task, folder: Path, *, hurried: bool, evictions: int = 0) -> None:
        category = tries.category(task, self._setting.fast_abort, hurried=hurried)
        self._set_up(category, task, hurried=hurried)
        learned = self._setting.learns and task.plain
        order = Order(
            task=task,
            folder=folder,
            category=category,
            memory=None if learned else task.memory,
            disk=None if learned else task.disk,
            retries=tries.max_retries(hurried=hurried),
            running_time=self._setting.running_time(task),
        )
        handle = self._manager.submit(order)
        self._tasks[task.id] = Held(task, folder, handle, hurried, evictions)
        self._sizes.add(task)

    def _set_up(self, category: str, task: Task, *, hurried: bool) -> None:
        """Configure the times and resources of a category in the manager, once."""
        if category in self._categories:
            return
        self._categories.add(category)
        if self._setting.fast_abort is not None:
            # The factor is set for each category, because the libraries' global factor has no
            # effect until ten tasks in a category called "default" are done (abort_slow_workers in
            # Work Queue, disconnect_slow_workers in TaskVine).
            self._manager.set_fast_abort(category, self._setting.fast_abort if hurried else 0)
        if self._setting.learns:
            asked = {"cores": task.cores, "memory": task.memory, "disk": task.disk}
            guess = {name: value for name, value in asked.items() if value is not None}
            self._manager.set_allocation(category, self._setting.allocation, guess)

    def wait(self, seconds: float) -> Returned | None:
        """The next task that ends; None if none ends within about `seconds`."""
        for log in self._manager.growing_logs:
            log.bound()
        self._blocked.look(self.running)
        self._password.renew()
        self._manager.end_restarted(self._tasks.values())
        report = self._manager.wait(seconds)
        if report is None:
            return None
        self._blocked.returned(report.host, report.task_id)
        held = self._forget(report.task_id)
        if held is None:
            return None  # the task was canceled
        result = report.result
        evicted = tries.was_evicted(result, report.exit_code, signaled=report.signaled)
        if evicted or tries.is_premature(result, held):
            if held.evictions < tries.MAX_RETRIES:
                evictions = held.evictions + 1
                self._submit(held.task, held.folder, hurried=held.hurried, evictions=evictions)
                return None
            result = TaskResult.LOST
        if result is TaskResult.LOST and held.hurried:
            self._submit(held.task, held.folder, hurried=False)
            return None
        return Returned(
            task_id=report.task_id,
            result=result,
            exit_code=report.exit_code,
            host=report.host,
            started=report.started,
            finished=report.finished,
            message=_message(report),
            receiving=report.receiving,
        )

    def _forget(self, task_id: str) -> Held | None:
        held = self._tasks.pop(task_id, None)
        if held is not None:
            self._sizes.remove(held.task)
        return held

    def hungry(self, priority: int | None = None) -> int:
        """How many more tasks the idle cores can take, plus a reserve that waits."""
        stats = self._counts.now()
        overtaken = 0
        if priority is not None and stats.tasks_waiting:
            overtaken = sum(
                held.task.priority < priority and self._manager.is_waiting(held.handle)
                for held in self._tasks.values()
            )
        return self._sizes.hungry(stats, overtaken)

    def cancel(self, task_id: str) -> None:
        """End the task, and never return it."""
        held = self._forget(task_id)
        if held is not None:
            # If the manager still returns the task, wait() ignores it.
            self._manager.cancel(held.handle)

    def cancel_waiting(self) -> list[str]:
        """Cancel the tasks that no worker has received, and return their ids."""
        waiting = self.waiting()
        for task_id in waiting:
            self.cancel(task_id)
        return waiting

    def waiting(self) -> list[str]:
        """The ids of the tasks that no worker has received."""
        return [
            task_id
            for task_id, held in self._tasks.items()
            if self._manager.is_waiting(held.handle)
        ]

    def block_host(self, host: str, seconds: float) -> None:
        """Send no tasks to `host` for `seconds`, then one, and no more until `unblock_host`."""
        self._blocked.add(host, seconds, self.running())

    def running(self) -> list[RunningTask]:
        """The tasks on workers, with their hosts."""
        found = []
        for task_id, held in self._tasks.items():
            place = self._manager.place(held.handle)
            if place is not None:
                found.append(RunningTask(task_id, place.host, place.started))
        return found

    def unblock_host(self, host: str) -> None:
        """Send tasks to `host` again, whatever has blocked it."""
        self._blocked.remove(host)

    def stats(self) -> EngineStats:
        """The manager's counts of workers and tasks."""
        stats = self._counts.now()
        return EngineStats(
            workers=stats.workers_connected,
            cores=stats.total_cores,
            waiting=max(0, stats.tasks_waiting),
            running=stats.tasks_on_workers,
            bytes_sent=stats.bytes_sent,
            workers_lost=stats.workers_lost,
        )

    def trouble(self) -> str | None:
        """A description of refused workers and of tasks that no worker takes; None without them."""
        sizes = self._sizes.trouble(self._counts.now(), self._blocked.hosts)
        troubles = (self._refusals.trouble(), sizes)
        return "; ".join(filter(None, troubles)) or None

    def how_to_connect(self) -> str | None:
        """The command line that starts a worker."""
        return ndcctools.how_to_connect(self.worker_program, self._setting, self.port)

    def close(self) -> None:
        """Cancel the remaining tasks and free the port."""
        for task_id in list(self._tasks):
            self.cancel(task_id)
        self._manager.close()


class _PasswordFile:
    """Follows changes of the password file: the libraries read it only when they are told to."""

    def __init__(self, path: Path | None, manager: Manager) -> None:
        self._path = path
        self._manager = manager
        self._known = changed(path)

    def renew(self) -> None:
        """Let the manager read the file again if it was replaced."""
        found = changed(self._path)
        if self._path is not None and found is not None and found != self._known:
            self._known = found
            self._manager.set_password(self._path)
            log.warning("the password for workers was changed; new workers need the new one")


def _message(report: Report) -> str:
    message = report.output[-MESSAGE_TAIL_CHARACTERS:]
    if report.failure:
        message = f"{report.failure}: {message}".rstrip(": \n")
    return message
