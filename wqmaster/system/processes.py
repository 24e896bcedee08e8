"""Processes on this machine: identity, ancestry, environment, open ports; uses psutil.

Two things that psutil lacks are read from /proc (proc(5)): the identity of a boot and a PID
namespace (`boot`), and a process's descriptors other than regular files (engines/ndcctools.py).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# How much two readings of a process's start time may differ: the kernel reports the boot time in
# whole seconds, and shifts it when the clock is set.
_BEGAN_TOLERANCE_SECONDS = 2.0


def boot() -> str:
    """An identifier of this boot of this machine and of its PID namespace.

    Locks and state files of earlier versions have the same format: the boot_id of random(4), a
    colon, and the inode of pid_namespaces(7).
    """
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{text}:{Path('/proc/self/ns/pid').readlink()}"


def is_running(pid: int) -> bool:
    """Whether `pid` is running; a zombie is not."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.Error, ValueError):
        return False


def command_line(pid: int) -> str:
    """The command line of `pid`; "" if it has ended or may not be inspected."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, ValueError):
        return ""


def began(pid: int) -> float | None:
    """The start time of `pid` in seconds since boot; None if unknown.

    It distinguishes a process from a later one with the same pid, and does not change when the
    clock is set.
    """
    try:
        booted = psutil.boot_time()  # read first: older versions of psutil cache it for create_time
        return round(psutil.Process(pid).create_time() - booted, 2)
    except (psutil.Error, ValueError, OSError, RuntimeError):
        return None


def alive(pid: int, since: float | None = None) -> bool:
    """Whether `pid` is a wqmaster process on this machine that started at `since`.

    `since` is in seconds since boot, as returned by `began`; None: at any time.
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

    None: it belongs to another machine or boot. Earlier versions did not record `began`.
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
    """The descendants of the processes `above` (default: of this process)."""
    found: dict[int, None] = {}
    for pid in above or (None,):
        try:
            below = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        found.update(dict.fromkeys(process.pid for process in below))
    return list(found)


def with_variable(variable: str, value: str, below: Path) -> list[int]:
    """Other processes that have `variable` set to `value`, or that work in a folder `below`*.

    `below` is a prefix: /scratch/workers- matches /scratch/workers-1.
    """
    found = []
    for process in psutil.process_iter():
        try:
            has = process.environ().get(variable) == value
            if (has or process.cwd().startswith(str(below))) and is_running(process.pid):
                found.append(process.pid)
        except psutil.Error:  # it has ended, or belongs to another user
            continue
    own = psutil.Process().pid
    return [pid for pid in found if pid != own]


def threads_of(uid: int) -> int:
    """The number of a user's threads, which the kernel counts against RLIMIT_NPROC."""
    return sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == uid
    )


def listener(port: int) -> int | None:
    """The process that listens on a TCP port; None if there is none that this user may see."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.pid and connection.laddr and connection.laddr.port == port:
            return connection.pid
    return None


def file_system(folder: Path) -> str:
    """The type of file system that `folder` is on, such as ext4 or nfs4, or "unknown"."""
    best, kind = "", "unknown"
    resolved = f"{folder.resolve()}/"
    for disk in psutil.disk_partitions(all=True):
        # Of several mounts at one place, the last is on top.
        inside = resolved.startswith(f"{disk.mountpoint.rstrip('/')}/")
        if inside and len(disk.mountpoint) >= len(best):
            best, kind = disk.mountpoint, disk.fstype
    return kind
