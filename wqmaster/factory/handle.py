"""A factory as others have it in hand: the master, and the command line."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Protocol, cast

from wqmaster.campaign.models import Campaign
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import EngineError
from wqmaster.factory import demand
from wqmaster.factory.batch.registry import find_batch_system
from wqmaster.factory.campaigns import identity
from wqmaster.factory.demand import Demand
from wqmaster.factory.leftovers import Locked, remove_left, take_lock, workers_left
from wqmaster.factory.plan import ENGINE_PROGRAMS, Plan
from wqmaster.factory.supervisor import LOG_FILE, STATUS_FILE, Order
from wqmaster.factory.trouble import Trouble, TroubleKind, trouble_in
from wqmaster.system.locks import LOCK_FILE, holder_of
from wqmaster.system.processes import lives

# For the factory of a master that was killed to end, with all its jobs.
_TAKEOVER_TIMEOUT_SECONDS = 150.0
_KILLED = (
    "the factory was killed: 'wqmaster factory --stop' removes what it has left, --start starts it "
    "again"
)


def folder_of(folder: Path) -> Path:
    """Where the factory of the campaign in `folder` keeps its files."""
    return folder / "factory"


def check_programs(plan: Plan, environ: Mapping[str, str]) -> None:
    """See that what a factory needs is installed here.

    Raises:
        EngineError: it is not.
    """
    path = environ.get("PATH")
    factory, worker = ENGINE_PROGRAMS[plan.engine]
    for program in (factory,) if plan.sends_program else (factory, worker):
        if shutil.which(program, path=path) is None:
            raise EngineError(
                f"'{program}' is not on the PATH: install coop-computing-tools (Debian 13) or "
                "ndcctools (conda-forge), or run with --engine local",
                code=ErrorCode.PROGRAM_MISSING,
            )
    system = plan.batch_system
    for program in system.commands:
        if shutil.which(program, path=path) is None:
            raise EngineError(
                f"'{program}' is not on the PATH, and workers of type {system.name} need it: "
                f"{system.how_to_get_commands}",
                code=ErrorCode.PROGRAM_MISSING,
            )


def _status(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _lives(status: Mapping[str, Any]) -> bool:
    if status.get("state") == "ended":
        return False
    found = lives(status)
    if found is not None:
        return found
    # On another machine that sees the same folder.
    return abs(time.time() - float(status.get("time", 0))) < demand.DEMAND_LIFETIME_SECONDS


def status(folder: Path) -> dict[str, Any] | None:
    """What the factory of the campaign in `folder` does, or did; None if there never was one.

    With `running`, and `last`: the last lines of its log, where something is wrong.
    """
    place = folder_of(folder)
    found = _status(place)
    if not found:
        return None
    running = _lives(found)
    lines = list(map(str, found.get("last") or []))
    if found.get("trouble") or (not running and found.get("state") != "ended"):
        with_log = place / LOG_FILE
        if with_log.exists():
            lines += with_log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    if not running and found.get("state") != "ended":
        found["trouble"] = _KILLED
    return {**found, "running": running, "last": lines, "log": str(place / LOG_FILE)}


def spawn(order: Order, errors: Path) -> "subprocess.Popen[bytes]":
    """Start a supervisor in a session of its own, and wait until its factory is under way.

    Raises:
        Locked: another runs in this folder.
        EngineError: it did not begin, and why.
    """
    with errors.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "wqmaster.factory"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
        )
    stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    try:
        stdin.write(order.line().encode())
        stdin.flush()
        answer = stdout.readline()
    except BrokenPipeError:
        answer = b""
    except BaseException:
        stdin.close()
        process.wait()
        raise
    finally:
        stdout.close()
    code = ErrorCode.FACTORY_FAILED
    try:
        told = json.loads(answer)
        error = told.get("error")
        code = ErrorCode(told.get("code", code))
    except ValueError:
        error = f"the factory's supervisor ended at once; see {errors}"
    if error is None:
        return process
    stdin.close()
    process.wait()
    raise (Locked if code is ErrorCode.FACTORY_RUNNING else EngineError)(error, code=code)


class Handle(Protocol):
    """What the master asks of a factory."""

    def check(self) -> None:
        """See that it still runs."""

    def awaited(self) -> bool:
        """Whether somebody is yet to start it."""

    def tell(self, wanted: Demand) -> None:
        """Say what the campaign needs now."""

    def trouble(self) -> Trouble | None:
        """What is wrong with it or its workers, if anything is known to be."""

    def last(self) -> list[str]:
        """Where there is trouble, the last lines of a worker's log."""

    def close(self) -> str | None:
        """Have no more to do with it; what is left of it, in words."""


class _Told:
    """Passes on what a master says."""

    def __init__(self, place: Path, bundle: int, slots: int) -> None:
        self._place = place
        self._bundle = bundle
        self._slots = slots

    def tell(self, wanted: Demand) -> None:
        """Say what the campaign needs now."""
        demand.tell(self._place, wanted, wanted.workers(self._bundle, self._slots))

    def trouble(self) -> Trouble | None:
        """What the supervisor says is wrong."""
        return trouble_in(_status(self._place))

    def last(self) -> list[str]:
        """Where there is trouble, the last lines of a worker's log."""
        return [str(line) for line in _status(self._place).get("last") or []]


