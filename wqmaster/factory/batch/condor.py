"""Workers as jobs of HTCondor: lines of the submit file, the log of events, jobs that are left.

Seen with HTCondor 23.9 and cctools 7.14.5 (batch_queue_condor.c), which writes the submit file.
"""

import re
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from wqmaster.campaign.models import Workers
from wqmaster.factory.commands import answer
from wqmaster.factory.logs import said
from wqmaster.factory.workers import Worker

# What must be there to send workers, count and remove them.
PROGRAMS = ("condor_submit", "condor_q", "condor_rm")
# `exec`, because a worker that is evicted is told only through the shell that HTCondor started.
WRAPPER = ("exec", "sh", "./worker.sh")
# `getenv = true` stands in each submit file: jobs get a copy of the factory's environment.
COPIES_ENVIRONMENT = True
# Whether events tell of jobs that wait in the queue.
TELLS_IDLE = True
# What tells why they wait.
ASK = "'condor_q -better-analyze' tells whether any machine can take them"

# Ended workers whose files are kept.
_KEPT = 200
_ATTRIBUTE = "WqmasterFactory"
_EVENT = re.compile(
    r"^(?P<type>\d{3}) \((?P<job>\d+)\.\d+\.\d+\) (?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)"
)
_OLD_EVENT = re.compile(
    r"^(?P<type>\d{3}) \((?P<job>\d+)\.\d+\.\d+\) (?P<time>\d\d/\d\d \d\d:\d\d:\d\d)"
)
_HOST = re.compile(r"SlotName: \S*?@(\S+)|alias=([A-Za-z0-9.-]+)|on host: <([0-9a-f.:\[\]]+?)[:?>]")


def quoted(text: str) -> str:
    """A string of HTCondor's language for attributes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def batch_options(workers: Workers, factory: str, campaign: str) -> str:
    """The lines for `-B`, which the factory puts before `queue`; it expands `\\n` and `\\\\`."""
    lines = [
        # A job on hold would count as a worker that comes, for ever.
        "periodic_remove = (JobStatus == 5)",
        # Else nobody hears what a worker says that fails.
        "output = worker.$(Cluster).out",
        "error = worker.$(Cluster).err",
        f"+{_ATTRIBUTE} = {quoted(factory)}",
        f"batch_name = {campaign}",
        *([f"+ProjectName = {quoted(workers.project)}"] if workers.project else []),
        *([f"+SingularityImage = {quoted(workers.image)}"] if workers.image else []),
        *workers.options,
    ]
    return "\\n".join(line.replace("\\", "\\\\") for line in lines)


def configuration(workers: Workers) -> dict[str, Any]:
    """What only HTCondor has, for `-C`."""
    return {"condor-requirements": workers.requirements} if workers.requirements else {}


class Events:
    """Reads the log of events (condor.logfile) as it grows."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._place = 0
        self._rest = ""
        self._known: dict[str, Worker] = {}
        self._ended: deque[str] = deque()

    def news(self) -> list[Worker]:
        """The workers whose state has changed, in order; each ended one once."""
        try:
            with (self._scratch / "condor.logfile").open("rb") as log:
                log.seek(self._place)
                new = log.read()
                self._place = log.tell()
        except FileNotFoundError:
            return []
        return self.feed(new.decode(errors="replace"))

    def feed(self, text: str) -> list[Worker]:
        """The same, of the next piece of the log."""
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
        # Padded to three digits in the log, and nowhere else: files are worker.1.err.
        kind, job, when = int(match["type"]), str(int(match["job"])), _seconds(match["time"])
        body = " ".join(line.strip() for line in lines[1:])
        old = self._known.get(job, Worker(job, "idle"))
        if kind in (0, 4, 7, 13, 24):  # submitted, evicted, shadow failed, released, host lost
            worker = Worker(job, "idle")
        elif kind == 1:  # began
            host = _HOST.search(" ".join(lines))
            name = next(filter(None, host.groups()), "") if host else ""
            worker = Worker(job, "running", when, host=name)
        elif kind == 12:
            worker = Worker(job, "held", old.started, host=old.host, why=body[:300])
        elif kind == 5:  # ended
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
        elif kind == 9:
            worker = Worker(job, "removed", old.started, when, host=old.host, why=body[:300])
        else:
            return None
        if worker.state in ("ended", "removed"):
            self._known.pop(job, None)
            self._ended.append(job)
            while len(self._ended) > _KEPT:
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
    if "/" in text:  # of HTCondor before 8.9: no year
        text = f"{datetime.now().year}/{text}".replace("/", "-")
    return datetime.fromisoformat(text).timestamp()


def jobs(factory: str) -> list[str]:
    """The jobs of a factory that are in the queue, or on a machine.

    Raises:
        EngineError: the queue does not answer.
    """
    # 3: removed, and the machine does not answer.
    condition = f"{_ATTRIBUTE} == {quoted(factory)} && JobStatus != 3"
    return answer("condor_q", "-constraint", condition, "-af", "ClusterId").split()


def remove(factory: str) -> None:
    """Take all jobs of a factory from the queue. Their workers are told to end.

    Raises:
        EngineError: the queue does not answer.
    """
    answer("condor_rm", "-constraint", f"{_ATTRIBUTE} == {quoted(factory)}")
