"""Hold a run before the disk, the inodes or the descriptors of this machine are used up."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

from wqmaster.run.collector.messages import EndedJob
from wqmaster.run.holds import Hold, HoldKind
from wqmaster.system.descriptors import open_descriptors

# Seconds between two measurements, at least; one takes at most a hundredth of the time.
_LOOK_INTERVAL_SECONDS = 1.0
_LOOK_SHARE = 0.01
# A hold ends only when this many times the limit is free, so that it does not come and go.
_FREE_AGAIN_FACTOR = 1.1
# Inodes that stay free: each task in flight needs about ten.
MIN_FREE_INODES = 10_000
# Descriptors that stay free: 1/8 of the limit, within these bounds.
_SPARE_DESCRIPTORS_SHARE = 8
_MIN_SPARE_DESCRIPTORS, _MAX_SPARE_DESCRIPTORS = 4, 64
# The soft limit is raised to the hard one, but no higher: some programs close every number.
_ENOUGH_DESCRIPTORS = 65_536


def raise_descriptor_limit() -> int:
    """Raise the limit on open files as far as this user may; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
    wanted = min(wanted, _ENOUGH_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return _ENOUGH_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class _Measured:
    """Measures at most once a second, and less often if that takes long.

    `measure` returns a hold if less than its argument times what must stay free is free.
    """

    def __init__(self, measure: Callable[[float], Hold | None]) -> None:
        self._measure = measure
        self._next_look = 0.0
        self._found: Hold | None = None

    def hold(self) -> Hold | None:
        """The hold that was measured last; None if there is none."""
        begun = time.monotonic()
        if begun >= self._next_look:
            try:
                self._found = self._measure(_FREE_AGAIN_FACTOR if self._found else 1.0)
            except OSError:
                self._found = None  # StorageGate reports a folder that is gone
            ended = time.monotonic()
            self._next_look = ended + max(_LOOK_INTERVAL_SECONDS, (ended - begun) / _LOOK_SHARE)
        return self._found


class DiskGate:
    """Holds a run while little space, or few inodes, are left for its folder.

    `min_free` is in MB of 2^20 bytes. A file system without a fixed number of inodes reports 0.
    """

    def __init__(self, folder: Path, min_free: int) -> None:
        self._folder = folder
        self._min_free = min_free
        self._measured = _Measured(self._measure)

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while too little is free."""
        return self._measured.hold()

    def _measure(self, factor: float) -> Hold | None:
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize / (1 << 20)
        if free < self._min_free * factor:
            reason = (
                f"the disk of {self._folder} has {free:,.0f} MB left; 'limits: {{disk: ...}}' "
                f"keeps {self._min_free:,} MB free"
            )
            return Hold(HoldKind.DISK, reason)
        # A small file system can have fewer inodes in all.
        least = min(MIN_FREE_INODES, found.f_files // 10)
        if found.f_files and found.f_favail < least * factor:
            reason = f"the disk of {self._folder} has {found.f_favail:,} inodes left"
            return Hold(HoldKind.DISK, reason)
        return None


class DescriptorGate:
    """Holds a run while nearly all descriptors that this process may have are in use."""

    def __init__(self) -> None:
        self._measured = _Measured(self._measure)

    def heard(self, job: EndedJob) -> None:
        """Ignore the job."""

    def hold(self) -> Hold | None:
        """A hold while too few are left."""
        return self._measured.hold()

    @staticmethod
    def _measure(factor: float) -> Hold | None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return None
        spare = soft // _SPARE_DESCRIPTORS_SHARE
        spare = max(_MIN_SPARE_DESCRIPTORS, min(_MAX_SPARE_DESCRIPTORS, spare))
        try:
            used = len(open_descriptors())
        except OSError:
            used = soft  # not even one is left to count them with
        if used + spare * factor <= soft:
            return None
        reason = (
            f"{used:,} of {soft:,} file descriptors are open, at least one for each worker; "
            "raise the limit with 'ulimit -n', or use fewer workers"
        )
        return Hold(HoldKind.DESCRIPTORS, reason)