class Factory(_Told):
    """A factory with its workers; all of them end with `close`, or with this process.

    `environ` is that of the master's workers: see `Plan.environment` for what of it is passed on.
    `wanted`: what the campaign needs at first.

    Raises:
        EngineError: a program that it needs is not installed here, or it cannot begin.
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
                # That of a master that was killed removes its jobs, and ends.
                if not _status(place).get("managed") or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def check(self) -> None:
        """See that the factory still runs.

        Raises:
            EngineError: it does not; with the reason.
        """
        code = self._supervisor.poll()
        if code is not None:
            why = "the factory was killed" if code < 0 else self.trouble()
            raise EngineError(
                f"{why or 'the factory has ended'} (log: {self.log})", code=ErrorCode.FACTORY_FAILED
            )

    def awaited(self) -> bool:
        """It was started with the master."""
        return False

    def close(self) -> str | None:
        """End factory and workers, and wait until they are gone; what is not, in words."""
        if self._supervisor.stdin:
            self._supervisor.stdin.close()
        if self._supervisor.wait() < 0:
            # It was killed: nobody else ends what it had.
            try:
                with take_lock(self._place):
                    remove_left(self._place, self._plan.batch_system, self._plan.factory_id)
            except EngineError as error:
                return str(workers_left(error))
            return None
        trouble = self.trouble()
        is_left = trouble is not None and trouble.kind is TroubleKind.WORKERS_LEFT
        return str(trouble) if is_left else None


class Detached(_Told):
    """A factory of this campaign that somebody else starts and stops; maybe there is none."""

    def __init__(self, plan: Plan, folder: Path, *, bundle: int, slots: int) -> None:
        place = folder_of(folder)
        place.mkdir(parents=True, exist_ok=True)
        super().__init__(place, bundle, slots)
        self._port = plan.port
        self._began = time.time()

    def check(self) -> None:
        """It may come and go."""

    def awaited(self) -> bool:
        """Whether none runs, as far as can be seen from here."""
        return not _lives(_status(self._place))

    def trouble(self) -> Trouble | None:
        """What its supervisor says is wrong, if there is one."""
        found = _status(self._place)
        if not found:
            return None
        trouble = trouble_in(found)
        if not _lives(found):
            if found.get("state") != "ended":
                return Trouble(TroubleKind.FACTORY_KILLED, _KILLED)
            # What was wrong with one of last week is of no interest.
            if trouble is None or found.get("time", 0) <= self._began:
                return None
            return replace(trouble, text=f"the factory has ended: {trouble}")
        port = found.get("port")
        if port is not None and port != self._port:
            text = (
                f"the factory sends workers to port {port}, and this master listens on "
                f"{self._port}: end it with 'wqmaster factory --stop', and start it again"
            )
            return Trouble(TroubleKind.OTHER_PORT, text)
        return trouble

    def close(self) -> str | None:
        """It goes on: its workers leave when they have waited long enough."""
        return None


def start(plan: Plan, folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """Start a detached factory; its status.

    Raises:
        EngineError: one runs already, or it cannot begin.
    """
    check_programs(plan, environ)
    place = folder_of(folder)
    place.mkdir(parents=True, exist_ok=True)
    order = Order(str(place), plan, plan.environment(environ), managed=False)
    process = spawn(order, place / "errors.log")
    if process.stdin:
        process.stdin.close()
    # It lives on; nobody here waits for it.
    process.returncode = 0
    return status(folder) or {}


def stop(folder: Path, campaign: Campaign) -> int | None:
    """End the factory of the campaign in `folder`, and wait until it and its workers are gone.

    Returns None, or where none was running how many workers an earlier one had left.

    Raises:
        EngineError: it belongs to a master, or what it started cannot be removed.
    """
    place = folder_of(folder)
    if not place.is_dir():
        return 0
    deadline = time.monotonic() + _TAKEOVER_TIMEOUT_SECONDS
    told = False
    while True:
        found = _status(place)
        try:
            lock = take_lock(place)
            break
        except Locked:
            # That of a master that was killed ends by itself.
            if found.get("managed") and found.get("state") == "running":
                raise EngineError(
                    "the factory belongs to the running master, which ends it: stop that one",
                    code=ErrorCode.FACTORY_OF_MASTER,
                ) from None
            holder = holder_of(place / LOCK_FILE)
            if not told and not found.get("managed") and holder and holder.lives():
                os.kill(holder.pid, signal.SIGTERM)
                told = True
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the factory ({holder or 'process unknown'}) does not end; see "
                    f"{place / LOG_FILE}",
                    code=ErrorCode.FACTORY_FAILED,
                ) from None
            time.sleep(0.1)
    try:
        # The campaign may have changed since: the type is that of the factory that was.
        system = find_batch_system(found.get("type") or campaign.workers.type)
        left = 0
        if system is not None and (place / "id").exists():
            left = remove_left(place, system, identity(place, campaign.campaign))
    except EngineError as error:
        raise EngineError(str(workers_left(error)), code=ErrorCode.WORKERS_LEFT) from error
    finally:
        lock.close()
    return None if told else left
