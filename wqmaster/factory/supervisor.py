"""The supervisor, which starts a factory, watches it and its workers, and ends all of them.

A supervisor that belongs to a master ends when its standard input closes, which happens even if the
master is killed with kill -9. If the supervisor itself is killed, its factory exits, and the next
supervisor removes what both have left.
"""

import contextlib
import json
import signal
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from wqmaster.errors import EngineError
from wqmaster.factory import demand
from wqmaster.factory.batch.registry import find_batch_system
from wqmaster.factory.folders import remove_scratch
from wqmaster.factory.leftovers import remove_jobs, remove_left, workers_left
from wqmaster.factory.logs import last
from wqmaster.factory.plan import Plan
from wqmaster.factory.report import Report
from wqmaster.factory.trouble import Trouble, TroubleKind
from wqmaster.factory.workers import (
    CONNECTION_TIMEOUT_SECONDS,
    QUICK_END_SECONDS,
    Census,
    trouble,
)
from wqmaster.system import supervise
from wqmaster.system.files import changed
from wqmaster.system.passing import can_pass
from wqmaster.system.private import write_private
from wqmaster.system.processes import this_process

CONFIGURATION_FILE = "factory.json"
STATUS_FILE = "status.json"
LOG_FILE = "factory.log"
# The shortest time between two looks at the workers: this many seconds, or this many times as long
# as the last look took. The folders of thousands of workers on a remote file system are slow to
# read.
_LOOK_INTERVAL_SECONDS = 2.0
_LOOK_INTERVAL_FACTOR = 10


