"""How many workers a campaign can use, which the master reports to the factory's supervisor.

The factory itself sees only the tasks that the engine has, and the master submits few at a time.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wqmaster.system.files import replacing

DEMAND_FILE = "demand.json"
# How long a report of a master is valid.
DEMAND_LIFETIME_SECONDS = 60.0


@dataclass(frozen=True)
class Demand:
    """A master's report."""

    jobs: int | None  # jobs that are neither done nor failed; None if they are not counted
    connected: int  # connected workers

    def workers(self, bundle: int, slots: int) -> int | None:
        """The number of workers that have something to do; None if it is unknown.

        `bundle`: jobs per task; `slots`: tasks that a worker runs at a time.
        """
        return None if self.jobs is None else -(-self.jobs // (bundle * slots))


def least(needed: int | None, least: int, most: int) -> int:
    """How many workers the factory keeps at least: as many as have work, within its bounds."""
    return least if needed is None else max(least, min(needed, most))


def guess(connected: int, waiting: int, slots: int) -> int | None:
    """The workers for a master that does not know what is left: twice as many while tasks wait.

    It keeps few tasks waiting, so one more worker for each would take hours to reach thousands.
    """
    return 2 * connected + -(-waiting // slots) if waiting else None


def write(path: Path, value: Mapping[str, object], *, newer: bool = False) -> None:
    """Write a JSON file atomically.

    `newer`: the modification time falls into a later second than before. The factory compares whole
    seconds, and would miss a second change within one.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        if newer and path.exists():
            now = max(time.time(), int(path.stat().st_mtime) + 1)
            os.utime(part, (now, now))


def tell(folder: Path, demand: Demand, workers: int | None) -> None:
    """Write a master's report to the factory's folder."""
    write(
        folder / DEMAND_FILE,
        {"workers": workers, "connected": demand.connected, "time": round(time.time(), 1)},
    )


def heard(folder: Path) -> tuple[int | None, int | None]:
    """The numbers of workers with work and of connected workers; None without a report."""
    try:
        found = json.loads((folder / DEMAND_FILE).read_text(encoding="utf-8"))
        if abs(time.time() - float(found["time"])) > DEMAND_LIFETIME_SECONDS:
            return None, None
        workers = found["workers"]
        return None if workers is None else int(workers), int(found["connected"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
