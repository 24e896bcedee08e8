"""What a fault is, and the table of all faults."""

import enum
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.system import System

# How long the next result may take after a fault. A lost factory takes its workers with it.
USUAL_SECONDS = 15.0
FACTORY_SECONDS = 60.0
# A factory replaces workers only after 35 to 75 s (F18).
WORKERS_SECONDS = 90.0
# How long a fault waits for the process that it is to hit.
_VICTIM_SECONDS = 5.0


class Needs(enum.Enum):
    """What a run must have for a fault."""

    REPLICA = enum.auto()  # the harness's database, behind its proxy
    PRIVATE = enum.auto()  # a private server of wqmaster
    SERVE = enum.auto()  # a service in a folder
    MOUNT = enum.auto()  # a small file system for the campaigns' folder
    CLOCK = enum.auto()  # a clock that can be set


class NotDone(Exception):
    """A fault could not happen now: the process that it hits is not there, for example."""


@dataclass(frozen=True)
class Fault:
    """A fault: `do` disturbs the system and returns when the fault has ended, with a note.

    Raises (`do`):
        NotDone: it could not happen now.
    """

    name: str
    do: Callable[["System", random.Random], str]
    limit: float = USUAL_SECONDS  # seconds until the next result
    needs: frozenset[Needs] = frozenset()
    # Why this machine cannot do it; None: it can.
    unavailable: Callable[[], str | None] = lambda: None


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *needs: Needs,
    limit: float = USUAL_SECONDS,
    unavailable: Callable[[], str | None] = lambda: None,
) -> Callable[[Callable[["System", random.Random], str]], Callable[["System", random.Random], str]]:
    """Register a function as the fault `name`."""

    def register(
        do: Callable[["System", random.Random], str],
    ) -> Callable[["System", random.Random], str]:
        FAULTS[name] = Fault(name, do, limit, frozenset(needs), unavailable)
        return do

    return register


def found_soon(look: Callable[[], Collection[int]], what: str) -> list[int]:
    """The processes that `look` finds within a few seconds.

    Raises:
        NotDone: it finds none.
    """
    deadline = time.monotonic() + _VICTIM_SECONDS
    while True:
        found = look()
        if found:
            return sorted(found)
        if time.monotonic() > deadline:
            raise NotDone(f"there is no {what}")
        time.sleep(0.01)
