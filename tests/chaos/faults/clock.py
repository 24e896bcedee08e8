"""The clock of the service's processes steps forward or back.

libfaketime shifts what a process reads as the time of day; the machine's own clock, the times of
files and the database's clock are not changed, and neither is the clock that only counts up.
"""

import functools
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.faults.base import Needs, fault

if TYPE_CHECKING:
    from tests.chaos.system import System

_STEPS_SECONDS = (-86_400, -3_600, -90, -5, 5, 90, 3_600, 86_400)


@functools.cache
def library() -> Path | None:
    """libfaketime, from WQMASTER_FAKETIME or where distributions install it."""
    named = os.environ.get("WQMASTER_FAKETIME")
    if named:
        return Path(named)
    places = (*Path("/usr/lib").glob("*/faketime"), Path("/usr/lib64/faketime"))
    found = (place / "libfaketimeMT.so.1" for place in places)
    return next((path for path in found if path.exists()), None)


def cannot_step() -> str | None:
    """Why clocks cannot be set here; None: they can."""
    if library() is None:
        return "libfaketime is not installed, and the machine's own clock is left alone"
    return None


def _file(folder: Path) -> Path:
    return folder / "clock"


def environment(folder: Path) -> Mapping[str, str]:
    """The variables with which a process reads the clock of the run in `folder`."""
    _set(folder, 0)
    return {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(_file(folder)),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


def _set(folder: Path, seconds: int) -> None:
    part = _file(folder).with_name("clock.part")
    part.write_text(f"{seconds:+d}\n")
    part.rename(_file(folder))


@fault("clock-step", Needs.CLOCK, Needs.REPLICA, unavailable=cannot_step)
def _step(system: "System", chance: random.Random) -> str:
    seconds = chance.choice(_STEPS_SECONDS)
    _set(system.folder, seconds)
    return f"{seconds:+d} s"
