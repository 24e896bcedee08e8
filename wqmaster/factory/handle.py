"""Control a factory from the master or the command line."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from wqmaster.campaign.models import Campaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.factory import demand
from wqmaster.factory.batch.registry import find_batch_system
from wqmaster.factory.campaigns import identity
from wqmaster.factory.demand import Demand, Numbers
from wqmaster.factory.leftovers import Locked, remove_left, take_lock, workers_left
from wqmaster.factory.plan import ENGINE_PROGRAMS, Plan
from wqmaster.factory.spawning import spawn
from wqmaster.factory.supervisor import LOG_FILE, STATUS_FILE, Order
from wqmaster.factory.trouble import Trouble, TroubleKind, trouble_in
from wqmaster.system.locks import LOCK_FILE, holder_of
from wqmaster.system.processes import lives
from wqmaster.system.this_command import this_command

# How long a killed master's factory can take to end, with all its jobs.
_TAKEOVER_TIMEOUT_SECONDS = 150.0


def _killed(campaign_file: str) -> str:
    command = f"{this_command()} factory {campaign_file}"
    return (
        f"the factory was killed; restart it with '{command} --start', or remove its leftovers "
        f"with '{command} --stop'"
    )


def folder_of(folder: Path) -> Path:
    """The folder with the factory's files, for the campaign in `folder`."""
    return folder / "factory"


def check_programs(plan: Plan, environ: Mapping[str, str]) -> None:
    """Check that the programs that a factory needs are on the PATH of `environ`.

    Raises:
        EngineError: a program is missing.
    """
    path = environ.get("PATH")
    factory, worker = ENGINE_PROGRAMS[plan.engine]
    for program in (factory,) if plan.sends_program else (factory, worker):
        if shutil.which(program, path=path) is None:
            raise EngineError(
                f"'{program}' is not on the PATH; install coop-computing-tools (Debian 13) or "
                "ndcctools (conda-forge), or use --engine local",
                code=ErrorCode.PROGRAM_MISSING,
            )
    system = plan.batch_system
    for program in system.commands:
        if shutil.which(program, path=path) is None:
            raise EngineError(
                f"'{program}', which workers of type {system.name} need, is not on the PATH; "
                f"{system.how_to_get_commands}",
                code=ErrorCode.PROGRAM_MISSING,
            )


