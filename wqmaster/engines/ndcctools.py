"""What the managers of Work Queue and TaskVine (both of ndcctools) have in common."""

import contextlib
import errno
import os
import shutil
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.engines.base import EngineStats, TaskResult
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.jobs.job import Task
from wqmaster.system.hosts import this_host

# Characters of what a runner said that are kept.
MESSAGE = 2000
NO_MONITOR = (
    "resources are learned ('engine: {allocation: ...}') by the program resource_monitor of "
    "ndcctools, which is not installed here (Debian's package leaves it out): "
    "conda install -c conda-forge ndcctools, or 'allocation: fixed'"
)
# Bytes after which the debug log is begun anew (the one before stays as debug.old).
DEBUG_SIZE = 10_000_000
# Bytes after which the other logs are begun anew. A task is about 1 KB of the transactions' log.
LOG_SIZE = 100_000_000
# Folders of logs of earlier runs that are kept.
KEPT_LOGS = 5
# Seconds for which workers are idle while tasks wait before that is told.
IDLE = 30.0
# The longest time limit that a manager can be told.
_LONGEST = 9 * 10**18
# Tasks that wait for a worker, at most.
MOST_WAITING = 1000
# Seconds for which a manager listens to one that has connected and says nothing.
_SILENCE = 5
# Seconds for which the kernel keeps such a one from the manager.
_DEFERRED = 60
# How often a manager that takes any free port is started before that is an error.
_TRIES = 5
# The port of a catalog (catalog_server, -p).
CATALOG_PORT = 9097


@dataclass(frozen=True)
class Setting:
    """What a manager is told when it is started."""

    logs: Path  # folder; each run has one of its own in it
    port: int = 0  # 0: any that is free
    password: Path | None = None  # file that workers must have as well
    name: str | None = None  # project name in the catalog
    catalog: str | None = None  # HOST or HOST:PORT
    ssl: tuple[Path, Path] | None = None  # key and certificate
    allocation: str = "fixed"  # or max, min_waste, max_throughput: resources are learned
    fast_abort: float | None = None  # times the average of a category
    debug: bool = False  # whether all is logged
    host: str | None = None  # the name by which workers reach this machine
    # Seconds after which a silent worker is asked whether it lives, and that it has to answer. The
    # libraries' own 120 and 900 would keep the tasks of a machine that is gone for 17 minutes.
    keepalive: tuple[int, int] = (60, 300)

    @property
    def learns(self) -> bool:
        """Whether resources of tasks are measured, and allocated as earlier tasks took them."""
        return self.allocation != "fixed"

    def running_time(self, task: Task) -> int:
        """The time limit of `task` as the library (7.14.5) is to be told.

        Manager and worker each take the limit for microseconds, so that 420 ends a task after a
        second (vine_task_set_time_max, work_queue_task_specify_running_time: read in both). With
        a resource monitor the worker is not asked. Above 106 days the library's integer is full.
        """
        return min(task.time_limit * (10**6 if self.learns else 10**12), _LONGEST)

    def debug_flags(self, subsystem: str) -> tuple[str, ...]:
        """What the debug log is told: notices, refused workers among them; or all."""
        flags = ["fatal", "error", "notice"]
        if self.ssl:
            flags.append("ssl")
        if self.debug:
            flags.append(subsystem)
        return tuple(flags)

    def catalog_address(self) -> tuple[str, int]:
        """Host and port of the catalog."""
        host, _, port = (self.catalog or "127.0.0.1").partition(":")
        return host, int(port or CATALOG_PORT)


