"""The number of workers that a campaign can use, as the master reports it to the supervisor.

The factory itself sees only the tasks in the engine, to which the master submits few at a time.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wqmaster.system.files import replacing

DEMAND_FILE = "demand.json"
# How long a master's report is valid.
DEMAND_LIFETIME_SECONDS = 60.0


@dataclass(frozen=True)
class Demand:
    """What a master reports to the supervisor."""

    jobs: int | None  # jobs neither done nor failed; None if they cannot be counted
    connected: int  # connected workers

    def workers(self, bundle: int, slots: int) -> int | None:
        """How many workers the jobs keep busy; None if the number of jobs is unknown.

        `bundle` is the number of jobs per task, `slots` the tasks that a worker runs at a time.
        """
        return None if self.jobs is None else -(-self.jobs // (bundle * slots))


@dataclass(frozen=True)
class Numbers:
    """How many workers a factory may have; they can change while it runs."""

    min: int
    max: int
    per_cycle: int  # workers that may be queued or not yet connected


def least(needed: int | None, least: int, most: int) -> int:
    """How many workers to keep: `needed`, from `least` to `most`; `least` if `needed` is None."""
    return least if needed is None else max(least, min(needed, most))


def guess(connected: int, waiting: int, slots: int) -> int | None:
    """How many workers to start if the master cannot count its jobs; None if no task waits.

    While tasks wait, this doubles the connected workers. A master keeps few tasks waiting, so one
    more worker for each of them would take hours to reach thousands.
    """
    return 2 * connected + -(-waiting // slots) if waiting else None


def write(path: Path, value: Mapping[str, object], *, newer: bool = False) -> None:
    """Write a JSON file atomically.

    With `newer`, the modification time is at least one second later than before: the factory
    compares whole seconds, and would miss two changes in the same second.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        if newer and path.exists():
            now = max(time.time(), int(path.stat().st_mtime) + 1)
            os.utime(part, (now, now))


def tell(folder: Path, demand: Demand, workers: int | None, numbers: Numbers | None = None) -> None:
    """Write a master's report to the factory's folder; `numbers` replace those of its start."""
    write(
        folder / DEMAND_FILE,
        {
            "workers": workers,
            "connected": demand.connected,
            "time": round(time.time(), 1),
            "numbers": None if numbers is None else asdict(numbers),
        },
    )


def heard(folder: Path) -> tuple[int | None, int | None]:
    """The workers that can be kept busy and those connected, as reported; None if unknown."""
    try:
        found = _report(folder)
        workers = found["workers"]
        return None if workers is None else int(workers), int(found["connected"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None


def numbers(folder: Path) -> Numbers | None:
    """The numbers of workers that the master reports; None if they did not change."""
    try:
        found = _report(folder).get("numbers") or {}
        return Numbers(*(int(found[name]) for name in ("min", "max", "per_cycle")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _report(folder: Path) -> dict[str, Any]:
    """A master's report.

    Raises:
        OSError, ValueError, KeyError, TypeError: there is none, or it is old.
    """
    found: dict[str, Any] = json.loads((folder / DEMAND_FILE).read_text(encoding="utf-8"))
    if abs(time.time() - float(found["time"])) > DEMAND_LIFETIME_SECONDS:
        raise ValueError("the report is old")
    return found