def _status(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_of_master(folder: Path) -> bool:
    """Whether a running master started the factory, according to the status in `folder`."""
    found = _status(folder)
    return bool(found.get("managed")) and found.get("state") == "running"


def _lives(status: Mapping[str, Any]) -> bool:
    if status.get("state") == "ended":
        return False
    found = lives(status)
    if found is not None:
        return found
    # The supervisor runs on another machine that sees the same folder.
    return abs(time.time() - float(status.get("time", 0))) < demand.DEMAND_LIFETIME_SECONDS


def status(folder: Path, campaign_file: str = "CAMPAIGN") -> dict[str, Any] | None:
    """The status of the factory for the campaign in `folder`; None if there never was one.

    The status includes `running` and, if something is wrong, the last lines of the log as `last`.
    """
    place = folder_of(folder)
    found = _status(place)
    if not found:
        return None
    running = _lives(found)
    lines = list(map(str, found.get("last") or []))
    if found.get("trouble") or (not running and found.get("state") != "ended"):
        log = place / LOG_FILE
        if log.exists():
            lines += log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    if not running and found.get("state") != "ended":
        found["trouble"] = _killed(campaign_file)
    return {**found, "running": running, "last": lines, "log": str(place / LOG_FILE)}


class Handle(Protocol):
    """The interface through which the master uses a factory."""

    def check(self) -> None:
        """Check that the factory still runs; start it again if that is the master's business."""

    def awaited(self) -> bool:
        """Whether the user still has to start the factory."""

    def tell(self, wanted: Demand) -> None:
        """Report the campaign's current demand."""

    def resize(self, numbers: Numbers) -> None:
        """Change how many workers the factory may have."""

    def trouble(self) -> Trouble | None:
        """A known problem with the factory or its workers; None if there is none."""

    def last(self) -> list[str]:
        """The last lines of a worker's log; empty if there is no trouble."""

    def close(self) -> str | None:
        """Stop using the factory; return a message if workers that should have ended remain."""


class _Reporting:
    """Passes reports between the master and the supervisor."""

    def __init__(self, place: Path, bundle: int, slots: int) -> None:
        self._place = place
        self._bundle = bundle
        self._slots = slots
        self._numbers: Numbers | None = None

    def tell(self, wanted: Demand) -> None:
        """Report the campaign's current demand."""
        workers = wanted.workers(self._bundle, self._slots)
        # The supervisor keeps to the last demand for a while, and a full disk can recover.
        with contextlib.suppress(OSError):
            demand.tell(self._place, wanted, workers, self._numbers)

    def resize(self, numbers: Numbers) -> None:
        """Change how many workers the factory may have; the next report says so."""
        self._numbers = numbers

    def trouble(self) -> Trouble | None:
        """The problem that the supervisor reports; None if there is none."""
        return trouble_in(_status(self._place))

    def last(self) -> list[str]:
        """The last lines of a worker's log; empty if there is no trouble."""
        return [str(line) for line in _status(self._place).get("last") or []]


class Factory(_Reporting):
    """A factory that ends, with all its workers, when `close` is called or this process ends.

    The factory gets the part of `environ` that `Plan.environment` selects. `bundle` is the number
    of jobs per task, `slots` the number of tasks that a worker runs at a time, and `wanted` the
    demand at the start.

    Raises:
        EngineError: a program that the factory needs is not installed here, or it cannot start.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        environ: Mapping[str, str],
        *,
        bundle: int = 1,
        slots: int = 1,
        wanted: Demand | None = None,
    ) -> None:
        check_programs(plan, environ)
        place = folder_of(folder)
        place.mkdir(parents=True, exist_ok=True)
        super().__init__(place, bundle, slots)
        self._plan = plan
        self.log = place / LOG_FILE
        if wanted is not None:
            self.tell(wanted)
        order = Order(str(place), plan, plan.environment(environ), managed=True)
        deadline = time.monotonic() + _TAKEOVER_TIMEOUT_SECONDS
        while True:
            try:
                self._supervisor = spawn(order, place / "errors.log")
                break
            except Locked:
                # A killed master's factory removes its jobs and ends, which takes a while.
                if not _status(place).get("managed") or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def check(self) -> None:
        """Check that the factory still runs.

        Raises:
            EngineError: the factory does not run; the message gives the reason.
        """
        code = self._supervisor.poll()
        if code is not None:
            why = "the factory was killed" if code < 0 else self.trouble()
            raise EngineError(
                f"{why or 'the factory has ended'} (log: {self.log})", code=ErrorCode.FACTORY_FAILED
            )

    def awaited(self) -> bool:
        """False, since the master has started it."""
        return False

    def abandon(self) -> None:
        """Close the pipe to a supervisor that has ended; the next one removes what it left."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()

    def close(self) -> str | None:
        """End the factory and its workers, and wait; return a message if workers remain."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()
        if self._supervisor.wait() < 0:
            # The supervisor was killed, so nothing else ends its factory and workers.
            try:
                with take_lock(self._place, self._plan.campaign_file):
                    remove_left(self._place, self._plan.batch_system, self._plan.factory_id)
            except EngineError as error:
                return str(workers_left(error, self._plan.campaign_file))
            return None
        trouble = self.trouble()
        is_left = trouble is not None and trouble.kind is TroubleKind.WORKERS_LEFT
        return str(trouble) if is_left else None


class Detached(_Reporting):
    """The factory that the user starts and stops for this campaign, if there is one."""

    def __init__(self, plan: Plan, folder: Path, *, bundle: int, slots: int) -> None:
        place = folder_of(folder)
        place.mkdir(parents=True, exist_ok=True)
        super().__init__(place, bundle, slots)
        self._port = plan.port
        self._campaign_file = plan.campaign_file
        self._began = time.time()

    def check(self) -> None:
        """Do nothing, since the user can start and stop the factory at any time."""

    def awaited(self) -> bool:
        """Whether no factory runs, as far as this machine can see."""
        return not _lives(_status(self._place))

    def trouble(self) -> Trouble | None:
        """The problem that the supervisor reports, or its end; None if there is none."""
        found = _status(self._place)
        if not found:
            return None
        trouble = trouble_in(found)
        if not _lives(found):
            if found.get("state") != "ended":
                return Trouble(TroubleKind.FACTORY_KILLED, _killed(self._campaign_file))
            # The factory ended before this master began, so its trouble does not matter.
            if trouble is None or found.get("time", 0) <= self._began:
                return None
            return replace(trouble, text=f"the factory has ended: {trouble}")
        port = found.get("port")
        if port is not None and port != self._port:
            command = f"{this_command()} factory {self._campaign_file}"
            text = (
                f"the factory's workers connect to port {port}, but this master listens on "
                f"{self._port}; restart the factory: '{command} --stop', then '{command} --start'"
            )
            return Trouble(TroubleKind.OTHER_PORT, text)
        return trouble

    def close(self) -> str | None:
        """Do nothing; the factory continues, and idle workers exit after their timeout."""
        return None


def start(plan: Plan, folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Start a detached factory and return its status.

    Raises:
        EngineError: a factory is already running here, or this one cannot start.
    """
    check_programs(plan, environ)
    place = folder_of(folder)
    place.mkdir(parents=True, exist_ok=True)
    order = Order(str(place), plan, plan.environment(environ), managed=False)
    try:
        process = spawn(order, place / "errors.log")
    except Locked:
        if not _is_of_master(place):
            raise
        raise Locked(
            "the running master already runs this campaign's factory; inspect it with "
            f"'{this_command()} factory {plan.campaign_file} --status'"
        ) from None
    if process.stdin:
        process.stdin.close()
    # The supervisor outlives this process; a known exit code keeps Popen from warning of that.
    process.returncode = 0
    return status(folder, plan.campaign_file) or {}


def stop(folder: Path, campaign: Campaign, campaign_file: str = "CAMPAIGN") -> int | None:
    """End the factory of the campaign in `folder`, and wait until it and its workers are gone.

    Returns None if a factory was running. Otherwise returns how many workers an earlier factory had
    left, all of which are now removed.

    Raises:
        EngineError: the factory belongs to a master, or does not end, or its workers cannot be
            removed.
    """
    place = folder_of(folder)
    if not place.is_dir():
        return 0
    deadline = time.monotonic() + _TAKEOVER_TIMEOUT_SECONDS
    signaled = False
    while True:
        found = _status(place)
        try:
            lock = take_lock(place, campaign_file)
            break
        except Locked:
            # A killed master's factory ends without a signal.
            if _is_of_master(place):
                raise EngineError(
                    "the factory belongs to the running master, with which it ends",
                    code=ErrorCode.FACTORY_OF_MASTER,
                ) from None
            holder = holder_of(place / LOCK_FILE)
            if not signaled and not found.get("managed") and holder and holder.lives():
                os.kill(holder.pid, signal.SIGTERM)
                signaled = True
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the factory ({holder or 'process unknown'}) did not end in time; see "
                    f"{place / LOG_FILE}",
                    code=ErrorCode.FACTORY_FAILED,
                ) from None
            time.sleep(0.1)
    try:
        # The campaign file can have changed since, so the status of the factory decides the type.
        system = find_batch_system(found.get("type") or campaign.workers.type)
        left = 0
        if system is not None and (place / "id").exists():
            left = remove_left(place, system, identity(place, campaign.campaign))
    except EngineError as error:
        raise EngineError(
            str(workers_left(error, campaign_file)), code=ErrorCode.WORKERS_LEFT
        ) from error
    finally:
        lock.close()
    return None if signaled else left
