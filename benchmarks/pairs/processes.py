"""The master of a command that runs, and what its process has used."""

import contextlib
from pathlib import Path

import psutil


def master_of(command: int) -> int:
    """The process id of the master: the child that the command forked, or the command itself."""
    with contextlib.suppress(psutil.NoSuchProcess):
        own = psutil.Process(command)
        words = own.cmdline()
        for child in own.children():
            if child.cmdline() == words:
                return child.pid
    return command


def peak_mb(pid: int) -> float:
    """The largest resident memory that a process has had, in MB of 2^20 bytes; 0 if it ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0
