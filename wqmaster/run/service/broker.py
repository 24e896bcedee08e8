"""The broker: owns engine and workers, and moves tasks between them and the campaigns' processes.

It is single-threaded, because ndcctools holds Python's lock inside `wait`, and waits for nothing
else: no campaign's process, database or folder can stop it.
"""

import logging
import select
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from wqmaster.engines.base import EngineStats
from wqmaster.errors import ServiceError
from wqmaster.factory import Demand
from wqmaster.run.service.dispatch import Dispatch
from wqmaster.run.service.messages import (
    Begun,
    BlockHost,
    Cancel,
    Canceled,
    CancelWaiting,
    Finished,
    Report,
    Running,
    Start,
    State,
    Stop,
    Submit,
    Taken,
    UnblockHost,
    Wants,
    from_campaign,
)
from wqmaster.run.service.seat import Order, Seat, Sent
from wqmaster.run.service.workforce import Workforce

log = logging.getLogger("wqmaster.service")

# How long the broker waits for a task, before it looks at everything else. The managers wait for a
# second at least.
_WAIT_SECONDS = 0.2
# How long it waits if the engine has no tasks, and how often workers can connect meanwhile.
_IDLE_SECONDS = 0.5
_IDLE_WAIT_INTERVAL_SECONDS = 5.0
_STATE_INTERVAL_SECONDS = 0.5
# How often campaigns learn where their tasks run; the messages are long.
_RUNNING_INTERVAL_SECONDS = 5.0
# How many returned tasks are passed on before the broker looks at everything else.
_MAX_RETURNED_AT_ONCE = 100
# How many attempts in a row a process may need to begin if nobody waits for the campaign forever.
MAX_FAILED_STARTS = 5