class Blocked:
    """Hosts that get no task for a while.

    `block_host_with_timeout` of the bindings (7.14.5, both engines) refuses every argument: SWIG
    does not know time_t.
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._until: dict[str, float] = {}

    def add(self, host: str, seconds: float) -> None:
        """Block `host`."""
        self._manager.block_host(host)
        self._until[host] = time.monotonic() + seconds

    def release(self) -> None:
        """Let those have tasks again whose time is over."""
        now = time.monotonic()
        for host in [host for host, until in self._until.items() if now >= until]:
            del self._until[host]
            self._manager.unblock_host(host)


class Growing:
    """A log that the library writes for ever: begun anew when it is large, as NAME.old before.

    `reopen` has the library open it once more, which leaves the file of before open, and its disk
    taken: that descriptor of the library is turned to /dev/null.
    """

    def __init__(self, path: Path, reopen: Callable[[], object], size: int = LOG_SIZE) -> None:
        self._path = path
        self._reopen = reopen
        self._size = size

    def bound(self) -> None:
        """Begin it anew if it is too large."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_size < self._size:
                return
            old = self._path.with_name(f"{self._path.name}.old")
            self._path.rename(old)
            left = [number for number in _descriptors() if _is(number, old)]
            self._reopen()
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in left:
                os.dup2(nowhere, number, inheritable=False)
            os.close(nowhere)


def _descriptors() -> list[int]:
    return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]


