"""The master's side of the control: take commands, carry them out, answer them.

A command can concern many documents, so it is carried out in steps, between which the master looks
after its tasks.
"""

import logging
import math
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

from pymongo.errors import OperationFailure, PyMongoError

from wqmaster.campaign.service import show_command
from wqmaster.database.orders import Answer, Block, Command, CommandStore, Orders, Verb
from wqmaster.database.reasons import reason
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.recipe.recipe import Recipe
from wqmaster.run.control import stored
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.pausing import PauseGate
from wqmaster.run.control.reloading import Reloader
from wqmaster.run.control.steering import Steering
from wqmaster.run.control.wording import (
    canceled,
    counted,
    earlier_pause,
    how_long,
    no_reload,
    resumed,
    retried,
)
from wqmaster.run.holds import HoldKind
from wqmaster.system.this_command import this_command

log = logging.getLogger("wqmaster.master")

# Seconds between two looks for commands, and between two looks at the orders in force.
COMMANDS_INTERVAL_SECONDS = 1.0
ORDERS_INTERVAL_SECONDS = 3.0
# How long a command may keep the master from its tasks at a time.
_STEP_SECONDS = 0.5


@dataclass(frozen=True)
class InService:
    """How the control of a campaign differs that shares a broker with others."""

    follows_file: bool  # whether the service takes up changes of the campaign file by itself
    files: tuple[str, ...] = ()  # if it does not: the campaign files that run together, as given


# The steps of a command; its value is the answer.
Steps = Generator[None, None, Answer]


