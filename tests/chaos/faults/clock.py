"""The clock of the service's processes steps forward or back.

A library that is preloaded shifts what a process reads as the time of day. The machine's own
clock, the times of files and the database's clock stay right, and so does the clock that only
counts up, as after a step of a real clock. libfaketime 0.9.10 is not used: with it, Python's
sleep failed with EINVAL, although only the time of day was to be shifted (seen).
"""

import functools
import os
import platform
import random
import shutil
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.faults.base import Needs, fault

if TYPE_CHECKING:
    from tests.chaos.system import System

_SOURCE = Path(__file__).with_name("clock_shim.c")
_COMPILERS = ("cc", "gcc", "clang", "tcc")
_MACHINES = ("x86_64", "aarch64")
_STEPS_SECONDS = (-86_400, -3_600, -90, -5, 5, 90, 3_600, 86_400)


@functools.cache
def _compiler() -> str | None:
    """The C compiler: from the variable CC, or the first one on the PATH."""
    names = (os.environ.get("CC") or "", *_COMPILERS)
    return next((found for name in names if name and (found := shutil.which(name))), None)


def cannot_step() -> str | None:
    """Why clocks cannot be set here; None: they can."""
    if platform.machine() not in _MACHINES:
        return f"the preloaded clock is only known for {' and '.join(_MACHINES)}"
    if _compiler() is None:
        return "there is no C compiler for the preloaded clock (CC, cc, gcc, clang or tcc)"
    return None


def environment(folder: Path) -> Mapping[str, str]:
    """The variables with which a process reads the clock of the run in `folder`."""
    library, clock = folder / "clock.so", folder / "clock"
    if not library.exists():
        words = [str(_compiler()), "-shared", "-nostdlib", "-fPIC", "-o", str(library)]
        subprocess.run([*words, str(_SOURCE)], check=True, capture_output=True)
        clock.write_bytes(struct.pack("l", 0))
    return {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock)}


@fault("clock-step", Needs.CLOCK, Needs.REPLICA, unavailable=cannot_step)
def _step(system: "System", chance: random.Random) -> str:
    seconds = chance.choice(_STEPS_SECONDS)
    with (system.folder / "clock").open("r+b") as file:  # in place, since processes have mapped it
        file.write(struct.pack("l", seconds))
    return f"{seconds:+d} s"
