"""The settings and the start of an ndcctools manager (Work Queue or TaskVine)."""

import errno
import importlib
import os
import re
import socket
import struct
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.jobs.job import Task
from wqmaster.system.descriptors import open_descriptors, quiet
from wqmaster.system.hosts import this_host

NO_MONITOR_MESSAGE = (
    "'engine: {allocation: ...}' needs the program resource_monitor of ndcctools, which is not "
    "installed here (Debian's package lacks it); run 'conda install -c conda-forge ndcctools' or "
    "set 'allocation: fixed'"
)
# The default port of a catalog server (option -p of catalog_server).
DEFAULT_CATALOG_PORT = 9097
_PORT = re.compile(r"[0-9]{1,5}")
_MAX_PORT = 65535
# The largest number that a manager accepts as a running time, whatever the unit.
_MAX_RUNNING_TIME = 9 * 10**18
# How long a manager waits for a peer that has connected but sends nothing.
_SILENT_PEER_TIMEOUT_SECONDS = 5
# How long the kernel hides a connection from the manager if the peer sends nothing.
_DEFERRED_ACCEPT_SECONDS = 60
# How many times the start of a manager is tried if any free port will do.
_MAX_START_ATTEMPTS = 5


@dataclass(frozen=True)
class Setting:
    """The settings with which a manager starts."""

    logs: Path  # the folder with a subfolder for each run
    port: int = 0  # 0: any free port
    password: Path | None = None  # a file; workers need a copy of it
    name: str | None = None  # project name in the catalog
    catalog: str | None = None  # HOST or HOST:PORT
    ssl: tuple[Path, Path] | None = None  # the files with the key and the certificate
    allocation: str = "fixed"  # fixed, or a learning mode: max, min_waste, max_throughput
    fast_abort: float | None = None  # restart a task after this many times its category's average
    debug: bool = False  # whether everything is logged
    host: str | None = None  # the name by which workers reach this machine
    campaign_file: str = "CAMPAIGN"  # its path, quoted for a shell, for suggested commands
    # The command that lists the hosts; None if several campaigns can have blocked them.
    show_hosts: str | None = None
    # After how many seconds of silence the manager asks a worker whether it is alive, and how many
    # seconds the worker has to answer. With the libraries' defaults, 120 and 900, the tasks of a
    # dead machine would be missing for 17 minutes.
    keepalive: tuple[int, int] = (60, 300)

    @property
    def learns(self) -> bool:
        """Whether the manager measures resources, and allocates what earlier tasks used."""
        return self.allocation != "fixed"

    @property
    def ssl_files(self) -> tuple[str, str] | None:
        """The paths of the key and the certificate, as the bindings take them; None without SSL."""
        return (str(self.ssl[0]), str(self.ssl[1])) if self.ssl else None

    def running_time(self, task: Task) -> int:
        """The time limit of `task` in the unit that the library (7.14.5) actually uses (F2).

        Manager and worker both treat the limit as microseconds, so a limit of 420 would end a task
        after a second (sources: vine_task_set_time_max, work_queue_task_specify_running_time). With
        a resource monitor, the worker does not enforce the limit. Above 106 days, the library's
        integer would overflow.
        """
        return min(task.time_limit * (10**6 if self.learns else 10**12), _MAX_RUNNING_TIME)

    def debug_flags(self, subsystem: str) -> tuple[str, ...]:
        """The flags that log notices (such as refused workers) or, with `debug`, everything."""
        flags = ["fatal", "error", "notice"]
        if self.ssl:
            flags.append("ssl")
        if self.debug:
            flags.append(subsystem)
        return tuple(flags)

    def catalog_address(self) -> tuple[str, int]:
        """The host and port of the catalog; this machine if none is set.

        Raises:
            EngineError: `catalog` has no usable port.
        """
        return catalog_address(self.catalog or "127.0.0.1")


def catalog_address(place: str) -> tuple[str, int]:
    """The host and port of the catalog at `place`, which is HOST or HOST:PORT.

    Raises:
        EngineError: PORT is not a number from 1 to 65535.
    """
    host, _, port = place.partition(":")
    number = DEFAULT_CATALOG_PORT if not port else int(port) if _PORT.fullmatch(port) else 0
    if not 0 < number <= _MAX_PORT:
        raise EngineError(
            f"the catalog '{place}' is not HOST or HOST:PORT: the port must be a number from 1 to "
            f"{_MAX_PORT}; correct CATALOG_HOST or 'engine: {{catalog: ...}}'",
            code=ErrorCode.CATALOG_MISSING,
        )
    return host, number


def bindings(name: str) -> Any:
    """The module `name` of ndcctools, imported without the warnings of SWIG (Python >= 3.12)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"ndcctools.{name}")


def started(title: str, port: int, start: Callable[[], Any]) -> Any:
    """Call `start` and return its result, a manager that listens on `port`.

    With port 0, a failed start is repeated: two programs that look for a free port at the same
    moment can find the same one, since the library binds with SO_REUSEADDR and fails only when it
    listens.

    Raises:
        EngineError: the manager cannot be started.
    """
    attempts = _MAX_START_ATTEMPTS if port == 0 else 1
    while True:
        attempts -= 1
        try:
            with quiet():  # the exception contains the same message
                return start()
        except Exception as error:
            if attempts == 0:
                raise _why_not_started(title, port, error) from error
        time.sleep(0.1)


def _why_not_started(title: str, port: int, error: Exception) -> EngineError:
    if port:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as reason:
                why, code = reason.strerror, ErrorCode.PORT_UNUSABLE
                if reason.errno == errno.EADDRINUSE:
                    why, code = "another program is listening there", ErrorCode.PORT_IN_USE
                return EngineError(
                    f"{title} cannot listen on port {port}: {why}; choose another with --port "
                    "(0: any free port)",
                    code=code,
                )
    return EngineError(f"{title} cannot be started: {error}")


def bound_silence(port: int) -> None:
    """Keep silent peers that connect to `port` from blocking the manager.

    The manager waits for each peer that connects: 5 s for the password, and indefinitely for the
    start of the SSL handshake (link_ssl_wrap_accept of 7.14.5), which a port scanner never sends.
    Workers send first, so the kernel can hold back a connection until there is something to read.
    On Linux, an accepted socket inherits the timeouts of the listening socket.
    """
    for number in open_descriptors():
        if not Path(f"/proc/self/fd/{number}").is_socket():
            continue
        with socket.socket(fileno=os.dup(number)) as found:
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            inet = found.family in (socket.AF_INET, socket.AF_INET6)
            if not inet or not listens or found.getsockname()[1] != port:
                continue
            limit = struct.pack("@ll", _SILENT_PEER_TIMEOUT_SECONDS, 0)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFERRED_ACCEPT_SECONDS)


def how_to_connect(worker_program: str, setting: Setting, port: int) -> str:
    """The command line that starts a worker for this manager."""
    words = [worker_program]
    if setting.password:
        words += ["--password", str(setting.password)]
    if setting.ssl:
        words.append("--ssl")
    if setting.name:
        words += ["-M", setting.name, "-C", "{}:{}".format(*setting.catalog_address())]
    else:
        words += [setting.host or this_host(), str(port)]
    return " ".join(words)