@dataclass(frozen=True)
class Order:
    """The order that a supervisor receives."""

    folder: str  # the factory's folder: <campaign's folder>/factory
    plan: Plan
    environ: Mapping[str, str]  # the factory's environment
    managed: bool  # whether the supervisor ends with the master

    def line(self) -> str:
        """The order as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> "Order":
        """Read an order from a line of JSON."""
        found = json.loads(line)
        plan = found["plan"]
        for name in ("words", "target"):
            plan[name] = tuple(plan[name])
        return cls(found["folder"], Plan(**plan), found["environ"], found["managed"])


class Supervisor:
    """Carries out an order: runs one factory."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._plan = order.plan
        self._system = order.plan.batch_system
        self._folder = Path(order.folder)
        self._file = self._folder / CONFIGURATION_FILE
        self._log = supervise.rotating(self._folder / LOG_FILE)
        self._report = Report()
        timeout = int(self._plan.configuration["timeout"])
        # A worker that cannot connect exits after its idle timeout, so notice it before then.
        self._census = Census(
            min(QUICK_END_SECONDS, timeout / 2), min(CONNECTION_TIMEOUT_SECONDS, timeout * 0.75)
        )
        self._settings: dict[str, Any] = {}
        self._password: tuple[int, int] | None = None  # the version of it that workers receive
        self._numbers = demand.Numbers(
            self._plan.min_workers,
            self._plan.max_workers,
            int(self._plan.configuration["workers-per-cycle"]),
        )
        self._state = "running"
        self._trouble: Trouble | None = None
        self._said: Trouble | None = None
        self._next_look = 0.0
        self._connected = 0

    def begin(self) -> None:
        """Remove the jobs and files that an earlier factory left, and prepare the folder.

        Raises:
            EngineError: an earlier factory's workers cannot be removed.
        """
        plan = self._plan
        self._remove_other()
        left = remove_left(self._folder, self._system, plan.factory_id)
        if left:
            self._log.info("removed workers that an earlier factory had left: %d", left)
        # The factory needs a new folder, since it would take an old event log for the current one.
        self._scratch = Path(tempfile.mkdtemp(prefix="workers-", dir=self._folder))
        self._events = self._system.events(self._scratch)
        self._configure()
        self._publish()

    def _remove_other(self) -> None:
        """Remove the jobs of a killed factory if its workers were of another type."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            before = json.loads((self._folder / STATUS_FILE).read_text(encoding="utf-8"))
            system = find_batch_system(before.get("type"))
            is_other = system is not None and system.name != self._plan.type
            if system is not None and is_other and before.get("state") != "ended":
                remove_jobs(system, self._plan.factory_id)

    def run(self) -> int:
        """Run the factory; return 1 if it exited unexpectedly or more workers would be useless."""
        # The factory must not outlive the supervisor, since nothing else would end it.
        command = [*self._plan.command(CONFIGURATION_FILE, self._scratch.name), "--parent-death"]
        self._log.info("%s", " ".join(command))
        environ = self._system.marked_environment(self._order.environ, self._folder)
        code: int | None = None
        try:
            code = supervise.keep(
                command,
                self._hear,
                environ=environ,
                cwd=self._folder,
                stdin=self._order.managed,
                tick=self._tick,
            )
        except OSError as error:
            code = -1
            text = f"the factory's folder {self._folder} is unusable: {error}"
            self._trouble = Trouble(TroubleKind.FOLDER_FAILED, text)
        except BaseException:
            # Nothing else would remove the jobs from the queue.
            self._end()
            raise
        if code is not None and code >= 0:
            last_words = "; ".join([*self._report.complaints][-2:])
            text = (
                f"{self._plan.words[0]} exited unexpectedly with code {code}"
                f"{': ' + last_words if last_words else ''}"
            )
            self._trouble = Trouble(TroubleKind.FACTORY_ENDED, text, str(code))
        if code is not None:
            self._log.info("%s", self._trouble)
        failed = code is not None or self._census.hopeless(self._connected)
        self._state = "ending"
        with contextlib.suppress(OSError):
            self._publish()
        self._end()
        self._state = "ended"
        self._report = Report()
        self._census.now.clear()
        self._census.waiting = self._connected = 0
        with contextlib.suppress(OSError):
            self._publish()
        return int(failed)

    def _hear(self, line: str) -> None:
        self._report.hear(line)
        if line.strip():
            self._log.info("%s", line)

    def _tick(self) -> bool:
        began = time.monotonic()
        if began < self._next_look:
            return False
        try:
            return self._look(began)
        except OSError as error:
            # On a full disk, the workers that run are worth more than a new configuration.
            if not can_pass(error):
                raise
            self._log.info("trouble: %s", error)
            self._next_look = began + _LOOK_INTERVAL_SECONDS
            return False

    def _look(self, began: float) -> bool:
        """Take note of how the workers are, and report it; return whether they are hopeless."""
        self._census.see(self._events.news())
        self._census.settle(time.time())
        if not self._system.events_report_waiting_jobs:
            self._census.waiting = max(0, self._report.submitted - self._census.count("running"))
        self._configure()
        self._renew_password()
        self._trouble = self._judge()
        if self._trouble and self._trouble.is_new(self._said):
            self._log.info("trouble: %s", self._trouble)
            for line in last(self._scratch):
                self._log.info("last output of a worker: %s", line)
        self._said = self._trouble
        self._publish()
        ended = time.monotonic()
        self._next_look = max(
            began + _LOOK_INTERVAL_SECONDS, ended + _LOOK_INTERVAL_FACTOR * (ended - began)
        )
        return self._census.hopeless(self._connected)

    def _judge(self) -> Trouble | None:
        where = self._plan.manager
        ask = self._system.why_jobs_wait
        found = trouble(self._census, self._connected, time.time(), where, ask)
        if found and self._census.count("running") and not self._census.last:
            words = last(self._scratch)[-1:]
            more = f"; last output of a worker: {words[0]}" if words else ""
            found = replace(found, text=found.text + more)
        return found or self._report.trouble(self._plan.master)

    def _configure(self) -> None:
        """Write the configuration if it has changed; the factory then rereads it."""
        plan = self._plan
        wanted, connected = demand.heard(self._folder)
        self._connected = self._report.connected if connected is None else connected
        self._census.met = self._census.met or self._connected > 0
        settings = dict(plan.configuration)
        numbers = demand.numbers(self._folder) or self._numbers
        self._numbers = numbers
        settings["min-workers"], settings["max-workers"] = numbers.min, numbers.max
        settings["workers-per-cycle"] = numbers.per_cycle
        if self._system.number_follows_demand:
            if wanted is None and connected is not None:
                slots = int(plan.configuration["tasks-per-worker"])
                wanted = demand.guess(connected, self._report.tasks, slots)
            settings["min-workers"] = demand.least(wanted, numbers.min, numbers.max)
        if self._census.slow(self._connected):
            settings["workers-per-cycle"] = 1
        if settings != self._settings:
            demand.write(self._file, settings, newer=True)
            self._settings = settings

    def _renew_password(self) -> None:
        """Give new workers the campaign's password, which `--rotate-password` can replace.

        The factory copies it only once, when it starts, under the name pwfile.
        """
        source, copy = self._folder.parent / "password", self._scratch / "pwfile"
        found = changed(source)
        if self._plan.has_password and found != self._password and copy.exists():
            with contextlib.suppress(OSError):
                write_private(copy, source.read_text(encoding="utf-8"))
                self._password = found

    def _publish(self) -> None:
        census = self._census
        running = census.count("running")
        idle = census.idle
        submitted = running + idle + census.count("held")
        demand.write(
            self._folder / STATUS_FILE,
            {
                **this_process(),
                "managed": self._order.managed,
                "state": self._state,
                "engine": self._plan.engine,
                "type": self._plan.type,
                "factory": self._plan.factory_id,
                "manager": self._plan.manager,
                "port": self._plan.port,
                "min": self._settings.get("min-workers", 0),
                "max": self._numbers.max,
                "submitted": submitted,
                "idle": idle,
                "running_workers": running,
                "held": census.count("held"),
                "ended": census.ended,
                "connected": self._connected,
                "waiting": max(0, submitted - self._connected),
                "trouble": str(self._trouble) if self._trouble else None,
                "trouble_detail": self._trouble.as_json() if self._trouble else None,
                "last": last(self._scratch) if self._trouble else [],
                "time": round(time.time(), 1),
            },
        )

    def _end(self) -> None:
        """End the factory and its workers."""
        supervise.end_all(signal.SIGTERM if self._system.factory_ends_workers else signal.SIGKILL)
        try:
            remove_jobs(self._system, self._plan.factory_id)
        except EngineError as error:
            self._trouble = workers_left(error, self._plan.campaign_file)
            self._log.info("%s", self._trouble)
            return
        if self._trouble:
            (self._scratch / "pwfile").unlink(missing_ok=True)
        else:
            remove_scratch(self._scratch)
