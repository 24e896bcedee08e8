"""The disk with the campaigns' folder is full, or read-only."""

import contextlib
import functools
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.faults.base import Needs, fault

if TYPE_CHECKING:
    from tests.chaos.system import System

_LONGEST_SECONDS = 8.0
_BLOCK_BYTES = 1 << 16


@functools.cache
def cannot_mount() -> str | None:
    """Why this user may not mount; None: they may."""
    with tempfile.TemporaryDirectory() as place:
        try:
            words = ["mount", "-t", "tmpfs", "wqmaster-chaos", place]
            mounted = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return "mount(8) is not installed"
        if mounted.returncode:
            return f"this user may not mount: {mounted.stderr.strip()}"
        subprocess.run(["umount", place], check=True, capture_output=True)
    return None


def _fill(filler: Path, until: float) -> None:
    """Take what is free, and what becomes free, until a moment."""
    with filler.open("wb", buffering=0) as file:
        while time.monotonic() < until:
            try:
                while True:
                    file.write(bytes(_BLOCK_BYTES))
            except OSError:
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\0" * 512)
            time.sleep(0.02)


@fault("disk-full", Needs.MOUNT, Needs.REPLICA, unavailable=cannot_mount)
def _full(system: "System", chance: random.Random) -> str:
    seconds = chance.uniform(1.0, _LONGEST_SECONDS)
    filler = system.home / ".filler"
    try:
        _fill(filler, time.monotonic() + seconds)
    finally:
        filler.unlink()
    return f"{seconds:.1f} s"


@fault("disk-read-only", Needs.MOUNT, Needs.REPLICA, unavailable=cannot_mount)
def _read_only(system: "System", chance: random.Random) -> str:
    """Cover the folder with a read-only view of itself.

    A file system on which files are open for writing cannot be remounted read-only. Under the
    cover, files that are open stay writable; everything else is read-only.
    """
    seconds = chance.uniform(1.0, _LONGEST_SECONDS)
    place = str(system.home)
    subprocess.run(["mount", "--bind", place, place], check=True, capture_output=True)
    try:
        words = ["mount", "-o", "remount,bind,ro", place]
        subprocess.run(words, check=True, capture_output=True)
        time.sleep(seconds)
    finally:
        subprocess.run(["umount", "--lazy", place], check=True, capture_output=True)
    assert os.access(place, os.W_OK)
    return f"{seconds:.1f} s"
