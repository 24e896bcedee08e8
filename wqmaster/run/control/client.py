"""The user's side of the control: give a command, and wait for the answer.

If no master runs, this process carries the command out itself, as far as that is possible: it
takes the command first, so that a master that begins meanwhile does not do so, too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wqmaster.campaign.loading import LoadedCampaign
from wqmaster.campaign.service import next_run, run_command, show_command
from wqmaster.database.attempts import key_of
from wqmaster.database.documents import Store
from wqmaster.database.orders import Answer, Command, Verb, Who
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import NotAnswered, WqmasterError
from wqmaster.recipe.resolving import resolve
from wqmaster.run.control import stored
from wqmaster.run.control.choice import Choice
from wqmaster.run.control.wording import canceled, earlier_pause, how_long, retried
from wqmaster.run.service.running import runs_campaign
from wqmaster.run.spool import Spool
from wqmaster.system.this_command import this_command

# Seconds between two looks for the answer.
_LOOK_INTERVAL_SECONDS = 0.1
# How long a command for which nobody waits stays valid.
LIFETIME_SECONDS = 300.0


@dataclass(frozen=True)
class Given:
    """A command that was given."""

    id: Any
    # What became of it; None if nobody waited for the answer.
    answer: Answer | None
    by_master: bool  # whether a master carried it out


def give(
    store: Store,
    verb: Verb,
    arguments: Mapping[str, Any],
    wait: float,
    alone: Callable[[Command], Answer],
) -> Given:
    """Give a command to the master of a campaign, and wait at most `wait` seconds for the answer.

    Without waiting (0), the master can take the command for five minutes. `alone` carries it out
    if no master runs.

    Raises:
        NotAnswered: a master runs, but does not answer in time. A command that it has not taken
            by then is withdrawn.
    """
    commands = store.commands
    command = commands.send(verb, arguments, Who.here(), wait or LIFETIME_SECONDS)
    deadline = time.monotonic() + wait
    while True:
        found = commands.get(command)
        if found is not None and found.answer is not None:
            return Given(command, found.answer, by_master=True)
        waits = found is not None and not found.taken
        master = store.presence.published()
        if waits and master is None:
            mine = commands.take("client", command)
            if mine is not None:
                answer = _answered(mine, alone)
                commands.answer(mine, answer)
                return Given(command, answer, by_master=False)
        if not wait:
            return Given(command, None, by_master=True)
        if time.monotonic() > deadline:
            raise _late(master, wait, withdrawn=commands.withdraw(command))
        time.sleep(_LOOK_INTERVAL_SECONDS)


def _answered(command: Command, alone: Callable[[Command], Answer]) -> Answer:
    try:
        return alone(command)
    except WqmasterError as error:
        return Answer(False, error.message, code=error.code)


def _late(master: Mapping[str, Any] | None, wait: float, *, withdrawn: bool) -> NotAnswered:
    place = (master or {}).get("master") or {}
    who = f"the master (process {place.get('pid', '?')} on {place.get('host', '?')})"
    if withdrawn:
        return NotAnswered(
            f"{who} did not take the command within {wait:.0f} s, so it was withdrawn and nothing "
            "was changed; look at the master's log, or wait longer with '--wait'"
        )
    return NotAnswered(
        f"{who} took the command but did not answer within {wait:.0f} s; 'status' shows the "
        "answer once it is known"
    )


class Alone:
    """Carries out commands while no master runs, as far as the database alone allows."""

    def __init__(self, store: Store, loaded: LoadedCampaign) -> None:
        self._store = store
        self._loaded = loaded

    def __call__(self, command: Command) -> Answer:
        """Carry out a command."""
        match command.verb:
            case Verb.PAUSE | Verb.RESUME | Verb.BLOCK | Verb.UNBLOCK:
                return self._order(command)
            case Verb.RETRY:
                return self._retry(command)
            case Verb.CANCEL:
                return self._cancel(command)
        more = f"; {self._after_reload()}" if command.verb == Verb.RELOAD else ""
        return Answer(
            False,
            f"no master is running the campaign '{self._store.campaign.campaign}', so there is "
            f"nothing to {command.verb}{more}",
            code=ErrorCode.MASTER_NOT_RUNNING,
        )

    def _after_reload(self) -> str:
        """Who reads a changed campaign file, although no master runs."""
        if not runs_campaign(self._loaded):
            run = run_command(self._loaded.source.path)
            return f"the next run reads the file as it is then: {run}"
        if self._store.commands.orders().pause is not None:
            resume = f"{this_command()} resume {self._loaded.typed}"
            return f"the service reads the file when the campaign continues: {resume}"
        show = show_command(self._loaded.source.path.parent)
        return f"the service takes up a changed file within seconds; to see whether it did: {show}"

    def _order(self, command: Command) -> Answer:
        before = self._store.commands.orders()
        after = stored.changed(before, command)
        self._store.commands.save(after)
        details: dict[str, Any] = {"running": 0}
        host, until = command.arguments.get("host"), how_long(command.arguments)
        said = {
            Verb.PAUSE: "the next run starts paused",
            Verb.RESUME: "the next run is not paused",
            Verb.BLOCK: f"runs will send no tasks to {host} {until}",
            Verb.UNBLOCK: f"runs will send tasks to {host}",
        }
        if command.verb == Verb.RESUME and self._loaded.service is not None:
            if runs_campaign(self._loaded):
                text = "the service continues the campaign within a minute"
                return Answer(True, text, details)
            serve = run_command(self._loaded.source.path)
            said[Verb.RESUME] = f"the service continues the campaign once it runs: {serve}"
        if command.verb == Verb.PAUSE:
            earlier, replaced = earlier_pause(before, after)
            said[Verb.PAUSE] += earlier
            details |= replaced
        if command.verb == Verb.UNBLOCK:
            was_blocked = any(block.host == host for block in before.valid_blocks)
            details |= {"host": host, "was_blocked": was_blocked}
            if not was_blocked:
                said[Verb.UNBLOCK] = f"{host} was not blocked"
        return Answer(True, f"no master is running; {said[Verb(command.verb)]}", details)

    def _retry(self, command: Command) -> Answer:
        choice = Choice.of(command.arguments)
        count = sum(len(classes) for classes in stored.retry(self._store, choice))
        if not count:
            return retried(0, choice, stored.already_waiting(self._store, choice))
        found = retried(count, choice)
        return Answer(True, f"{found.message}; {next_run(self._loaded.source.path)}", found.details)

    def _cancel(self, command: Command) -> Answer:
        recipe = resolve(self._loaded, runs=False)
        # With the fields of a document that its task function needs.
        self._store.campaign = recipe.loaded.campaign
        spool = Spool(self._loaded.folder / "spool")
        returned = frozenset(_returned(spool))
        found = stored.Canceled()
        for documents in Choice.of(command.arguments).open(self._store):
            chosen = frozenset(map(key_of, documents)) & returned
            found += stored.cancel(self._store, recipe, documents, chosen, str(command.by))
        answer = canceled(found)
        return Answer(True, f"{answer.message}; no master is running", answer.details)


def _returned(spool: Spool) -> list[str]:
    """The documents in the spool, by `key_of`, whose results the next run will store."""
    keys: list[str] = []
    for task in spool.waiting():
        try:
            keys += [key_of(job.document) for job in spool.read(task)[0]]
        except (OSError, ValueError, TypeError, KeyError):
            continue  # a torn record; its jobs run again
    return keys
