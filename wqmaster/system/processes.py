"""Processes of this machine, by psutil: which there are, what began them, whose they are.

psutil has no counterpart for two things, which are read from /proc (proc(5)) where they are needed:
what tells one boot and one set of process numbers from another (`boot`), and the descriptors of a
process that are not regular files (engines/ndcctools.py).
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

# How far two readings of when a process began may be apart: the kernel tells the time of the boot
# in whole seconds, and moves it with the clock.
_BEGAN_TOLERANCE_SECONDS = 2.0


def boot() -> str:
    """What tells this boot of this machine, and its set of process numbers, from all others.

    Its format is in the locks and states of earlier versions, too: boot_id of random(4), a colon,
    and the inode of pid_namespaces(7).
    """
    text = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{text}:{Path('/proc/self/ns/pid').readlink()}"


def is_running(pid: int) -> bool:
    """Whether `pid` is a process that has not ended; one that nobody has waited for yet, has."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except (psutil.Error, ValueError):
        return False


def command_line(pid: int) -> str:
    """The words that `pid` was started with; "" where it has ended or is not to be looked at."""
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, ValueError):
        return ""


def began(pid: int) -> float | None:
    """How many seconds after this machine's boot `pid` began; None where that cannot be known.

    It tells a process from a later one of the same number. Setting the clock does not change it.
    """
    try:
        booted = psutil.boot_time()  # the first of the two, by which older versions of psutil count
        return round(psutil.Process(pid).create_time() - booted, 2)
    except (psutil.Error, ValueError, OSError, RuntimeError):
        return None


def alive(pid: int, since: float | None = None) -> bool:
    """Whether `pid` is a process of wqmaster on this machine: the one that began at `since`.

    Without `since` (seconds, as `began` has it), any of that number is taken for it.
    """
    if "wqmaster" not in command_line(pid):
        return False
    now = began(pid)
    return since is None or now is None or abs(now - since) <= _BEGAN_TOLERANCE_SECONDS


def this_process() -> dict[str, Any]:
    """What others know this process by: its pid, and `boot` and `began` as above."""
    return {"pid": os.getpid(), "boot": boot(), "began": began(os.getpid())}


def lives(noted: Mapping[str, Any]) -> bool | None:
    """Whether a process of wqmaster runs that was noted as `this_process` does.

    None: it is of another machine or boot. Earlier versions noted no `began`.
    """
    if noted.get("boot") != boot():
        return None
    return alive(int(noted.get("pid", 0)), noted.get("began"))


def program_name(pid: int) -> str:
    """The name of the program that `pid` runs; "?" where it cannot be known."""
    try:
        return psutil.Process(pid).name()
    except (psutil.Error, ValueError):
        return "?"


def descendants(*above: int) -> list[int]:
    """The processes below those of `above`, or below this one."""
    found: dict[int, None] = {}
    for pid in above or (None,):
        try:
            below = psutil.Process(pid).children(recursive=True)
        except psutil.NoSuchProcess:
            continue
        found.update(dict.fromkeys(process.pid for process in below))
    return list(found)


def with_variable(variable: str, value: str, below: Path) -> list[int]:
    """Other processes whose environment has the variable, or that work in a folder of `below`*.

    `below` is the beginning of a path: /scratch/workers- is that of /scratch/workers-1.
    """
    found = []
    for process in psutil.process_iter():
        try:
            has = process.environ().get(variable) == value
            if (has or process.cwd().startswith(str(below))) and is_running(process.pid):
                found.append(process.pid)
        except psutil.Error:  # it has ended, or is somebody else's
            continue
    own = psutil.Process().pid
    return [pid for pid in found if pid != own]


def threads_of(uid: int) -> int:
    """Threads of a user, which are what the kernel counts against RLIMIT_NPROC."""
    return sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == uid
    )


def listener(port: int) -> int | None:
    """The process that listens on a TCP port, where this user may know it."""
    for connection in psutil.net_connections("tcp"):
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.pid and connection.laddr and connection.laddr.port == port:
            return connection.pid
    return None


def file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on, such as ext4 or nfs4; "unknown"."""
    best, kind = "", "unknown"
    resolved = f"{folder.resolve()}/"
    for disk in psutil.disk_partitions(all=True):
        # The last of those at one place is on top.
        inside = resolved.startswith(f"{disk.mountpoint.rstrip('/')}/")
        if inside and len(disk.mountpoint) >= len(best):
            best, kind = disk.mountpoint, disk.fstype
    return kind
