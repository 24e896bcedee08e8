"""Processes of the service are killed, or stopped for some seconds."""

import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.chaos import processes
from tests.chaos.faults.base import (
    FACTORY_SECONDS,
    USUAL_SECONDS,
    WORKERS_SECONDS,
    Needs,
    fault,
    found_soon,
)

if TYPE_CHECKING:
    from tests.chaos.system import System

Do = Callable[["System", random.Random], str]
# What is killed and stopped, and how long the next result may take. An examiner exists only while
# there is something to examine.
_ROLES = {
    "campaign": USUAL_SECONDS,
    "collector": USUAL_SECONDS,
    "supervisor": FACTORY_SECONDS,
    "factory": FACTORY_SECONDS,
    "worker": USUAL_SECONDS,
    "job": USUAL_SECONDS,
}
_LONGEST_STOP_SECONDS = 6.0
_LONGEST_PAUSE_SECONDS = 1.5


def _victims(system: "System", role: str) -> list[int]:
    return found_soon(lambda: processes.by_role(system.folder).get(role, []), role)


def _stop(pids: list[int], chance: random.Random) -> str:
    seconds = chance.uniform(1.0, _LONGEST_STOP_SECONDS)
    for pid in pids:
        processes.send(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        processes.send(pid, signal.SIGCONT)
    return f"{seconds:.1f} s"


def _killing(role: str) -> Do:
    def do(system: "System", chance: random.Random) -> str:
        pid = chance.choice(_victims(system, role))
        processes.send(pid, signal.SIGKILL)
        return f"pid {pid}"

    return do


def _stopping(role: str) -> Do:
    def do(system: "System", chance: random.Random) -> str:
        return _stop([chance.choice(_victims(system, role))], chance)

    return do


for _role, _limit in _ROLES.items():
    fault(f"kill-{_role}", limit=_limit)(_killing(_role))
    fault(f"stop-{_role}", limit=_limit)(_stopping(_role))


def _killing_all(role: str) -> Do:
    def do(system: "System", chance: random.Random) -> str:
        pids = _victims(system, role)
        for pid in pids:
            processes.send(pid, signal.SIGKILL)
        return f"{len(pids)}"

    return do


for _role in ("collector", "campaign"):
    fault(f"kill-all-{_role}s")(_killing_all(_role))
fault("kill-all-workers", limit=WORKERS_SECONDS)(_killing_all("worker"))


@fault("kill-factory-and-supervisor", limit=FACTORY_SECONDS)
def _kill_both(system: "System", chance: random.Random) -> str:
    for role in ("factory", "supervisor"):
        processes.send(_victims(system, role)[0], signal.SIGKILL)
    return ""


@fault("kill-master")
def _kill_master(system: "System", chance: random.Random) -> str:
    """Kill the broker, whose death the kernel tells the others; start it again."""
    system.kill()
    time.sleep(chance.uniform(0.0, _LONGEST_PAUSE_SECONDS))
    system.start()
    return ""


@fault("stop-master")
def _stop_master(system: "System", chance: random.Random) -> str:
    assert system.service is not None
    return _stop([processes.master_of(system.service.pid)], chance)


@fault("crash-master")
def _crash_master(system: "System", chance: random.Random) -> str:
    """A fault of a library ends the master, and nobody but itself starts it again."""
    assert system.service is not None
    processes.send(processes.master_of(system.service.pid), signal.SIGSEGV)
    return ""


@fault("stop-service")
def _stop_service(system: "System", chance: random.Random) -> str:
    """Stop all processes, as when a machine sleeps."""
    return _stop(list(processes.all_of(system.folder)), chance)


def _examined(system: "System", chance: random.Random) -> int:
    """Change a campaign file in what may change, and return the process that examines it."""
    path = system.home / f"{chance.choice(system.campaigns).name}.yaml"
    path.write_text(f"{path.read_text()}# changed at {time.time()}\n")
    return _victims(system, "examiner")[0]


@fault("kill-examiner", Needs.SERVE)
def _kill_examiner(system: "System", chance: random.Random) -> str:
    pid = _examined(system, chance)
    time.sleep(chance.uniform(0.0, 0.5))
    return "hit" if processes.send(pid, signal.SIGKILL) else "missed"


@fault("stop-examiner", Needs.SERVE)
def _stop_examiner(system: "System", chance: random.Random) -> str:
    return _stop([_examined(system, chance)], chance)