class Broker:
    """Runs campaigns on one workforce.

    Logs of processes go to `logs`. With `gives_up`, a campaign whose process cannot begin is given
    up after a few attempts, and one that fails does not start again.
    """

    def __init__(
        self, workforce: Workforce, logs: Path, *, collectors: int, gives_up: bool = False
    ) -> None:
        self.workforce = workforce
        self.seats: dict[str, Seat] = {}
        self._engine = workforce.engine
        self._dispatch = Dispatch(self._engine)
        self._logs = logs
        self._collectors = collectors
        self._gives_up = gives_up
        self._stated = self._waited = self._told_running = 0.0
        self._overview: tuple[EngineStats, list[Sent]] = EngineStats(), []
        # Further processes whose output makes the broker look around.
        self.listens_to: Callable[[], Iterable[int]] = lambda: ()

    # --- campaigns ---------------------------------------------------------------------------

    def add(self, order: Order) -> None:
        """Run another campaign, or rerun one that has ended."""
        before = self.seats.get(order.name)
        if before is not None and before.child is not None:
            before.child.close()  # it has said its last word, and released its locks
        self.seats[order.name] = Seat(order)
        self._dispatch.shares.set(order.name, order.priority, order.weight)

    def replace(self, order: Order) -> None:
        """Go on with a campaign by another file; its running tasks stay."""
        seat = self.seats[order.name]
        seat.successor = order
        self._dispatch.shares.set(order.name, order.priority, order.weight)
        seat.leave()

    def stop(self, names: Collection[str], grace: float | None) -> None:
        """Stop campaigns: their running tasks may end within `grace` seconds (None: at any time).

        A second call for a campaign stops it at once.
        """
        for name in names:
            seat = self.seats[name]
            if seat.ended:
                continue
            again = seat.stops is not None
            seat.stops = Stop(grace=grace)
            self._dispatch.recall(seat)
            if seat.begun is not None:
                seat.tell(seat.stops)
            elif again and seat.child is not None:
                seat.leave()
            if seat.begun is None and (again or not seat.held):
                self._end_idle(seat)

    def _end_idle(self, seat: Seat) -> None:
        """End a campaign that has not begun."""
        if seat.child is not None:
            seat.leave()
        seat.successor = None
        self._finish(seat, Finished())

    def forget(self, name: str) -> None:
        """Remove a campaign that has ended."""
        del self.seats[name]
        self._dispatch.shares.remove(name)

    @property
    def ended(self) -> bool:
        """Whether all campaigns have come to their ends, and their processes, too."""
        return all(seat.ended and seat.child is None for seat in self.seats.values())

    def overview(self) -> tuple[EngineStats, list[Sent]]:
        """The state of the engine at most half a second ago, and the tasks that workers had."""
        return self._overview

    # --- the loop ----------------------------------------------------------------------------

    def turn(self) -> None:
        """Look at everything once, and wait a short time for the engine."""
        for seat in list(self.seats.values()):
            self._start_if_due(seat)
            self._listen(seat)
            seat.watch()
            seat.grant(self._dispatch.buffer_size)
        self._dispatch.feed(self.seats.values())
        self._wait()
        if time.monotonic() >= self._stated + _STATE_INTERVAL_SECONDS:
            self._stated = time.monotonic()
            self._tell_states()

    def close(self) -> str | None:
        """End all processes and workers; return a message if workers remain."""
        for seat in self.seats.values():
            if seat.child is not None:
                seat.child.close()
                seat.child = None
        return self.workforce.close()

    def _start_if_due(self, seat: Seat) -> None:
        if seat.child is not None or seat.ended or time.monotonic() < seat.restart_at:
            return
        if seat.stops is not None and not seat.held:
            self._finish(seat, Finished())
            return
        if seat.successor is not None:
            seat.order, seat.successor = seat.successor, None
        order, workforce = seat.order, self.workforce
        running = sum(not one.ended for one in self.seats.values())
        start = Start(
            path=order.path,
            text=order.text,
            service=order.service,
            settings=order.settings,
            engine=workforce.name,
            why=workforce.why,
            port=workforce.port,
            host=workforce.host,
            workers_of=workforce.workers_of,
            how_to_connect=workforce.how_to_connect,
            collectors=max(1, self._collectors // max(1, running)),
            watch=order.watch,
            limit=seat.limit_left,
            canary=order.canary,
            exit_on_trouble=order.exit_on_trouble,
            follows_file=order.follows_file,
            files=order.files,
            held=seat.held,
        )
        try:
            seat.start(start, self._logs / f"{order.name}.err")
        except OSError as error:
            seat.not_started(error)

    # --- messages ----------------------------------------------------------------------------

    def _listen(self, seat: Seat) -> None:
        if seat.child is None:
            return
        seat.child.flush()
        lines, alive = seat.hear()
        for line in lines:
            self._hear(seat, line)
        if alive:
            return
        code = seat.child.close()
        if seat.finished is not None:
            seat.child = None
            return
        seat.died(code)
        if seat.stops is not None and not seat.held:
            self._finish(seat, Finished())
        elif self._gives_up and seat.begun is None and seat.deaths >= MAX_FAILED_STARTS:
            where = self._logs / f"{seat.name}.err"
            failed = Finished(
                message=f"{seat.error} (log: {where})", exit_code=ServiceError.exit_code
            )
            self._finish(seat, failed)
        seat.begun = None

    def _hear(self, seat: Seat, line: bytes) -> None:
        try:
            message = from_campaign(line)
        except (ValueError, OSError):
            log.error("%s: an invalid message: %r", seat.name, line[:200])
            # The task in it is unknown, so that only a new process can send it again.
            seat.kill("sent an invalid message")
            return
        match message:
            case Begun():
                seat.begun, seat.error = message, None
                if seat.stops is not None:
                    seat.tell(seat.stops)
            case Submit(task=task, folder=folder):
                seat.submitted(task, Path(folder))
            case Cancel(task=task):
                self._dispatch.cancel(seat, task)
            case CancelWaiting():
                seat.tell(Canceled(tasks=tuple(self._dispatch.cancel_waiting(seat))))
            case Taken(task=task):
                seat.returned.pop(task, None)
            case BlockHost(host=host, seconds=seconds):
                self._engine.block_host(host, seconds)
            case UnblockHost(host=host):
                self._engine.unblock_host(host)
            case Wants(tasks=tasks):
                seat.wants = tasks
            case Report():
                seat.reported(message)
            case Finished():
                self._heard_end(seat, message)

    def _heard_end(self, seat: Seat, message: Finished) -> None:
        if message.message is not None:
            log.error("%s: %s", seat.name, message.message)
        may_recover = message.exit_code == ServiceError.exit_code
        if may_recover and not self._gives_up and seat.stops is None:
            seat.error = message.message  # a database or program that is missing can come back
            return
        self._finish(seat, message)

    def _finish(self, seat: Seat, message: Finished) -> None:
        seat.finished = message
        seat.error = message.message
        for task in seat.held:
            self._dispatch.cancel(seat, task)
        log.info("%s: %s", seat.name, seat.state)

    # --- the engine --------------------------------------------------------------------------

    def _wait(self) -> None:
        now = time.monotonic()
        if not self._dispatch.any_sent:
            poll = select.poll()  # select(2) takes no descriptors above 1023
            for seat in self.seats.values():
                if seat.child is not None:
                    poll.register(seat.child.fileno(), select.POLLIN)
            for number in self.listens_to():
                poll.register(number, select.POLLIN)
            poll.poll(1000 * _IDLE_SECONDS)
            if now < self._waited + _IDLE_WAIT_INTERVAL_SECONDS:
                return
        self._waited = now
        returned = self._dispatch.wait(_WAIT_SECONDS)
        for _ in range(_MAX_RETURNED_AT_ONCE):
            if returned is None:
                return
            seat, result = returned
            seat.back(result)
            returned = self._dispatch.wait(0)
        if returned is not None:
            returned[0].back(returned[1])

    def _tell_running(self) -> None:
        """Let each campaign know where its tasks run."""
        if time.monotonic() < self._told_running + _RUNNING_INTERVAL_SECONDS:
            return
        self._told_running = time.monotonic()
        places = self._dispatch.places()
        for seat in self.seats.values():
            if seat.begun is not None:
                seat.tell(Running(tasks=tuple(places.get(seat.name, ()))))

    def _tell_states(self) -> None:
        stats = self._engine.stats()
        running = self._dispatch.running()
        counts = Counter(sent.seat.name for sent in running)
        cores: Counter[str] = Counter()
        for sent in running:
            cores[sent.seat.name] += sent.waiting.task.cores
        for seat in self.seats.values():
            seat.use(cores[seat.name], time.monotonic())
        trouble, waits = self.workforce.trouble(), self.workforce.waits_for_workers
        trouble = "; ".join(filter(None, (trouble, self._dispatch.trouble))) or None
        for seat in self.seats.values():
            own = counts[seat.name]
            mine = replace(stats, running=own, waiting=len(seat.buffer) + len(seat.flying) - own)
            seat.tell_state(State(stats=mine, trouble=trouble, waits_for_workers=waits))
        self._overview = stats, running
        self._tell_running()
        self._dispatch.look(stats, running)
        going = [seat for seat in self.seats.values() if not seat.ended]
        wants = [
            seat.wants if seat.wants is not None or seat.begun else len(seat.flying)
            for seat in going
        ]
        known = [one for one in wants if one is not None]
        total = sum(known) if len(known) == len(wants) else None
        self.workforce.tend(Demand(total, stats.workers))
