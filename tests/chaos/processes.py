"""The processes of a run, found by a variable of their environment or by their folder."""

import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.chaos.work import JOB_MARK

MARK = "WQMASTER_CHAOS"

# What a command line contains -> what the process is. The first that fits counts.
_ROLES = {
    "wqmaster.run.service.campaign_process": "campaign",
    "wqmaster.run.collector.process": "collector",
    "wqmaster.run.service.examiner": "examiner",
    "-m wqmaster.factory": "supervisor",
    "work_queue_factory": "factory",
    "vine_factory": "factory",
    "/mongod --dbpath": "private-mongod",
}
# The kernel keeps the first 15 bytes of a name.
_WORKERS = ("work_queue_work", "vine_worker")


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _pids() -> Iterator[int]:
    for entry in os.listdir("/proc"):  # noqa: PTH208  # much faster than Path.iterdir
        if entry.isdigit() and int(entry) != os.getpid():
            yield int(entry)


def command_of(pid: int) -> str:
    """The command line of a process; empty if it has ended."""
    return _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def all_of(folder: Path) -> dict[int, str]:
    """The processes that a run in `folder` has started: pid -> command line."""
    mark = f"{MARK}={folder}".encode()
    found = {}
    for pid in _pids():
        if mark in _read(pid, "environ").split(b"\0") and (line := command_of(pid)):
            found[pid] = line
    return found


def master_of(pid: int) -> int:
    """The process that works for the command `pid`: its child with the same command line.

    The command itself, while there is no child.
    """
    line = command_of(pid)
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children():
            if command_of(child.pid) == line:
                return child.pid
    return pid


def role_of(pid: int, line: str) -> str | None:
    """What a process is, by its command line; None: something else."""
    name = _read(pid, "comm").decode(errors="replace").strip()
    if name.startswith(_WORKERS):
        return "worker"
    if name == "sh" and line.endswith(f" {JOB_MARK}"):
        return "job"
    return next((role for text, role in _ROLES.items() if text in line), None)


def by_role(folder: Path) -> dict[str, list[int]]:
    """The processes of a run by what they are."""
    found = defaultdict(list)
    for pid, line in all_of(folder).items():
        role = role_of(pid, line)
        if role is not None:
            found[role].append(pid)
    return found


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return whether the process was there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
