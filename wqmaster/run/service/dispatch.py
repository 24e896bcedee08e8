"""Move waiting tasks of campaigns into the engine, in the order that the shares demand.

The managers of ndcctools 7.14.5 rotate their lists of waiting tasks, so that a task's priority does
not keep its place (F32). So the engine never holds waiting tasks of two priorities: those of the
lower one are taken back when a task of a higher one is sent. In the engine, a task that was taken
back before has another id, an *alias*, since a manager can still return the former.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from wqmaster.engines.base import Engine, EngineStats, Returned, RunningTask
from wqmaster.run.service.seat import Seat, Sent
from wqmaster.run.service.shares import Pick, Shares

log = logging.getLogger("wqmaster.service")

# How many tasks of each campaign wait at the broker: as many as there are cores, within limits.
_MIN_BUFFER_TASKS = 20
_MAX_BUFFER_TASKS = 500
# If tasks of a higher priority wait, and none of them moves for this long although cores are idle,
# no worker can take them, and others may go first.
_STUCK_SECONDS = 5.0
# The pause after the engine could not take a task, for example because the disk is full.
_PAUSE_SECONDS = 2.0


class Dispatch:
    """The tasks of all campaigns in one engine."""

    def __init__(self, engine: Engine) -> None:
        self.shares = Shares()
        self.buffer_size = _MIN_BUFFER_TASKS
        # Why the engine could not take the last task; None if it could.
        self.trouble: str | None = None
        self._engine = engine
        self._sent: dict[str, Sent] = {}  # by alias
        self._idle_cores = 0
        # Priority -> when a task of it was last submitted or returned, by the monotonic clock.
        self._moved: dict[int, float] = {}
        self._pause_until = 0.0

    @property
    def any_sent(self) -> bool:
        """Whether the engine has tasks."""
        return bool(self._sent)

    def running(self) -> list[Sent]:
        """The tasks that workers have."""
        waiting = set(self._engine.waiting())
        return [sent for alias, sent in self._sent.items() if alias not in waiting]

    def places(self) -> dict[str, list[RunningTask]]:
        """Each campaign's tasks on workers, under the ids that the campaign knows."""
        found: dict[str, list[RunningTask]] = {}
        for running in self._engine.running():
            sent = self._sent.get(running.task_id)
            if sent is not None:
                task = replace(running, task_id=sent.waiting.task.id)
                found.setdefault(sent.seat.name, []).append(task)
        return found

    def look(self, stats: EngineStats, running: Collection[Sent]) -> None:
        """Take note of the engine's size."""
        self.buffer_size = min(_MAX_BUFFER_TASKS, max(_MIN_BUFFER_TASKS, stats.cores))
        used = sum(sent.waiting.task.cores for sent in running)
        self._idle_cores = max(0, stats.cores - used)

    # --- into the engine ---------------------------------------------------------------------

    def feed(self, seats: Iterable[Seat]) -> None:
        """Submit tasks as long as the engine is hungry."""
        ready = {
            seat.name: seat
            for seat in seats
            if seat.buffer and seat.stops is None and not seat.ended
        }
        if not ready or time.monotonic() < self._pause_until:
            self.shares.pick({})
            return
        rooms: dict[int, int] = {}
        while ready:
            first = {name: seat.buffer[0].task.jobs for name, seat in ready.items()}
            pick = self.shares.pick(first)
            if pick is None or not self._has_room(pick, ready[pick.name], rooms):
                return
            seat = ready[pick.name]
            if not self._submit(seat, pick):
                return
            if not seat.buffer:
                del ready[pick.name]

    def _has_room(self, pick: Pick, seat: Seat, rooms: dict[int, int]) -> bool:
        """Whether the engine takes the task now; takes back those that it must overtake."""
        priority = pick.priority
        if priority not in rooms:
            lower = self._with_priority(lambda one: one < priority)
            higher = self._with_priority(lambda one: one > priority)
            waiting = set(self._engine.waiting()) if lower or higher else set()
            rooms[priority] = self._engine.hungry(priority if lower else None)
            ahead = {sent.pick.priority for sent in higher if sent.alias in waiting}
            if ahead:
                since = max(self._moved.get(one, 0.0) for one in ahead)
                stuck = time.monotonic() > since + _STUCK_SECONDS
                rooms[priority] = min(rooms[priority], self._idle_cores if stuck else 0)
            if rooms[priority] > 0:
                self._recall([sent for sent in lower if sent.alias in waiting])
        rooms[priority] -= 1
        return rooms[priority] >= 0

    def _with_priority(self, wanted: Callable[[int], bool]) -> list[Sent]:
        return [sent for sent in self._sent.values() if wanted(sent.pick.priority)]

    def _recall(self, sent: list[Sent]) -> None:
        """Take tasks back that wait in the engine, to the front of their campaigns' queues."""
        for one in reversed(sent):
            self._engine.cancel(one.alias)
            self._forget(one, None)
            one.seat.buffer.appendleft(one.waiting)

    def recall(self, seat: Seat) -> None:
        """Take back the tasks of a campaign that wait in the engine, so that none starts."""
        waiting = set(self._engine.waiting())
        self._recall([sent for sent in seat.flying.values() if sent.alias in waiting])

    def _submit(self, seat: Seat, pick: Pick) -> bool:
        """Pass the next task of a campaign to the engine; return whether the engine took it."""
        waiting = seat.buffer.popleft()
        task = waiting.task
        times = waiting.times_sent
        alias = f"{task.id}+{times}" if times else task.id
        sent = Sent(seat, replace(waiting, times_sent=times + 1), alias, pick)
        self._sent[alias] = seat.flying[task.id] = sent
        self.shares.started(pick, task.id, task.jobs)
        self._moved[pick.priority] = time.monotonic()
        named = replace(task, id=alias, priority=pick.priority)
        try:
            self._engine.submit(named, waiting.folder)
            self.trouble = None
        except OSError as error:
            self._failed(error)
            return False
        return True

    def _failed(self, error: OSError) -> None:
        text = f"tasks cannot be started: {error}"
        if text != self.trouble:
            log.error("%s", text)
        self.trouble = text
        self._pause_until = time.monotonic() + _PAUSE_SECONDS

    # --- out of the engine -------------------------------------------------------------------

    def wait(self, seconds: float) -> tuple[Seat, Returned] | None:
        """The next task that the engine returns, with its campaign; None if there is none."""
        try:
            returned = self._engine.wait(seconds)
        except OSError as error:
            self._failed(error)
            return None
        sent = None if returned is None else self._sent.get(returned.task_id)
        if returned is None or sent is None:
            return None
        task = sent.waiting.task
        self._moved[sent.pick.priority] = time.monotonic()
        self._forget(sent, (returned.finished - returned.started) * task.cores)
        return sent.seat, replace(returned, task_id=task.id)

    def _forget(self, sent: Sent, core_seconds: float | None) -> None:
        self._sent.pop(sent.alias, None)
        sent.seat.flying.pop(sent.waiting.task.id, None)
        self.shares.ended(sent.seat.name, sent.waiting.task.id, core_seconds)

    def cancel(self, seat: Seat, task: str) -> None:
        """End a task of a campaign, wherever it is."""
        seat.returned.pop(task, None)
        sent = seat.flying.get(task)
        if sent is not None:
            self._engine.cancel(sent.alias)
            self._forget(sent, None)
            return
        for waiting in [one for one in seat.buffer if one.task.id == task]:
            seat.buffer.remove(waiting)

    def cancel_waiting(self, seat: Seat) -> list[str]:
        """Cancel the tasks of a campaign that no worker has received, and return their ids."""
        waiting = set(self._engine.waiting())
        found = [one.task.id for one in seat.buffer]
        found += [task for task, sent in seat.flying.items() if sent.alias in waiting]
        for task in found:
            self.cancel(seat, task)
        return found
