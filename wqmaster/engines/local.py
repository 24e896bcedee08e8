"""The local pool, which runs tasks as processes on this machine, in sandboxes like a worker's."""

import contextlib
import fcntl
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from bisect import insort
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from wqmaster.engines import tries
from wqmaster.engines.base import RUNNER, EngineStats, Returned, RunningTask, TaskResult
from wqmaster.jobs.job import Input, Task

# How many times a task's runner is killed from outside before the task counts as lost.
_MAX_LOSSES_PER_TASK = 5
# How many bytes at the end of a runner's output are kept.
_MESSAGE_TAIL_BYTES = 2000
# Seconds until a task is tried again that could not be started.
_PAUSE_SECONDS = 1.0
# The memory of this machine.
_MEMORY_MB = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
_CACHE_PREFIX = "wqmaster-cache-"


@dataclass
class _Run:
    task: Task
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    finished: float = 0.0
    overdue: bool = False  # whether the engine ended the runner after its time limit
    losses: int = 0
    output: bytearray = field(default_factory=bytearray)

    @property
    def sandbox(self) -> Path:
        return self.folder / "sandbox"


def _is_running(run: _Run) -> bool:
    """Whether the runner has not ended; a runner that has ended is not reaped."""
    assert run.process is not None  # noqa: S101  # a running task has a process
    # Reaping here would free the number of the process group, which is killed later.
    how = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, run.process.pid, how) is None


