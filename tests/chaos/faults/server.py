"""The database dies, freezes, refuses, or is cut off in the middle of an answer."""

import os
import random
import signal
import time
from typing import TYPE_CHECKING

from tests.chaos.faults.base import Needs, NotDone, fault

if TYPE_CHECKING:
    from tests.chaos.system import System

_LONGEST_STOP_SECONDS = 8.0
_LONGEST_DOWN_SECONDS = 4.0
_MOST_CUTS = 8
_LARGEST_CUT_BYTES = 3_000
_CUT_SECONDS = 6.0


@fault("kill-mongod", Needs.REPLICA)
def _kill(system: "System", chance: random.Random) -> str:
    """Kill the server; start it again after a while, as systemd does."""
    assert system.replica is not None
    system.replica.kill()
    seconds = chance.uniform(0.1, _LONGEST_DOWN_SECONDS)
    time.sleep(seconds)
    system.replica.start()
    return f"{seconds:.1f} s"


@fault("stop-mongod", Needs.REPLICA)
def _stop(system: "System", chance: random.Random) -> str:
    return _frozen(system, chance.uniform(1.0, _LONGEST_STOP_SECONDS))


@fault("database-away-frozen", Needs.REPLICA)
def _away_frozen(system: "System", chance: random.Random) -> str:
    """The server accepts connections and does not answer, as in a network that hangs."""
    return _frozen(system, system.plan.away)


def _frozen(system: "System", seconds: float) -> str:
    assert system.replica is not None
    os.kill(system.replica.pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(system.replica.pid, signal.SIGCONT)
    return f"{seconds:.1f} s"


@fault("database-away-refused", Needs.REPLICA)
def _away_refused(system: "System", chance: random.Random) -> str:
    assert system.proxy is not None
    with system.proxy.refusing():
        time.sleep(system.plan.away)
    return f"{system.plan.away:.0f} s"


@fault("database-connections-end", Needs.REPLICA)
def _connections_end(system: "System", chance: random.Random) -> str:
    assert system.proxy is not None
    system.proxy.end_connections()
    return ""


def _cut(system: "System", chance: random.Random, direction: str) -> str:
    assert system.proxy is not None
    before = system.proxy.cuts_made
    for _ in range(chance.randint(1, _MOST_CUTS)):
        system.proxy.cut(direction, chance.randrange(_LARGEST_CUT_BYTES))
    time.sleep(_CUT_SECONDS)
    system.proxy.forget_cuts()
    return f"{system.proxy.cuts_made - before} cuts"


@fault("database-cut-in-reply", Needs.REPLICA)
def _cut_in_reply(system: "System", chance: random.Random) -> str:
    """Whether the server carried out the command is unknown to its client."""
    return _cut(system, chance, "down")


@fault("database-cut-in-command", Needs.REPLICA)
def _cut_in_command(system: "System", chance: random.Random) -> str:
    return _cut(system, chance, "up")


@fault("kill-private-mongod", Needs.PRIVATE)
def _kill_private(system: "System", chance: random.Random) -> str:
    """Kill a private server, which the service starts again by itself."""
    pid = chance.choice(system.private).pid()
    if pid is None:
        raise NotDone("the private server does not run")
    os.kill(pid, signal.SIGKILL)
    return f"pid {pid}"


@fault("stop-private-mongod", Needs.PRIVATE)
def _stop_private(system: "System", chance: random.Random) -> str:
    pid = chance.choice(system.private).pid()
    if pid is None:
        raise NotDone("the private server does not run")
    seconds = chance.uniform(1.0, _LONGEST_STOP_SECONDS)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    return f"{seconds:.1f} s"
