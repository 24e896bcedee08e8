"""Serve three campaigns for a while, with new documents and mild faults, and see what grows.

    python -m tests.chaos.soak --minutes 20

Memory, descriptors and threads of each kind of process, and the sizes of spool and logs, are
measured every 10 s. The trend of the second half must be flat.
"""

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from pymongo.errors import PyMongoError

from tests.chaos import processes, work
from tests.chaos.faults import FAULTS, NotDone
from tests.chaos.judge import COLLECTION, Judge, Oplog
from tests.chaos.plan import Plan
from tests.chaos.system import System

CAMPAIGNS = ("a", "b", "c")
MILD = (
    *("kill-worker", "stop-worker", "kill-job", "stop-collector", "kill-collector"),
    *("stop-campaign", "stop-mongod", "database-connections-end", "database-cut-in-reply"),
    *("worker-connection-cut", "stop-factory", "stop-supervisor", "kill-campaign"),
)
_SAMPLE_SECONDS = 10.0
_FAULT_SECONDS = 45.0
# As many documents wait at least; then some more are inserted.
_FEWEST_WAITING, _INSERTED = 60, 20
_END_SECONDS = 300.0
# What may be added over the second half: a share of the level, or a constant if that is more.
_SHARE = 0.1
_CONSTANTS = {"MB": 8.0, "descriptors": 6.0, "threads": 4.0}


@dataclass(frozen=True)
class Row:
    """How a measured number went: its mean in the second half, and its trend there."""

    name: str
    unit: str
    first: float
    level: float
    most: float
    growth: float  # by the trend, over the second half

    @property
    def is_flat(self) -> bool:
        """Whether it does not grow."""
        return self.growth <= max(_CONSTANTS[self.unit], _SHARE * self.level)


def trend(times: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a straight line through `values`, by least squares."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    square = sum((one - middle) ** 2 for one in times)
    product = sum((one - middle) * (value - mean) for one, value in zip(times, values, strict=True))
    return product / square if square else 0.0


def _size(folder: Path, pattern: str) -> float:
    """The size of files below a folder, in MB."""
    found = 0
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            found += path.stat().st_size if path.is_file() else 0
    return found / (1 << 20)


def sample(system: System) -> dict[tuple[str, str], float]:
    """What is used now: (what, unit) -> number. Processes of a kind count together."""
    found: dict[tuple[str, str], float] = defaultdict(float)
    assert system.service is not None
    kinds = {
        **processes.by_role(system.folder),
        "broker": [processes.master_of(system.service.pid)],
    }
    for role, pids in kinds.items():
        if role in ("job", "examiner"):  # they live for a moment
            continue
        for pid in pids:
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                with process.oneshot():
                    found[role, "MB"] += process.memory_info().rss / (1 << 20)
                    found[role, "descriptors"] += process.num_fds()
                    found[role, "threads"] += process.num_threads()
    found["spool", "MB"] = _size(system.home, "*.run/spool/r*/*/*")
    found["failed", "MB"] = _size(system.home, "*.run/spool/failed/*/*")
    found["logs", "MB"] = _size(system.home, "*.run/logs/**/*")
    return found


class Soak:
    """A service with three campaigns that never run out of documents."""

    def __init__(self, folder: Path, engine: str, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311  # not for secrets
        plan = Plan(seed, engine, "serve", "replica", None, 300, 0.0, ())
        self.system = System(folder, plan, CAMPAIGNS)
        client = self.system.clients["a"]
        system = self.system
        self.judge = Judge(
            system.campaigns, system.clients, system.documents, Oplog(client, system.campaigns)
        )
        self._places = {one: client[one.database][COLLECTION] for one in system.campaigns}
        self.samples: list[tuple[float, Mapping[tuple[str, str], float]]] = []

    def insert(self) -> None:
        """Insert documents into campaigns that run short of them."""
        for campaign, place in self._places.items():
            with contextlib.suppress(PyMongoError):
                known = place.count_documents({"set": campaign.name})
                if known - place.count_documents(campaign.done) >= _FEWEST_WAITING:
                    continue
                new = work.documents(campaign.name, _INSERTED, self._chance, first=known)
                place.insert_many(new)
                self.system.documents.update({one["_id"]: one for one in new})

    def last(self, minutes: float) -> None:
        """Run for so many minutes."""
        self.system.start()
        began = faulted = time.monotonic()
        sampled = 0.0
        while time.monotonic() < began + 60 * minutes:
            self.insert()
            self.system.watch(lambda: False)
            now = time.monotonic()
            if now >= sampled + _SAMPLE_SECONDS:
                sampled = now
                self.samples.append((now - began, sample(self.system)))
            if now >= faulted + _FAULT_SECONDS:
                faulted = now
                name = self._chance.choice(MILD)
                with contextlib.suppress(NotDone):
                    note = FAULTS[name].do(self.system, self._chance)
                    print(f"{now - began:6.0f} s: {name} {note}", flush=True)
            time.sleep(0.5)

    def end(self) -> None:
        """Wait for all results, within limits, and end the service."""
        deadline = time.monotonic() + _END_SECONDS
        while not self.judge.is_done and time.monotonic() < deadline:
            self.system.watch(lambda: False)
            time.sleep(0.5)
        self.system.end()

    def rows(self) -> list[Row]:
        """How everything that was measured went."""
        half = self.samples[len(self.samples) // 2 :]
        times = [moment for moment, _ in half]
        rows = []
        for key in sorted({key for _, found in half for key in found}):
            values = [found.get(key, 0.0) for _, found in half]
            first = next((found[key] for _, found in self.samples if key in found), 0.0)
            growth = trend(times, values) * (times[-1] - times[0])
            level = sum(values) / len(values)
            rows.append(Row(*key, first, level, max(values), growth))
        return rows


def main() -> int:
    """Soak as the command line asks; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--engine", choices=("work_queue", "taskvine"), default="taskvine")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wqmaster-soak-"))
    soak = Soak(folder / "run", asked.engine, asked.seed)
    try:
        soak.last(asked.minutes)
        soak.end()
        verdict, left = soak.judge.verdict(), soak.system.left()
    finally:
        soak.system.close()
    rows = soak.rows()
    print(f"\n{'':16}{'unit':12}{'first':>9}{'level':>9}{'most':>9}{'growth':>9}")
    for row in rows:
        numbers = f"{row.first:9.1f}{row.level:9.1f}{row.most:9.1f}{row.growth:9.1f}"
        print(f"{row.name:16}{row.unit:12}{numbers}{'' if row.is_flat else '  GROWS'}")
    print(
        f"\n{len(soak.system.documents):,} documents: lost {len(verdict.lost)}, doubled "
        f"{len(verdict.doubled)}, wrong {len(verdict.wrong)}, exits {soak.system.exits}, "
        f"left {left}; folder: {folder}"
    )
    bad = (verdict.lost, verdict.doubled, verdict.wrong, soak.system.exits, left)
    if any(bad) or not all(row.is_flat for row in rows):
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
