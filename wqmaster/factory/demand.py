"""How many workers a campaign can use: the master says so, the factory's supervisor hears it.

The factory itself sees only the tasks that the engine has, and the master hands it few at a time.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wqmaster.system.files import replacing

DEMAND_FILE = "demand.json"
# After which what a master said is no longer so.
DEMAND_LIFETIME_SECONDS = 60.0


@dataclass(frozen=True)
class Demand:
    """What a master says."""

    jobs: int | None  # that are neither done nor given up; None where they are not counted
    connected: int  # workers

    def workers(self, bundle: int, slots: int) -> int | None:
        """Workers that have something to do; None where that is not known.

        `bundle`: jobs of a task; `slots`: tasks that a worker runs at a time.
        """
        return None if self.jobs is None else -(-self.jobs // (bundle * slots))


def least(needed: int | None, least: int, most: int) -> int:
    """How many workers the factory keeps at least: as many as can work, within its bounds."""
    return least if needed is None else max(least, min(needed, most))


def guess(connected: int, waiting: int, slots: int) -> int | None:
    """Workers for a master that does not know what is left: twice as many while tasks wait.

    It holds few tasks ready, so that one more for each would take hours to come to thousands.
    """
    return 2 * connected + -(-waiting // slots) if waiting else None


def write(path: Path, value: Mapping[str, object], *, newer: bool = False) -> None:
    """Write a file of JSON by one rename.

    `newer`: with a time of change of another second than before: the factory, which compares
    seconds, would miss a second change within one.
    """
    with replacing(path) as part:
        part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
        if newer and path.exists():
            now = max(time.time(), int(path.stat().st_mtime) + 1)
            os.utime(part, (now, now))


def tell(folder: Path, demand: Demand, workers: int | None) -> None:
    """Say it, in the factory's folder."""
    write(
        folder / DEMAND_FILE,
        {"workers": workers, "connected": demand.connected, "time": round(time.time(), 1)},
    )


def heard(folder: Path) -> tuple[int | None, int | None]:
    """Workers that have something to do, and workers connected; None where no master says so."""
    try:
        found = json.loads((folder / DEMAND_FILE).read_text(encoding="utf-8"))
        if abs(time.time() - float(found["time"])) > DEMAND_LIFETIME_SECONDS:
            return None, None
        workers = found["workers"]
        return None if workers is None else int(workers), int(found["connected"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
