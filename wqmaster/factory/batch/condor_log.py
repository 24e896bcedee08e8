"""Read the state of a factory's workers from HTCondor's event log.

Tested with HTCondor 23.9 and cctools 7.14.5, which names the log (batch_queue_condor.c).
"""

import re
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from pathlib import Path

from wqmaster.factory.logs import said
from wqmaster.factory.workers import Worker

# How many ended workers keep their output files.
_KEPT_ENDED_WORKERS = 200
_EVENT = re.compile(
    r"^(?P<type>\d{3}) \((?P<job>\d+)\.\d+\.\d+\) (?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)"
)
_OLD_EVENT = re.compile(
    r"^(?P<type>\d{3}) \((?P<job>\d+)\.\d+\.\d+\) (?P<time>\d\d/\d\d \d\d:\d\d:\d\d)"
)
_HOST = re.compile(r"SlotName: \S*?@(\S+)|alias=([A-Za-z0-9.-]+)|on host: <([0-9a-f.:\[\]]+?)[:?>]")


class _EventType(IntEnum):
    """The HTCondor events that change the state of a worker."""

    SUBMITTED = 0
    BEGAN = 1
    EVICTED = 4
    ENDED = 5
    SHADOW_FAILED = 7
    REMOVED = 9
    HELD = 12
    RELEASED = 13
    HOST_LOST = 24


_BACK_IN_QUEUE = {
    _EventType.SUBMITTED,
    _EventType.EVICTED,
    _EventType.SHADOW_FAILED,
    _EventType.RELEASED,
    _EventType.HOST_LOST,
}


class CondorEvents:
    """Reads the event log (condor.logfile) as it grows."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._place = 0
        self._rest = ""
        self._known: dict[str, Worker] = {}
        self._ended: deque[str] = deque()

    def news(self) -> list[Worker]:
        """The workers whose state has changed since the last call, in the order of the events."""
        try:
            with (self._scratch / "condor.logfile").open("rb") as log:
                log.seek(self._place)
                new = log.read()
                self._place = log.tell()
        except FileNotFoundError:
            return []
        return self.feed(new.decode(errors="replace"))

    def feed(self, text: str) -> list[Worker]:
        """The workers whose state changes in `text`, the next piece of the log."""
        *events, self._rest = (self._rest + text).split("\n...\n")
        found = []
        for event in events:
            worker = self._event(event.lstrip("\n").split("\n"))
            if worker is not None:
                found.append(worker)
        return found

    def _event(self, lines: Sequence[str]) -> Worker | None:
        match = _EVENT.match(lines[0]) or _OLD_EVENT.match(lines[0])
        if match is None:
            return None
        # Only the log pads the number to three digits; the files are named worker.1.err.
        kind, job, when = int(match["type"]), str(int(match["job"])), _seconds(match["time"])
        body = " ".join(line.strip() for line in lines[1:])
        old = self._known.get(job, Worker(job, "idle"))
        if kind in _BACK_IN_QUEUE:
            worker = Worker(job, "idle")
        elif kind == _EventType.BEGAN:
            host = _HOST.search(" ".join(lines))
            name = next(filter(None, host.groups()), "") if host else ""
            worker = Worker(job, "running", when, host=name)
        elif kind == _EventType.HELD:
            worker = Worker(job, "held", old.started, host=old.host, why=body[:300])
        elif kind == _EventType.ENDED:
            code = re.search(r"return value (-?\d+)", body)
            signal = re.search(r"signal (\d+)", body)
            worker = Worker(
                job,
                "ended",
                old.started,
                when,
                code=int(code[1]) if code else None,
                signal=int(signal[1]) if signal and not code else None,
                host=old.host,
                why=self._said(job),
            )
        elif kind == _EventType.REMOVED:
            worker = Worker(job, "removed", old.started, when, host=old.host, why=body[:300])
        else:
            return None
        if worker.state in ("ended", "removed"):
            self._known.pop(job, None)
            self._ended.append(job)
            while len(self._ended) > _KEPT_ENDED_WORKERS:
                self.forget(self._ended.popleft())
        else:
            self._known[job] = worker
        return worker

    def _said(self, job: str) -> str:
        return said(self._scratch / f"worker.{job}.err")

    def forget(self, worker: str) -> None:
        """Remove the files of an ended worker."""
        for kind in ("err", "out"):
            (self._scratch / f"worker.{worker}.{kind}").unlink(missing_ok=True)


def _seconds(text: str) -> float:
    if "/" in text:  # HTCondor before 8.9 wrote no year
        text = f"{datetime.now().year}/{text}".replace("/", "-")
    return datetime.fromisoformat(text).timestamp()