class Control:
    """Carries out the commands to one master, whose `token` is its lock's.

    `service` describes the service to which its campaign belongs; None if it has its own engine.
    """

    def __init__(
        self,
        token: str,
        commands: CommandStore,
        gate: PauseGate,
        recipe: Recipe,
        reloader: Reloader | None = None,
        *,
        service: InService | None = None,
    ) -> None:
        self._token = token
        self._commands = commands
        self.gate = gate
        self._recipe = recipe
        self._reloader = reloader
        self._service = service
        self._current: tuple[Command, Steps] | None = None
        self._unanswered: tuple[Command, Answer] | None = None
        self._next_command = 0.0
        self._next_orders = 0.0
        self._is_to_reload = False
        # The hosts that are blocked in the engine because a user says so.
        self._blocked: dict[str, Block] = {}

    def reload_soon(self) -> None:
        """Read the campaign file again at the next opportunity. Signal handlers call this."""
        self._is_to_reload = True

    @property
    def is_busy(self) -> bool:
        """Whether a command is being carried out."""
        return self._current is not None

    def tend(self, steering: Steering) -> None:
        """Go on with the control; called in each turn of the master's loop.

        Raises:
            PyMongoError: the database cannot be reached; nothing is lost by calling again.
        """
        if self._is_to_reload:
            self._is_to_reload = False
            answer = self._reload(steering)
            log.log(logging.INFO if answer.ok else logging.ERROR, "reload: %s", answer.message)
        now = time.monotonic()
        if now >= self._next_orders:
            self._follow(self._commands.orders(), steering)
            self._next_orders = now + ORDERS_INTERVAL_SECONDS
        if self._unanswered is not None:
            self._commands.answer(*self._unanswered)
            self._unanswered = None
        if self._current is not None:
            command, steps = self._current
            self._carry_out(command, lambda: _advanced(steps))
        elif now >= self._next_command:
            self._next_command = now + COMMANDS_INTERVAL_SECONDS
            new = self._commands.take(self._token)
            if new is not None:
                log.warning("command from %s: %r", new.by, new.verb)
                self._next_command = now
                self._carry_out(new, lambda: _advanced(self._begin(new, steering)))

    def _carry_out(self, command: Command, act: Callable[[], Answer | Steps]) -> None:
        """Carry out a command, or a part of it, and answer it if that was all."""
        try:
            answer = act()
            if not isinstance(answer, Answer):
                self._current = command, answer
                return
        except WqmasterError as error:
            answer = Answer(False, error.message, code=error.code)
        except OperationFailure as error:
            why = f"the database refused an operation: {reason(error)}"
            answer = Answer(False, why, code=ErrorCode.DATABASE_REFUSES)
        except PyMongoError as error:
            why = f"the database failed: {reason(error)}; give the command again"
            answer = Answer(False, why, code=ErrorCode.DATABASE_FAILED)
        except (KeyError, TypeError, ValueError):
            log.exception("a command cannot be read")
            why = f"the arguments of {command.verb!r} cannot be read"
            answer = Answer(False, why, code=ErrorCode.COMMAND_INVALID)
        log.warning("%s: %s", command.verb, answer.message)
        self._current = None
        self._unanswered = command, answer
        self._commands.answer(command, answer)
        self._unanswered = None

    # --- the orders in force -----------------------------------------------------------------

    def _follow(self, orders: Orders, steering: Steering) -> None:
        """Act on the orders that are in force now, which another process may have changed."""
        begins = orders.pause is not None and self.gate.orders.pause is None
        self.gate.orders = orders
        if begins:
            log.warning("%s", orders.pause)
        if orders.pause is not None:
            # Also later, since an engine may not have canceled all waiting tasks at once.
            steering.recall()
        valid = {block.host: block for block in orders.valid_blocks}
        for host in self._blocked.keys() - valid.keys():
            steering.hosts.unblock(host)
            del self._blocked[host]
        for host, block in valid.items():
            if self._blocked.get(host) == block:
                continue
            seconds = math.inf
            if block.until is not None and orders.now is not None:
                seconds = (block.until - orders.now).total_seconds()
            steering.hosts.block(host, seconds, f"blocked by {block.by}")
            self._blocked[host] = block

    def _order(self, command: Command, steering: Steering) -> tuple[Orders, Orders]:
        """Change the orders in force by `command`; return the earlier ones and the new ones."""
        before = self._commands.orders()
        after = stored.changed(before, command)
        self._commands.save(after)
        self._follow(after, steering)
        return before, after

    # --- commands ----------------------------------------------------------------------------

    def _begin(self, command: Command, steering: Steering) -> Answer | Steps:
        match command.verb:
            case Verb.PAUSE:
                return self._pause(command, steering)
            case Verb.RESUME:
                return self._resume(command, steering)
            case Verb.DRAIN:
                return self._drain(command, steering)
            case Verb.CANCEL:
                return self._cancel(command, steering)
            case Verb.RETRY:
                return self._retry(command, steering)
            case Verb.BLOCK | Verb.UNBLOCK:
                return self._block(command, steering)
            case Verb.RELOAD:
                return self._reload(steering)
        return _unknown(command)

    def _pause(self, command: Command, steering: Steering) -> Answer:
        earlier, replaced = earlier_pause(*self._order(command, steering))
        running = steering.progress.sent
        more = f"; {counted(running, 'running job')} may finish" if running else ""
        return Answer(True, f"paused{earlier}{more}", {"running": running, **replaced})

    def _resume(self, command: Command, steering: Steering) -> Answer:
        before, _ = self._order(command, steering)
        steering.progress.drained = None
        ended = [str(hold.kind) for hold in steering.release()]
        if HoldKind.STALE in ended:
            steering.look_again()  # stale results may have been removed, to compute them again
        if before.pause is not None and "pause" not in ended:
            ended.insert(0, "pause")
        message = resumed(ended)
        return Answer(True, message, {"ended": ended})

    def _drain(self, command: Command, steering: Steering) -> Answer:
        returns = self._service is not None and self._service.follows_file
        if returns:
            # Otherwise the service would soon take up the campaign again. A pause that is in force
            # keeps its reason.
            paused = self._commands.orders().pause is not None
            arguments = {} if paused else {"reason": "drain"}
            self._order(replace(command, verb=Verb.PAUSE, arguments=arguments), steering)
            steering.progress.drained = str(self.gate.hold())
        steering.drain()
        steering.recall()  # jobs that no worker has are not in flight
        running = steering.progress.sent
        what = "the campaign" if returns else "the run"
        have = "has" if running == 1 else "have"
        message = f"draining: {what} ends when {counted(running, 'job')} in flight {have} returned"
        if not running:
            message = f"draining: no job is in flight, so {what} ends now"
        if returns:
            resume = f"{this_command()} resume {self._recipe.loaded.typed}"
            message += f", and stays paused until: {resume}"
        return Answer(True, message, {"running": running})

    def _cancel(self, command: Command, steering: Steering) -> Steps:
        found = stored.Canceled()
        for documents in Choice.of(command.arguments).open(steering.store):
            found += steering.cancel(self._recipe, documents, str(command.by))
            yield
        return canceled(found)

    def _retry(self, command: Command, steering: Steering) -> Steps:
        count = 0
        for classes in steering.retry(Choice.of(command.arguments)):
            count += len(classes)
            yield
        if count:
            steering.look_again()
        choice = Choice.of(command.arguments)
        waiting = 0 if count else stored.already_waiting(steering.store, choice)
        return retried(count, choice, waiting)

    def _block(self, command: Command, steering: Steering) -> Answer:
        host = str(command.arguments.get("host"))
        known = steering.hosts.knows(host)
        before, _ = self._order(command, steering)
        if command.verb == Verb.UNBLOCK:
            was = any(block.host == host for block in before.valid_blocks)
            was = steering.hosts.unblock(host) or was  # the run itself may have blocked it
            steering.engine.unblock_host(host)
            message = f"{host} gets tasks again" if was else f"{host} was not blocked"
            return Answer(True, message, {"host": host, "was_blocked": was})
        more = "" if known else "; no task of this run has ended on a host with this name"
        until = how_long(command.arguments)
        if steering.engine.port is None:
            message = (
                f"{host} is blocked {until}, which has no effect on this run: with 'engine: "
                "local', all jobs run on this machine"
            )
            return Answer(True, message, {"host": host})
        return Answer(True, f"{host} gets no more tasks {until}{more}", {"host": host})

    def _reload(self, steering: Steering) -> Answer:
        if self._service is not None and self._service.follows_file:
            folder = self._recipe.loaded.source.path.parent
            return Answer(
                True,
                "the service takes up a changed campaign file by itself within seconds; to see "
                f"whether it was refused: {show_command(folder)}",
            )
        if self._reloader is None:
            why = "this part of the run cannot take changes; reload when it is over"
            if self._service is not None:
                why = no_reload(self._service.files)
            return Answer(False, why, code=ErrorCode.RELOAD_REFUSED)
        try:
            answer = self._reloader.reload(steering)
        except WqmasterError as error:
            return Answer(False, f"{error.message}; nothing was changed", code=error.code)
        self._recipe = self._reloader.recipe
        return answer


def _advanced(begun: Answer | Steps) -> Answer | Steps:
    """Take one step or more for a while; return the answer after the last one."""
    if isinstance(begun, Answer):
        return begun
    until = time.monotonic() + _STEP_SECONDS
    try:
        next(begun)
        while time.monotonic() < until:
            next(begun)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    return begun


def _unknown(command: Command) -> Answer:
    message = f"this master does not know the command {command.verb!r}"
    return Answer(False, message, code=ErrorCode.COMMAND_INVALID)
