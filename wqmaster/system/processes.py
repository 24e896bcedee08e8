"""Processes on this machine (identity, ancestry, environment, open ports), read with psutil.

Two things that psutil lacks are read from /proc (proc(5)): which boot and which PID namespace this
is (`boot`), and descriptors that are not regular files (descriptors.py, engines/ndcctools.py).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# How much two readings of a process's start time can differ, since the kernel reports the boot time
# in whole seconds, and shifts it when the clock is set.
_BEGAN_TOLERANCE_SECONDS = 2.0


def boot() -> str:
    """An identifier of this boot of this machine and of its PID namespace.

    The format must stay as it is in earlier versions' locks and state files: the boot_id of
    random(4), a colon, and the name and inode of the PID namespace (pid_namespaces(7)).
    """
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{text}:{Path('/proc/self/ns/pid').readlink()}"


def is_running(pid: int) -> bool:
    """Whether the process `pid` is running; a zombie does not count."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.Error, ValueError):
        return False


def command_line(pid: int) -> str:
    """The command line of `pid`; "" if the process has ended or cannot be inspected."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, ValueError):
        return ""


def began(pid: int) -> float | None:
    """The start time of `pid` in seconds since boot; None if unknown.

    This time distinguishes a process from a later one with the same pid, and does not change when
    the clock is set.
    """
    try:
        booted = psutil.boot_time()  # read first: older versions of psutil cache it for create_time
        return round(psutil.Process(pid).create_time() - booted, 2)
    except (psutil.Error, ValueError, OSError, RuntimeError):
        return None


def alive(pid: int, since: float | None = None) -> bool:
    """Whether `pid` is a wqmaster process on this machine that started at `since`.

    `since` is in seconds since boot, as `began` returns it. If it is None, any start time will do.
    """
    if "wqmaster" not in command_line(pid):
        return False
    now = began(pid)
    return since is None or now is None or abs(now - since) <= _BEGAN_TOLERANCE_SECONDS


def this_process() -> dict[str, Any]:
    """The identity of this process: its pid, `boot` and `began`."""
    return {"pid": os.getpid(), "boot": boot(), "began": began(os.getpid())}


def lives(noted: Mapping[str, Any]) -> bool | None:
    """Whether the wqmaster process with this identity (see `this_process`) is running.

    None if the process belongs to another machine or boot. `began` can be missing, since earlier
    versions did not record it.
    """
    if noted.get("boot") != boot():
        return None
    return alive(int(noted.get("pid", 0)), noted.get("began"))


def program_name(pid: int) -> str:
    """The name of the program that `pid` runs; "?" if unknown."""
    try:
        return psutil.Process(pid).name()
    except (psutil.Error, ValueError):
        return "?"


def descendants(*above: int) -> list[int]:
    """The pids of all descendants of the processes `above` (default: this process)."""
    found: dict[int, None] = {}
    for pid in above or (None,):
        try:
            below = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        found.update(dict.fromkeys(process.pid for process in below))
    return list(found)


def with_variable(variable: str, value: str, below: Path) -> list[int]:
    """The pids of other processes with `variable` set to `value`, or working in a folder `below`*.

    `below` is a prefix: /scratch/workers- matches /scratch/workers-1. Processes that this user
    cannot inspect are left out.
    """
    found = []
    for process in psutil.process_iter():
        try:
            has = process.environ().get(variable) == value
            if (has or process.cwd().startswith(str(below))) and is_running(process.pid):
                found.append(process.pid)
        except psutil.Error:  # the process has ended, or belongs to another user
            continue
    own = psutil.Process().pid
    return [pid for pid in found if pid != own]


def threads_of(uid: int) -> int:
    """How many threads a user has; the kernel counts them against RLIMIT_NPROC."""
    return sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == uid
    )


def listener(port: int) -> int | None:
    """The pid that listens on a TCP port; None if this user can see no such process."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.pid and connection.laddr and connection.laddr.port == port:
            return connection.pid
    return None


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, such as ext4 or nfs4; or "unknown"."""
    best, kind = "", "unknown"
    resolved = f"{folder.resolve()}/"
    for disk in psutil.disk_partitions(all=True):
        # If several file systems are mounted at one place, the last one is on top.
        inside = resolved.startswith(f"{disk.mountpoint.rstrip('/')}/")
        if inside and len(disk.mountpoint) >= len(best):
            best, kind = disk.mountpoint, disk.fstype
    return kind
