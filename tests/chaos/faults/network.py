"""Connections between workers and their manager are cut."""

import contextlib
import ctypes
import os
import random
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos import processes
from tests.chaos.faults.base import NotDone, fault, found_soon
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from tests.chaos.system import System

_PIDFD_GETFD = 438  # the number of the system call, the same on all architectures (pidfd_getfd(2))
_PROGRAMS = {"work_queue": "work_queue_worker", "taskvine": "vine_worker"}
_MOST_CUTS = 6
_LARGEST_CUT_BYTES = 20_000
_VISIT_SECONDS = 5.0


def _taken(pid: int, number: int) -> int:
    """A copy of another process's descriptor.

    Raises:
        OSError: it may not be copied, or is gone.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    process = os.pidfd_open(pid)
    try:
        found: int = libc.syscall(_PIDFD_GETFD, process, number, 0)
    finally:
        os.close(process)
    if found < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return found


def cannot_take() -> str | None:
    """Why descriptors of other processes cannot be copied here; None: they can."""
    with subprocess.Popen(["sleep", "10"], stdin=subprocess.DEVNULL) as process:
        try:
            os.close(_taken(process.pid, 0))
        except OSError as error:
            return f"connections of other processes cannot be cut: {error}"
        finally:
            process.kill()
    return None


def cut_connections(pid: int, port: int) -> int:
    """Cut a process's connections to `port` on this machine; return how many."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            if not os.readlink(entry).startswith("socket:"):  # noqa: PTH115  # not a path
                continue
            with socket.socket(fileno=_taken(pid, int(entry.name))) as one:
                if one.getpeername()[1] == port:
                    one.shutdown(socket.SHUT_RDWR)
                    count += 1
    return count


@fault("worker-connection-cut", unavailable=cannot_take)
def _cut_worker(system: "System", chance: random.Random) -> str:
    """Cut the connection of a worker to its manager at a random moment."""

    def workers() -> list[int]:
        return processes.by_role(system.folder).get("worker", [])

    pid = chance.choice(found_soon(workers, "worker"))
    with contextlib.suppress(FileNotFoundError):
        if cut_connections(pid, system.port):
            return f"pid {pid}"
    raise NotDone("the worker is not connected")


@fault("all-worker-connections-cut", unavailable=cannot_take)
def _cut_all_workers(system: "System", chance: random.Random) -> str:
    count = 0
    for pid in processes.by_role(system.folder).get("worker", []):
        with contextlib.suppress(FileNotFoundError):
            count += cut_connections(pid, system.port)
    if not count:
        raise NotDone("no worker is connected")
    return f"{count} connections"


@fault("worker-cut-in-transfer")
def _cut_in_transfer(system: "System", chance: random.Random) -> str:
    """Let another worker help, whose connection is cut within files and messages."""
    owner = "service" if system.plan.command == "serve" else system.campaigns[0].name
    password = system.folder / f"password-{chance.randrange(10**6)}"
    try:
        password.write_bytes((system.home / f"{owner}.run" / "password").read_bytes())
    except OSError as error:
        raise NotDone("there is no password yet") from error
    proxy = Proxy(system.port)
    for _ in range(chance.randint(1, _MOST_CUTS)):
        proxy.cut(chance.choice(("up", "down")), chance.randrange(_LARGEST_CUT_BYTES))
    place = system.folder / "visitor"
    place.mkdir(exist_ok=True)
    program = _PROGRAMS[system.plan.engine]
    words = [program, "--cores", "2", "--password", str(password), "-s", str(place)]
    worker = subprocess.Popen(
        [*words, "127.0.0.1", str(proxy.port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, processes.MARK: str(system.folder)},
        start_new_session=True,
    )
    try:
        time.sleep(_VISIT_SECONDS)
    finally:
        proxy.close()
        worker.terminate()
        try:
            worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
    return f"{proxy.cuts_made} cuts"