def _is(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except OSError:
        return False  # a descriptor of the listing itself


@contextlib.contextmanager
def quiet() -> Iterator[None]:
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


def log_folder(setting: Setting) -> Path:
    """A new folder for the logs of this run; the oldest of earlier runs are removed."""
    setting.logs.mkdir(parents=True, exist_ok=True)
    earlier = sorted(path for path in setting.logs.glob("[0-9]*") if path.is_dir())
    for old in earlier[: max(0, len(earlier) - KEPT_LOGS + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    # At most 19 characters, TaskVine's limit (vine_runtime_directory_create).
    name = time.strftime("%Y-%m-%dT%H%M%S")
    for again in ("", *(f"-{count}" for count in range(1, 10))):  # started in the same second
        with contextlib.suppress(FileExistsError):
            (setting.logs / f"{name}{again}").mkdir()
            return setting.logs / f"{name}{again}"
    raise EngineError(
        f"there are ten folders {setting.logs / name}* already: try again in a second"
    )


def started(what: str, port: int, start: Callable[[], Any]) -> Any:
    """What `start` returns: a manager that listens on `port`.

    Two programs that look for a free port at the same moment may find the same one (the library
    binds with SO_REUSEADDR, and fails when it listens), so that a second look helps.

    Raises:
        EngineError: it cannot be started.
    """
    tries = _TRIES if port == 0 else 1
    while True:
        tries -= 1
        try:
            with quiet():
                return start()
        except Exception as error:
            if tries == 0:
                raise why_not_started(what, port, error) from error
        time.sleep(0.1)


def bound_silence(port: int) -> None:
    """See that one who connects to `port` and says nothing does not hold up the manager.

    It waits for each that connects: 5 s for the password, for ever for the first word of SSL
    (link_ssl_wrap_accept of 7.14.5), and a scanner of ports says none. Workers speak first: the
    kernel hands over a connection when there is something to read. On Linux, what is accepted has
    the time-outs of the socket that listens.
    """
    for number in _descriptors():
        if not Path(f"/proc/self/fd/{number}").is_socket():
            continue
        with socket.socket(fileno=os.dup(number)) as found:
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            inet = found.family in (socket.AF_INET, socket.AF_INET6)
            if not inet or not listens or found.getsockname()[1] != port:
                continue
            limit = struct.pack("@ll", _SILENCE, 0)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFERRED)


def why_not_started(what: str, port: int, error: Exception) -> EngineError:
    """The error that the manager of `what` did not come up."""
    if port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as reason:
                why, code = reason.strerror, ErrorCode.PORT_UNUSABLE
                if reason.errno == errno.EADDRINUSE:
                    why, code = "another program listens there already", ErrorCode.PORT_IN_USE
                return EngineError(
                    f"{what} cannot listen on port {port}: {why}; name another one with "
                    "--port, or 0 for any that is free",
                    code=code,
                )
    return EngineError(f"{what} cannot be started: {error}")


def how_to_connect(worker: str, setting: Setting, port: int) -> str:
    """The command line that starts a worker of this manager."""
    words = [worker]
    if setting.password:
        words += ["--password", str(setting.password)]
    if setting.ssl:
        words.append("--ssl")
    if setting.name:
        words += ["-M", setting.name, "-C", "{}:{}".format(*setting.catalog_address())]
    else:
        words += [setting.host or this_host(), str(port)]
    return " ".join(words)


def counts(stats: Any) -> EngineStats:
    """The counts of either manager."""
    return EngineStats(
        workers=stats.workers_connected,
        cores=stats.total_cores,
        waiting=stats.tasks_waiting,
        running=stats.tasks_on_workers,
        bytes_sent=stats.bytes_sent,
        workers_lost=stats.workers_lost,
    )


def hungry(stats: Any, sizes: "Sizes") -> int:
    """What idle workers could take of the smallest tasks, and a tenth of what all can to wait.

    A long queue is dear: Work Queue's manager scans all of it for each task that it places (0.4 ms
    a task with 4 waiting, 6.8 with 1,000).
    """
    total = (stats.total_cores, stats.total_memory, stats.total_disk)
    slots = min(
        (have // asked for have, asked in zip(total, sizes.least, strict=True) if asked), default=0
    )
    reserve = min(100, max(10, slots // 10))
    idle = max(0, slots - stats.tasks_on_workers)
    return int(max(0, min(MOST_WAITING, reserve + idle) - stats.tasks_waiting))


class Sizes:
    """What the tasks that a manager has ask for, to tell which no worker can have."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._sizes: Counter[tuple[int, int, int]] = Counter()
        self._last = (1, 0, 0)
        self._idle_since = time.monotonic()

    def _of(self, task: Task) -> tuple[int, int, int]:
        if self._setting.learns and task.plain:
            return task.cores, 0, 0  # the manager asks for what earlier ones took
        return task.cores, task.memory or 0, task.disk or 0

    def add(self, task: Task) -> None:
        """A task was submitted."""
        self._last = self._of(task)
        self._sizes[self._last] += 1

    def remove(self, task: Task) -> None:
        """It has come back, or was cancelled."""
        size = self._of(task)
        self._sizes[size] -= 1
        if self._sizes[size] <= 0:
            del self._sizes[size]

    @property
    def least(self) -> tuple[int, int, int]:
        """The least cores, MB of memory and of disk of all tasks; 0 where none is stated."""
        cores, memory, disk = zip(*(self._sizes or [self._last]), strict=True)
        return min(cores), min(memory), min(disk)

    def too_large(self, stats: Any) -> str | None:
        """Which tasks no worker that is connected can take, in words."""
        if not stats.workers_connected or not stats.tasks_waiting:
            self._idle_since = time.monotonic()
            return None
        largest = (stats.max_cores, stats.max_memory, stats.max_disk)
        units = ("cores", "MB of memory", "MB of disk")
        for size, count in self._sizes.items():
            over = [
                f"{asked} {unit} (the largest worker has {most})"
                for asked, most, unit in zip(size, largest, units, strict=True)
                if asked > most > 0
            ]
            if over:
                return f"{count} tasks wait for a larger worker: they ask for {' and '.join(over)}"
        return self._idle(stats)

    def _idle(self, stats: Any) -> str | None:
        now = time.monotonic()
        if stats.tasks_on_workers:
            self._idle_since = now
        if now - self._idle_since < IDLE:
            return None
        return (
            f"{stats.tasks_waiting} tasks wait while {stats.workers_connected} workers are idle: "
            "none has the memory, disk or time left for one, or all are blocked"
        )


def all_of(*troubles: str | None) -> str | None:
    """What is wrong, all of it: one trouble does not hide another."""
    return "; ".join(filter(None, troubles)) or None


def exceeded(limits: Any) -> TaskResult:
    """What a task that used too much had too much of.

    `limits` is the library's record of what was exceeded, which is there only with a resource
    monitor; without one a worker watches disk alone.
    """
    if limits is not None:
        for name, word in (
            ("memory", TaskResult.MEMORY_LIMIT),
            ("wall_time", TaskResult.TIME_LIMIT),
        ):
            if getattr(limits, name, -1) > 0:
                return word
    return TaskResult.DISK_LIMIT