def _new_cache() -> tuple[Path, int]:
    """Create a folder for files that tasks share; return it and the descriptor of its lock.

    This also removes the folders that dead masters left, since they can hold unpacked software.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{_CACHE_PREFIX}*/lock"):
        with contextlib.suppress(OSError), left.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_CACHE_PREFIX))
    part = folder / "lock.part"
    lock = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    part.rename(folder / "lock")  # other masters see only a lock that is held
    return folder, lock


class LocalEngine:
    """Runs `slots` tasks of `slot_cores` cores at a time, or more if they need fewer cores.

    A killed runner counts as a lost worker, and its task runs again. If the master is killed, the
    kernel sends SIGTERM to each runner (if `setpriv` is installed), and the runner ends the
    processes that it started.
    """

    name = "local"
    port = None

    def __init__(self, slots: int, environ: Mapping[str, str], slot_cores: int = 1) -> None:
        self.slots = slots
        self._slot_cores = slot_cores
        self.cores = slots * slot_cores
        self._slot_cores = slot_cores
        self._environ = dict(environ)
        # Tasks of a higher priority come first, and tasks of the same one in their order.
        self._waiting: list[_Run] = []
        self._running: dict[str, _Run] = {}
        self._ended: deque[_Run] = deque()
        self._selector = selectors.DefaultSelector()
        self._cache, self._lock = _new_cache()
        self._cached: dict[Input, Path] = {}
        self._bytes_sent = 0
        self._losses = 0
        self._paused_until = 0.0
        self._trouble: str | None = None
        setpriv = shutil.which("setpriv")
        self._prefix = [setpriv, "--pdeathsig", "TERM"] if setpriv else []

    def resize(self, slots: int) -> None:
        """Change how many tasks may run at a time."""
        self.slots = slots
        self.cores = slots * self._slot_cores

    def submit(self, task: Task, folder: Path) -> None:
        """Put `task` in the queue, and start it if a slot is free."""
        self._queue(_Run(task, folder))
        self._start()

    def _queue(self, run: _Run) -> None:
        insort(self._waiting, run, key=lambda run: -run.task.rank)

    def _fits(self, task: Task) -> bool:
        """Whether enough cores and memory are free; a task that is too large for all runs alone."""
        running = [run.task for run in self._running.values()]
        cores = sum(one.cores for one in running) + min(task.cores, self.cores)
        memory = sum(one.memory or 0 for one in running) + min(task.memory or 0, _MEMORY_MB)
        return cores <= self.cores and memory <= _MEMORY_MB

    def _start(self) -> None:
        if time.monotonic() < self._paused_until:
            return
        while self._waiting and self._fits(self._waiting[0].task):
            run = self._waiting.pop(0)
            if run.folder.parent.is_dir() and not (run.folder / "inputs.tar").exists():
                # The folder is gone. The task must not hold up those behind it.
                self._ended.append(run)
                continue
            try:
                self._begin(run)
            except OSError as error:
                # The disk can be full, or the folder away: the task is tried again.
                shutil.rmtree(run.sandbox, ignore_errors=True)
                self._waiting.insert(0, run)
                self._paused_until = time.monotonic() + _PAUSE_SECONDS
                where = f"{error.filename}: " if error.filename else ""
                self._trouble = f"a task cannot be started: {where}{error.strerror or error}"
                return
            self._trouble = None

    def _begin(self, run: _Run) -> None:
        self._prepare(run)
        run.output.clear()
        run.started = time.time()
        run.overdue = False
        run.process = subprocess.Popen(
            [*self._prefix, "sh", "runner.sh", *run.task.runner_arguments],
            cwd=run.sandbox,
            env={**self._environ, "WQMASTER_SOFTWARE": str(self._cache / "software")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running[run.task.id] = run
        pipe = cast("IO[bytes]", run.process.stdout)
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, run)

    def _prepare(self, run: _Run) -> None:
        shutil.rmtree(run.sandbox, ignore_errors=True)
        # Parents are not created: a spool that is away must not be replaced by another one.
        run.sandbox.mkdir()
        (run.sandbox / "shared").mkdir()
        shutil.copyfile(RUNNER, run.sandbox / "runner.sh")
        inputs = run.folder / "inputs.tar"
        shutil.copyfile(inputs, run.sandbox / "inputs.tar")
        self._bytes_sent += inputs.stat().st_size
        for shared in run.task.inputs:
            if shared not in self._cached:
                place = self._cache / f"{len(self._cached)}-{shared.name}"
                shutil.copyfile(shared.path, place)
                self._cached[shared] = place
                self._bytes_sent += place.stat().st_size
            (run.sandbox / "shared" / shared.name).symlink_to(self._cached[shared])

    def wait(self, seconds: float) -> Returned | None:
        """The next task that ends; None if none ends within `seconds`."""
        deadline = time.monotonic() + seconds
        self._start()
        # Without the spool, the outputs would seem to be missing.
        while not self._ended or not self._ended[0].folder.parent.is_dir():
            left = deadline - time.monotonic()
            self._listen(max(0.0, min(left, 1.0)))
            if left <= 0:
                return None
        return self._result(self._ended.popleft())

    def _listen(self, seconds: float) -> None:
        if not self._selector.get_map():
            # Nothing runs, so no event can end the wait early.
            time.sleep(seconds)
            return
        now = time.time()
        for run in list(self._running.values()):
            if now > run.started + run.task.time_limit:
                run.overdue = run.overdue or _is_running(run)
                self._kill(run)
        for key, _ in self._selector.select(seconds):
            run = cast("_Run", key.data)
            chunk = cast("IO[bytes]", key.fileobj).read()
            if chunk:
                run.output += chunk
                del run.output[:-_MESSAGE_TAIL_BYTES]
            elif chunk is not None:
                self._finish(run)

    def _finish(self, run: _Run) -> None:
        self._reap(run)
        run.finished = time.time()
        del self._running[run.task.id]
        if self._was_evicted(run) and not run.overdue:
            run.losses += 1
            self._losses += 1
            if run.losses < _MAX_LOSSES_PER_TASK:
                self._queue(run)
                self._start()
                return
        self._ended.append(run)
        self._start()

    def _kill(self, run: _Run) -> None:
        assert run.process is not None  # noqa: S101  # a running task has a process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)

    def _reap(self, run: _Run) -> None:
        """Kill the runner's leftover processes, close its output, and take its exit code."""
        assert run.process is not None  # noqa: S101
        pipe = cast("IO[bytes]", run.process.stdout)
        self._selector.unregister(pipe)
        pipe.close()
        self._kill(run)
        run.process.wait()

    @staticmethod
    def _was_evicted(run: _Run) -> bool:
        """Whether a signal from outside ended the runner, so that its archive is not complete."""
        assert run.process is not None  # noqa: S101
        code = run.process.returncode
        return tries.was_evicted(TaskResult.NO_OUTPUT, code, signaled=code < 0)

    def _result(self, run: _Run) -> Returned:
        if run.process is None:
            now, text = time.time(), f"there are no inputs in {run.folder}"
            return Returned(run.task.id, TaskResult.ERROR, 1, os.uname().nodename, now, now, text)
        code = run.process.returncode
        outputs = run.sandbox / "outputs.tar"
        if code < 0 and run.overdue:
            result = TaskResult.TIME_LIMIT
        elif self._was_evicted(run):
            result = TaskResult.LOST
        elif outputs.exists():
            outputs.rename(run.folder / "outputs.tar")
            result = TaskResult.OK
        else:
            result = TaskResult.NO_OUTPUT
        shutil.rmtree(run.sandbox, ignore_errors=True)
        host, message = os.uname().nodename, run.output.decode(errors="replace")
        return Returned(run.task.id, result, code, host, run.started, run.finished, message)

    def hungry(self, priority: int | None = None) -> int:
        """How many more tasks it takes to fill every slot and have as many tasks waiting."""
        waiting = [
            run for run in self._waiting if priority is None or run.task.priority >= priority
        ]
        runs = (*self._running.values(), *self._waiting)
        least = min((run.task.cores for run in runs), default=self._slot_cores)
        slots = max(1, self.cores // least)
        return max(0, 2 * slots - len(self._running) - len(waiting) - len(self._ended))

    def waiting(self) -> list[str]:
        """The ids of the tasks that have not started."""
        return [run.task.id for run in self._waiting]

    def cancel(self, task_id: str) -> None:
        """End the task, and never return it."""
        queues: tuple[list[_Run] | deque[_Run], ...] = (self._waiting, self._ended)
        for queue in queues:
            for run in [run for run in queue if run.task.id == task_id]:
                queue.remove(run)
                shutil.rmtree(run.sandbox, ignore_errors=True)
        found = self._running.pop(task_id, None)
        if found is not None:
            self._kill(found)
            self._reap(found)
            shutil.rmtree(found.sandbox, ignore_errors=True)
            self._start()

    def cancel_waiting(self) -> list[str]:
        """Cancel the tasks that have not started, and return their ids."""
        waiting = list(self._waiting)
        self._waiting.clear()
        for run in waiting:  # a task that lost its runner has a sandbox
            shutil.rmtree(run.sandbox, ignore_errors=True)
        return [run.task.id for run in waiting]

    def running(self) -> list[RunningTask]:
        """The tasks that have started."""
        host = os.uname().nodename
        return [RunningTask(run.task.id, host, run.started) for run in self._running.values()]

    def block_host(self, host: str, seconds: float) -> None:
        """Do nothing, since there is no other host."""

    def unblock_host(self, host: str) -> None:
        """Do nothing, since no host is ever blocked."""

    def stats(self) -> EngineStats:
        """The current counts; all slots together count as one worker with all their cores."""
        return EngineStats(
            workers=1,
            cores=self.cores,
            waiting=len(self._waiting),
            running=len(self._running),
            bytes_sent=self._bytes_sent,
            workers_lost=self._losses,
        )

    def trouble(self) -> str | None:
        """Why a task cannot be started now; None if all can."""
        return self._trouble

    def how_to_connect(self) -> str | None:
        """None, since no workers connect."""
        return None

    def close(self) -> None:
        """End everything that runs, and remove the cache."""
        self.cancel_waiting()
        for task_id in list(self._running):
            self.cancel(task_id)
        self._selector.close()
        shutil.rmtree(self._cache, ignore_errors=True)
        os.close(self._lock)
