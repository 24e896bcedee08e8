"""A parser for the reports that factories print about every 35 s. No I/O.

A factory is work_queue_factory or vine_factory.
"""

import re
from collections import deque
from dataclasses import dataclass, field

from wqmaster.factory.trouble import Trouble, TroubleKind

_COUNTS = re.compile(
    r"\|submitted: (\d+) \|needed: \d+ \|waiting connection: \d+ \|requested: (\d+)"
)
# A line about a master: PROJECT HOST PORT WAITING RUNNING COMPLETE WORKERS
_MASTER = re.compile(r"^\S+\s+\S+\s+\d+\s+(\d+)\s+\d+\s+\d+\s+(\d+)\s*$")
_COMPLAINT = re.compile(
    r"error|fail|couldn't|could not|cannot|warning|wrong|unable|not found|no such|denied|refused",
    re.IGNORECASE,
)
# A factory also prints this when a submission fails before any has succeeded.
_CONSEQUENCE = "couldn't open logfile"


@dataclass
class Report:
    """The latest counts and complaints of a factory; `hear` takes its output line by line."""

    submitted: int = 0  # workers, as printed last
    requested: int = 0
    connected: int = 0  # workers, according to the masters
    tasks: int = 0  # waiting tasks, according to the masters
    masters: int = 0  # masters found in the current cycle
    cycles: int = 0  # reports since the start
    alone: int = 0  # consecutive cycles without a master
    failing: int = 0  # consecutive cycles in which no requested worker was submitted
    complaints: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    _asked: int = 0

    def hear(self, line: str) -> None:
        """Take the next line of the output."""
        counts = _COUNTS.search(line)
        if counts:
            if self.cycles:
                self.alone = 0 if self.masters else self.alone + 1
            before = self.submitted
            self.submitted, self.requested = int(counts[1]), int(counts[2])
            nothing_came = self._asked and not before and not self.submitted
            self.failing = self.failing + 1 if nothing_came else 0
            self._asked = self.requested
            self.connected = self.masters = self.tasks = 0
            self.cycles += 1
            if self.submitted and self.masters:
                self.complaints.clear()
            return
        master = _MASTER.match(line)
        if master:
            self.masters += 1
            self.tasks += int(master[1])
            self.connected += int(master[2])
        elif _COMPLAINT.search(line) and _CONSEQUENCE not in line:
            self.complaints.append("".join(c if c.isprintable() else " " for c in line)[:300])

    def trouble(self, master: str) -> Trouble | None:
        """A known problem with the factory itself; None if there is none.

        `master` is "a master at HOST:PORT" or "the master 'NAME'".
        """
        last = f": {self.complaints[-1]}" if self.complaints else ""
        if self.failing >= 2:
            return Trouble(TroubleKind.NOT_SUBMITTED, f"the factory cannot submit workers{last}")
        if self.alone >= 2 and not self.masters:
            return Trouble(TroubleKind.NO_MASTER, f"the factory cannot find {master}{last}")
        return None
